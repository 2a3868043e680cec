"""The publication's entries agree with each other where it says how."""

import numpy as np
import pytest

from experiments.studies.sound_events import published, published_tables
from experiments.studies.sound_events.systems import KINDS

TITLES = {
    **{"noise": "white noise", "fgsm": "FGSM", "deepfool": "DeepFool"},
    **{"carlini_wagner": "C&W", "carlini_wagner_targeted": "C&W targeted"},
    "lbfgs_targeted": "L-BFGS targeted",
}


def test_every_network_and_attack_of_the_publication_has_an_entry():
    for table in (published.ACCURACY, published.TRANSFER):
        assert tuple(table) == published.NETWORKS
    assert set(published.EACH) == {
        (attack, network)
        for attack in ("deepfool", "carlini_wagner")
        for network in published.NETWORKS
    }


def test_shares_are_of_the_clips_that_it_attacks():
    # Percents are k of 246 clips, and pooled over two attacks of as many.
    for entry in published.EACH.values():
        count = entry.success * published.NUM_CLIPS / 100
        assert count == pytest.approx(round(count), abs=0.02)
    for row in published.TRANSFER.values():
        for share in row:
            if share is not None:
                count = share * 2 * published.NUM_CLIPS / 100
                assert count == pytest.approx(round(count), abs=0.03)


def test_matrices_of_pairs_lack_their_diagonal_alone():
    size = len(published.PAIR_CLASSES)
    for matrix in published.PAIRS.values():
        missing = np.array([[snr is None for snr in row] for row in matrix])
        np.testing.assert_array_equal(missing, np.eye(size, dtype=bool))
    assert published_tables.pairs("lbfgs_targeted")["Cello", "Oboe"] == 54.3
    assert published_tables.transfer_text("gcnn", "crnn") == "4.88"
    assert published_tables.transfer_text("gcnn", "gcnn") is None
    assert published_tables.transfer_text("constant_q", "gcnn") is None


def test_the_mean_that_disagrees_with_its_parts_is_named():
    assert "DeepFool 41.81 here and 50.01 there" in published_tables.MEANS
    assert "C&W 46.23 here and 51.07 there" in published_tables.MEANS


def test_all_five_tables_are_shown_for_another_corpus():
    networks = {name: kind.title for name, kind in KINDS.items()}
    titles = [str(each) for each in published_tables.sections_of(TITLES, networks)]
    for number in ("1", "2", "3", "4(a)", "4(b)", "5"):
        assert any(f"Its table {number}" in title for title in titles)
