"""Flags that choose a name from a table, and help on its options.

Names are read from the source of a table, because importing the table imports JAX.
"""

import ast
import functools
import importlib
import inspect
import pathlib
import re
import textwrap
from collections.abc import Callable
from typing import Any

from absl import flags

from advjax import catalog
from advjax.runtime.text import did_you_mean
from data_prep import installed_corpora

flags.disclaim_key_flags()

TABLES = (
    ("representation", "advjax.representations", "REPRESENTATIONS"),
    ("preset", "advjax.representations", "PRESETS"),
    ("network", "advjax.models", "MODELS"),
    ("published network", "advjax.pretrained", "NETWORKS"),
    ("corpus", "data_prep.corpora", "CORPORA"),
    ("noise distribution", "advjax.smoothing", "NOISES"),
    ("training", "advjax.defences", "DEFENCES"),
    ("attack", "advjax.attacks", "ATTACKS"),
    ("transform", "advjax.transforms", "TRANSFORMS"),
)
"""(kind of choice, module, table)."""


def names_of(kind: str) -> list[str]:
    """Names of a kind of choice, or of several: "representation or preset"."""
    kinds = kind.split(" or ")
    names = [
        name
        for each, module, table in TABLES
        if each in kinds
        for name in names_in(module, table)
    ]
    others = installed_corpora.entry_points() if "corpus" in kinds else ()
    return [*names, *(name for name in others if name not in names)]


@functools.cache
def names_in(module: str, table: str) -> list[str]:
    """Names in a table, in order, read from the source.

    Args:
        module: defines the table as a dictionary with literal keys, or imports it from
            the module that does.
        table: name of the dictionary.

    Raises:
        LookupError: the module has no such dictionary.
    """
    for node in syntax_tree(module).body:
        match node:
            case ast.ImportFrom(module=str(origin), names=aliases):
                if table in [alias.name for alias in aliases]:
                    return names_in(origin, table)
            case (
                ast.AnnAssign(target=ast.Name(id=name), value=ast.Dict(keys=keys))
                | ast.Assign(targets=[ast.Name(id=name)], value=ast.Dict(keys=keys))
            ) if name == table:
                return [ast.literal_eval(key) for key in keys if key is not None]
    raise LookupError(f"{module} has no dictionary {table}")


def syntax_tree(module: str) -> ast.Module:
    """Syntax tree of a module, or of a package's `__main__` or `__init__`."""
    path = pathlib.Path(__file__).parents[1].joinpath(*module.split("."))
    files = (path.with_suffix(".py"), path / "__main__.py", path / "__init__.py")
    (file, *_) = filter(pathlib.Path.is_file, files)
    return ast.parse(file.read_text(encoding="utf-8"))


class ChoiceParser(flags.ArgumentParser):
    """Parser of a name, with or without options: `pgd`, `pgd(num_steps=3)`."""

    def __init__(self, kind: str) -> None:
        """Accept names of `kind`, as in `TABLES`."""
        self.kind = kind
        self.syntactic_help = f"{_article(kind)} {kind}"

    def parse(self, argument: str) -> str:
        """The argument unchanged; its options are checked when they are used.

        Raises:
            ValueError: the name is in no table of the kind.
        """
        names = names_of(self.kind)
        named = re.match(r"\s*(\w+)\s*(\(|$)", argument)
        if named and named[1] not in names:
            raise ValueError(
                f"there is no {self.kind} {named[1]!r}."
                f"{did_you_mean(named[1], names)} There are: {', '.join(names)}"
            )
        return argument

    def flag_type(self) -> str:
        """Type of the flag in help."""
        return "name"


def define_choice(
    name: str, kind: str, default: str | None, text: str, **more: Any
) -> flags.FlagHolder[str | None]:
    """Define a flag for one name, with options if any.

    Args:
        name: of the flag.
        kind: of the choice, as in `TABLES`.
        default: of the flag.
        text: of the help, where {} stands for all names of the kind.
        more: arguments of `absl.flags.DEFINE`.
    """
    text = text.format(", ".join(names_of(kind)))
    as_it_is = flags.ArgumentSerializer()
    return flags.DEFINE(
        ChoiceParser(kind), name, default, text, serializer=as_it_is, **more
    )


def define_choices(
    name: str, kind: str, default: list[str] | None, text: str, **more: Any
) -> flags.FlagHolder[list[str] | None]:
    """Define a flag like `define_choice` that may be given several times."""
    text = text.format(", ".join(names_of(kind)))
    as_it_is = flags.ArgumentSerializer()
    return flags.DEFINE_multi(ChoiceParser(kind), as_it_is, name, default, text, **more)


def options_of(name: str) -> str:
    """Help on a name: its meaning and its options, in each table that has it.

    Raises:
        ValueError: no table has the name.
    """
    pages = [
        f"{name}: {_article(kind)} {kind}\n\n"
        + _page(name, getattr(importlib.import_module(module), table))
        for kind, module, table in TABLES
        if name in names_in(module, table)
    ]
    if not pages and name in installed_corpora.entry_points():
        page = _page(name, installed_corpora.corpora(name))
        pages = [f"{name}: a corpus of an installed package\n\n{page}"]
    if not pages:
        known = [each for _, *table in TABLES for each in names_in(*table)]
        raise ValueError(
            f"there is no choice {name!r}.{did_you_mean(name, known)} Representations, "
            "networks, corpora, noise distributions, trainings, attacks and transforms "
            "have options"
        )
    return "\n\n".join(pages)


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeiou" else "a"


def _page(name: str, members: dict[str, Callable[..., Any]]) -> str:
    text = inspect.getdoc(members[name]) or ""
    summary = text.partition("\n\n")[0]
    described = _described(text)
    lines = []
    for option, parameter in catalog.parameters(name, members).items():
        if catalog.can_be_said(parameter):
            default = "; no default" if parameter.default is parameter.empty else ""
            lines.append(f"  {option}: {catalog.expected(parameter)}{default}")
            lines += textwrap.wrap(
                described.get(option, ""),
                76,
                initial_indent=" " * 6,
                subsequent_indent=" " * 6,
            )
    return "\n".join([summary, "", *(lines or ["  It has no options."])])


def _described(text: str) -> dict[str, str]:
    """Descriptions in a docstring's `Args:` and `Attributes:`, by name."""
    found: dict[str, str] = {}
    for section in re.findall(
        r"^(?:Args|Attributes):\n((?:[ ]+.*\n?|\n)+)", text, re.MULTILINE
    ):
        for part in re.split(r"\n(?=    \S)", section.rstrip()):
            option, _, words = part.strip().partition(": ")
            found[option] = " ".join(words.split())
    return found
