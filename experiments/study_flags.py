"""Flags of studies, each defined once; `experiments.flags` has them too."""

from absl import flags

from data_prep.choices import define_choices
from data_prep.path_flags import define_path

CELLS = flags.DEFINE_string(
    "cells",
    "*",
    "Cells of the grid to run: names with wildcards, separated by commas.",
)
SHARE = flags.DEFINE_string(
    "share", "0/1", "I/N runs every N-th shared cell, from the I-th on: one part of N."
)
PRESET = flags.DEFINE_enum(
    "preset",
    "small",
    ["small", "medium", "publication"],
    "Sizes that other flags leave open: small for a few CPU cores, medium for a short "
    "run on an accelerator, publication for those of the paper.",
)
DRY_RUN = flags.DEFINE_bool(
    "dry_run", False, "Print the study's cells, time and memory, and run none of them."
)
GRID_FLAGS = (CELLS, SHARE, PRESET, DRY_RUN)
VOTES = flags.DEFINE_integer(
    "votes",
    None,
    "Votes that bound a class's probability (n). The default is that of --preset.",
    lower_bound=1,
)
CROPS = flags.DEFINE_integer(
    "crops",
    None,
    "Training crops of each speaker. The default is that of --preset.",
    lower_bound=1,
)
ESC50_DIR = define_path(
    "esc50_dir", None, "Folder of ESC-50. By default the corpus is left out."
)
URBANSOUND8K_DIR = define_path(
    "urbansound8k_dir", None, "Folder of UrbanSound8K. By default it is left out."
)
PITCH_SHIFT = flags.DEFINE_enum(
    "pitch_shift",
    "resample",
    ["resample", "phase_vocoder", "none"],
    "Method for the four pitch-shifted copies of each training clip.",
)
SCALE = flags.DEFINE_float(
    "scale", None, "Divisor of the images' sides. The default is that of --preset."
)
FOLDS = flags.DEFINE_list(
    "folds",
    None,
    "Official folds to test on. The default is the study's: the first, or all with "
    "every class.",
)
IMAGE_FLAGS = (ESC50_DIR, URBANSOUND8K_DIR, PITCH_SHIFT, SCALE, FOLDS)
REPRESENTATION = define_choices(
    "representation",
    "representation or preset",
    None,
    "Features to compute, with options if any: 'mfbe(num_bands=40)'. One of {}. Repeat "
    "the flag for several. The default is those of the program.",
)
NETWORK = define_choices(
    "network",
    "network",
    None,
    "Network of the study, with options if any: 'resnet18(width=16)'. One of {}. "
    "Repeat the flag for several. The default is all of the study.",
)
MODELS = flags.DEFINE_list(
    "models", None, "Networks of the study, by name alone. The default is all."
)
ATTACKS = flags.DEFINE_list(
    "attacks", None, "Attacks of the program, by name alone. The default is all."
)
EPS = flags.DEFINE_float(
    "eps",
    None,
    "linf norm of the perturbations of FGSM, PGD and adversarial training, in the "
    "units of the features. The default is that of the program.",
)
CW_STEPS = flags.DEFINE_integer(
    "cw_steps",
    None,
    "Steps of Carlini and Wagner's attack for each constant. The default is that of "
    "the program.",
    lower_bound=1,
)
CERTIFY = flags.DEFINE_bool(
    "certify", True, "Also certify the classical pipeline and AlexNet."
)
MAX_SECONDS = flags.DEFINE_float(
    "max_seconds",
    None,
    "Longest clip to attack, in seconds. Every two seconds more compile another "
    "program. The default is that of --preset.",
    lower_bound=0.0,
)
ATTACKED = flags.DEFINE_enum(
    "attacked",
    "train",
    ["train", "test"],
    "Split of the attacked clips; the paper attacks training clips.",
)
PAIR_CLASSES = flags.DEFINE_list(
    "pair_classes",
    None,
    "Classes of targeted attacks, from each to each other. The default is those of the "
    "paper that have a clip or, in another corpus, six drawn once.",
)
SELECT = flags.DEFINE_enum(
    "select",
    "min",
    ["min", "max"],
    "Boundary that DeepFool moves to: min is the nearest, as in the paper; max is the "
    "farthest, as in the authors' code.",
)
REMOVE_SILENCE = flags.DEFINE_bool(
    "remove_silence",
    None,
    "Remove silence from training clips, as Iqbal et al.; otherwise networks train on "
    "the chunks that whole clips have. The default is that of --preset.",
)
TRANSFORMS = flags.DEFINE_bool(
    "transforms",
    True,
    "Measure which adversarial examples survive compression, noise and rooms.",
)
FEATURE_LEVEL = flags.DEFINE_list(
    "feature_level",
    ["vgg13"],
    "Networks that are also attacked at their log-mels, made audible by Griffin-Lim.",
)
WIDTH_SHARE = flags.DEFINE_float(
    "width_share",
    None,
    "Channels of the networks as a share of the published ones. The default is that "
    "of --preset.",
    lower_bound=0.0,
)
SOUND_FLAGS = (
    *(MODELS, MAX_SECONDS, ATTACKED, PAIR_CLASSES, SELECT, CW_STEPS),
    *(REMOVE_SILENCE, TRANSFORMS, FEATURE_LEVEL, WIDTH_SHARE),
)

STUDY_FLAGS = (
    *(
        ESC50_DIR,
        URBANSOUND8K_DIR,
        CELLS,
        SHARE,
        DRY_RUN,
        REPRESENTATION,
        NETWORK,
        MODELS,
    ),
    *(ATTACKS, EPS, CW_STEPS, CERTIFY, PITCH_SHIFT, SCALE, FOLDS, VOTES, CROPS),
    *(MAX_SECONDS, ATTACKED, PAIR_CLASSES, SELECT, REMOVE_SILENCE, TRANSFORMS),
    *(FEATURE_LEVEL, WIDTH_SHARE),
)
"""In the order of `--help`."""
