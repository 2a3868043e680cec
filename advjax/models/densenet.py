"""Densely connected networks on waveforms, with or without mel levels as first layers.

Source: Jeong and Lim 2018, "Audio tagging system using densely connected convolutional
networks", DCASE workshop, and their code (`dcase2018_task2_cochlearai`, the network of
its comments), over kapre 0.1.3.1. The layers of the authors' network on raw waveforms
are not public: `DenseWav` is a reconstruction.
"""

import functools
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Int

from advjax.layers.base import Network
from advjax.layers.blocks import BatchNorm, Conv, add_bias, max_pool, relu
from advjax.layers.padding import keep_own, own_means
from advjax.padding import Length, Own
from advjax.probabilities import log_mean_softmax
from advjax.signal.extrema import greatest
from advjax.signal.fourier import stft
from advjax.signal.mel import slaney_filterbank

NUM_MODULES = 8
NUM_HEADS = 8
SAMPLE_RATE_HZ = 32_000
FRAME_LENGTH, HOP, NUM_BANDS = 1024, 128, 64
# kapre's amplitude_to_decibel: 10 log10 of at least 1e-10, at most 80 dB down.
LEAST, RANGE_DB = 1e-10, 80.0


def kapre_mel_db(
    wave: Float[Array, "time"], frames: Length | None = None
) -> Float[Array, "frames bands"]:
    """Levels of a wave below its loudest entry, in kapre's "dB", at least -80.

    kapre takes the square root of a band's power and then 10 log10 of it: half of the
    dB. It subtracts the maximum of a whole batch. Here the maximum is that of the
    example, so that a prediction depends on its example alone.

    Args:
        wave: the wave.
        frames: the loudest entry is one of so many first frames; None for all.
    """
    count = -(-wave.shape[0] // HOP)
    missing = max((count - 1) * HOP + FRAME_LENGTH - wave.shape[0], 0)
    # "Same" padding: half of it in front.
    padded = jnp.pad(wave, (missing // 2, missing - missing // 2))
    spectrum = stft(
        padded, length=FRAME_LENGTH, hop=HOP, num_fft=FRAME_LENGTH, window="hann"
    )
    power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
    bands = jnp.dot(power, _filters(), precision="highest")
    levels = 10 / np.log(10) / 2 * jnp.log(bands + np.float32(LEAST**2))
    heard = Own(frames).keep(levels, -jnp.inf)
    return jnp.maximum(levels - greatest(heard), -RANGE_DB)


@functools.cache
def _filters() -> np.ndarray:
    return slaney_filterbank(
        num_bands=NUM_BANDS, num_fft=FRAME_LENGTH, sample_rate_hz=SAMPLE_RATE_HZ
    )


class LineConv(nn.Module):
    """A convolution of three taps along time, as one product of shifted copies."""

    features: int

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch time 1 channels"]
    ) -> Float[Array, "batch time 1 {self.features}"]:
        """The convolved maps, "same" padding."""
        kernel = self.param(
            "kernel",
            nn.initializers.glorot_uniform(),
            (3, 1, x.shape[-1], self.features),
        ).astype(x.dtype)
        padded = jnp.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)))
        size = x.shape[1]
        patches = [padded[:, tap : tap + size] for tap in range(3)]
        taps = kernel.reshape(-1, self.features)
        found = jnp.matmul(jnp.concatenate(patches, axis=-1), taps)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        return add_bias(found, bias.astype(x.dtype))


def pool_along_time(
    x: Float[Array, "batch time 1 channels"], window: int
) -> Float[Array, "batch out_time 1 channels"]:
    """The greatest entry of each window; the last window may extend beyond the end."""
    behind = -x.shape[1] % window
    x = jnp.pad(x, ((0, 0), (0, behind), (0, 0), (0, 0)), constant_values=-jnp.inf)
    parts = x.reshape(x.shape[0], -1, window, x.shape[-1])
    return functools.reduce(jnp.maximum, [parts[:, :, i] for i in range(window)])[
        :, :, None
    ]


