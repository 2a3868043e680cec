"""Every flag of programs and studies, each defined once.

A program names its own: `flags.declare(__name__, *flags.MODEL_FLAGS, flags.OUT)`. Its
`--help` lists these, and `app.run` refuses others. Those of one benchmark alone are in
`benchmarks.flags`.

Names in help texts are read from the source of the tables: importing these would
import JAX.
"""

import pathlib
import sys
from collections.abc import Iterable
from typing import Any

from absl import flags

from data_prep import program
from data_prep.choices import define_choice, names_in
from data_prep.path_flags import define_path, define_paths
from experiments.attack_flags import *  # noqa: F403 (programs name all flags alike)
from experiments.attack_flags import ATTACK_FLAGS, EOT_FLAGS
from experiments.model_flags import *  # noqa: F403 (programs name all flags alike)
from experiments.model_flags import (
    BATCH_SIZE,
    CLASSIFIER,
    FILE,
    MODEL,
    NETWORK_FLAGS,
    NUM_STEPS,
    TO,
    WEIGHTS,
)
from experiments.study_flags import *  # noqa: F403 (programs name all flags alike)
from experiments.study_flags import PRESET, STUDY_FLAGS

_BOUNDS = names_in("advjax.smoothing", "BOUNDS")


# ---- the task: audio, features, network and training -----------------------------

REP = define_choice(
    "rep",
    "representation",
    "mfbe",
    "Stage of --features at which noise or a perturbation is added, in training too, "
    "such as waveform, magnitude or mfbe; for a network of your own, by default its "
    "input. All stages: {}.",
)
FEATURES = define_choice(
    "features",
    "representation or preset",
    "mfbe",
    "Input of the network, with options if any: 'mfbe(num_bands=40)'. One of {}.",
)
SIGMA = flags.DEFINE_float(
    "sigma", 0.25, "Standard deviation of the smoothing noise, in the units of --rep."
)
NOISE = define_choice(
    "noise",
    "noise distribution",
    "gaussian",
    "Noise distribution of the smoothing, one of {}. Radii are l2 norms for gaussian "
    "and pcm16 (exact for 16-bit clips), l1 norms for uniform, nepers of level for "
    "gain, and ellipsoids for coloured: coloured(curve='a_weighting'), "
    "'threshold_in_quiet' or 'corpus', the mean spectrum of the training clips. "
    "masked gives no radius and is for attacks. coloured, pcm16 and masked need "
    "--rep=waveform. --sigma sets the power.",
)
DEFENCE = define_choice(
    "defence",
    "training",
    None,
    "Training of the network, with options if any, one of {}. gaussian adds noise of "
    "--sigma at --rep ('gaussian(sigma=0.5)' adds other noise), noisy adds that of "
    "--noise. consistency, smooth_adv and macer train for larger radii. The default "
    "is plain for attacks; otherwise gaussian, or noisy with another --noise.",
)
CORPUS = define_choice(
    "corpus",
    "corpus",
    "voices",
    "Corpus, with options if any: 'voices(num_speakers=20)' or "
    "\"esc50(fold=2,pitch_shift='resample')\". One of {}. voices are synthetic "
    "speakers and need no download; folder is a folder of your own recordings.",
)
CORPUS_DIR = define_path(
    "corpus_dir",
    None,
    "Folder of your own recordings, or of a downloaded corpus in its official layout. "
    "The default, none, is for voices.",
)
RECORDS = define_path(
    "records",
    None,
    "Folder of existing records. By default built from --corpus.",
)
ON_ERROR = flags.DEFINE_enum(
    "on_error",
    "stop",
    ["stop", "skip"],
    "Reaction to a recording that cannot be read: stop, or skip it and list it.",
)
MODEL_FLAGS = (
    *(REP, FEATURES, SIGMA, NOISE, DEFENCE),
    *NETWORK_FLAGS,
)
DATA_FLAGS = (CORPUS, CORPUS_DIR, RECORDS, ON_ERROR)

# ---- the run: folders, the machine, the other processes --------------------------

