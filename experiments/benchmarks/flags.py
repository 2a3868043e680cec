"""Every flag that only benchmarks have, each defined once."""

from absl import flags

TURNS = flags.DEFINE_integer(
    "turns", 5, "Timed turns of each contestant.", lower_bound=1
)
TURN_S = flags.DEFINE_float(
    "turn_s", 2.0, "About how long a turn takes, in seconds; whole batches in any case."
)
TURN_LIMIT_S = flags.DEFINE_float(
    "turn_limit_s", 300.0, "A rival that would take longer gets --slow_examples."
)
RIVALS = flags.DEFINE_list("rivals", None, "The packages beside ours; default: all.")
CLIPS = flags.DEFINE_list(
    "clips", ["1", "32", "256"], "Clips in a call, each number a row."
)
IMAGE_CLIPS = flags.DEFINE_integer(
    "image_clips", 4, "Clips in a call of an image front end.", lower_bound=1
)
WIDTH = flags.DEFINE_integer(
    "width", 16, "Channels of the ResCNN's first stage.", lower_bound=1
)
WIDTHS = flags.DEFINE_list(
    "widths", ["16", "64"], "The same, several; 64 is the published."
)
TILES = flags.DEFINE_list(
    "tiles", [], "Noisy copies that we evaluate at once; default by device."
)
BATCHES = flags.DEFINE_list(
    "batches", [], "The same for the best PyTorch; default by device."
)
SCALING = flags.DEFINE_bool(
    "scaling", True, "Measure the cost as n and clips grow, at the first width."
)
COMPILED = flags.DEFINE_bool("compiled", True, "Let torch.compile take part.")
BATCH_CHUNKS = flags.DEFINE_integer(
    "batch_chunks", 8, "Chunks in a batch, at most.", lower_bound=1
)
NUM_EXAMPLES = flags.DEFINE_integer(
    "num_examples", 32, "Test examples that the network gets right.", lower_bound=1
)
SLOW_EXAMPLES = flags.DEFINE_integer(
    "slow_examples", 2, "Examples of a rival that is too slow for all.", lower_bound=1
)
DRIVERS = flags.DEFINE_list(
    "ours",
    ["8", "16", "32", "vmap"],
    "How ours are run, each a row: by run_batch with so many slots, or vmap of run.",
)
BOUNDS = flags.DEFINE_list(
    "bounds",
    None,
    "Least and greatest value of an entry; the frames of mfbe have norm 8.",
)
SNR_DB = flags.DEFINE_float(
    "snr_db", 50.0, "Level of the budgets below the median example."
)
PGD_STEPS = flags.DEFINE_integer("pgd_steps", None, "Steps of PGD.", lower_bound=1)
CW_SEARCHES = flags.DEFINE_integer(
    "cw_searches", None, "Constants that Carlini-Wagner tries.", lower_bound=1
)
CW_CONSTANT = flags.DEFINE_float("cw_constant", None, "The first of them.")
CW_RATE = flags.DEFINE_float(
    "cw_rate", None, "Its learning rate in tanh space, of -1 to 1."
)
GAMMA = flags.DEFINE_float("gamma", None, "Share of the entries that JSMA may change.")
