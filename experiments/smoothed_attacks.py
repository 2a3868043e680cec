"""Attack a smoothed classifier inside and outside of its certified radii.

  python -m experiments.smoothed_attacks --rep=mfbe --sigma=0.5

takes the run of `experiments.certify` with the same flags, or certifies first;
--run=FOLDER takes that run. Then it attacks every clip whose certificate is correct.
The smoothed classifier's vote has no gradient, so an attack follows the mean of the
network's predictions on noisy copies, drawn anew for each step: l2 PGD within multiples
of --sigma and just inside each clip's certified radius; Carlini and Wagner's search for
the smallest perturbation; and at --rep=waveform the imperceptible attack. A vote of
fresh noisy copies, the smoothed classifier's own prediction, judges each perturbation:
it names the label still, another class (flipped), or abstains.

  python -m experiments.smoothed_attacks --rep=waveform --sigma=0.05 \\
      --eot_attack="pgd(norm='l2', num_steps=100, stop='last')" --fractions=1,2

Inside a certified radius no perturbation may flip the vote. The program says how many
it tried there, and fails, naming the clips, where more have flipped than certificates
and votes may be wrong by chance.

Prints the table and writes rows.tsv, run.json, report.md and bounds.png (the certified
accuracy over the l2 norm and the accuracy that the attacks left; the truth lies in
between) into a folder within that of the certificates. The same command continues a run
that was stopped, also in mid-attack.
"""

from experiments import app, flags, requests

flags.declare(
    __name__,
    flags.RUN,
    *flags.MODEL_FLAGS,
    *flags.DATA_FLAGS,
    *(flags.PRESET, flags.NUM_POINTS, flags.WORKDIR),
    *flags.RUN_FLAGS,
    *flags.CERTIFY_FLAGS,
    *flags.EOT_FLAGS,
)


def main() -> None:
    """Certify what is not certified, then attack, then report."""
    from experiments.lab import preflight, presets, smoothed_attack
    from experiments.lab import smoothed_attack_report as reports
    from experiments.lab.console import say

    num_steps = 20 if requests.preset() is presets.SMALL else 100
    request = smoothed_attack.SmoothedAttackRequest(
        attacks=flags.EOT_ATTACK.value or (),
        fractions=preflight.numbers("fractions", flags.FRACTIONS.value, positive=True),
        num_draws=flags.NUM_DRAWS.value,
        num_votes=flags.NUM_VOTES.value,
    )

    def with_attacks(task) -> smoothed_attack.SmoothedAttackRequest:
        defaults = smoothed_attack.default_attacks(task, num_steps=num_steps)
        return request._replace(attacks=request.attacks or defaults)

    system, certified = requests.certified(
        lambda draft: smoothed_attack.check(draft, with_attacks(draft)),
        then="attack the clips that are certified right",
    )
    folder = smoothed_attack.run(
        system, certified, with_attacks(system), environment=app.environment()
    )
    print(reports.report(folder))
    say(f"report      {folder}/report.md, bounds.png, tables, rows.tsv")


if __name__ == "__main__":
    app.run(main, device_per_core=True)