HOME = define_path(
    "home",
    "runs",
    "Folder for records, classifiers, runs and compiled programs.",
)
WORKDIR = define_path(
    "workdir", None, "Folder of this run's results. By default a folder in --home."
)
OUT = define_path(
    "out",
    None,
    "Folder of the report. By default chosen and printed.",
)
LOG = flags.DEFINE_enum(
    "log",
    None,
    ["tensorboard"],
    "Write the metrics of a training to tensorboard in --home, for TensorBoard; needs "
    "tensorboardX. By default none.",
)
RUN = define_path(
    "run",
    None,
    "Folder of a run of certify or attack, or of a classifier of train. It decides "
    "classifier, records, stage, sigma and noise in the place of their flags. By "
    "default these flags do.",
)
RUNS = define_paths(
    "runs",
    [],
    "Folders of runs (required), separated by commas or each with a flag of its own.",
)
CLASSIFIERS = define_paths(
    "classifiers",
    [],
    "Folders of further classifiers to evaluate, or networks as in --classifier. By "
    "default none.",
    networks=True,
)
NUM_POINTS = flags.DEFINE_integer(
    "num_points",
    None,
    "Test clips, spread evenly over the test split. The default is that of "
    "--preset: 30 for small, 300 for publication; studies have their own.",
)
SEED = program.define_seed(
    "Seed of the data, the training, the noise and the attacks: the same seed on the "
    "same machine gives the same results, on a GPU up to rounding."
)
CACHE = flags.DEFINE_bool(
    "compile_cache", True, "Keep compiled programs in --home for later starts."
)
XLA_SETTINGS = flags.DEFINE_bool(
    "xla_settings",
    True,
    "Set XLA options that measured faster on this backend. run.json records them.",
)
CONVOLUTIONS = flags.DEFINE_enum(
    "convolutions",
    None,
    ["avx2", "avx512"],
    "On a CPU, compute convolutions as is fastest on this kind of processor. The "
    "default is this machine's. Results differ by rounding; run.json records it.",
)
COORDINATOR = flags.DEFINE_string(
    "coordinator",
    None,
    "HOST:PORT of process 0, for several processes that share a run and see the same "
    "--home. Needs --num_processes and --process_id. The default is a single process.",
)
NUM_PROCESSES = flags.DEFINE_integer(
    "num_processes",
    None,
    "Number of processes that share the run, usually one a host. The default is one.",
)
PROCESS_ID = flags.DEFINE_integer(
    "process_id",
    None,
    "Index of this process, from 0 to --num_processes - 1. No default.",
)
CLUSTER = flags.DEFINE_bool(
    "cluster",
    False,
    "Find the other processes in the environment of Slurm, Cloud TPU, Open MPI or "
    "Kubernetes.",
)
_ROOMS = ("certify", "attack", "shifts", "classifiers")
"""Folders of a home that hold what --run names."""
RUN_FLAGS = (HOME, SEED, CACHE, XLA_SETTINGS, CONVOLUTIONS)
PROCESS_FLAGS = (COORDINATOR, NUM_PROCESSES, PROCESS_ID, CLUSTER)

# ---- certificates ----------------------------------------------------------------

NUM_SELECTION = flags.DEFINE_integer(
    "num_selection",
    None,
    "Votes that select the class of a clip (n0). The default is that of "
    "--preset: 100 for small, 500 for publication.",
    lower_bound=1,
)
NUM_ESTIMATION = flags.DEFINE_integer(
    "num_estimation",
    None,
    "Fresh votes that bound the probability of that class (n). The default is that "
    "of --preset: 1,000 for small, 10,000 for publication.",
    lower_bound=1,
)
ALPHA = flags.DEFINE_float("alpha", 1e-3, "Failure probability of each certificate.")
BOUND = flags.DEFINE_enum(
    "bound",
    _BOUNDS[0],
    _BOUNDS,
    "Confidence bound. clopper_pearson draws --num_estimation votes for every clip. "
    "sequential stops once it is known which of --radii are certified, at the latest "
    "after --num_estimation votes; --alpha still holds. Clear clips take a few dozen "
    "votes, and the largest radius becomes slightly smaller. Only --radii are tested; "
    "the curve between them is a lower bound.",
)
RADII = flags.DEFINE_list(
    "radii",
    None,
    "Radii of the table, in the units of --rep; --bound=sequential tests these. The "
    "default is 0.01, 0.05, 0.25 and so on to 1.5 in steps of 0.25.",
)
PRECISION = flags.DEFINE_enum(
    "precision",
    "float32",
    ["float32", "tf32", "bfloat16"],
    "Number format of the network; the front end and the noise stay in float32. "
    "Certificates and attacks are those of the network in this format. `train` trains "
    "in it, with weights, loss and statistics in float32; other programs train in "
    "float32.",
)
ENGINE = flags.DEFINE_enum(
    "engine",
    "jax",
    ["jax", "openvino"],
    "Evaluation of the network. openvino is for CPUs, in float32 or, where the "
    "processor multiplies it, in bfloat16; noise and front end stay in JAX. "
    "Certificates are those of the network as openvino evaluates it. It has no "
    "gradients: attacks on a smoothed classifier take JAX's, and its votes judge them. "
    "Needs OpenVINO.",
)
TILE = flags.DEFINE_integer(
    "tile",
    None,
    "Noisy copies of a clip evaluated at once. Another tile draws other noise. The "
    "default is 20 on a CPU or with --bound=sequential; on an accelerator 1,000, or as "
    "many as its memory holds.",
    lower_bound=1,
)
PROFILE = define_path(
    "profile", None, "Folder for a JAX trace of the running program. By default none."
)
CERTIFY_FLAGS = (
    *(NUM_SELECTION, NUM_ESTIMATION, ALPHA, RADII),
    *(BOUND, PRECISION, ENGINE, TILE, PROFILE),
)

