"""Start and end of every program: signals, streams, flags, readable failures.

Under `python -m`, the package of a program handles streams, signals and `--help` before
the program imports anything. `run` ends every program.
"""

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence

from absl import app, flags, logging

from advjax.runtime import failures, interrupts, streams
from advjax.runtime.text import did_you_mean
from data_prep import help

# JAX's seeds wrap around there: a larger seed would repeat a smaller one.
MAX_SEED = 2**32 - 1

# Settings in the environment that change the numbers of our programs, or cause errors
# about types.
_NOT_OURS = {
    "JAX_ENABLE_X64": ("jax_enable_x64", False),
    "JAX_NUMPY_DTYPE_PROMOTION": ("jax_numpy_dtype_promotion", "standard"),
    "JAX_NUMPY_RANK_PROMOTION": ("jax_numpy_rank_promotion", "allow"),
}
_SMALLER = ("batch_size", "tile", "slots", "votes", "num_points", "crops_train")

flags.disclaim_key_flags()


def run(
    main: Callable[[Sequence[str]], int | None], *, interrupted: str | None = None
) -> None:
    """Parse the flags, run `main`, and end with an exit code.

    An error that a user can fix (a wrong flag, a missing folder or package, a full
    disk) ends the program with its message and exit code 1; `--debug` also shows its
    traceback. Signals end it as `advjax.runtime.interrupts` describes.

    Args:
        main: the program, called with the rest of the command line; it returns the exit
            code, None for 0.
        interrupted: the last line when a signal ends it.
    """
    streams.settle()
    interrupts.install(interrupted)
    define_debug(flags.FLAGS)

    def with_messages(argv: Sequence[str]) -> int:
        code: int | None = 1
        try:
            code = _checked(main, argv)
            sys.stdout.flush()
        except Exception as error:
            if interrupts.exit_code() is None and not _tell(error):
                raise
        except interrupts.Interrupted:
            pass
        finally:
            interrupts.finish()
            if (ended := interrupts.exit_code()) is not None:
                with contextlib.suppress(OSError, ValueError):
                    sys.stdout.flush()
                interrupts.tell()
                sys.exit(ended)
        return code or 0

    app.run(with_messages, flags_parser=_parse)


def define_debug(values: flags.FlagValues) -> None:
    """Define `--debug` in `values`, if it is not there."""
    if "debug" not in values:
        flags.DEFINE_bool(
            "debug", False, "Show the whole traceback of a failure.", flag_values=values
        )


def define_seed(
    text: str, *, default: int = 0, values: flags.FlagValues = flags.FLAGS
) -> flags.FlagHolder[int]:
    """Define `--seed`, from 0 to the largest that JAX distinguishes."""
    return flags.DEFINE_integer(
        "seed",
        default,
        text,
        lower_bound=0,
        upper_bound=MAX_SEED,
        flag_values=values,
    )


@contextlib.contextmanager
def readable_failures(name: str) -> Iterator[None]:
    """Exit with `name` and one line on an error that a user can fix."""
    try:
        yield
    except Exception as error:
        text = failures.in_words(error, smaller=_smaller())
        if text is None or _debug():
            raise
        sys.exit(f"{name}: {text}")


def no_such_flag(name: str) -> str:
    """Message about a flag that the running program does not have."""
    own = flags.FLAGS.get_key_flags_for_module(sys.argv[0])
    near = did_you_mean(f"--{name}", [f"--{flag.name}" for flag in own])
    return f"there is no flag --{name}{'.' if near else ''}{near} ({help.hint()})"


def _page() -> str:
    main = sys.modules["__main__"]
    own = flags.FLAGS.get_key_flags_for_module(sys.argv[0])
    spec = main.__spec__
    name = spec.name.removesuffix(".__main__") if spec else sys.argv[0]
    return help.page(name, main.__doc__ or "", {"flags": own})


def _checked(
    main: Callable[[Sequence[str]], int | None], argv: Sequence[str]
) -> int | None:
    if len(argv) > 1:
        flag = f"write --{argv[1]}" if "=" in argv[1] else "flags start with --"
        raise ValueError(f"unexpected argument {argv[1]!r}: {flag} ({help.hint()})")
    if not flags.FLAGS["verbosity"].present:
        # Orbax logs its steps as information, and its waits for a disk as warnings.
        logging.set_verbosity(logging.ERROR)
    _leave_out_settings()
    return main(argv)


def _leave_out_settings() -> None:
    """Remove settings that change the arithmetic from the environment, with a note."""
    given = [name for name in _NOT_OURS if os.environ.pop(name, "")]
    if not given:
        return
    print(
        f"{' and '.join(given)} ignored: programs compute in float32, with JAX's "
        "default rules. Unset it to avoid this message",
        file=sys.stderr,
    )
    if "jax" in sys.modules:
        import jax

        for name in given:
            jax.config.update(*_NOT_OURS[name])


def _tell(error: Exception) -> bool:
    """Print an error that a user can fix; False if it is of another kind."""
    text = failures.in_words(error, smaller=_smaller())
    if text is None or _debug():
        return False
    print(f"error: {text}", file=sys.stderr)
    return True


def _debug() -> bool:
    return "debug" in flags.FLAGS and flags.FLAGS.is_parsed() and flags.FLAGS.debug


def _smaller() -> list[str]:
    return [f"--{name}" for name in _SMALLER if name in flags.FLAGS]


def _parse(argv: Sequence[str]) -> list[str]:
    """Rest of the command line; `--help` and wrong flags end the program."""
    help.answer_and_exit(argv[1:], _page)
    try:
        return flags.FLAGS(argv)
    except flags.UnrecognizedFlagError as error:
        sys.exit(f"error: {no_such_flag(error.flagname)}")
    except flags.Error as error:
        text = " ".join(str(error).split())
        if required := re.match(r"flag --(\w+)=None: .* other than None", text):
            text = f"--{required[1]} is missing: give --{required[1]}=VALUE"
        sys.exit(f"error: {text} ({help.hint()})")
    except SystemExit:  # absl's own --helpfull
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        sys.exit()
