"""Compile the programs of an accelerator on a machine that has none.

  python -m experiments.rehearse --target=h100
  python -m experiments.rehearse --target=v5e-4 --programs='certify-*' --minutes=10

For each program, at the sizes of the publication: whether it compiles, its memory, its
operations and bytes by the compiled text, and the time that these need at least.
Nothing runs on a device. Each compilation has a process of its own; one that does not
end in --minutes is a row, too. Writes a JSON file for each program and report.md into
--out, by default a folder in --home that is named for the code's commit. The same
command continues a rehearsal that was stopped.

The compilers have an environment of their own, which
`experiments/rehearsal_environment.sh FOLDER` makes.
"""

import os
import pathlib

from experiments import app, flags

flags.declare(
    __name__,
    *(flags.TARGET, *flags.REHEARSAL_FLAGS, flags.OUT),
    *flags.RUN_FLAGS,
)


def main() -> None:
    """Compile, then report."""
    from experiments.lab import rehearsal, rehearsal_report
    from experiments.lab.console import say

    environment = app.environment()
    origin = {"git": environment["git"], "jax": environment["versions"]["jax"]}
    folder = flags.home() / "rehearsal" / origin["git"].replace(" ", "-")
    out = pathlib.Path(flags.OUT.value or folder)
    machines = flags.TARGET.value if flags.is_set(flags.TARGET) else ["h100"]
    patterns = flags.PROGRAMS.value
    chosen = {name: rehearsal.names_for(name, patterns) for name in machines}
    for machine, names in chosen.items():
        rehearsal.rehearse(
            machine,
            names,
            out,
            minutes=flags.value_or(flags.MINUTES, 30.0),
            origin=origin,
        )
    print(rehearsal_report.report(rehearsal.rows(out), out, environment["command"]))
    say(f"report      {out}/report.md, tables, and a JSON file for each program")


if __name__ == "__main__":
    # JAX and the compilers read these; no device is looked for.
    os.environ |= {"JAX_PLATFORMS": "cpu", "TPU_SKIP_MDS_QUERY": "1"}
    app.run(main)
