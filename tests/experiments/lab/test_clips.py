import types

import jax.numpy as jnp
import numpy as np
import pytest

from advjax.representations import LogMelChunks
from advjax.signal.samples import from_int16
from data_prep.corpora.base import Corpus, Utterance
from experiments.lab import clips

LENGTHS = {"train": (70_000, 20_000), "validation": (9,), "test": (65_536, 65_537)}


@pytest.fixture
def corpus(monkeypatch):
    """Recordings of several lengths; `loads` counts how often one is decoded."""
    found = types.SimpleNamespace(loads=0)

    def load(length):
        found.loads += 1
        return from_int16(np.full(length, length % 1000, np.int16))

    splits = {
        split: tuple(
            Utterance(f"{split}{n}", n % 2, "", lambda length=length: load(length))
            for n, length in enumerate(lengths)
        )
        for split, lengths in LENGTHS.items()
    }
    listed = Corpus(name="noises", labels=("a", "b"), splits=splits, whole=True)
    monkeypatch.setattr(clips, "pick_corpus", lambda *_: (listed, {"fold": 1}))
    return found


def test_a_corpus_is_decoded_once_with_every_clip_as_long_as_it_is(
    corpus, tmp_path, capsys
):
    first = clips.load("noises(fold=1)", "", tmp_path, 32_000)
    assert corpus.loads == 5
    again = clips.load("noises(fold=1)", "", tmp_path, 32_000)
    assert corpus.loads == 5 and "(found)" in capsys.readouterr().err
    for found in (first, again):
        lengths = {s: tuple(len(c.audio) for c in found.splits[s]) for s in LENGTHS}
        assert lengths == LENGTHS
        assert (found.splits["train"][0].audio == 0).all()
        assert (found.splits["test"][1].audio == 537).all()
    (file,) = (tmp_path / "clips").glob("*.npz")
    # Homes of earlier versions have it under this name.
    assert file.name == "noises-af41cdfc.npz"


def test_training_examples_have_one_shape_and_the_labels_of_their_clips(
    corpus, tmp_path
):
    found = clips.load("noises(fold=1)", "", tmp_path, 32_000)
    waves = found.dataset("train", LogMelChunks().source, trim=False)
    assert waves.x.shape == (3, 65_536) and waves.y.tolist() == [0, 0, 1]
    # With silence and padding they are the chunks that predictions are made on.
    front_end = LogMelChunks()
    whole = [clips.padded_wave(clip.audio) for clip in found.splits["train"]]
    parts = [part for wave in whole for part in np.split(wave, len(wave) // 65_536)]
    np.testing.assert_array_equal(from_int16(waves.x), parts)
    wanted = [np.asarray(front_end.step(jnp.asarray(wave))) for wave in whole]
    chunks = found.dataset("train", front_end, trim=False).x
    np.testing.assert_allclose(chunks[:, 0], np.concatenate(wanted), atol=1e-3)
    levels = found.dataset("train", LogMelChunks(), trim=False)
    assert levels.x.shape[1:] == (1, 128, 64, 1)
    assert levels.verified.all()


def test_clips_are_batched_by_their_chunks(corpus, tmp_path):
    found = clips.load("noises(fold=1)", "", tmp_path, 32_000)
    every = sum(found.splits.values(), [])
    groups = clips.by_length((clip, clip.id) for clip in every)
    assert groups == {
        65_536: ["train1", "validation0", "test0"],
        131_072: ["train0", "test1"],
    }
    assert list(groups) == sorted(groups)
    padded = 3 * 65_536 + 2 * 131_072
    filled = sum(map(sum, LENGTHS.values()))
    assert clips.padding_waste(every) == pytest.approx(1 - filled / padded)
    for clip in every:
        assert len(clips.padded_wave(clip.audio)) == clips.padded_length(clip)


def test_where_compiling_is_slow_lengths_share_a_few_programs(monkeypatch):
    chunks = (3, 1, 15, 2, 4, 9, 3)
    every = [
        (clips.Clip(str(n), np.zeros(n * 65_536 - 9, np.int16), 0, True), n)
        for n in chunks
    ]
    alone = [(None, [n] * chunks.count(n)) for n in sorted(set(chunks))]
    assert clips.in_buckets(every) == alone
    padded = clips.in_buckets(every, padded=True)
    monkeypatch.setattr(clips, "compiling_is_slow", lambda: True)
    assert clips.in_buckets(every) == padded
    found = [(length // 65_536, items) for length, items in padded]
    assert found == [(1, [1]), (2, [2]), (4, [3, 3, 4]), (16, [9, 15])]
    assert clips.in_buckets(every, padded=False) == alone


@pytest.mark.parametrize(
    ("frames", "starts"),
    [(100, [0]), (128, [0]), (150, [11]), (160, [32, 0]), (300, [172, 0, 128])],
)
def test_training_chunks_follow_the_rule_of_the_remainder(frames, starts):
    levels = np.arange(frames, dtype=np.float32)[:, None] * np.ones(4, np.float32)
    found = list(clips.training_chunks(levels))
    assert [int(part[0, 0]) for part in found] == starts
    assert all(part.shape == (128, 4) for part in found)
    if frames < 128:
        assert (found[0][frames:] == levels.min()).all()


@pytest.mark.parametrize(("size", "starts"), [(3, [0]), (4, [0]), (10, [0, 4, 6])])
def test_training_waves_cover_a_clip(size, starts):
    found = list(clips.training_waves(np.arange(size, dtype=np.int16), 4))
    assert [int(part[0]) for part in found] == starts
    assert all(part.shape == (4,) for part in found)
