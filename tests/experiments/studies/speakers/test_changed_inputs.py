import math
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from advjax.classifier import Classifier
from advjax.evaluation import Point
from advjax.representations import LogMel, Magnitude, MelEnergies, Waveform
from advjax.runs.row_types import CERTIFICATES, CertificateRow, Run
from experiments.studies.speakers.changed_inputs import (
    FRONT_ENDS,
    alternate,
    certified_below,
    features_at,
    front_end_table,
    perturbation_table,
    unit_perturbations,
)

SHORT = MelEnergies(source=Magnitude(source=Waveform(num_samples=1600)))


class FirstEntry(nn.Module):
    """Class 1 where the first entry of the input is positive."""

    @nn.compact
    def __call__(self, x, *, train):
        del train
        first = x.reshape(x.shape[0], -1)[:, 0]
        return jnp.stack([0 * first, first], axis=1)


def system(representation):
    classifier = Classifier({}, FirstEntry(), representation, ("no", "yes"))
    return types.SimpleNamespace(
        representation=representation,
        classifier=classifier,
        task=types.SimpleNamespace(seed=0),
    )


def points(count, num_samples, label=1):
    x = np.random.default_rng(0).normal(0, 0.1, (count, num_samples))
    return [
        Point(i, f"clip{i}", each, label) for i, each in enumerate(x.astype(np.float32))
    ]


def rate(cell):
    """The number before an interval."""
    return float(cell.partition(" [")[0])


def test_a_perturbation_has_norm_1_on_its_coordinates():
    keys = jax.random.split(jax.random.key(0), 5)
    some = np.asarray(unit_perturbations(keys, (8, 25), 20))
    assert some.shape == (5, 8, 25)
    np.testing.assert_allclose(np.linalg.norm(some, axis=(1, 2)), 1.0, rtol=1e-6)
    np.testing.assert_array_equal((some != 0).sum(axis=(1, 2)), 20)
    assert ((some[0] != 0) != (some[1] != 0)).any()
    # Uniform, not normal: the fourth moment is 9/5 of the second one's square, not 3.
    every = np.asarray(unit_perturbations(keys, (8, 25), 200))
    assert np.mean(every**4) / np.mean(every**2) ** 2 == pytest.approx(1.8, abs=0.15)


def test_accuracies_that_geometry_foretells():
    # 25 entries, all 0 but the first one, which is 1 from the plane where it is 0.
    x = np.zeros(25, np.float32)
    x[0] = 1.0
    clips = [Point(i, f"clip{i}", x, 1) for i in range(1000)]
    root = Waveform(num_samples=25)
    table = perturbation_table(
        system(root), clips, "waveform", norms=(0.99, 5.0), shares=(0.04, 1.0)
    )
    clean, inside, outside = table.rows
    assert clean == ["0", "inf", *["1.000 [1.00, 1.00]"] * 2]
    assert inside == ["0.99", "0.1", *["1.000 [1.00, 1.00]"] * 2]
    assert outside[:2] == ["5", "-14.0"]
    # One entry in 25: wrong if it is the first one (1/25) and goes down (1/2).
    assert rate(outside[2]) == pytest.approx(1 - 1 / 50, abs=0.015)
    # All entries: each moves uniformly up to about sqrt(3) * 5 / sqrt(25).
    assert rate(outside[3]) == pytest.approx(0.5 + 0.5 / math.sqrt(3), abs=0.04)
    assert table.header[2:] == ["on 4 %", "on 100 %"]


def test_norms_go_up_to_that_of_the_input():
    clips = points(3, 1600)  # of norm 4
    table = perturbation_table(system(SHORT), clips, "waveform")
    assert [row[0] for row in table.rows] == ["0", "0.5", "1", "2", "4"]
    mel = perturbation_table(system(SHORT), clips, "mfbe")  # of norm sqrt(9 * 64) = 24
    assert [row[0] for row in mel.rows][-1] == "32"
    assert "576 coordinates" in mel.notes[0]
    assert "mean norm there is 24.0" in mel.notes[0]


@pytest.mark.parametrize("share", [0.0, 1.5, -1.0])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ValueError, match="shares of coordinates"):
        perturbation_table(system(SHORT), points(1, 1600), "mfbe", shares=(share,))


