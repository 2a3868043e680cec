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

from experiments import app, flags, requests

flags.declare(
    __name__,
    *flags.MODEL_FLAGS,
    *flags.DATA_FLAGS,
    flags.NUM_POINTS,
    flags.WORKDIR,
    *flags.RUN_FLAGS,
    *flags.CERTIFY_FLAGS,
    *flags.EOT_FLAGS,
)


def main() -> None:
    """Certify what is not certified, then attack, then report."""
    import jax

    from experiments.lab import (
        certify,
        preflight,
        presets,
        smoothed_attack,
        smoothed_attack_report,
    )
    from experiments.lab.console import say

    draft = requests.task().draft()
    size = presets.preset_of(jax.default_backend())
    num_steps = 20 if size is presets.SMALL else 100
    request = smoothed_attack.SmoothedAttackRequest(
        attacks=flags.EOT_ATTACK.value
        or smoothed_attack.default_attacks(draft, num_steps=num_steps),
        fractions=preflight.numbers("fractions", flags.FRACTIONS.value, positive=True),
        num_draws=flags.NUM_DRAWS.value,
        num_votes=flags.NUM_VOTES.value,
    )
    smoothed_attack.check(draft, request)
    workdir = requests.workdir()
    certification_request = requests.certify(size)
    preflight.check_certification(
        draft, certification_request, num_points=flags.NUM_POINTS.value, workdir=workdir
    )
    system = draft.resolve()
    certified = certify.certify(
        system,
        certification_request,
        num_points=system.data.num_points(flags.NUM_POINTS.value, size.num_points),
        workdir=workdir,
        environment=app.environment(),
    )
    folder = smoothed_attack.run(
        system, certified, request, environment=app.environment()
    )
    print(smoothed_attack_report.report(folder))
    plot = "bounds.png, " if (folder / "bounds.png").exists() else ""
    say(f"report      {folder}/report.md, {plot}rows.tsv, run.json")


if __name__ == "__main__":
    app.run(main, device_per_core=True)
