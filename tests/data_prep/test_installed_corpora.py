"""Corpora of other packages: found by name, imported when they are used."""

import sys

import pytest
from absl import flags

from data_prep import installed_corpora
from data_prep.build import pick_corpus
from data_prep.choices import define_choice, names_of, options_of

MODULE = '''
"""Corpora of a user's package."""
import numpy as np
from data_prep.corpora.base import Corpus, Utterance

def tones(corpus_dir: str = "", *, count: int = 2) -> Corpus:
    """Tones of a few pitches.

    Args:
        count: of the pitches.
    """
    wave = lambda: np.zeros(16_000, np.float32)
    each = tuple(Utterance(str(i), i, "s", wave) for i in range(count))
    return Corpus(name="tones", labels=("a", "b"), splits={"test": each})

def wrong() -> str:
    """Something else."""
    return "a corpus"

def failing():
    """Fail."""
    return {}["key"]

constant = 3
'''
ENTRIES = """[advjax.corpora]
tones = users_corpora:tones
wrong = users_corpora:wrong
failing = users_corpora:failing
constant = users_corpora:constant
missing = users_corpora:missing
broken = users_broken_corpora:corpus
voices = users_corpora:tones
not-a-name = users_corpora:tones
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package with corpora of every kind."""
    (tmp_path / "users_corpora.py").write_text(MODULE)
    (tmp_path / "users_broken_corpora.py").write_text("import no_such_package\n")
    described = tmp_path / "users_package-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: users-package\nVersion: 1.0\n"
    )
    (described / "entry_points.txt").write_text(ENTRIES)
    monkeypatch.syspath_prepend(tmp_path)
    installed_corpora.entry_points.cache_clear()
    yield
    installed_corpora.entry_points.cache_clear()
    for name in ("users_corpora", "users_broken_corpora"):
        sys.modules.pop(name, None)


def test_names_are_known_without_an_import(package):
    assert {"tones", "broken"} <= set(names_of("corpus"))
    assert "not-a-name" not in names_of("corpus")
    assert names_of("corpus").count("voices") == 1
    values = flags.FlagValues()
    define_choice("corpus", "corpus", "voices", "One of {}.", flag_values=values)
    values(["program", "--corpus=tones(count=1)"])
    assert "tones" in values["corpus"].help
    assert "users_corpora" not in sys.modules


def test_an_installed_corpus_is_picked_with_its_options(package, tmp_path):
    corpus, options = pick_corpus("tones(count=1)", str(tmp_path))
    assert len(corpus.utterances("test")) == 1
    assert options == {"corpus_dir": str(tmp_path), "count": 1}
    with pytest.raises(ValueError, match="count must be a whole number"):
        pick_corpus("tones(count='1')")
    assert "count: a whole number; its default is 2" in options_of("tones")
    assert "corpus_dir" in options_of("tones")


def test_a_name_of_this_package_stays_its_own(package):
    assert pick_corpus("voices(num_speakers=3)")[0].name == "voices"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("broken", "of the package users-package. cannot be imported: ModuleNotFound"),
        ("missing", "users_corpora:missing .*cannot be imported: AttributeError"),
        ("constant", "is no function, but int"),
        ("wrong", "gave str and no data_prep.corpora.base.Corpus"),
        ("failing", "failed: KeyError: 'key'"),
    ],
)
def test_a_broken_one_ends_in_one_line(package, name, message):
    with pytest.raises(ValueError, match=f"{name} .*{message}") as refused:
        pick_corpus(name)
    assert "\n" not in str(refused.value)
