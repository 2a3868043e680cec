"""Every flag of programs and studies, each defined once.

A program names its own: `flags.declare(__name__, *flags.MODEL_FLAGS, flags.OUT)`. Its
`--help` lists these, and `app.run` refuses others. Those of one benchmark alone are in
`benchmarks.flags`.

Names in help texts are read from the source of the tables: importing these would
import JAX.
"""

import sys
from typing import Any

from absl import flags

from data_prep import program
from data_prep.path_flags import define_path, define_paths
from experiments.table_names import names_in

_STAGES = ", ".join(names_in("advjax.representations", "REPRESENTATIONS"))
_PRESETS = ", ".join(names_in("advjax.representations", "PRESETS"))
_MODELS = ", ".join(names_in("advjax.models", "MODELS"))
_NOISES = ", ".join(names_in("advjax.smoothing", "NOISES"))
_BOUNDS = names_in("advjax.smoothing", "BOUNDS")
_DEFENCES = ", ".join(names_in("advjax.defences", "DEFENCES"))
_ATTACKS = ", ".join(names_in("advjax.attacks", "ATTACKS"))
_CORPORA = ", ".join(names_in("data_prep.corpora", "CORPORA"))

# ---- the task: data, features, network and training ------------------------------

REP = flags.DEFINE_string(
    "rep",
    "mfbe",
    "Stage of the chain at which noise or a perturbation enters, in training too: a "
    f"stage of --features ({_STAGES}).",
)
FEATURES = flags.DEFINE_string(
    "features",
    "mfbe",
    "Input of the network, with options if any: mfbe, or 'mfbe(num_bands=40)'. There "
    f"are: {_STAGES}, and images of publications: {_PRESETS}, or "
    "'dwt_tonnetz(seconds=4.0, scale=14)'.",
)
SIGMA = flags.DEFINE_float(
    "sigma", 0.25, "Standard deviation of the smoothing noise, in the units of --rep."
)
NOISE = flags.DEFINE_string(
    "noise",
    "gaussian",
    f"Noise distribution of the smoothing, of {_NOISES}. gaussian gives an l2 radius, "
    "uniform l1, gain a radius in nepers of level; at --rep=waveform, coloured an "
    "ellipsoid (curve='a_weighting', 'threshold_in_quiet' or 'corpus', the training "
    "clips' mean spectrum), pcm16 l2 that is exact for 16-bit clips, and masked none: "
    "it is for attacks. --sigma says how much of it, as power.",
)
DEFENCE = flags.DEFINE_string(
    "defence",
    None,
    f"Training of the network, with options if any: {_DEFENCES}. gaussian adds noise "
    "of --sigma at --rep in every step ('gaussian(sigma=0.5)' adds other noise) and "
    "noisy that of --noise; consistency, smooth_adv and macer aim at larger radii; "
    "the adversarial ones take 'eps=0.05'. Default: plain for what attacks, gaussian "
    "for the rest, or noisy with another --noise.",
)
MODEL = flags.DEFINE_string(
    "model",
    None,
    f"The network, of {_MODELS}; with options if any: 'resnet18(width=16, "
    "resize=None)'. alexnet, googlenet, vgg16 and the resnets take images; vgg13, "
    "crnn and gcnn (chunks of) log-mels; dense_mel and dense_wav waveforms. surf_svm "
    "is the classical pipeline on images, fitted stage by stage, and guarded a "
    "network behind its first stages. Default 'rescnn(width=8, dropout=0.2)' on a "
    "CPU, and the published 'rescnn(width=64)' on an accelerator.",
)
CLASSIFIER = define_path(
    "classifier",
    None,
    "Folder of a trained classifier; default: one trained for these flags, in --home.",
)
NUM_STEPS = flags.DEFINE_integer(
    "num_steps", None, "Training steps; default sized for the machine.", lower_bound=1
)
BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", None, "Examples in a training step.", lower_bound=1
)
CORPUS = flags.DEFINE_string(
    "corpus",
    "voices",
    f"The audio, of {_CORPORA}. voices are synthetic speakers, with nothing to "
    "download; the last three are environmental sound. With options if any: "
    "'voices(num_speakers=20)', \"esc50(fold=2,pitch_shift='resample')\".",
)
CORPUS_DIR = define_path(
    "corpus_dir", None, "Folder of a real corpus, in its official layout."
)
RECORDS = define_path(
    "records", None, "Folder of records that exist; default: built from --corpus."
)
ON_ERROR = flags.DEFINE_enum(
    "on_error", "stop", ["stop", "skip"], "Effect of an unreadable file on a build."
)
MODEL_FLAGS = (
    *(REP, FEATURES, SIGMA, NOISE, DEFENCE),
    *(MODEL, CLASSIFIER, NUM_STEPS, BATCH_SIZE),
)
DATA_FLAGS = (CORPUS, CORPUS_DIR, RECORDS, ON_ERROR)