MAX_SHIFT = flags.DEFINE_integer(
    "max_shift",
    160,
    "Largest time shift that is voted on, in samples; no certificate is larger. The "
    "default is 10 ms at 16 kHz.",
    lower_bound=1,
)
SHIFT_STEP = flags.DEFINE_integer(
    "shift_step",
    1,
    "Samples between the shifts that are voted on. Only its multiples are certified.",
    lower_bound=1,
)
SHIFT_FLAGS = (MAX_SHIFT, SHIFT_STEP)

# ---- rehearsals --------------------------------------------------------------------

PROGRAMS = flags.DEFINE_list(
    "programs", ["*"], "Programs to compile: names with wildcards, such as certify-*."
)
MINUTES = flags.DEFINE_float(
    "minutes",
    None,
    "Time limit in minutes: of each compilation of a rehearsal, 30 by default, or of "
    "all parts of `benchmarks.accelerator` together, 9 by default.",
    lower_bound=0.1,
)
REHEARSAL_FLAGS = (PROGRAMS, MINUTES)

# ---- groups and owners -----------------------------------------------------------

GROUPS = {
    "runs": (RUN, RUNS, CLASSIFIERS),
    "study": STUDY_FLAGS,
    "attack": ATTACK_FLAGS,
    "rehearsal": REHEARSAL_FLAGS,
    "audio, features and network": (
        *(REP, SIGMA, CORPUS, CORPUS_DIR, MODEL, NUM_POINTS, PRESET, FEATURES),
        *(NOISE, DEFENCE, CLASSIFIER, WEIGHTS, RECORDS, SEED, NUM_STEPS, BATCH_SIZE),
        ON_ERROR,
    ),
    "certificates": CERTIFY_FLAGS,
    "certificates against shifts": SHIFT_FLAGS,
    "attack on the smoothed classifier": EOT_FLAGS,
    "output": (TO, FILE, HOME, WORKDIR, OUT, LOG),
    "devices and processes": (CACHE, XLA_SETTINGS, CONVOLUTIONS, *PROCESS_FLAGS),
}
"""Headings of `--help`, in order; flags of other modules come before them."""


def grouped(names: Iterable[str]) -> dict[str, list[flags.Flag]]:
    """Flags under the headings of `GROUPS`.

    Args:
        names: of the flags.
    """
    names = list(names)
    groups = {heading: [flag.name for flag in own] for heading, own in GROUPS.items()}
    known = {name for members in groups.values() for name in members}
    groups = {"benchmark": [name for name in names if name not in known], **groups}
    return {
        heading: [flags.FLAGS[name] for name in members if name in names]
        for heading, members in groups.items()
    }


def declare(module: str, *own: flags.FlagHolder) -> None:
    """Declare flags as those of a program.

    Args:
        module: `__name__` of the program.
        own: its flags.
    """
    for flag in own:
        flags.FLAGS.register_key_flag_for_module(
            sys.argv[0] if module == "__main__" else module, flags.FLAGS[flag.name]
        )


def home() -> pathlib.Path:
    """The folder of --home; without the flag, the home of --run if it lies in one."""
    run = pathlib.Path(RUN.value or "").absolute()
    if RUN.value and not is_set(HOME) and run.parent.name in _ROOMS:
        return run.parent.parent
    return pathlib.Path(HOME.value)


def value_or(flag: flags.FlagHolder, default: Any) -> Any:
    """The value of a flag, or the default of this program."""
    return default if flag.value is None else flag.value


def is_set(flag: flags.FlagHolder) -> bool:
    """True if the flag has another value than its default."""
    return not flags.FLAGS[flag.name].using_default_value
