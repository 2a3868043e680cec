"""What every experiment shares: flags, the start of a run, and readable failures.

JAX and all that needs it are imported once the flags are read: `--help` does without.
"""

import dataclasses
import importlib.metadata
import os
import pathlib
import platform
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from absl import flags

from advjax.runtime import failures
from data_prep import program
from data_prep.path_flags import define_path, define_paths

if TYPE_CHECKING:
    from experiments.lab import pipeline

# Those of advjax.representations: REPRESENTATIONS, and PRESETS that set options.
_STAGES = (
    "waveform, magnitude, mfbe, logmel, melmag, log1pmel, logmel_chunks, "
    "constant_q_chunks, scalogram, chroma, tonnetz, image, stacked, cross_recurrence"
)
_PRESETS = "stft, dwt, stft_tonnetz, dwt_tonnetz, crp"

REP = flags.DEFINE_string(
    "rep",
    "mfbe",
    "Stage of the chain at which noise or a perturbation enters, in training too: a "
    f"stage of --features ({_STAGES}).",
)
FEATURES = flags.DEFINE_string(
    "features",
    "mfbe",
    "What the network takes in, with options if any: mfbe, or 'mfbe(num_bands=40)'. "
    f"There are: {_STAGES}, and images of publications: {_PRESETS}, or "
    "'dwt_tonnetz(seconds=4.0, scale=14)'.",
)
SIGMA = flags.DEFINE_float(
    "sigma", 0.25, "Standard deviation of the smoothing noise, in the units of --rep."
)
NOISE = flags.DEFINE_string(
    "noise",
    "gaussian",
    "The smoothing law: gaussian (an l2 radius), uniform (l1), gain (of level, in "
    "nepers), and at --rep=waveform coloured (an ellipsoid, by curve='a_weighting', "
    "'threshold_in_quiet' or 'corpus', the training clips' mean spectrum), pcm16 (l2, "
    "exact for 16-bit clips) or masked (no certificate: for attacks); --sigma says how "
    "much, as power.",
)
DEFENCE = flags.DEFINE_string(
    "defence",
    None,
    "How the network is trained: 'gaussian' (noise of --sigma at --rep in every step), "
    "'gaussian(sigma=0.5)', 'noisy' (that of --noise), 'consistency', 'smooth_adv' or "
    "'macer' (for longer radii), 'plain' (the publication's choice), "
    "'fused_adversarial(eps=0.05)', 'pgd_adversarial(eps=0.05)' or 'mixup'. Default: "
    "plain for what attacks, gaussian for the rest, or noisy with another --noise.",
)
MODEL = flags.DEFINE_string(
    "model",
    None,
    "The network: rescnn, for images alexnet, googlenet, vgg16, resnet18, resnet34 or "
    "resnet56, for (chunks of) log-mels vgg13, crnn or gcnn, for waveforms dense_mel "
    "or dense_wav; surf_svm, the classical pipeline on images, fitted stage by stage, "
    "and guarded, a network behind its first stages; with options if any: "
    "'resnet18(width=16, resize=None)'. Default "
    "'rescnn(width=8, dropout=0.2)' on a CPU, and the published 'rescnn(width=64)' on "
    "an accelerator.",
)
CORPUS = flags.DEFINE_string(
    "corpus",
    "voices",
    "The audio: voices (synthetic speakers, nothing to download), librispeech, "
    "free_spoken_digits, esc50, urbansound8k or fsdkaggle2018 (environmental sound), "
    "with options if any: 'voices(num_speakers=20)', "
    "\"esc50(fold=2,pitch_shift='resample')\".",
)
CORPUS_DIR = define_path(
    "corpus_dir", None, "Folder of a real corpus, in its official layout."
)
ON_ERROR = flags.DEFINE_enum(
    "on_error",
    "stop",
    ["stop", "skip"],
    "What an unreadable audio file does to a build.",
)
RECORDS = define_path(
    "records", None, "Folder of records that exist; default: built from --corpus."
)
CLASSIFIER = define_path(
    "classifier",
    None,
    "Folder of a trained classifier; default: one trained for these flags, in --home.",
)
HOME = define_path(
    "home", "runs", "Where everything that has no folder of its own goes."
)
WORKDIR = define_path(
    "workdir", None, "Folder of this run's results; default: one in --home."
)
NUM_POINTS = flags.DEFINE_integer(
    "num_points", None, "Test examples, spread over the split; default 30 on CPU, 300."
)
RUNS = define_paths(
    "runs", [], "Folders of runs, separated by commas; or give the flag again."
)
OUT = define_path("out", None, "Folder of the report.")
SEED = program.define_seed("Root of all randomness.")
NUM_STEPS = flags.DEFINE_integer(
    "num_steps", None, "Training steps; default sized for the machine.", lower_bound=1
)
BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", None, "Examples in a training step.", lower_bound=1
)
CACHE = flags.DEFINE_bool(
    "compile_cache", True, "Keep compiled programs in --home for the next start."
)
XLA_SETTINGS = flags.DEFINE_bool(
    "xla_settings",
    True,
    "Set what was measured to help XLA on this backend; the program names what it set.",
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
program.define_debug(flags.FLAGS)

MODEL_FLAGS = (
    REP, FEATURES, SIGMA, NOISE, DEFENCE, MODEL, CLASSIFIER, NUM_STEPS, BATCH_SIZE,
)  # fmt: skip
DATA_FLAGS = (CORPUS, CORPUS_DIR, RECORDS, ON_ERROR)
RUN_FLAGS = (HOME, SEED, CACHE, XLA_SETTINGS)
PROCESS_FLAGS = (COORDINATOR, NUM_PROCESSES, PROCESS_ID, CLUSTER)


def declare_key(*holders: flags.FlagHolder) -> None:
    """Make `--help` of the calling script list these shared flags."""
    for holder in holders:
        flags.FLAGS.register_key_flag_for_module(
            sys._getframe(1).f_globals["__name__"].replace("__main__", sys.argv[0]),
            flags.FLAGS[holder.name],
        )


def task(*, defence: str = "gaussian") -> "pipeline.Task":
    """The task that the flags describe; `defence` is for those who gave no --defence.

    A smoothed classifier needs noise in training. One to attack does not, and at the
    waveform, noise as loud as smoothing takes there leaves it at chance.
    """
    _need_packages()
    import jax

    from advjax.runtime.compilation import compiler_options
    from experiments.lab import pipeline

    if settings := compiler_options():
        text = ", ".join(f"{name}={value}" for name, value in settings.items())
        pipeline.say(f"settings    {text} (--noxla_settings: none)")
    size = pipeline.size_of(jax.default_backend())
    given = {"num_steps": NUM_STEPS.value, "batch_size": BATCH_SIZE.value}
    changes = {name: value for name, value in given.items() if value is not None}
    recipe = dataclasses.replace(size.recipe, **changes)
    return pipeline.Task(
        home=pathlib.Path(HOME.value),
        corpus=CORPUS.value,
        corpus_dir=CORPUS_DIR.value,
        on_error=ON_ERROR.value,
        features=FEATURES.value,
        at=REP.value,
        sigma=SIGMA.value,
        noise_choice=NOISE.value,
        defence=DEFENCE.value or _default_defence(defence),
        model=MODEL.value or size.model,
        crops=size.crops,
        recipe=recipe,
        seed=SEED.value,
        records_folder=RECORDS.value,
        classifier_folder=CLASSIFIER.value,
    )


def _need_packages() -> None:
    """Refuse to start without a package that only a later step would miss."""
    if RECORDS.value is None:
        failures.need(
            "array_record",
            "importlib_resources",
            "tensorflow_datasets",
            liked=["matplotlib"],
        )
    fitted = (MODEL.value or "").partition("(")[0].strip() in ("surf_svm", "guarded")
    if fitted and CLASSIFIER.value is None:
        failures.need("sklearn")


def _default_defence(defence: str) -> str:
    other_law = NOISE.value != "gaussian"
    return "noisy" if defence == "gaussian" and other_law else defence


def environment() -> dict[str, Any]:
    """Where a run's rows come from: versions, device, source revision, flags given."""
    import jax

    packages = ("jax", "jaxlib", "flax", "optax", "numpy", "scipy")
    return {
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "python": platform.python_version(),
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "processes": jax.process_count(),
        "machine": platform.machine(),
        "git": revision(),
    }


def revision() -> str:
    """The commit of the code that runs; without a checkout, the version of the package.

    A repository around an installed package says nothing about the package, nor does
    one that the environment points to.
    """
    here = pathlib.Path(__file__).resolve()
    root = here.parents[1]
    try:
        top = _git(root, "rev-parse", "--show-toplevel")
        if top and os.path.samefile(top, root):
            # Fails where the file is not tracked.
            _git(root, "ls-files", "--error-unmatch", "--", str(here))
            return _git(root, "describe", "--always", "--dirty")
    except (OSError, subprocess.SubprocessError):
        pass
    import advjax

    return f"advjax {advjax.__version__}, no checkout"


def _git(folder: pathlib.Path, *arguments: str) -> str:
    """Output of git in `folder`, whatever the environment says of repositories."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("GIT_")
    }
    return subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        check=True,
        encoding="utf-8",
        errors="replace",
        env=environment,
        stdin=subprocess.DEVNULL,
        timeout=10,
    ).stdout.strip()


def run(
    main: Callable[[], None],
    *,
    several_processes: bool = False,
    device_per_core: bool = False,
) -> None:
    """Parse the flags, join the other processes, run `main`; see `data_prep.program`.

    Args:
        main: the program.
        several_processes: it can share its work; others refuse the flags for that.
        device_per_core: on a CPU, its programs are spread over several devices.
    """
    program.run(lambda argv: _start(main, several_processes, device_per_core))


def _start(
    main: Callable[[], None], several_processes: bool, device_per_core: bool = False
) -> None:
    from advjax.runtime import compilation, interrupts, parallel

    given = [flag for flag in PROCESS_FLAGS if flags.FLAGS[flag.name].present]
    if given and not several_processes:
        raise ValueError(
            f"this program runs in one process: leave out --{given[0].name}"
        )
    if CACHE.value:
        compilation.use_disk_cache(pathlib.Path(HOME.value) / "compiled")
    if not XLA_SETTINGS.value:
        compilation.leave_xla_alone()
    elif device_per_core:
        parallel.device_per_core()
    parallel.start_processes(
        COORDINATOR.value,
        NUM_PROCESSES.value,
        PROCESS_ID.value,
        cluster=CLUSTER.value,
    )
    # Where processes join, JAX takes SIGTERM for itself.
    interrupts.install()
    with parallel.telling_failures():
        main()
