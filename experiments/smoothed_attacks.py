"""Attack a smoothed classifier: what do perturbations do that certificates allow?

  python -m experiments.smoothed_attacks --rep=mfbe --sigma=0.5

takes the run of `experiments.certify` with the same flags, or certifies first. Then it
attacks every clip that is certified right. The smoothed classifier's vote has no
gradient, so that an attack follows the mean of the network's answers to noisy copies,
drawn anew for each step: l2 PGD within multiples of the noise's deviation and just
inside each clip's certified radius; Carlini and Wagner's search for the smallest
perturbation; and at --rep=waveform the imperceptible attack. What each attack finds is
judged by a vote of fresh noisy copies, the smoothed classifier's own answer: it names
the label still, another class (flipped), or abstains.

  python -m experiments.smoothed_attacks --rep=waveform --sigma=0.05 \\
      --eot_attack="pgd(norm='l2', num_steps=100, stop='last')" --fractions=1,2

Inside a certified radius no perturbation may flip the vote. The program says how many
it tried there, and fails, naming the clips, where more have flipped than certificates
and votes may be wrong by chance.

Prints the table and writes rows.tsv, run.json, report.md and bounds.png (the certified
accuracy over the l2 norm and what the attacks left, between which the truth lies) into
a folder within that of the certificates. A run that was stopped goes on where it was,
in mid-attack too, when the same command is given again.
"""

import pathlib

from absl import flags

from experiments import app
from experiments.certify import (
    ALPHA,
    NUM_ESTIMATION,
    NUM_SELECTION,
    PRECISION,
    TILE,
    request_of,
)

EOT_ATTACK = flags.DEFINE_multi_string(
    "eot_attack",
    None,
    "What to run on the mean over noise, with options; again for more. Default: PGD, "
    "Carlini and Wagner's and, at the waveform, the imperceptible attack, sized for "
    "the machine.",
)
FRACTIONS = flags.DEFINE_list(
    "fractions",
    ["0.25", "0.5", "1", "2", "4"],
    "l2 budgets as multiples of --sigma, beside each clip's certified radius.",
)
NUM_DRAWS = flags.DEFINE_integer(
    "num_draws", 16, "Noisy copies in the mean that a step sees.", lower_bound=1
)
NUM_VOTES = flags.DEFINE_integer(
    "num_votes", 1000, "Noisy copies that judge a perturbation.", lower_bound=1
)
app.declare_key(
    *app.MODEL_FLAGS,
    *app.DATA_FLAGS,
    app.NUM_POINTS,
    app.WORKDIR,
    *app.RUN_FLAGS,
    NUM_SELECTION,
    NUM_ESTIMATION,
    ALPHA,
    PRECISION,
    TILE,
)


def main() -> None:
    """Certify what is not certified, then attack, then report."""
    import jax

    from experiments.lab import (
        certification,
        pipeline,
        preflight,
        smoothed_attack_report,
        smoothed_attacking,
    )

    task = app.task()
    size = pipeline.size_of(jax.default_backend())
    num_steps = 20 if size is pipeline.CPU else 100
    request = smoothed_attacking.Request(
        attacks=EOT_ATTACK.value
        or smoothed_attacking.default_attacks(task, num_steps=num_steps),
        fractions=preflight.numbers("fractions", FRACTIONS.value, positive=True),
        num_draws=NUM_DRAWS.value,
        num_votes=NUM_VOTES.value,
    )
    smoothed_attacking.build(task, request, dry=True)
    workdir = pathlib.Path(app.WORKDIR.value) if app.WORKDIR.value else None
    certification_request = request_of(size)
    preflight.check_certification(
        task, certification_request, num_points=app.NUM_POINTS.value, workdir=workdir
    )
    certified = certification.certify(
        task,
        certification_request,
        num_points=task.num_points(app.NUM_POINTS.value, size.num_points),
        workdir=workdir,
        environment=app.environment(),
    )
    folder = smoothed_attacking.attack(
        task, certified, request, environment=app.environment()
    )
    print(smoothed_attack_report.report(folder))
    plot = "bounds.png, " if (folder / "bounds.png").exists() else ""
    pipeline.say(f"report      {folder}/report.md, {plot}rows.tsv, run.json")


if __name__ == "__main__":
    app.run(main, device_per_core=True)