def test_points_of_another_stage_are_refused():
    with pytest.raises(ValueError, match="is no waveform of 1600 samples"):
        perturbation_table(system(SHORT), points(1, 1500), "mfbe")
    with pytest.raises(ValueError, match="at least one point"):
        features_at(SHORT, [])


def certified(label, radii, cap):
    rows = [
        CertificateRow(i, 1, 1, r, True, 0.5, f"{i}", 0.9, 95, 100, 20.0)
        for i, r in radii
    ]
    return Run(label, CERTIFICATES.rows(rows), cap)


def test_other_front_ends_by_hand():
    clips = points(4, 1600) + points(2, 1600, label=0)
    front_ends = ({"frame_length": 416}, {"window": "hann", "num_fft": 1024})
    run = certified("σ = 0.5", [(0, 1.2), (1, 1.2 * (1 - 1e-15)), (2, 0.4)], 1.2)
    table = front_end_table(system(SHORT), clips, front_ends=front_ends)
    table = certified_below(table, [run])
    own, longer, windowed, published, below = table.rows
    first = [np.asarray(SHORT.apply(jnp.asarray(clip.x))).ravel() for clip in clips]
    answers = np.asarray([x[0] > 0 for x in first])
    labels = np.asarray([clip.label for clip in clips])
    assert rate(own[4]) == pytest.approx((answers == labels).mean(), abs=1e-3)
    for row, options in zip((longer, windowed), front_ends, strict=True):
        other = MelEnergies(
            source=Magnitude(source=Waveform(num_samples=1600), **options)
        )
        x = [np.asarray(other.apply(jnp.asarray(clip.x))).ravel() for clip in clips]
        distance = np.linalg.norm(np.subtract(x, first), axis=1)
        assert float(row[1]) == pytest.approx(distance.mean(), abs=0.006)
        assert float(row[2]) == pytest.approx(distance.max(), abs=0.006)
        # PhiInv of 0.001 ** (1 / 10,000): the largest radius of that many votes.
        assert float(row[3]) == pytest.approx(distance.mean() / 3.19858, abs=0.006)
        here = np.asarray([each[0] > 0 for each in x])
        assert rate(row[4]) == pytest.approx((here == labels).mean(), abs=1e-3)
        assert rate(row[5]) == pytest.approx((here == answers).mean(), abs=1e-3)
    assert [longer[0], windowed[0]] == ["frame_length=416", "window=hann, num_fft=1024"]
    assert published[1] == "12"
    assert below == ["certified, σ = 0.5", "", "1.20", "", "0.667 [0.09, 0.99]", ""]


def test_the_front_ends_of_the_study_fit_the_network():
    for options in FRONT_ENDS:
        assert alternate(MelEnergies(), **options).feature_shape == (160, 64, 1)
        assert alternate(LogMel(), **options).feature_shape == (160, 64, 1)


@pytest.mark.parametrize(
    ("representation", "options", "message"),
    [
        (Magnitude(), {"window": "hann"}, "not made from magnitude"),
        (Waveform(), {"window": "hann"}, "not made from magnitude"),
        (MelEnergies(), {"windw": "hann"}, "no front end with windw='hann'"),
        (MelEnergies(), {"hop": 80}, r"gives \(319, 64, 1\).*takes \(160, 64, 1\)"),
    ],
)
def test_front_ends_that_cannot_be_are_refused(representation, options, message):
    with pytest.raises(ValueError, match=message):
        alternate(representation, **options)


def test_distances_on_real_speech(advjax_data):
    """A Hann window moves them by about 35, the mildest by 12."""
    from data_prep.clips import decode

    files = sorted((advjax_data / "LibriSpeech").rglob("*.flac"))[::100][:6]
    clips = [
        Point(i, str(i), decode(path)[8000 : 8000 + 25_800], 0)
        for i, path in enumerate(files)
    ]
    own = features_at(MelEnergies(), clips)
    for options, low, high in [
        ({"window": "hann"}, 28, 45),
        (FRONT_ENDS[0], 8, 16),
        (FRONT_ENDS[1], 8, 16),
    ]:
        x = features_at(alternate(MelEnergies(), **options), clips)
        distance = np.linalg.norm((x - own).reshape(len(x), -1), axis=1)
        assert low < distance.mean() < high