class DenseModule(nn.Module):
    """Two convolutions with squeeze and excitation, concatenated with the input.

    Source: Huang et al. 2017, arXiv:1608.06993; Hu et al. 2018, arXiv:1709.01507.

    Attributes:
        features: maps that are added.
        flat: convolve along both axes, instead of along time alone.
    """

    features: int
    flat: bool

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch height width channels"],
        *,
        train: bool,
        lengths: Int[Array, "batch"] | None = None,
    ) -> Float[Array, "batch height width more"]:
        """New maps, then those of the input; `lengths` are rows without padding."""
        new = relu(BatchNorm()(x, train=train))
        new = Conv(self.features, kernel_size=1)(new)
        new = keep_own(relu(BatchNorm()(new, train=train)), lengths)
        new = (Conv if self.flat else LineConv)(self.features)(new)
        squeezed = own_means(new, lengths)
        squeezed = relu(nn.Dense(self.features // 2)(squeezed))
        gate = jax.nn.sigmoid(nn.Dense(self.features)(squeezed)).astype(new.dtype)
        return jnp.concatenate([new * gate[:, None, None], x], axis=-1)


class DenseNet(Network):
    """Eight dense modules, each followed by pooling, and eight heads that are averaged.

    Attributes:
        num_classes: number of classes.
        width: maps after the first layer, 16 in the original. Module i adds width * 2^i
            maps, at most 32 * width.
    """

    flat: ClassVar[bool]
    """True if maps have two axes, False for time alone."""
    hop: ClassVar[int]
    """Samples in a row of the first layer's input."""

    num_classes: int
    width: int = 16

    def front(
        self,
        waves: Float[Array, "batch time 1 1"],
        rows: Int[Array, "batch"] | None,
        *,
        train: bool,
    ) -> Float[Array, "batch height width 1"]:
        """The first layer's input: the normalised waves."""
        del rows, train
        return waves

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch time"],
        *,
        train: bool,
        lengths: Int[Array, "batch"] | None = None,
    ) -> Float[Array, "batch {self.num_classes}"]:
        """The logarithm of the heads' mean softmax, for waves of any length.

        Args:
            x: waves.
            train: normalise by the batch.
            lengths: samples of each wave, where the others are padding; None for all.
                Multiples of 65,536 samples give the logits without the padding: there
                no window of a pooling contains both.
        """
        x = keep_own(BatchNorm()(x[:, :, None, None], train=train), lengths)
        lengths = None if lengths is None else lengths // self.hop
        x = keep_own(self.front(x, lengths, train=train), lengths)
        first = (Conv if self.flat else LineConv)(self.width - 1)(x)
        x = jnp.concatenate([first, x], axis=-1)
        for index in range(NUM_MODULES):
            features = self.width * min(2**index, 32)
            x = DenseModule(features, self.flat)(x, train=train, lengths=lengths)
            x = max_pool(x, 2, 2) if self.flat else pool_along_time(x, 4)
            if lengths is not None:
                lengths = lengths // (2 if self.flat else 4)
        x = relu(BatchNorm()(x, train=train))
        # Heads are linear, so the mean over positions can come first.
        heads = nn.Dense(NUM_HEADS * self.num_classes)(own_means(x, lengths))
        return log_mean_softmax(heads.reshape(len(x), NUM_HEADS, self.num_classes))


class DenseMel(DenseNet):
    """DenseNet on mel levels of normalised waves at 32 kHz.

    11,092,200 trainable parameters for 41 classes. Options as in `DenseNet`.
    """

    flat = True
    hop = HOP

    def front(self, waves, rows, *, train: bool):
        """Mel levels, computed in float32, each band normalised."""
        levels = jax.vmap(kapre_mel_db)(waves[:, :, 0, 0].astype(jnp.float32), rows)
        levels = BatchNorm(name="BandNorm")(levels[:, :, None], train=train)
        return levels.transpose(0, 1, 3, 2).astype(waves.dtype)


class DenseWav(DenseNet):
    """DenseNet on the wave itself; a reconstruction, as the original is not public.

    Kernels are one-dimensional, and pooling is by four. Options as in `DenseNet`.
    """

    flat = False
    hop = 1
