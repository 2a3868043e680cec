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

from absl import flags

from experiments import app

# Those of advjax.attacks, which --help does not wait for.
_ATTACKS = (
    "noise fgsm bim pgd jsma deepfool carlini_wagner lbfgs nes partial_information "
    "imperceptible"
)

ATTACK = flags.DEFINE_multi_string(
    "attack",
    ["pgd"],
    "What to run, with options if any: 'pgd(num_steps=40)'; give it again for more. "
    f"There are: {_ATTACKS.replace(' ', ', ')}.",
)
BUDGET = flags.DEFINE_list(
    "budget", [], "Largest perturbations: 30dB of SNR, -40dBFS, or a norm."
)
TARGET = flags.DEFINE_string(
    "target",
    "random",
    "Class that targeted attacks reach: next, random, least_likely, or its name.",
)
SLOTS = flags.DEFINE_integer(
    "slots", None, "Examples attacked at once; default 8 on a CPU, 128.", lower_bound=1
)
SAVE_AUDIO = flags.DEFINE_bool(
    "save_audio",
    False,
    "Write the first successes as pairs of WAVs, and ask the classifier about the "
    "files.",
)
AUDIO_FORMAT = flags.DEFINE_enum(
    "audio_format",
    "pcm16",
    ["pcm16", "float32"],
    "With --save_audio. float32: also write files of 32-bit floats, which round "
    "nothing.",
)
EXAMPLES = flags.DEFINE_integer(
    "examples", 3, "Successes shown in examples.png.", lower_bound=0
)
AUDIBLE = flags.DEFINE_bool(
    "audible",
    False,
    "Say how far above the clip's masking threshold successes are; writes audible.tsv.",
)
app.declare_key(
    *app.MODEL_FLAGS,
    *app.DATA_FLAGS,
    app.NUM_POINTS,
    app.WORKDIR,
    *app.RUN_FLAGS,
    *app.PROCESS_FLAGS,
)


def main() -> None:
    """Attack, then report."""
    import jax

    from advjax.runtime import parallel
    from experiments.lab import (
        attack_report,
        attacking,
        made_names,
        pipeline,
        preflight,
        wav_pairs,
    )

    task = app.task(defence="plain")
    size = pipeline.size_of(jax.default_backend())
    preflight.check(task, num_points=app.NUM_POINTS.value)
    requests = list(_requests(task))
    workdirs = list(_workdirs(requests))
    num_points = task.num_points(app.NUM_POINTS.value, size.num_points)
    points = task.test_points(num_points)
    prepared = [
        attacking.prepare(
            task, request, points, workdir=workdir, environment=app.environment()
        )
        for request, workdir in zip(requests, workdirs, strict=True)
    ]
    parallel.part_ways()
    folders = [each.folder for each in prepared]
    for each in prepared:
        attacking.attack(each)
        if not attacking.num_missing(each.folder):
            attack_report.show(
                task,
                each.folder,
                count=EXAMPLES.value,
                audio=SAVE_AUDIO.value,
                audio_format=AUDIO_FORMAT.value,
            )
    if left := sum(map(attacking.num_missing, folders)):
        pipeline.say(
            f"{left} rows are left to the other processes, and the report to the last "
            "of them; should one have ended early, give the same command again"
        )
        return
    where = folders[0]
    if len(folders) > 1:
        # A folder of this command's own: others compare other runs.
        among = {"runs": sorted(folder.name for folder in folders)}
        beside = folders[0].parent if app.WORKDIR.value else task.home / "comparisons"
        where = beside / made_names.named("comparison", among)
    print(attack_report.report(folders, where))
    if AUDIBLE.value:
        from experiments.lab import hearing

        for folder in folders:
            print(f"{folder.name}: {hearing.report(task, folder)}")
    pipeline.say(f"report      {where}/report.md; rows*.tsv and x_adv*.npy in each run")
    for folder in folders if SAVE_AUDIO.value else ():
        file = folder / wav_pairs.EXAMPLES_FILE
        if pairs := wav_pairs.read(file):
            pipeline.say(f"{wav_pairs.summary(pairs)}: see {file}")


def _requests(task):
    """Every attack at every budget, all of them checked before the first one runs."""
    from experiments.lab import attacking, preflight

    if SLOTS.value and SLOTS.value > preflight.MOST_SLOTS:
        raise ValueError(f"--slots={SLOTS.value}: give 1 to {preflight.MOST_SLOTS:,}")
    attacks = {text: attacking.build(task, text, dry=True) for text in ATTACK.value}
    if BUDGET.value and not any(built.fixed_budget for built in attacks.values()):
        raise ValueError(
            f"{' and '.join(attacks)} looks for the smallest perturbation: leave "
            "--budget out"
        )
    if not flags.FLAGS[TARGET.name].using_default_value:
        preflight.check_target(task, TARGET.value, attacks)
    budgets = list(map(attacking.spelled_budget, BUDGET.value))
    for text, built in attacks.items():
        for budget in budgets if built.fixed_budget and budgets else [None]:
            attacking.check_budget(budget, text, built)
            yield attacking.Request(text, budget, TARGET.value, SLOTS.value)


def _workdirs(requests):
    """The folder of each run; None for one in --home."""
    from advjax.runs.attack_rows import ATTACKED
    from advjax.runs.run_folders import check_run_folder
    from experiments.lab import preflight

    if not app.WORKDIR.value:
        yield from [None] * len(requests)
        return
    out = pathlib.Path(app.WORKDIR.value)
    preflight.check_writable(out, "--workdir")
    for request in requests:
        workdir = out
        if len(requests) > 1:
            words = f"{request.attack}-{request.budget or 'smallest'}"
            name = "".join(c if c.isalnum() or c in "-." else "_" for c in words)
            workdir = out / name
        check_run_folder(workdir, ATTACKED, argument="--workdir")
        yield workdir


if __name__ == "__main__":
    app.run(main, several_processes=True)
