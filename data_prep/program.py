"""The start and the end of every program: signals, streams, flags, readable failures.

Under `python -m` the package of a program settles streams, signals and `--help` before
the program imports anything; `run` ends every program.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence

from absl import app, flags, logging

from advjax.runtime import failures, interrupts, streams
from advjax.runtime.text import did_you_mean
from data_prep import help

# Numbers of JAX wrap around there: a larger seed would draw what a smaller one draws.
MAX_SEED = 2**32 - 1

# Settings of the environment that JAX obeys and that our programs do not bear: other
# numbers, or errors about types.
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
    """Parse the flags, run `main`, and end with an exit code that says how it went.

    An error that a person can mend (a wrong flag, a missing folder or package, a full
    disk) ends the program with its message and exit code 1; `--debug` shows its
    traceback too. Signals end it as `advjax.runtime.interrupts` describes.

    Args:
        main: the program, given what is left of the command line; its result is the
            exit code, None for 0.
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
    """Define `--seed`, from 0 to the largest that draws numbers of its own."""
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
    """A block that ends with `name` and one line where a person can mend the error."""
    try:
        yield
    except Exception as error:
        text = failures.in_words(error, smaller=_smaller())
        if text is None or _debug():
            raise
        sys.exit(f"{name}: {text}")


def no_such_flag(name: str) -> str:
    """Words for a flag that the running program does not have."""
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
        # Orbax tells each of its steps at the level of information.
        logging.set_verbosity(logging.WARNING)
    _leave_out_settings()
    return main(argv)


def _leave_out_settings() -> None:
    """Take from the environment what changes the arithmetic, and say so."""
    given = [name for name in _NOT_OURS if os.environ.pop(name, "")]
    if not given:
        return
    print(
        f"{' and '.join(given)} left out: programs compute in float32, by JAX's own "
        "rules; unset it",
        file=sys.stderr,
    )
    if "jax" in sys.modules:
        import jax

        for name in given:
            jax.config.update(*_NOT_OURS[name])


def _tell(error: Exception) -> bool:
    """True if `error` was told in one line."""
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
    """Arguments left of the command line; `--help` ends well, a mistake in one line."""
    help.answer_and_exit(argv[1:], _page)
    try:
        return flags.FLAGS(argv)
    except flags.UnrecognizedFlagError as error:
        sys.exit(f"error: {no_such_flag(error.flagname)}")
    except flags.Error as error:
        text = " ".join(str(error).split())
        sys.exit(f"error: {text} ({help.hint()})")
    except SystemExit:  # absl's own --helpfull
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        sys.exit()
