import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax import attacks, catalog
from advjax.representations import (
    FRONT_ENDS,
    PRESETS,
    REPRESENTATIONS,
    definition,
    from_definition,
)

# The recurrence plot and the speakers' mel energies have tests of their own.
SPECTRAL = [name for name in PRESETS if name not in ("crp", "ge2e")]
EACH = pytest.mark.parametrize("name", SPECTRAL)


@EACH
def test_sizes_are_the_publications(name):
    bins = 1308 if "tonnetz" in name else 768
    assert PRESETS[name]().feature_shape == (1568, bins, 1)
    small = catalog.pick(f"{name}(scale=14)", FRONT_ENDS)
    assert small.feature_shape == (112, 94 if "tonnetz" in name else 55, 1)


@EACH
@pytest.mark.parametrize("rate_hz", [8000, 16_000, 22_050, 44_100])
def test_every_rate_and_length(name, rate_hz):
    rep = PRESETS[name](seconds=0.5, sample_rate_hz=rate_hz, scale=20)
    assert rep.num_samples == rate_hz // 2
    assert rep.sample_rate_hz == rate_hz
    assert rep.feature_shape[0] == 78
    assert from_definition(json.loads(json.dumps(definition(rep)))) == rep


def test_scale_leaves_at_least_a_pixel():
    assert PRESETS["stft"](scale=1e6).feature_shape == (1, 1, 1)
    with pytest.raises(ValueError, match="scale=0"):
        PRESETS["stft"](scale=0)


def test_chroma_takes_the_place_of_the_tonnetz():
    names = [
        [stage.name for stage in PRESETS["stft_tonnetz"](chroma=chroma).second.chain()]
        for chroma in (False, True)
    ]
    assert names == [
        ["waveform", "magnitude", "chroma", "tonnetz", "image"],
        ["waveform", "magnitude", "chroma", "image"],
    ]


def test_text_names_representations_and_presets():
    assert set(FRONT_ENDS) == set(REPRESENTATIONS) | set(PRESETS)


def short(name):
    return PRESETS[name](seconds=0.4, sample_rate_hz=8000, scale=28)


def wave():
    t = np.arange(3200) / 8000
    swelling = (0.1 + t) * np.sin(2 * np.pi * (300 * t + 1500 * t**2))
    noise = np.random.default_rng(0).normal(0, 0.03, 3200)
    return jnp.asarray(swelling + noise, jnp.float32)


@EACH
def test_gradient_at_the_waveform_is_the_slope_and_finite_at_silence(name):
    rep = short(name)
    weights = jnp.asarray(
        np.random.default_rng(1).normal(size=rep.feature_shape), jnp.float32
    )
    score = jax.jit(lambda x: jnp.vdot(weights, rep.apply(x)))
    slope = jax.jit(jax.grad(score))
    gradient = np.asarray(slope(wave()))
    # So little that weak bins stay on their logarithms, so much that float32 sees it.
    step = 3e-5 * gradient / np.linalg.norm(gradient)
    rise = float(score(wave() + step)) - float(score(wave() - step))
    assert rise == pytest.approx(6e-5 * np.linalg.norm(gradient), rel=0.03)
    for quiet in (0.0 * wave(), 1e-6 * wave(), wave().at[1600:].set(0.0)):
        assert np.isfinite(slope(quiet)).all()
    assert float(score(0.0 * wave())) == 0.0


# Both spectrograms, and the tonnetz with each.
@pytest.mark.parametrize("name", ["stft_tonnetz", "dwt_tonnetz"])
def test_an_attack_starts_at_the_waveform(name):
    rep = short(name)
    apply = jax.jit(rep.apply)
    features = apply(wave())
    planes = jax.random.normal(jax.random.key(0), (3, features.size))

    def logits_fn(x):
        return planes @ (apply(x) - features).ravel()

    # At the wave itself all logits are 0; PGD has to find what tells 1 from the rest.
    attack = attacks.pgd(num_steps=5, norm="linf", targeted=True, bounds=(-1.0, 1.0))
    result = attacks.run(
        attack, logits_fn, wave(), jnp.asarray(1), jax.random.key(0), budget=1e-3
    )
    assert bool(result.success)
    assert int(logits_fn(result.x_adv).argmax()) == 1
    # One unit of float32 at the greatest amplitude, 0.5 to 1, is 6e-8.
    assert float(jnp.abs(result.x_adv - wave()).max()) <= 1e-3 + 6e-8
