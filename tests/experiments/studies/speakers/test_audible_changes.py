import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from scipy.io import wavfile

from advjax.classifier import Classifier
from advjax.evaluation import Point
from advjax.metrics.audibility import audible_share
from advjax.representations import Magnitude, MelEnergies, Waveform
from advjax.signal.masking import masking_threshold
from advjax.signal.samples import from_int16, to_int16
from experiments.lab.grid import Job
from experiments.studies.speakers import audible_changes
from experiments.studies.speakers.audible_changes import (
    AudibleRadii,
    Imperceptible,
    attack_tables,
    radius_table,
)

LENGTH = 4096
ROOT = Waveform(num_samples=LENGTH)
SHORT = MelEnergies(source=Magnitude(source=ROOT))


class Correlates(nn.Module):
    """Class 1 where a mean over the input, weighted by a tone, is positive."""

    @nn.compact
    def __call__(self, x, *, train):
        del train
        x = x.reshape(x.shape[0], -1)
        tone = jnp.sin(jnp.arange(x.shape[1], dtype=jnp.float32) * 0.9)
        found = x @ tone / x.shape[1]
        return 100 * jnp.stack([0 * found, found], axis=1)


def system_of(representation, labels=("no", "yes")):
    classifier = Classifier({}, Correlates(), representation, labels)
    return types.SimpleNamespace(
        representation=representation,
        stage=ROOT,
        classifier=classifier,
        logits_fn=lambda: classifier.logits_fn("waveform"),
        task=types.SimpleNamespace(seed=0, engine="jax"),
    )


def clip(number, label):
    """A chord whose part at the tone of `Correlates` decides its class."""
    time = np.arange(LENGTH)
    sign = 1 if label else -1
    wave = 0.3 * np.sin(time / 9 + number) + 0.2 * np.sin(time / 4 + number)
    wave += sign * 0.02 * np.sin(0.9 * time)
    return from_int16(to_int16(wave.astype(np.float32)))


@pytest.fixture(scope="module")
def points():
    clips = [Point(i, f"clip{i}", clip(i, i % 2), i % 2) for i in range(4)]
    # One that is misclassified, which no attack counts.
    return [*clips, Point(4, "wrong", clip(4, 1), 0)]


