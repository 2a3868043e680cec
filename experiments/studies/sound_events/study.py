"""Adversarial attacks on sound event classifiers: Subramanian et al. (2019).

  python -m experiments.studies.sound_events \\
      --corpus="esc50(esc10=True,validation_share=0.15)" --corpus_dir=ESC-50 \\
      --out=results

Trains VGG13, CRNN, GCNN, dense-mel, dense-wav (reconstructed) and, as the publication
proposes, VGG13 on constant-Q levels. Attacks perturb whole clips of any length as
waveforms, through each network's own front end:

  untargeted  white noise and FGSM at 20 dB SNR, DeepFool, Carlini-Wagner
  targeted    Carlini-Wagner and L-BFGS, over all ordered pairs of --pair_classes

Cells are called model/attack. The cells model/clean have accuracies, model/features
attacks on mel levels played by Griffin-Lim, model/answers the predictions on all
networks' examples, also after compression, resampling, noise and rooms (--transforms),
classes the distances of classes, and example the spectrograms and WAVs of one clip.
They run in the order of their worth: all untargeted attacks come first.

study.md has the publication's claims, judged, its two questions on near classes,
answered, and its five tables: beside ours on FSDKaggle2018, its own corpus, and by
themselves on another one. labels.png, targeted.png and spectrograms.png are its
figures. Pair classes are the publication's, as far as the corpus has them; of another
corpus six are drawn once.

--preset=small has a quarter of the channels, 30 clips, 30 ordered pairs and
Carlini-Wagner with 2 x 1,000 steps: on 2 cores about seven hours for ESC-10.
--num_points=15 takes half the clips, for a second corpus. The publication's sizes:
--preset=publication, whose --dry_run tells its cells, memory and time.
"""

import pathlib

from advjax.representations import LogMelChunks
from experiments import app, flags, requests
from experiments.lab import grid
from experiments.lab.cells import Cell, product
from experiments.studies.sound_events import sizes, tables
from experiments.studies.sound_events.answers import Answers
from experiments.studies.sound_events.attacks import AttackClips, plans
from experiments.studies.sound_events.costs import COSTS
from experiments.studies.sound_events.example import ATTACKS as SHOWN
from experiments.studies.sound_events.example import ShownExample
from experiments.studies.sound_events.examples import is_complete
from experiments.studies.sound_events.features import AtFeatures
from experiments.studies.sound_events.questions import ClassDistances
from experiments.studies.sound_events.sizes import Size
from experiments.studies.sound_events.systems import KINDS, Clean, SoundTask

FLAGS = (
    *(flags.CORPUS, flags.CORPUS_DIR, flags.NUM_STEPS, flags.BATCH_SIZE, flags.OUT),
    *(flags.NUM_POINTS, *flags.SOUND_FLAGS),
    *flags.GRID_FLAGS,
    *flags.RUN_FLAGS,
)


def models() -> list[str]:
    """The networks that --models names.

    Raises:
        ValueError: an unknown network, or one not on log-mels in --feature_level.
    """
    found = flags.MODELS.value or list(KINDS)
    if unknown := [name for name in found if name not in KINDS]:
        raise ValueError(
            f"--models: no {', '.join(unknown)}; there are: {', '.join(KINDS)}"
        )
    known = [n for n, kind in KINDS.items() if isinstance(kind.front_end, LogMelChunks)]
    for name in flags.FEATURE_LEVEL.value:
        if name not in known:
            raise ValueError(
                f"--feature_level: {name!r} is no network on log-mels; these are: "
                f"{', '.join(known)}"
            )
    return found


def cells(size: Size) -> list[Cell]:
    """The cells by their worth: untargeted attacks on all networks come first.

    Those with a target follow, and then the cells that read all these.
    """
    names, attacks = models(), plans(size, flags.SELECT.value)
    first = ["clean", *(name for name, plan in attacks.items() if not plan.targeted)]
    then = [name for name, plan in attacks.items() if plan.targeted]
    found = product(model=names, work=first)
    found.append(Cell("classes"))
    found += product(model=names, work=then)
    at_features = [name for name in names if name in flags.FEATURE_LEVEL.value]
    found += product(model=at_features, work=["features"])
    return [*found, *(Cell(f"{name}/answers") for name in names), Cell("example")]


def task(cell: Cell, size: Size) -> SoundTask | None:
    """The network and attacked clips of a cell; None for one of all networks."""
    name = cell.path.partition("/")[0]
    return _task(name, size) if name in KINDS else None


def _task(name: str, size: Size) -> SoundTask:
    return SoundTask(
        home=pathlib.Path(flags.HOME.value),
        corpus=flags.CORPUS.value,
        corpus_dir=flags.CORPUS_DIR.value,
        kind=name,
        size=size,
        seed=flags.SEED.value,
        attacked=flags.ATTACKED.value,
        pair_classes=tuple(flags.PAIR_CLASSES.value or ()),
    )


def work(cell: Cell, size: Size) -> dict[str, grid.Step]:
    """The one step of a cell."""
    attacks, of = plans(size, flags.SELECT.value), cell.path.rpartition("/")[2]
    if of in attacks:
        return {"attack": AttackClips(attacks[of], size.num_slots)}
    if of == "answers":
        made = [name for name in attacks if name not in ("noise", "fgsm")]
        folders = [f"{model}/{name}" for model in KINDS for name in made]
        return {"answers": Answers(folders, flags.TRANSFORMS.value)}
    if of == "example":
        tasks = {name: _task(name, size) for name in models()}
        titles = {name: attacks[name].title for name in SHOWN}
        return {"example": ShownExample(tasks, titles)}
    if of == "classes":
        return {"distances": ClassDistances(_task(models()[0], size))}
    return {of: Clean() if of == "clean" else AtFeatures()}


STUDY = grid.Study(
    name="sound_events",
    cells=cells,
    presets=sizes.PRESETS,
    sized=sizes.sized,
    task=task,
    steps=work,
    report=lambda found: tables.report(found, flags.SELECT.value),
    together=("work",),
    complete=is_complete,
    costs=COSTS,
)


def main() -> None:
    """Run the cells that the flags choose, then report."""
    grid.run(STUDY, requests.study(STUDY.name), app.environment())
