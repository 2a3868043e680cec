"""Corpora of other installed packages, found by entry points.

A package names builders in its pyproject.toml, and `--corpus` then takes these names:

    [project.entry-points."advjax.corpora"]
    my_corpus = "my_package.corpora:my_corpus"

A builder returns a `Corpus`. Its options are its keyword parameters; `corpus_dir` and
`sample_rate_hz` are given from the flags if it has them.
"""

import functools
import importlib.metadata
from collections.abc import Callable
from typing import Any

from advjax.runtime.text import printable

GROUP = "advjax.corpora"


@functools.cache
def entry_points() -> dict[str, importlib.metadata.EntryPoint]:
    """Entry points of the group by name; no package is imported."""
    found = importlib.metadata.entry_points(group=GROUP)
    return {each.name: each for each in found if each.name.isidentifier()}


def corpora(name: str) -> dict[str, Callable[..., Any]]:
    """The builder of that name as a table; empty if no package has one.

    Raises:
        ValueError: the package cannot be imported.
    """
    point = entry_points().get(name)
    if point is None:
        return {}
    origin = point.value
    if point.dist is not None:
        origin = f"{point.value} of the package {point.dist.name}"
    try:
        build = point.load()
    except Exception as error:  # noqa: BLE001  a stranger's code raises anything
        raise ValueError(
            f"the corpus {name} ({printable(origin)}) cannot be imported: "
            f"{_words(error)}"
        ) from error
    if not callable(build):
        raise ValueError(
            f"the corpus {name} ({printable(origin)}) is no function, but "
            f"{type(build).__name__}"
        )

    @functools.wraps(build)
    def checked(*args: Any, **options: Any) -> Any:
        # Not above: help lists names, and would import the readers of audio.
        from data_prep.corpora.base import Corpus

        try:
            corpus = build(*args, **options)
        except (ValueError, OSError):
            raise
        except Exception as error:  # noqa: BLE001
            raise ValueError(
                f"the corpus {name} ({printable(origin)}) failed: {_words(error)}"
            ) from error
        if not isinstance(corpus, Corpus):
            raise ValueError(
                f"the corpus {name} ({printable(origin)}) gave "
                f"{type(corpus).__name__} and no data_prep.corpora.base.Corpus"
            )
        return corpus

    return {name: checked}


def _words(error: Exception) -> str:
    return printable(f"{type(error).__name__}: {error}".split("\n")[0])
