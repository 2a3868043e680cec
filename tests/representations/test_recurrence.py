import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax import catalog
from advjax.representations import (
    FRONT_ENDS,
    CrossRecurrence,
    Waveform,
    definition,
    from_definition,
)
from advjax.representations.recurrence import mean_distances, peak_starts

mean_distances = jax.jit(mean_distances, static_argnames="size")
peak_starts = jax.jit(peak_starts, static_argnames=("num_peaks", "segment"))

SMALL = CrossRecurrence(
    source=Waveform(num_samples=500), num_peaks=3, segment=40, size=7
)
small_plot = jax.jit(SMALL.apply)


def noise(num, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, num).astype(np.float32)


def judged_starts(wave, num_peaks, segment):
    """The choice in so many words: the loudest first, those that overlap left out."""
    chosen = []
    for peak in np.argsort(-np.square(wave), kind="stable"):
        start = min(max(peak - segment // 2, 0), len(wave) - segment)
        if all(abs(start - other) >= segment for other in chosen):
            chosen.append(start)
    return sorted(chosen[:num_peaks])


def judged_distances(x, size):
    blocks = [
        [x[i] for i in range(len(x)) if i * size // len(x) == block]
        for block in range(size)
    ]
    means = np.zeros((size, size))
    for row, first in enumerate(blocks):
        for column, second in enumerate(blocks):
            means[row, column] = np.mean([[abs(p - q) for q in second] for p in first])
    return means


@pytest.mark.parametrize(("num", "size"), [(60, 6), (61, 7), (300, 4), (9, 9), (5, 1)])
def test_distances_are_those_of_a_double_loop(num, size):
    # Rounded, so that many are equal.
    x = noise(num).round(1 if num == 60 else 6)
    ours = np.asarray(mean_distances(jnp.asarray(x), size=size))
    judge = judged_distances(x.astype(np.float64), size)
    np.testing.assert_allclose(ours, judge, atol=1e-6)


def test_gradient_is_that_of_all_pairs():
    x = noise(600)
    weights = jnp.asarray(np.random.default_rng(1).normal(size=(8, 8)), jnp.float32)

    def pairs(x):
        distances = jnp.abs(x[:, None] - x[None, :])
        return jnp.vdot(weights, distances.reshape(8, 75, 8, 75).mean(axis=(1, 3)))

    def ours(x):
        return jnp.vdot(weights, mean_distances(x, size=8))

    ours, judge = (jax.jit(jax.grad(score))(x) for score in (ours, pairs))
    np.testing.assert_allclose(ours, judge, atol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_segments_lie_around_the_loudest_samples(seed):
    wave = noise(500, seed)
    ours = peak_starts(jnp.asarray(wave), num_peaks=3, segment=40)
    assert ours.tolist() == judged_starts(wave, 3, 40)


def test_segments_stay_in_the_clip_and_apart():
    wave = (
        jnp.zeros(500)
        .at[jnp.array([3, 45, 250, 262, 498])]
        .set(jnp.array([0.9, -0.8, 0.7, 0.6, 0.5]))
    )
    # 45 is 42 after 3, but the segment of 3 is the first 40: 45's would overlap it.
    starts = peak_starts(wave, num_peaks=3, segment=40)
    assert starts.tolist() == [0, 230, 460]


def test_what_has_no_room_is_zeros_after_all_others():
    # One segment, in the middle, leaves no room for another; 30 samples are not one.
    middle = jnp.zeros(100).at[50].set(1.0)
    assert peak_starts(middle, num_peaks=3, segment=40).tolist() == [30, 100, 100]
    few = jnp.full(30, 0.5)
    assert peak_starts(few, num_peaks=3, segment=40).tolist() == [0, 40, 40]
    plot = CrossRecurrence(
        source=Waveform(num_samples=30), num_peaks=3, segment=40, size=12
    ).apply(few)[..., 0]
    # A block is 10 samples, and the clip is the first three.
    sounds = np.arange(12) < 3
    np.testing.assert_array_equal(plot, sounds[:, None] != sounds[None, :])


def test_two_levels_are_a_pattern_of_blocks():
    rep = CrossRecurrence(
        source=Waveform(num_samples=120), num_peaks=3, segment=40, size=6
    )
    # Of samples as loud the first is taken, so that the segments fill the clip.
    wave = jnp.where(jnp.arange(120) < 80, 0.5, -0.5)
    starts = peak_starts(wave, num_peaks=3, segment=40)
    assert starts.tolist() == [0, 40, 80]
    other = np.arange(6) >= 4
    plot = rep.apply(wave)[..., 0]
    np.testing.assert_allclose(plot, other[:, None] != other[None, :], atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_a_constant_is_black_with_a_finite_gradient(value):
    @jax.jit
    def with_gradient(wave, weights):
        features, pull = jax.vjp(SMALL.apply, wave)
        return features, pull(weights)[0]

    weights = jnp.asarray(noise(49).reshape(7, 7, 1))
    features, gradient = with_gradient(jnp.full(500, value), weights)
    assert not features.any()
    assert np.isfinite(gradient).all()


def test_the_plot_is_symmetric_from_nothing_to_one_at_every_level():
    wave = jnp.asarray(noise(500))
    plot = np.asarray(small_plot(wave))[..., 0]
    np.testing.assert_array_equal(plot, plot.T)
    assert plot.min() > 0 and plot.max() == 1.0
    for level in (-1.0, 8.0, 1e-4):
        again = small_plot(level * wave)[..., 0]
        np.testing.assert_allclose(again, plot, atol=1e-5)


def test_exchanged_blocks_exchange_rows_and_columns():
    blocks = noise(40).reshape(8, 5)
    order = np.random.default_rng(1).permutation(8)
    plot, again = (
        np.asarray(mean_distances(jnp.asarray(x.ravel()), size=8))
        for x in (blocks, blocks[order])
    )
    np.testing.assert_allclose(again, plot[order][:, order], atol=1e-7)


def test_jit_and_vmap_equal_eager():
    waves = jnp.asarray(noise(1500).reshape(3, 500))
    eager = np.stack([SMALL.apply(wave) for wave in waves])
    np.testing.assert_allclose(jax.jit(jax.vmap(SMALL.apply))(waves), eager, atol=1e-6)


def test_gradient_at_the_waveform_is_the_slope():
    wave = jnp.asarray(noise(500))
    weights = jnp.asarray(noise(49, 1).reshape(7, 7, 1))
    score = jax.jit(lambda x: jnp.vdot(weights, SMALL.apply(x)))
    gradient = np.asarray(jax.jit(jax.grad(score))(wave))
    # Where no segment lies nothing changes.
    assert 0 < np.count_nonzero(gradient) <= 120
    # So little that no two samples change places, as far as float32 sees it.
    step = 3e-5 * gradient / np.linalg.norm(gradient)
    rise = float(score(wave + step)) - float(score(wave - step))
    assert rise == pytest.approx(6e-5 * np.linalg.norm(gradient), rel=0.03)


@pytest.mark.parametrize(
    ("rate_hz", "segment"), [(8000, 1088), (22_050, 3000), (44_100, 6000)]
)
def test_the_preset_is_that_of_the_thesis_at_every_rate(rate_hz, segment):
    rep = FRONT_ENDS["crp"](sample_rate_hz=rate_hz)
    assert (rep.num_peaks, rep.segment) == (5, segment)
    assert rep.num_samples == 5 * rate_hz
    assert rep.feature_shape == (256, 256, 1)
    assert from_definition(json.loads(json.dumps(definition(rep)))) == rep


def test_the_preset_divides_by_its_scale():
    small = catalog.pick("crp(seconds=0.5, scale=4)", FRONT_ENDS)
    assert small.feature_shape == (64, 64, 1)
    assert (small.num_samples, small.segment) == (11_025, 3000)
    with pytest.raises(ValueError, match="scale=0"):
        FRONT_ENDS["crp"](scale=0)


@pytest.mark.parametrize("size", [0, 121])
def test_more_pixels_than_samples_are_refused(size):
    with pytest.raises(ValueError, match=r"size=\d+.* 1 (to num_peaks|or more)"):
        CrossRecurrence(num_peaks=3, segment=40, size=size)
