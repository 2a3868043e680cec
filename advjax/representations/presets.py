"""Front ends of publications: images of spectrograms, and GE2E's mel energies.

"Adversarially Training for Audio Classifiers" (Sallo, Esmaeilpour, Cardinal):
spectrograms of 1568 x 768, chromagrams or tonnetz of 1568
x 540, and both side by side, 1568 x 1308. The publication states neither frames nor the
range of the scalogram: Hann frames of 2048 samples every 512 and the range are ours.
The recurrence plot is from the thesis of the group of Esmaeilpour. `ge2e` is the front
end of a speaker encoder.
"""

from advjax.representations.base import Representation
from advjax.representations.chroma import Chroma, Tonnetz
from advjax.representations.image import Image, Stacked
from advjax.representations.magnitude import Magnitude
from advjax.representations.partials import MelPartials
from advjax.representations.recurrence import CrossRecurrence
from advjax.representations.scalogram import Scalogram
from advjax.representations.waveform import Waveform

_FRAMES, _BINS, _TONAL_BINS = 1568, 768, 540


def stft(
    *, seconds: float = 5.0, sample_rate_hz: int = 16_000, scale: float = 1.0
) -> Representation:
    """Spectrogram as an image.

    Args:
        seconds: length of a clip; 5 for ESC-50, 4 for UrbanSound8K.
        sample_rate_hz: of the clip; the group used 8,000 for ESC and 16,000 for
            UrbanSound8K.
        scale: divides both sides of the image; the clip stays as it is.
    """
    source = _magnitude(_waveform(seconds, sample_rate_hz))
    return Image(source=source, frames=_side(_FRAMES, scale), bins=_side(_BINS, scale))


def dwt(
    *, seconds: float = 5.0, sample_rate_hz: int = 16_000, scale: float = 1.0
) -> Representation:
    """Morlet scalogram as an image; options as for `stft`."""
    frame_length = 2 * round(0.025 * sample_rate_hz)  # 50 ms; half is a whole number
    source = Scalogram(
        source=_waveform(seconds, sample_rate_hz),
        max_hz=0.375 * sample_rate_hz,
        frame_length=frame_length,
        hop=frame_length // 2,
    )
    return Image(source=source, frames=_side(_FRAMES, scale), bins=_side(_BINS, scale))


def stft_tonnetz(
    *,
    seconds: float = 5.0,
    sample_rate_hz: int = 16_000,
    scale: float = 1.0,
    chroma: bool = False,
) -> Representation:
    """Spectrogram beside the tonnetz; options as for `stft`.

    Args:
        seconds: length of a clip.
        sample_rate_hz: of the clip.
        scale: divides both sides of the image.
        chroma: put the chromagram in the place of the tonnetz; the publication calls
            one and the same block by both names.
    """
    first = stft(seconds=seconds, sample_rate_hz=sample_rate_hz, scale=scale)
    return _beside_tonal(first, scale, chroma)


def dwt_tonnetz(
    *,
    seconds: float = 5.0,
    sample_rate_hz: int = 16_000,
    scale: float = 1.0,
    chroma: bool = False,
) -> Representation:
    """Morlet scalogram beside the tonnetz; options as for `stft_tonnetz`."""
    first = dwt(seconds=seconds, sample_rate_hz=sample_rate_hz, scale=scale)
    return _beside_tonal(first, scale, chroma)


def crp(
    *, seconds: float = 5.0, sample_rate_hz: int = 22_050, scale: float = 1.0
) -> Representation:
    """Recurrence plot of the loudest moments: 256 x 256, as in the thesis.

    Args:
        seconds: length of a clip.
        sample_rate_hz: of the clip. The thesis' 3,000 samples at 22,050 Hz are 136 ms.
            Segments last as long at other rates; that is our reading.
        scale: divides both sides of the image; the clip stays as it is.
    """
    return CrossRecurrence(
        source=_waveform(seconds, sample_rate_hz),
        segment=round(3000 / 22_050 * sample_rate_hz),
        size=_side(256, scale),
    )


def ge2e(*, seconds: float = 3.0) -> Representation:
    """Partial utterances of 1.6 s at 16 kHz for the GE2E speaker encoder.

    Args:
        seconds: length of a clip; 3 gives three partial utterances.
    """
    return MelPartials(source=_waveform(seconds, 16_000))


def _beside_tonal(first: Representation, scale: float, chroma: bool) -> Stacked:
    waveform = first.chain()[0]
    source = Chroma(source=_magnitude(waveform))
    tonal = Image(
        source=source if chroma else Tonnetz(source=source),
        frames=_side(_FRAMES, scale),
        bins=_side(_TONAL_BINS, scale),
        decibels=False,
    )
    return Stacked(source=waveform, first=first, second=tonal)


def _waveform(seconds: float, sample_rate_hz: int) -> Waveform:
    return Waveform(
        sample_rate_hz=sample_rate_hz, num_samples=round(seconds * sample_rate_hz)
    )


def _magnitude(waveform: Representation) -> Magnitude:
    return Magnitude(
        source=waveform,
        frame_length=2048,
        hop=512,
        num_fft=2048,
        window="hann",
        preemphasis=0.0,
    )


def _side(full: int, scale: float) -> int:
    if scale <= 0:
        raise ValueError(f"scale={scale:g} must be positive; 2 gives half the size")
    return max(1, round(full / scale))
