"""Start of every program: flags, processes and provenance.

JAX is imported after the flags are read.
"""

import contextlib
import datetime
import importlib.metadata
import os
import pathlib
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from absl.flags import FLAGS

from data_prep import program
from experiments import flags


def environment() -> dict[str, Any]:
    """Provenance of a run: command, date, versions, device, compiler and source."""
    import jax

    from advjax.runtime import processors, targets
    from advjax.runtime.compilation import compiler_options

    processor = processors.here()
    packages = ("jax", "jaxlib", "flax", "optax", "numpy", "scipy")
    return {
        "command": command(),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "python": platform.python_version(),
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "processor": processor.model,
        "instruction_set": processor.instructions,
        "convolutions": targets.processor() if targets.on_cpu() else None,
        "compiler": compiler_options(),
        "processes": jax.process_count(),
        "machine": platform.machine(),
        "git": revision(),
    }


def command() -> str:
    """The command line of this process."""
    spec = sys.modules["__main__"].__spec__
    program = ["python", "-m", spec.name] if spec else sys.argv[:1]
    return shlex.join([*program, *sys.argv[1:]])


def revision() -> str:
    """The commit of the running code or, without a checkout, the package's version.

    A repository around an installed package is not its checkout, and one that
    environment variables name is ignored.
    """
    here = pathlib.Path(__file__).resolve()
    root = here.parents[1]
    try:
        top = _git(root, "rev-parse", "--show-toplevel")
        if top and os.path.samefile(top, root):
            # Fails where the file is not tracked.
            _git(root, "ls-files", "--error-unmatch", "--", str(here))
            return _git(root, "describe", "--always", "--dirty")
    except (OSError, subprocess.SubprocessError):
        pass
    import advjax

    return f"advjax {advjax.__version__}, no checkout"


def _git(folder: pathlib.Path, *arguments: str) -> str:
    """Output of git in a folder, without the environment's GIT_ variables."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("GIT_")
    }
    return subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        check=True,
        encoding="utf-8",
        errors="replace",
        env=environment,
        stdin=subprocess.DEVNULL,
        timeout=10,
    ).stdout.strip()


def run(
    main: Callable[[], None],
    *,
    several_processes: bool = False,
    device_per_core: bool = False,
) -> None:
    """Parse the flags, join the other processes, run `main`; see `data_prep.program`.

    Args:
        main: the program.
        several_processes: True if several processes can share its work; other programs
            refuse the flags of processes.
        device_per_core: True for one device per core on a CPU.
    """
    program.run(lambda argv: _start(main, several_processes, device_per_core))


def _start(
    main: Callable[[], None], several_processes: bool, device_per_core: bool = False
) -> None:
    from advjax.runtime import compilation, interrupts, parallel, targets

    _refuse_others()
    given = [flag for flag in flags.PROCESS_FLAGS if flag.present]
    if given and not several_processes:
        raise ValueError(
            f"--{given[0].name}: this program runs in one process; leave the flag out"
        )
    if flags.CACHE.value:
        compilation.use_disk_cache(flags.home() / "compiled")
    if not flags.XLA_SETTINGS.value:
        compilation.leave_xla_alone()
    elif device_per_core:
        parallel.device_per_core()
    parallel.start_processes(
        flags.COORDINATOR.value,
        flags.NUM_PROCESSES.value,
        flags.PROCESS_ID.value,
        cluster=flags.CLUSTER.value,
    )
    # JAX takes over SIGTERM where several processes join.
    interrupts.install()
    with parallel.tell_failures(), contextlib.ExitStack() as stack:
        if flags.CONVOLUTIONS.value:
            stack.enter_context(targets.choosing_processor(flags.CONVOLUTIONS.value))
        main()


def _refuse_others() -> None:
    """Refuse flags of other programs.

    Raises:
        ValueError: one was given.
    """
    own = FLAGS.get_key_flags_for_module(sys.argv[0])
    known = {flag.name for flag in (*own, *flags.RUN_FLAGS, *flags.PROCESS_FLAGS)}
    for module, defined in FLAGS.flags_by_module_dict().items():
        for flag in () if module.startswith(("absl.", "data_prep.")) else defined:
            if flag.present and flag.name not in known:
                raise ValueError(program.no_such_flag(flag.name))
