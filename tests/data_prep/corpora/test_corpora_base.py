import numpy as np
import pytest

from data_prep.corpora import CORPORA
from data_prep.corpora.base import (
    SPLITS,
    Corpus,
    Utterance,
    corpus_folder,
    split_by_order,
)


@pytest.mark.parametrize(
    ("number", "sizes"),
    [
        (2, (1, 0, 1)),
        (3, (1, 1, 1)),
        (5, (3, 1, 1)),
        (14, (10, 1, 3)),
        (25, (18, 2, 5)),
        (113, (81, 9, 23)),
    ],
)
def test_split_sizes(number, sizes):
    parts = split_by_order(range(number), name="someone")
    assert tuple(parts) == SPLITS
    assert tuple(len(part) for part in parts.values()) == sizes
    # In order and complete: nothing is lost and nothing is on two sides.
    assert sum(parts.values(), ()) == tuple(range(number))


@pytest.mark.parametrize("number", [0, 1])
def test_too_few_utterances_are_named(number):
    with pytest.raises(ValueError, match="speaker 7 .*add recordings"):
        split_by_order(range(number), name="speaker 7")


def test_a_corpus_loads_on_demand():
    loads = []

    def load():
        loads.append(1)
        return np.zeros(3, np.float32)

    utterances = (Utterance("x", 0, "x", load), Utterance("y", 0, "x", load))
    corpus = Corpus(name="c", labels=("x", "y"), splits={"train": utterances})
    assert len(corpus.utterances("train")) == 2 and not loads
    assert len(corpus.utterances("train")[0].load()) == 3 and len(loads) == 1
    assert len(corpus.utterances("test")) == 0
    with pytest.raises(ValueError, match="train, validation, test"):
        corpus.utterances("dev")


@pytest.mark.parametrize("labels", [("x",), ()])
def test_a_corpus_of_one_class_is_refused(labels):
    with pytest.raises(ValueError, match="c has a single class .*two classes or more"):
        Corpus(name="c", labels=labels, splits={})


def test_names_are_escaped():
    odd = Utterance("a\x1b[1m", 0, "b\n", np.ones(1).copy)
    also = odd._replace(id="bad\udcff", speaker="plain", label=1)
    corpus = Corpus(
        name="c",
        labels=("b\n", "plain"),
        splits={"train": (odd, also)},
        left_out={"c\t": "d\r"},
    )
    assert corpus.labels == (r"b\n", "plain")
    found = [(each.id, each.speaker) for each in corpus.utterances("train")]
    assert found == [(r"a\x1b[1m", r"b\n"), (r"bad\udcff", "plain")]
    assert corpus.left_out == {r"c\t": r"d\r"}


def test_the_folder_of_a_corpus(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert corpus_folder("~", corpus="X", layout="L") == tmp_path
    (tmp_path / "file").touch()
    with pytest.raises(FileNotFoundError, match="file .is not a folder.*L below it"):
        corpus_folder(tmp_path / "file", corpus="X", layout="L")
    assert corpus_folder(tmp_path, corpus="X", layout="L") == tmp_path
    with pytest.raises(FileNotFoundError, match="nowhere.*L below it"):
        corpus_folder(tmp_path / "nowhere", corpus="X", layout="L")
    with pytest.raises(ValueError, match="--corpus_dir"):
        corpus_folder("", corpus="X", layout="L")


def test_table_of_corpora():
    downloaded = [
        "librispeech", "free_spoken_digits", "esc50", "urbansound8k", "fsdkaggle2018",
        "speech_commands", "folder",
    ]  # fmt: skip
    assert list(CORPORA) == ["voices", *downloaded]
    for name in downloaded:
        with pytest.raises(ValueError, match="--corpus_dir"):
            CORPORA[name]()