# ---- the run: folders, the machine, the other processes --------------------------

HOME = define_path(
    "home", "runs", "Where everything that has no folder of its own goes."
)
WORKDIR = define_path(
    "workdir", None, "Folder of this run's results; default: one in --home."
)
OUT = define_path("out", None, "Folder of the report.")
RUNS = define_paths(
    "runs", [], "Folders of runs, separated by commas; or give the flag again."
)
CLASSIFIERS = define_paths("classifiers", [], "Folders of further classifiers to ask.")
NUM_POINTS = flags.DEFINE_integer(
    "num_points", None, "Test examples, spread over the split; default by machine."
)
SEED = program.define_seed("Root of all randomness.")
CACHE = flags.DEFINE_bool(
    "compile_cache", True, "Keep compiled programs in --home for the next start."
)
XLA_SETTINGS = flags.DEFINE_bool(
    "xla_settings",
    True,
    "Set what was measured to help XLA on this backend; run.json has these settings.",
)
COORDINATOR = flags.DEFINE_string(
    "coordinator",
    None,
    "HOST:PORT of process 0, for several processes that share a run and see the same "
    "--home; with --num_processes and --process_id.",
)
NUM_PROCESSES = flags.DEFINE_integer(
    "num_processes", None, "How many processes share the run: as a rule one a host."
)
PROCESS_ID = flags.DEFINE_integer(
    "process_id", None, "Which of the processes this is, from 0."
)
CLUSTER = flags.DEFINE_bool(
    "cluster",
    False,
    "Ask the cluster's environment for the other processes: Slurm, Cloud TPU, Open "
    "MPI or Kubernetes.",
)
RUN_FLAGS = (HOME, SEED, CACHE, XLA_SETTINGS)
PROCESS_FLAGS = (COORDINATOR, NUM_PROCESSES, PROCESS_ID, CLUSTER)

# ---- certificates ----------------------------------------------------------------

NUM_SELECTION = flags.DEFINE_integer(
    "num_selection", None, "Votes that choose the class (n0); default 100 on CPU, 500."
)
NUM_ESTIMATION = flags.DEFINE_integer(
    "num_estimation", None, "Fresh votes that bound its share (n); default 1000, 10000."
)
ALPHA = flags.DEFINE_float("alpha", 1e-3, "Failure probability of each certificate.")
BOUND = flags.DEFINE_enum(
    "bound",
    _BOUNDS[0],
    _BOUNDS,
    "What a certificate rests on. clopper_pearson: --num_estimation votes for every "
    "point. sequential: a point's votes stop once it is known at which of --radii it "
    "is certified, and at --num_estimation at the latest; --alpha holds all the same. "
    "Clear points take a few dozen votes. It costs a little of the largest radius. "
    "Only these radii are tested; the curve between them is a lower bound.",
)
RADII = flags.DEFINE_list(
    "radii",
    None,
    "Radii of the table, in the units of --rep, and those that --bound=sequential "
    "tests; default: the publication's.",
)
PRECISION = flags.DEFINE_enum(
    "precision",
    "float32",
    ["float32", "tf32", "bfloat16"],
    "That of the network; the front end and the noise stay in float32. A certificate "
    "is for the network in this precision.",
)
TILE = flags.DEFINE_integer(
    "tile",
    None,
    "Noisy copies of a point evaluated at once; default 20 on a CPU and 1000 on an "
    "accelerator, or as many as memory holds; 20 with --bound=sequential. Another tile "
    "draws other noise.",
    lower_bound=1,
)
PROFILE = define_path(
    "profile", None, "Folder for a JAX trace of some dispatches in the steady state."
)
CERTIFY_FLAGS = (
    *(NUM_SELECTION, NUM_ESTIMATION, ALPHA, BOUND),
    *(RADII, PRECISION, TILE, PROFILE),
)

# ---- attacks ---------------------------------------------------------------------

