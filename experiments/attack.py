"""Attack a classifier at any stage of its chain; one row per test example.

  python -m experiments.attack --attack="pgd(num_steps=40)" --budget=30dB --rep=waveform

needs nothing else: like `certify` it builds records and trains a network when none is
given. Several attacks and budgets make a table:

  python -m experiments.attack --attack=fgsm --attack=pgd --attack=nes \\
      --budget=40dB,30dB,20dB --rep=waveform

  python -m experiments.attack --attack="carlini_wagner(norm='l2')" --rep=waveform

Budgets are signal-to-noise ratios (30dB), levels below full scale (-40dBFS) or norms in
the units of --rep (0.01); attacks that look for the smallest perturbation take none.
Targeted attacks (an option of the attack) reach the class that --target says.

Prints the table, with a warning where gradients look masked, and writes rows.tsv,
run.json, x_adv.npy, examples.png and, with --save_audio, WAV pairs into each run's
folder; examples.tsv says of each pair whether its files still fool the classifier, as
rounding to 16 bits undoes the smallest perturbations. A run that was stopped goes on
where it was, in mid-attack too, when the same command is given again.

Several attacks or budgets have one report, in a folder of this command's own: in
--home/comparisons, or in --workdir.

Several processes share the points as they do in `experiments.certify`, with the same
flags; each writes rows-I-of-N.tsv and x_adv-I-of-N.npy.
"""

import pathlib

from experiments import app, flags, requests

flags.declare(
    __name__,
    *flags.MODEL_FLAGS,
    *flags.DATA_FLAGS,
    *flags.ATTACK_FLAGS,
    flags.NUM_POINTS,
    flags.WORKDIR,
    *flags.RUN_FLAGS,
    *flags.PROCESS_FLAGS,
)


def main() -> None:
    """Attack, then report."""
    import jax

    from advjax.runs import folder as runs
    from advjax.runtime import parallel
    from experiments.lab import (
        attack,
        attack_report,
        folder_names,
        preflight,
        presets,
        wav_pairs,
    )
    from experiments.lab.console import say

    draft = requests.task(defence="plain").draft()
    size = presets.preset_of(jax.default_backend())
    preflight.check(draft, num_points=flags.NUM_POINTS.value)
    asked = list(_requests(draft))
    workdirs = list(_workdirs(asked))
    system = draft.resolve()
    num_points = system.data.num_points(flags.NUM_POINTS.value, size.num_points)
    points = system.test_points(num_points)
    prepared = [
        attack.prepare(
            system, request, points, workdir=workdir, environment=app.environment()
        )
        for request, workdir in zip(asked, workdirs, strict=True)
    ]
    parallel.part_ways()
    folders = [each.folder for each in prepared]
    for each in prepared:
        attack.run(each)
        if not runs.num_missing(each.folder):
            attack_report.show(
                system,
                each.folder,
                count=flags.EXAMPLES.value,
                audio=flags.SAVE_AUDIO.value,
                audio_format=flags.AUDIO_FORMAT.value,
            )
    if left := sum(map(runs.num_missing, folders)):
        say(
            f"{left} rows are left to the other processes, and the report to the last "
            "of them; should one have ended early, give the same command again"
        )
        return
    where = folders[0]
    if len(folders) > 1:
        # A folder of this command's own: others compare other runs.
        among = {"runs": sorted(folder.name for folder in folders)}
        home = draft.task.home
        beside = folders[0].parent if flags.WORKDIR.value else home / "comparisons"
        where = beside / folder_names.name_of("comparison", among)
    print(attack_report.report(folders, where))
    if flags.AUDIBLE.value:
        from experiments.lab import audibility

        for folder in folders:
            print(f"{folder.name}: {audibility.report(system, folder)}")
    say(f"report      {where}/report.md; rows*.tsv and x_adv*.npy in each run")
    for folder in folders if flags.SAVE_AUDIO.value else ():
        file = folder / wav_pairs.EXAMPLES_FILE
        if pairs := wav_pairs.read(file):
            say(f"{wav_pairs.summary(pairs)}: see {file}")


def _requests(draft):
    """Every attack at every budget, all of them checked before the first one runs."""
    from experiments.lab import attack, budgets, preflight

    if flags.SLOTS.value and flags.SLOTS.value > preflight.MOST_SLOTS:
        raise ValueError(
            f"--slots={flags.SLOTS.value}: give 1 to {preflight.MOST_SLOTS:,}"
        )
    attacks = {text: attack.check(draft, text) for text in flags.ATTACK.value}
    if flags.BUDGET.value and not any(built.fixed_budget for built in attacks.values()):
        raise ValueError(
            f"{' and '.join(attacks)} looks for the smallest perturbation: leave "
            "--budget out"
        )
    if flags.is_set(flags.TARGET):
        preflight.check_target(draft, flags.TARGET.value, attacks)
    given = list(map(budgets.label, flags.BUDGET.value))
    for text, built in attacks.items():
        for budget in given if built.fixed_budget and given else [None]:
            budgets.check(budget, text, built)
            yield attack.AttackRequest(
                text, budget, flags.TARGET.value, flags.SLOTS.value
            )


def _workdirs(requests):
    """The folder of each run; None for one in --home."""
    from advjax.runs.folder import check_run_folder
    from advjax.runs.row_types import ATTACK_ROWS
    from experiments.lab import preflight

    if not flags.WORKDIR.value:
        yield from [None] * len(requests)
        return
    out = pathlib.Path(flags.WORKDIR.value)
    preflight.check_writable(out, "--workdir")
    for request in requests:
        workdir = out
        if len(requests) > 1:
            words = f"{request.attack}-{request.budget or 'smallest'}"
            name = "".join(c if c.isalnum() or c in "-." else "_" for c in words)
            workdir = out / name
        check_run_folder(workdir, ATTACK_ROWS, argument="--workdir")
        yield workdir


if __name__ == "__main__":
    app.run(main, several_processes=True)
