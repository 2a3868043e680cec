"""Programs of the project: their list, their help, and the command `advjax`."""

import ast
import functools
import importlib
import os
import pathlib
import sys
from collections.abc import Iterable, Iterator

from absl.flags import FlagHolder

from advjax.runtime import interrupts, streams
from advjax.runtime.text import did_you_mean
from data_prep import help, program_flags
from data_prep.choices import syntax_tree
from experiments import flags

ROOT = pathlib.Path(__file__).parents[1]
FIRST = ("certify", "attack", "train")
"""Programs that a list begins with; launch.sh has the same."""
_USAGE = """\
usage: advjax NAME [--FLAG=VALUE ...]

{programs}

advjax NAME --help     flags of a program
advjax --help=pgd      options of a name, such as pgd, rescnn or voices
advjax --version

  advjax certify --rep=mfbe --sigma=0.25"""


@functools.cache
def programs() -> dict[str, str]:
    """Every program's name and module, daily ones first, then data, then research."""
    patterns = ("experiments/*.py", "data_prep/*.py", "experiments/*/*.py")
    files = [
        file
        for pattern in (*patterns, "experiments/*/*/__main__.py")
        for file in sorted(ROOT.glob(pattern))
        if '\nif __name__ == "__main__":' in file.read_text("utf-8")
    ]
    modules = [
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
        for file in files
    ]
    found = {module.removeprefix("experiments."): module for module in modules}
    return {name: found[name] for name in FIRST} | found


def group_of(name: str) -> str:
    """The group of a program in lists: daily, data or research."""
    if name.startswith("data_prep."):
        return "data"
    return "research" if "." in name else "daily"


def overview() -> str:
    """The programs in their groups, each with the first line of its docstring."""
    groups: dict[str, list[str]] = {"daily": [], "data": [], "research": []}
    for name, module in programs().items():
        summary, *_ = _docstring(module).splitlines()
        groups[group_of(name)].append(f"  {name:28} {summary}")
    return "\n\n".join(
        "\n".join([f"{group}:", *lines]) for group, lines in groups.items()
    )


def page_of(module: str) -> str:
    """The help of a program, read from its source: its imports may be slow.

    Args:
        module: the program's.
    """
    if module.startswith("data_prep."):
        return program_flags.page_of(module)
    return help.page(module, _docstring(module), flags.grouped(declared(module)))


def declared(module: str) -> list[str]:
    """The names of the flags that a program declares.

    Args:
        module: the program's, of this package.
    """
    tree = syntax_tree(module)
    (call,) = (
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "declare"
    )
    return [flag.name for flag in _holders(call.args[1:], tree)]


def _docstring(module: str) -> str:
    return ast.get_docstring(syntax_tree(module)) or ""


def _holders(nodes: Iterable[ast.AST], tree: ast.Module) -> Iterator[FlagHolder]:
    """The flags that expressions of a program name: `flags.OUT`, `*study.FLAGS`."""
    for node in nodes:
        match node:
            case ast.Starred(value=inner):
                yield from _holders([inner], tree)
            case ast.Tuple(elts=inner):
                yield from _holders(inner, tree)
            case ast.Attribute(value=ast.Name(id=alias), attr=name):
                module = _imported(alias, tree)
                if module.endswith(".flags"):
                    value = getattr(importlib.import_module(module), name)
                    yield from value if isinstance(value, tuple) else (value,)
                else:
                    other = syntax_tree(module)
                    yield from _holders([_assigned(name, other)], other)


def _imported(alias: str, tree: ast.Module) -> str:
    """The module that a file imports under a name."""
    return next(
        f"{node.module}.{each.name}"
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for each in node.names
        if alias == (each.asname or each.name)
    )


def _assigned(name: str, tree: ast.Module) -> ast.expr:
    """The expression that a file assigns to a name."""
    return next(
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name
    )


def main() -> None:
    """Run a program by its name: the command `advjax`."""
    streams.settle()
    interrupts.install()

    os.environ[help.COMMAND] = "advjax"
    name, *arguments = sys.argv[1:] or ["--help"]
    if name.startswith("-"):
        overall = _USAGE.format(programs=overview())
        help.answer_and_exit([name, *arguments], lambda: overall)
        sys.exit(f"advjax: give the name of a program before {name}")
    module = programs().get(name.removeprefix("experiments."))
    if module is None:
        near = next((each for each in programs() if each.endswith(f".{name}")), name)
        print(
            f"advjax: there is no program {name!r}.{did_you_mean(near, programs())} "
            "(advjax --help lists the programs)",
            file=sys.stderr,
        )
        sys.exit(2)
    help.answer_and_exit(arguments, lambda: page_of(module))
    # A process of its own: the flags of all programs are defined in this one. With -P
    # a folder `experiments` where it is started is not taken for ours.
    os.execv(sys.executable, [sys.executable, "-P", "-m", module, *arguments])