ATTACK = flags.DEFINE_multi_string(
    "attack",
    ["pgd"],
    "The attack, with options if any: 'pgd(num_steps=40)'; give it again for more. "
    f"There are: {_ATTACKS}.",
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
ATTACK_FLAGS = (
    *(ATTACK, BUDGET, TARGET, SLOTS),
    *(SAVE_AUDIO, AUDIO_FORMAT, EXAMPLES, AUDIBLE),
)
EOT_ATTACK = flags.DEFINE_multi_string(
    "eot_attack",
    None,
    "Attack on the mean over noise, with options; again for more. Default: PGD, "
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
EOT_FLAGS = (EOT_ATTACK, FRACTIONS, NUM_DRAWS, NUM_VOTES)

# ---- studies ---------------------------------------------------------------------

CELLS = flags.DEFINE_string(
    "cells",
    "*",
    "Cells of the grid to run: names with wildcards, separated by commas.",
)
SHARE = flags.DEFINE_string(
    "share", "0/1", "I/N: of what is shared, every N-th one, from the I-th one on."
)
PRESET = flags.DEFINE_enum(
    "preset",
    None,
    ["small", "medium", "publication"],
    "Sizes that other flags leave open: small for a few CPU cores, medium for a short "
    "run on an accelerator, publication for those of the paper. Default: small for "
    "studies and on a CPU, publication on an accelerator.",
)
DRY_RUN = flags.DEFINE_bool(
    "dry_run", False, "Print the study's cells, time and memory, and run none of them."
)
GRID_FLAGS = (CELLS, SHARE, PRESET, DRY_RUN)
VOTES = flags.DEFINE_integer(
    "votes", None, "Votes a crop (n); default by --preset.", lower_bound=1
)
CROPS = flags.DEFINE_integer(
    "crops", None, "Training crops a speaker; default by --preset.", lower_bound=1
)
ESC50_DIR = define_path("esc50_dir", None, "The folder of ESC-50.")
URBANSOUND8K_DIR = define_path("urbansound8k_dir", None, "The folder of UrbanSound8K.")
PITCH_SHIFT = flags.DEFINE_enum(
    "pitch_shift",
    "resample",
    ["resample", "phase_vocoder", "none"],
    "How the four pitch-shifted copies of each training clip are made.",
)
SCALE = flags.DEFINE_float("scale", None, "Divides the sides of the images.")
FOLDS = flags.DEFINE_list("folds", ["1"], "Official folds to test on.")
IMAGE_FLAGS = (ESC50_DIR, URBANSOUND8K_DIR, PITCH_SHIFT, SCALE, FOLDS, NUM_POINTS)
REPRESENTATION = flags.DEFINE_multi_string(
    "representation",
    None,
    "Features to compute, with options if any: 'mfbe(num_bands=40)'; give it again for "
    "more.",
)
NETWORK = flags.DEFINE_multi_string(
    "network",
    None,
    "A network of the study, with options if any: 'resnet18(width=16)'; give it again "
    "for more.",
)
MODELS = flags.DEFINE_list(
    "models", None, "Networks of the study, by name alone; default: all."
)
ATTACKS = flags.DEFINE_list("attacks", None, "Attacks to run; default: all.")
EPS = flags.DEFINE_float(
    "eps",
    None,
    "linf norm of adversarial training, or of FGSM and PGD; default by program.",
)
CW_STEPS = flags.DEFINE_integer(
    "cw_steps", None, "Steps of Carlini-Wagner's for each constant.", lower_bound=1
)
CERTIFY = flags.DEFINE_bool("certify", True, "Certify the pipeline and AlexNet.")
MAX_SECONDS = flags.DEFINE_float(
    "max_seconds",
    None,
    "Longer clips are not attacked: every two seconds more are a program to compile.",
    lower_bound=0.0,
)
ATTACKED = flags.DEFINE_enum(
    "attacked",
    "train",
    ["train", "test"],
    "Split of the attacked clips: the publication takes training clips.",
)
PAIR_CLASSES = flags.DEFINE_list(
    "pair_classes",
    None,
    "Classes between which targeted attacks lead, each to each; default: the first few "
    "that have a clip.",
)
SELECT = flags.DEFINE_enum(
    "select",
    "min",
    ["min", "max"],
    "Which boundary DeepFool moves to: the nearest (the paper) or the farthest (what "
    "the authors' code does).",
)
REMOVE_SILENCE = flags.DEFINE_bool(
    "remove_silence", True, "Remove silence from training clips, as Iqbal et al."
)
TRANSFORMS = flags.DEFINE_bool(
    "transforms", True, "Measure which examples survive compression, noise and rooms."
)
FEATURE_LEVEL = flags.DEFINE_list(
    "feature_level",
    ["vgg13"],
    "Networks on log-mels that are also attacked there, and played by Griffin-Lim.",
)
WIDTH_SHARE = flags.DEFINE_float(
    "width_share", None, "Share of the published channels.", lower_bound=0.0
)
SOUND_FLAGS = (
    *(MODELS, NUM_POINTS, MAX_SECONDS, ATTACKED, PAIR_CLASSES, SELECT, CW_STEPS),
    *(REMOVE_SILENCE, TRANSFORMS, FEATURE_LEVEL, WIDTH_SHARE),
)


# ---- whose they are --------------------------------------------------------------


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


def value_or(flag: flags.FlagHolder, default: Any) -> Any:
    """The value of a flag, or the default of this program."""
    return default if flag.value is None else flag.value


def is_set(flag: flags.FlagHolder) -> bool:
    """True if the flag has another value than its default."""
    return not flags.FLAGS[flag.name].using_default_value
