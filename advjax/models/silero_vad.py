"""Silero's voice activity detector on waveforms."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from advjax.layers.base import Network
from advjax.layers.lstm import LSTM
from advjax.signal.decibels import safe_sqrt

FRAME, CONTEXT, WINDOW = 512, 64, 256


class Convolution(nn.Module):
    """A convolution of three taps over time with a zero at both ends, and a ReLU.

    Written as three matrix products: sequences have one to four entries.

    Attributes:
        features: channels of the output.
        stride: input entries from one output to the next.
    """

    features: int
    stride: int = 1

    @nn.compact
    def __call__(
        self, x: Float[Array, "rows steps channels"]
    ) -> Float[Array, "rows out_steps {self.features}"]:
        """The activated output."""
        init = nn.initializers.lecun_normal()
        kernel = self.param("kernel", init, (3, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        span = (x.shape[1] - 1) // self.stride * self.stride + 1
        x = jnp.pad(x, ((0, 0), (1, 1), (0, 0)))
        taps = [x[:, tap : tap + span : self.stride] for tap in range(3)]
        taps = jnp.concatenate(taps, axis=-1)
        out = jnp.matmul(taps, kernel.reshape(-1, self.features))
        return nn.relu(out + bias[None, None])


class SileroVad(Network):
    """A detector of speech in clips of 16 kHz, from frames of 512 samples.

    Each frame, with 64 samples before it, passes a short-time Fourier transform, four
    convolutions and an LSTM over all frames. The last layer gives the log-odds of
    speech in the frame. The clip is padded with zeros to whole frames. There are
    309,121 parameters, counting PyTorch's two biases of a gate as one. Everything is
    computed in float32.

    The two classes are no speech, with logit 0, and speech, with the log-odds of the
    clip. These follow from the frames' probabilities p by `pooling`:

    - "linear_softmax": sum of p^2 over sum of p. It needs more than a single frame, and
      its gradient reaches every frame. Source: Wang, Li, Metze 2019, arXiv:1810.09050,
      who compare five poolings for the detection of sound events.
    - "max": the most certain frame. A clip is without speech if no frame reaches 0.5,
      the threshold at which the package's `get_speech_timestamps` begins a segment.

    Source: silero-vad 6.2.3, `tinygrad_model.py` and its docstring, whose order of
    operations is that of the package's TorchScript and ONNX models.

    Attributes:
        num_classes: 2.
        pooling: "linear_softmax" or "max".
    """

    num_classes: int = 2
    pooling: str = "linear_softmax"

    def __post_init__(self):
        """Refuse other classes and unknown poolings."""
        if self.num_classes != 2:
            raise ValueError(
                f"num_classes={self.num_classes}: silero_vad has the classes no speech "
                "and speech; give a corpus of these two"
            )
        if self.pooling not in POOLINGS:
            raise ValueError(
                f"pooling={self.pooling!r}: choose {' or '.join(POOLINGS)}"
            )
        super().__post_init__()

    @nn.compact
    def frame_logits(
        self, waves: Float[Array, "batch time"]
    ) -> Float[Array, "batch frames"]:
        """Log-odds of speech in each frame of waves in [-1, 1]."""
        transform = self.param(
            "transform", nn.initializers.lecun_normal(), (WINDOW, WINDOW + 2)
        )
        frames = _frames(waves.astype(jnp.float32))
        rows = frames.reshape(-1, frames.shape[-1])
        half = WINDOW // 2
        starts = range(0, rows.shape[1] - WINDOW + 1, half)
        windows = jnp.stack([rows[:, at : at + WINDOW] for at in starts], axis=1)
        both = jnp.square(jnp.matmul(windows, transform))
        maps = safe_sqrt(both[..., : half + 1] + both[..., half + 1 :], 1e-24)
        for features, stride in ((128, 1), (64, 2), (64, 2), (128, 1)):
            maps = Convolution(features, stride)(maps)
        states = LSTM(128)(maps.reshape(*frames.shape[:2], -1))
        return nn.Dense(1)(nn.relu(states))[..., 0]

    def __call__(
        self, x: Float[Array, "batch time"], *, train: bool
    ) -> Float[Array, "batch 2"]:
        """Logits of clips; training and evaluation are the same."""
        del train
        speech = POOLINGS[self.pooling](self.frame_logits(x))
        return jnp.stack([jnp.zeros_like(speech), speech], axis=1)


def _frames(waves: Float[Array, "batch time"]) -> Float[Array, "batch frames 640"]:
    """Frames with the samples before them, and 64 mirrored ones behind."""
    batch, time = waves.shape
    waves = jnp.pad(waves, ((0, 0), (CONTEXT, -time % FRAME)))
    frames = waves[:, CONTEXT:].reshape(batch, -1, FRAME)
    before = waves[:, :-CONTEXT].reshape(batch, -1, FRAME)[..., :CONTEXT]
    frames = jnp.concatenate([before, frames], axis=-1)
    return jnp.pad(frames, ((0, 0), (0, 0), (0, CONTEXT)), mode="reflect")


def linear_softmax(
    frames: Float[Array, "batch frames"],
) -> Float[Array, "batch"]:
    """Log-odds of sum p^2 / sum p for frames of log-odds, without underflow."""
    yes, no = jax.nn.log_sigmoid(frames), jax.nn.log_sigmoid(-frames)
    total = jax.nn.logsumexp
    return total(2 * yes, axis=1) - total(yes + no, axis=1)


POOLINGS = {"linear_softmax": linear_softmax, "max": lambda frames: frames.max(axis=1)}
"""Log-odds of a clip from those of its frames."""
