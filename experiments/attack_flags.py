"""Flags of attacks, each defined once; `experiments.flags` has them too."""

from absl import flags

from data_prep.choices import define_choices, names_in

ATTACK = define_choices(
    "attack",
    "attack",
    ["pgd"],
    "Attack, with options if any: 'pgd(num_steps=40)'. One of {}. Repeat the flag for "
    "several attacks.",
)
BUDGET = flags.DEFINE_list(
    "budget",
    [],
    "Largest perturbations: 30dB of signal-to-noise ratio, -40dBFS of level, or 0.01 "
    "as a norm in the units of --rep. No default: attacks that search for the "
    "smallest perturbation take none.",
)
_MACHINES = ", ".join(names_in("advjax.runtime.topologies", "TARGETS"))
TARGET = flags.DEFINE_multi_string(
    "target",
    ["random"],
    "Target class of targeted attacks: next, random, least_likely, or a class's name. "
    f"Of rehearse, a machine to compile for, by default h100: {_MACHINES}; give the "
    "flag once for each.",
)
SLOTS = flags.DEFINE_integer(
    "slots",
    None,
    "Clips attacked at once. The default is 8 on a CPU and 128 on an accelerator.",
    lower_bound=1,
)
FINISH = flags.DEFINE_enum(
    "finish",
    None,
    ["pcm16"],
    "pcm16 makes the successes of an attack at the waveform hold in files of 16 bits, "
    "by a short search. By default they are only judged as such files.",
)
SAVE_AUDIO = flags.DEFINE_bool(
    "save_audio",
    False,
    "Write the first successes as pairs of WAV files, and classify the files again.",
)
AUDIO_FORMAT = flags.DEFINE_enum(
    "audio_format",
    "pcm16",
    ["pcm16", "float32"],
    "Format of WAV files. float32 writes unrounded files beside those of 16 bits.",
)
EXAMPLES = flags.DEFINE_integer(
    "examples", 3, "Successes in examples.png and on the page.", lower_bound=0
)
AUDIBLE = flags.DEFINE_bool(
    "audible",
    False,
    "Write audible.tsv: the level of each success over the clip's masking threshold.",
)
ATTACK_FLAGS = (
    *(ATTACK, BUDGET, TARGET, SLOTS, FINISH),
    *(SAVE_AUDIO, AUDIO_FORMAT, EXAMPLES, AUDIBLE),
)
EOT_ATTACK = define_choices(
    "eot_attack",
    "attack",
    None,
    "Attack on the mean over noisy copies, with options if any, one of {}; repeat the "
    "flag for several. The default is PGD, Carlini and Wagner's attack and, at the "
    "waveform, the imperceptible attack.",
)
FRACTIONS = flags.DEFINE_list(
    "fractions",
    ["0.25", "0.5", "1", "2", "4"],
    "l2 budgets as multiples of --sigma, besides each clip's certified radius.",
)
NUM_DRAWS = flags.DEFINE_integer(
    "num_draws", 16, "Noisy copies averaged in a step of an attack.", lower_bound=1
)
NUM_VOTES = flags.DEFINE_integer(
    "num_votes",
    1000,
    "Votes of the smoothed classifier on a perturbation.",
    lower_bound=1,
)
EOT_FLAGS = (EOT_ATTACK, FRACTIONS, NUM_DRAWS, NUM_VOTES)
