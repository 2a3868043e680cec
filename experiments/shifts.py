"""Certify predictions against time shifts of a clip; one row per test clip.

  python -m experiments.shifts --max_shift=160

takes synthetic speakers and trains a network without noise, or takes those of a run or
a classifier with --run=FOLDER. The smoothed classifier predicts the class of most votes
among all rotations of a clip by up to --max_shift samples. A certificate says: the clip
rotated by any number of samples up to the radius has the same prediction. It is exact,
without noise and without a failure probability. --shift_step=10 takes a tenth of the
votes and certifies multiples of ten samples.

Prints the certified accuracy by the shift, and writes rows.tsv, run.json, report.md and
shifts.png into the run's folder, in --home/shifts or in --workdir. The same command
continues a run that was stopped. --rep is the stage where a --defence with noise adds
it in training; without such a defence it has no effect.
"""

from experiments import app, flags, requests

flags.declare(
    __name__,
    flags.RUN,
    *flags.MODEL_FLAGS,
    *flags.DATA_FLAGS,
    *flags.SHIFT_FLAGS,
    *(flags.PRESET, flags.PRECISION, flags.NUM_POINTS, flags.WORKDIR),
    *flags.RUN_FLAGS,
)


def main() -> None:
    """Certify, then report."""
    from experiments.lab import shifts
    from experiments.lab.console import say

    draft = requests.draft(defence="plain").task.at_waveform().draft()
    request = shifts.ShiftRequest(flags.MAX_SHIFT.value, flags.SHIFT_STEP.value)
    num_points, workdir = flags.NUM_POINTS.value, requests.workdir()
    shifts.check(draft, request, num_points=num_points, workdir=workdir)
    requests.announce(
        draft,
        f"certify {{}} against shifts of up to {request.max_shift} samples, "
        f"{request.num_votes} votes a clip",
    )
    system = draft.resolve()
    folder = shifts.certify(
        system,
        request,
        num_points=requests.num_points(system),
        workdir=workdir,
        environment=app.environment(),
    )
    print(shifts.report(folder))
    say(f"report      {folder}/report.md, shifts.png, tables, rows.tsv, run.json")


if __name__ == "__main__":
    app.run(main)
