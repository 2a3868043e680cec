"""Every flag that only benchmarks have, each defined once."""

from collections.abc import Iterable

from absl import flags

PARTS = flags.DEFINE_list("parts", None, "Parts to run, by name. The default is all.")
SMALL = flags.DEFINE_bool(
    "small", False, "Sizes that a few CPU cores do in minutes; figures mean little."
)
TURNS = flags.DEFINE_integer(
    "turns", 5, "Timed turns of each contestant.", lower_bound=1
)
TURN_S = flags.DEFINE_float(
    "turn_s", 2.0, "Least duration of a turn, in seconds; a turn is whole batches."
)
TURN_LIMIT_S = flags.DEFINE_float(
    "turn_limit_s", 300.0, "A rival that would take longer gets --slow_examples."
)
RIVALS = flags.DEFINE_list("rivals", None, "Packages to compare with; default: all.")
CLIPS = flags.DEFINE_list(
    "clips", ["1", "32", "256"], "Clips in a call, each number a contest."
)
IMAGE_CLIPS = flags.DEFINE_integer(
    "image_clips", 4, "Clips in a call of an image front end.", lower_bound=1
)
WIDTH = flags.DEFINE_integer(
    "width", 16, "Channels of the ResCNN's first stage.", lower_bound=1
)
WIDTHS = flags.DEFINE_list(
    "widths", ["16", "64"], "Several of these widths; 64 is the published one."
)
TILES = flags.DEFINE_list(
    "tiles", [], "Noisy copies that we evaluate at once; default by device."
)
BATCHES = flags.DEFINE_list(
    "batches", [], "Noisy copies that PyTorch evaluates at once; default by device."
)
SCALING = flags.DEFINE_bool(
    "scaling", True, "Measure the cost as n and clips grow, at the first width."
)
COMPILED = flags.DEFINE_bool("compiled", True, "Let torch.compile take part.")
BATCH_CHUNKS = flags.DEFINE_integer(
    "batch_chunks", 8, "Chunks in a batch, at most.", lower_bound=1
)
NUM_EXAMPLES = flags.DEFINE_integer(
    "num_examples", 32, "Correctly classified test examples to attack.", lower_bound=1
)
SLOW_EXAMPLES = flags.DEFINE_integer(
    "slow_examples", 2, "Examples of a rival that is too slow for all.", lower_bound=1
)
DRIVERS = flags.DEFINE_list(
    "ours",
    ["8", "16", "32", "vmap"],
    "Drivers of our attacks, each a row: run_batch with so many slots, or vmap of run.",
)
BOUNDS = flags.DEFINE_list(
    "bounds",
    None,
    "Least and greatest value of an entry; the frames of mfbe have norm 8. The default "
    "is that of the program.",
)
SNR_DB = flags.DEFINE_float(
    "snr_db", 50.0, "Signal-to-noise ratio of the budgets at the median example, in dB."
)
PGD_STEPS = flags.DEFINE_integer(
    "pgd_steps",
    None,
    "Steps of PGD. The default is that of the program.",
    lower_bound=1,
)
CW_SEARCHES = flags.DEFINE_integer(
    "cw_searches",
    None,
    "Constants that Carlini-Wagner tries. The default is that of the program.",
    lower_bound=1,
)
CW_CONSTANT = flags.DEFINE_float(
    "cw_constant",
    None,
    "First constant that Carlini-Wagner tries. The default is that of the program.",
)
CW_RATE = flags.DEFINE_float(
    "cw_rate",
    None,
    "Learning rate of Carlini-Wagner in tanh space, where the bounds are -1 and 1. The "
    "default is that of the program.",
)
GAMMA = flags.DEFINE_float(
    "gamma",
    None,
    "Share of the entries that JSMA may change. The default is that of the program.",
)


def names(flag: flags.FlagHolder, known: Iterable[str]) -> list[str]:
    """The names that a list flag gives, or all known ones.

    Raises:
        ValueError: a name is unknown.
    """
    known = list(known)
    for name in flag.value or ():
        if name not in known:
            raise ValueError(f"--{flag.name}={name}: choose among {', '.join(known)}")
    return flag.value or known


def counts(flag: flags.FlagHolder) -> list[int]:
    """The whole numbers of a list flag.

    Raises:
        ValueError: an entry is no whole number of 1 or more.
    """
    for text in flag.value:
        if not text.isdecimal() or int(text) < 1:
            raise ValueError(f"--{flag.name}={text}: give whole numbers of 1 or more")
    return [int(text) for text in flag.value]
