import dataclasses
import json

import numpy as np
import pytest

from advjax.representations import (
    Magnitude,
    MelEnergies,
    Waveform,
    definition,
    from_definition,
    probe,
)


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
