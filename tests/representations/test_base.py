import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest

from advjax.representations import (
    Magnitude,
    MelEnergies,
    MelMagnitudes,
    Waveform,
    definition,
    from_definition,
    probe,
)
from advjax.runtime import targets


def test_the_shape_is_traced_once(monkeypatch):
    traced, step = [], Waveform.step
    monkeypatch.setattr(Waveform, "step", lambda *a: traced.append(1) or step(*a))
    for _ in range(2):
        # A length that no other test has.
        waveform = Waveform(num_samples=1607)
        assert waveform.feature_shape == (1607,)
        assert Magnitude(source=waveform).feature_shape[1] == 257
    assert len(traced) == 2


def test_definition_spells_every_default():
    spelled = definition(MelEnergies())
    assert spelled["source"]["window"] == "rectangular"
    assert spelled["source"]["source"] == {
        "name": "waveform",
        "source": None,
        "sample_rate_hz": 16_000,
        "num_samples": 25_800,
    }


def test_definition_of_other_settings_differs():
    other = MelEnergies(source=Magnitude(window="hann"))
    assert from_definition(json.loads(json.dumps(definition(other)))) == other
    assert other != MelEnergies()


def test_from_definition_refuses_other_versions():
    spelled = definition(MelEnergies()) | {"colour": 3}
    with pytest.raises(ValueError, match="another version.*colour"):
        from_definition(spelled)
    with pytest.raises(ValueError, match="unknown representation"):
        from_definition({"name": "mfcc"})


def test_probe_sees_other_code():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Changed(MelEnergies.__base__):
        name = "mfbe"
        source: object = Magnitude()

        def step(self, x):
            return MelEnergies().step(1.001 * x + 0.01)

    assert np.abs(probe(Changed()) - probe(MelEnergies())).max() > 1e-3


def test_stage_names_the_chain():
    with pytest.raises(ValueError, match="waveform, magnitude, mfbe"):
        MelEnergies().stage("logmel")
    assert [r.name for r in MelEnergies().after("waveform")] == ["magnitude", "mfbe"]
    assert MelEnergies().after("mfbe") == ()


def test_a_shorter_clip_gives_fewer_frames():
    short = MelEnergies(source=Magnitude(source=Waveform(num_samples=8000)))
    assert short.feature_shape == (49, 64, 1)


@pytest.mark.parametrize("on_cpu", [True, False])
def test_many_waves_give_the_features_of_each(on_cpu, monkeypatch):
    monkeypatch.setattr(targets, "on_cpu", lambda: on_cpu)
    representation = MelMagnitudes()
    shape = (9, representation.num_samples)
    waves = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    found = representation.apply_each(waves)
    # Nine waves are a part of eight and the rest.
    for wave, features in zip(waves, found, strict=True):
        expected = representation.apply(jnp.asarray(wave))
        np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-4)