@pytest.fixture(scope="module")
def compared(points, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    found = attack_tables(system_of(ROOT), points, out, num_steps=(40, 60))
    return out, *found


def number(cell):
    return float(cell.partition(" [")[0])


@pytest.mark.slow
def test_noise_has_the_norm_of_the_attack_and_is_heard(compared):
    _, summary, each = compared
    attack, noise, published = summary.rows
    assert (attack[0], noise[0]) == ("imperceptible attack", "uniform noise")
    assert published[2:4] == ["1.2", "0.03"]
    assert "4 of 5 clips" in summary.notes[0]
    assert number(attack[1]) == 1 and number(noise[1]) == 0
    assert attack[2] == noise[2] and attack[4] == noise[4]
    assert float(noise[5]) > float(attack[5])
    by_kind = [each.rows[0::2], each.rows[1::2]]
    for mine, theirs in zip(*by_kind, strict=True):
        assert mine[0] == theirs[0] and mine[4] == theirs[4]
        assert mine[3] != mine[2] and theirs[3] == theirs[2]


@pytest.mark.slow
def test_shares_norms_and_files_are_those_of_the_waves(compared, points):
    out, summary, each = compared
    assert (out / "imperceptible.png").stat().st_size > 20_000
    assert len(list((out / "imperceptible").glob("*.wav"))) == 3 * 4
    shares = []
    for place, row in enumerate(each.rows):
        point = points[place // 2]
        assert row[0] == point.id
        _, samples = wavfile.read(out / row[-1])
        _, clean = wavfile.read(out / f"imperceptible/{place // 2 + 1}_clean.wav")
        np.testing.assert_array_equal(from_int16(clean), point.x)
        delta = from_int16(samples) - point.x
        # Rounded to 16 bits: the norm differs a little.
        assert float(row[4]) == pytest.approx(np.linalg.norm(delta), rel=0.02)
        assert float(row[5]) == pytest.approx(np.abs(delta).max(), rel=0.02, abs=3e-5)
        if place % 2:
            threshold = masking_threshold(jnp.asarray(point.x), sample_rate_hz=16_000)
            share = float(audible_share(jnp.asarray(delta), threshold))
            assert float(row[7]) == pytest.approx(100 * share, abs=0.5)
            shares.append(100 * share)
    assert float(summary.rows[1][5]) == pytest.approx(np.median(shares), abs=0.5)


@pytest.mark.slow
def test_the_attack_is_the_same_again(compared, points, tmp_path):
    _, first, _ = compared
    again, _ = attack_tables(system_of(ROOT), points, tmp_path, num_steps=(40, 60))
    assert again == first


def test_a_network_that_is_wrong_on_all_clips_is_refused(points, tmp_path):
    wrong = [point._replace(label=1 - point.label) for point in points[:4]]
    with pytest.raises(ValueError, match="wrong on all 4 clips"):
        attack_tables(system_of(ROOT), wrong, tmp_path, num_steps=(1, 1))


def test_louder_perturbations_of_the_magnitude_are_heard_more(points):
    radii, shares = (1e-5, 0.5, 16.0), (0.01, 1.0)
    table, lines = radius_table(system_of(SHORT), points, radii=radii, shares=shares)
    assert [row[:2] for row in table.rows] == [
        [share, radius]
        for share in ("1 %", "100 %")
        for radius in ("1e-05", "0.5", "16")
    ]
    for start in (0, 3):
        audible = [float(row[4]) for row in table.rows[start : start + 3]]
        inaudible = [number(row[5]) for row in table.rows[start : start + 3]]
        assert audible == sorted(audible) and audible[0] == 0 < audible[2]
        assert inaudible[0] == 1 and inaudible[2] == 0
        # The resynthesis is linear: norms at the waveform grow like the radius.
        small, large = (float(row[2]) for row in table.rows[start + 1 : start + 3])
        assert large == pytest.approx(32 * small, rel=0.02)
    assert len(lines) == 4
    name = "audible share of frames and bins, on 100 % of the entries"
    assert [x for x, _ in lines[name]] == list(radii)
    assert [100 * y for _, y in lines[name]] == pytest.approx(
        [float(row[4]) for row in table.rows[3:]], abs=0.006
    )


def test_a_perturbation_at_the_magnitude_is_judged_by_what_it_sounds_like(points):
    (point,), radius = points[:1], 4.0
    table, _ = radius_table(system_of(SHORT), [point], radii=(radius,), shares=(1.0,))
    stage = SHORT.stage("magnitude")
    x = stage.apply(jnp.asarray(point.x))
    key = audible_changes.evaluation.example_key(jax.random.key(0), point.id)
    unit = audible_changes.unit_perturbations(key[None], x.shape, x.size)[0]
    wave = stage.inverse(x + radius * unit, reference=jnp.asarray(point.x))
    delta = wave - stage.inverse(x, reference=jnp.asarray(point.x))
    threshold = masking_threshold(jnp.asarray(point.x), sample_rate_hz=16_000)
    share = float(audible_share(delta, threshold))
    assert share > 0
    assert float(table.rows[0][4]) == pytest.approx(100 * share, abs=0.03)
    assert float(table.rows[0][2]) == pytest.approx(float(jnp.linalg.norm(delta)), 0.01)


@pytest.mark.parametrize(
    ("step", "figure"),
    [
        (Imperceptible(4, (20, 20)), "imperceptible.png"),
        (AudibleRadii(2), "audible_radii.png"),
    ],
)
def test_steps_have_headings_and_figures(step, figure, points, tmp_path, monkeypatch):
    rep = SHORT if isinstance(step, AudibleRadii) else ROOT
    system = system_of(rep)
    monkeypatch.setattr(
        audible_changes, "attacked_points", lambda system, count: points[:count]
    )
    monkeypatch.setattr(audible_changes, "RADII", (1.0,))
    task = types.SimpleNamespace(
        at_waveform=lambda: types.SimpleNamespace(resolve=lambda: system)
    )
    sections = step.run(Job(None, task, tmp_path, tmp_path / "out", {}))["sections"]
    assert f"({figure})" in sections[0][0]
    assert (tmp_path / "out" / figure).exists()
