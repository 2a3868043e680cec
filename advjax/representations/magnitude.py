"""Magnitude spectrogram of the pre-emphasised waveform."""

import dataclasses
from typing import ClassVar, final

import jax
import jax.numpy as jnp
import numpy as np

from advjax.representations.base import Representation
from advjax.representations.waveform import Waveform
from advjax.signal.decibels import safe_sqrt
from advjax.signal.fourier import WINDOWS, stft
from advjax.signal.framing import deemphasis, overlap_mean, preemphasis
from advjax.types import Bounds, Features, Source


@final
@dataclasses.dataclass(frozen=True, kw_only=True)
class Magnitude(Representation):
    """|STFT| as [frames, bins, 1]; 160 x 257 x 1 at the defaults.

    Source of the constants: deep-speaker `audio.py` and python_speech_features 0.6
    (25 ms frames every 10 ms, rectangular window, 512-point transform, pre-emphasis
    0.97), the front end of O'Reilly's classifier.

    Attributes:
        source: the waveform.
        frame_length: samples in a frame.
        hop: samples between frames.
        num_fft: length of the transform.
        window: a name in `advjax.signal.fourier.WINDOWS`.
        preemphasis: coefficient of the first difference; 0 for none.
        floor: added to the power inside the root; keeps the gradient finite at silence.
    """

    name: ClassVar[str] = "magnitude"
    source: Representation = Waveform()
    frame_length: int = 400
    hop: int = 160
    num_fft: int = 512
    window: str = "rectangular"
    preemphasis: float = 0.97
    floor: float = 1e-24

    def _spectrum(self, wave):
        return stft(
            preemphasis(wave, coefficient=self.preemphasis),
            length=self.frame_length,
            hop=self.hop,
            num_fft=self.num_fft,
            window=self.window,
        )

    def step(self, x: Source) -> Features:
        """Magnitudes of one waveform."""
        spectrum = self._spectrum(x)
        power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
        return safe_sqrt(power, self.floor)[..., None]

    def inverse(self, features: Features, *, reference: Source) -> Source:
        """The waveform with these magnitudes and the reference's phases.

        Frames that disagree after a perturbation are averaged where they overlap. The
        window is divided out where it is not near zero, which the default never is.
        """
        phase = jnp.angle(self._spectrum(reference))
        phasor = jax.lax.complex(jnp.cos(phase), jnp.sin(phase))
        spectrum = features[..., 0].astype(phasor.dtype) * phasor
        frames = jnp.fft.irfft(spectrum, self.num_fft)[:, : self.frame_length]
        window = np.maximum(WINDOWS[self.window](self.frame_length), 1e-2)
        emphasised = overlap_mean(
            frames / window[None, :], hop=self.hop, num_samples=reference.shape[0]
        )
        return deemphasis(emphasised, coefficient=self.preemphasis)

    @property
    def bounds(self) -> Bounds:
        """Magnitudes are not negative."""
        return (0.0, float("inf"))
