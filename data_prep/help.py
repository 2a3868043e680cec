"""Help of programs: a page on each, the version, and the options of a name."""

import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence

from absl import flags

import advjax

COMMAND = "ADVJAX_COMMAND"
"""Environment variable for the command that starts programs: ./launch.sh or advjax."""

_WIDTH = 80
_FOOTER = """\
help and failures:
  --help, -h  (this page)
  --help=NAME
      Options of a name, such as pgd, rescnn or voices, with types and defaults.
  --version
  --debug  (default: off)
      Show the whole traceback of a failure."""


def answer(arguments: Sequence[str], page: Callable[[], str]) -> bool:
    """Print the help or the version if the command line asks for it.

    Args:
        arguments: of the command line, without the program.
        page: returns the program's own help.

    Returns:
        True if help or the version was printed.

    Raises:
        ValueError: --help=NAME with a name that no table has.
    """
    for index, word in enumerate(arguments):
        flag, _, name = word.partition("=")
        if word == "--":
            break
        if word == "--version":
            print(f"advjax {advjax.__version__}")
            return True
        if flag in ("-h", "-help", "--help", "--helpshort"):
            after = arguments[index + 1 : index + 2]
            if not name and after and after[0].isidentifier():
                name = after[0]
            print(_options(name) if name else page())
            return True
    return False


def answer_and_exit(arguments: Sequence[str], page: Callable[[], str]) -> None:
    """Exit with 0 after help or the version, 1 after an unknown name.

    Args:
        arguments: see `answer`.
        page: see `answer`.
    """
    try:
        if not answer(arguments, page):
            return
    except ValueError as error:
        sys.exit(f"error: {error}")
    sys.stdout.flush()
    sys.exit()


def started_module() -> str:
    """Name of the module that `python -m` is about to run; empty without -m."""
    if sys.argv[:1] != ["-m"]:
        return ""
    word = sys.orig_argv[len(sys.orig_argv) - len(sys.argv)]
    return re.sub(r"^-\w*m", "", word)


def _options(name: str) -> str:
    from data_prep import choices

    return choices.options_of(name)


def command(module: str) -> str:
    """Command that starts a program, in the form in which this one was started.

    Args:
        module: of the program, such as experiments.certify.
    """
    launcher = os.environ.get(COMMAND)
    if not launcher:
        return f"python -m {module}"
    return f"{launcher} {module.removeprefix('experiments.')}"


def hint() -> str:
    """Hint at the list of flags of the running program."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is None:
        return "--help lists the flags"
    return f"{command(spec.name.removesuffix('.__main__'))} --help lists the flags"


def page(module: str, text: str, groups: Mapping[str, Iterable[flags.Flag]]) -> str:
    """Help of a program.

    Args:
        module: of the program.
        text: its description, where commands begin with `python -m`.
        groups: its flags under headings.
    """
    lines = [f"usage: {command(module)} [--FLAG=VALUE ...]", "", _as_started(text), ""]
    for heading, members in groups.items():
        if entries := [_entry(flag) for flag in members]:
            lines += [f"{heading}:", *entries, ""]
    return "\n".join([*lines, _FOOTER])


def _as_started(text: str) -> str:
    return re.sub(
        r"python -m ((?:experiments|data_prep)[\w.]*\w)",
        lambda found: command(found[1]),
        text.strip(),
    )


def _entry(flag: flags.Flag) -> str:
    name = f"--[no]{flag.name}" if flag.boolean else f"--{flag.name}={_kind(flag)}"
    shown = _default(flag)
    first = f"  {name}" + (f"  (default: {shown})" if shown else "")
    # absl adds the values of an enum and a line on repeated flags.
    text = re.sub(r"^<[^>]*>: |;\s+repeat this option.*$", "", flag.help or "")
    body = textwrap.wrap(
        text, _WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6
    )
    return "\n".join([first, *body])


def _kind(flag: flags.Flag) -> str:
    if values := getattr(flag.parser, "enum_values", None):
        return "|".join(values)
    kind = flag.parser.flag_type()
    known = {"string": "TEXT", "int": "N", "float": "NUMBER", "path": "PATH"}
    if "comma" in kind or "list" in kind:
        return "A,B,..."
    return known.get(kind.split()[-1], kind.split()[-1].upper())


def _default(flag: flags.Flag) -> str:
    """Default as it would be typed; empty if the help text states it."""
    if flag.boolean:
        return "on" if flag.default else "off"
    if flag.default is None or flag.default == []:
        return ""
    if isinstance(flag.default, list):
        return ",".join(map(str, flag.default))
    return f"{flag.default}"
