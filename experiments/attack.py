"""Attack a classifier at any stage of its chain; one row per test example.

  python -m experiments.attack --attack="pgd(num_steps=40)" --budget=30dB --rep=waveform

Like `certify` it builds records and trains a network when none is given; that network
is trained without a defence. To attack the network of a run, name the run's folder:

  python -m experiments.attack --run=runs/certify/FOLDER --budget=30dB

Several attacks and budgets make a table:

  python -m experiments.attack --attack=fgsm --attack=pgd --attack=nes \\
      --budget=40dB,30dB,20dB --rep=waveform

  python -m experiments.attack --attack="carlini_wagner(norm='l2')" --rep=waveform

Budgets are signal-to-noise ratios (30dB), levels below full scale (-40dBFS) or norms in
the units of --rep (0.01); attacks that look for the smallest perturbation take none.
Targeted attacks (an option of the attack) reach the class that --target says.

Prints the table, with a warning where gradients look masked, and writes rows.tsv,
run.json, x_adv.npy, examples.png and, with --save_audio, WAV pairs into each run's
folder. report.html plays the first successes. Rounding to 16 bits undoes the smallest
perturbations, so rows, page and examples.tsv say what still fools the classifier as a
file; --finish=pcm16 makes it so. The same command continues a run that was stopped,
also in mid-attack.

Several attacks or budgets have one report, in a folder of this command's own: in
--home/comparisons, or in --workdir.

Several processes share the points as they do in `experiments.certify`, with the same
flags; each writes rows-I-of-N.tsv and x_adv-I-of-N.npy.
"""

from experiments import app, flags, requests

flags.declare(
    __name__,
    flags.RUN,
    *flags.MODEL_FLAGS,
    *flags.DATA_FLAGS,
    *flags.ATTACK_FLAGS,
    *(flags.PRESET, flags.PRECISION, flags.NUM_POINTS, flags.WORKDIR, flags.LOG),
    *flags.RUN_FLAGS,
    *flags.PROCESS_FLAGS,
)


def main() -> None:
    """Attack, then report."""
    from experiments.lab import attack_runs, preflight

    draft = requests.draft(defence="plain")
    preflight.check(draft, num_points=flags.NUM_POINTS.value)
    attacks = attack_runs.plan(
        draft,
        flags.ATTACK.value,
        flags.BUDGET.value,
        target=flags.TARGET.value[-1] if flags.is_set(flags.TARGET) else None,
        num_slots=flags.SLOTS.value,
        finish=flags.FINISH.value,
    )
    workdir = requests.workdir()
    folders = attack_runs.workdirs(attacks, workdir)
    shown = attack_runs.Shown(
        count=flags.EXAMPLES.value,
        audio=flags.SAVE_AUDIO.value,
        audio_format=flags.AUDIO_FORMAT.value,
        audible=flags.AUDIBLE.value,
    )
    requests.announce(draft, f"attack {{}} {attack_runs.in_words(draft, attacks)}")
    system = draft.resolve()
    folders = attack_runs.run(
        system,
        attacks,
        folders,
        num_points=requests.num_points(system),
        environment=app.environment(),
        shown=shown,
    )
    comparisons = workdir or draft.task.home / "comparisons"
    attack_runs.report(system, folders, comparisons, shown)


if __name__ == "__main__":
    app.run(main, several_processes=True)
