"""Flags of `data_prep.build` and `data_prep.verify`, defined on request.

Other programs that build records have flags of these names. Names of choices are read
from the sources, so that `--help` imports no JAX.
"""

import ast
import functools

from absl import flags

from data_prep import help, program
from data_prep.choices import define_choice, names_in, syntax_tree
from data_prep.path_flags import define_path

CROPS_PER_CLASS = {"train": 100, "validation": 20, "test": 30}
"""Two cores build records of ten speakers within the time of a first command."""
POLICY = {"train": "random", "validation": "spaced", "test": "spaced"}
"""Training crops are drawn as in Deep Speaker; the others depend on no seed."""
NUM_RECORDS = 100
TOLERANCE = 1e-3
"""Backends and batch shapes round differently, by up to 1e-5 of the largest value."""

flags.disclaim_key_flags()


def define_build_flags(values: flags.FlagValues) -> None:
    """Define the flags of `data_prep.build` in `values`."""
    number = functools.partial(flags.DEFINE_integer, flag_values=values, lower_bound=1)
    enum = functools.partial(flags.DEFINE_enum, flag_values=values)
    define_choice(
        "corpus",
        "corpus",
        "voices",
        "Corpus, one of {}, with options if any: 'voices(num_speakers=20)'. voices are "
        "synthetic speakers, folder is a folder of your own recordings.",
        flag_values=values,
    )
    define_path(
        "corpus_dir",
        None,
        "Folder of your own recordings, or of a downloaded corpus in its official "
        "layout. The default, none, is for voices.",
        values=values,
    )
    define_choice(
        "rep",
        "representation or preset",
        "mfbe",
        "Representation to compute, one of {}, with options if any: "
        "'mfbe(num_bands=40)'.",
        flag_values=values,
    )
    define_path(
        "out",
        None,
        "Folder for the records, which TFDS calls data_dir (required). They go into "
        "CORPUS/REPRESENTATION/1.0.0 in it.",
        required=True,
        values=values,
    )
    for split, count in CROPS_PER_CLASS.items():
        number(f"crops_{split}", count, f"Crops of each class in the {split} split.")
    for split, policy in POLICY.items():
        enum(
            f"policy_{split}",
            policy,
            names_in("data_prep.crops", "POLICIES"),
            f"Placement of {split} crops in a recording: random positions, or equally "
            "spaced ones.",
        )
    program.define_seed("Seed of the random crop positions.", values=values)
    enum(
        "on_error",
        "stop",
        ["stop", "skip"],
        "Reaction to a recording that cannot be read: stop, or skip it and list it.",
    )
    formats = names_in("advjax.records", "FILE_FORMATS")
    enum(
        "file_format",
        formats[0],
        formats,
        "Format of the records. npz needs no tensorflow-datasets.",
    )


def define_verify_flags(values: flags.FlagValues) -> None:
    """Define the flags of `data_prep.verify` in `values`."""
    define_path(
        "records",
        None,
        "Folder of the records (required).",
        required=True,
        values=values,
    )
    flags.DEFINE_integer(
        "num_records",
        NUM_RECORDS,
        "Records whose features are recomputed from their audio, drawn at random.",
        1,
        flag_values=values,
    )
    flags.DEFINE_float(
        "tolerance",
        TOLERANCE,
        "Largest accepted difference of a recomputed feature, relative to the feature "
        "where that is above 1.",
        0.0,
        flag_values=values,
    )
    program.define_seed("Seed of the draw of records.", values=values)


DEFINE = {"build": define_build_flags, "verify": define_verify_flags}
"""Functions that define the flags, by the name of the program."""


def page_of(module: str) -> str:
    """Help of a program of this package, without importing the program.

    Args:
        module: of the program.
    """
    values = flags.FlagValues()
    DEFINE[module.removeprefix("data_prep.")](values)
    text = ast.get_docstring(syntax_tree(module)) or ""
    return help.page(module, text, {"flags": [values[name] for name in values]})
