"""Names of choices read from sources, and the options of a name."""

import pytest
from absl import flags

from advjax.attacks import ATTACKS
from advjax.defences import DEFENCES
from advjax.models import MODELS
from advjax.pretrained import NETWORKS
from advjax.representations import PRESETS, REPRESENTATIONS
from advjax.smoothing import BOUNDS, NOISES
from advjax.transforms import TRANSFORMS
from data_prep.choices import (
    TABLES,
    define_choice,
    define_choices,
    names_in,
    names_of,
    options_of,
)
from data_prep.corpora import CORPORA


@pytest.mark.parametrize(
    ("module", "table", "names"),
    [
        ("advjax.representations", "REPRESENTATIONS", REPRESENTATIONS),
        ("advjax.representations", "PRESETS", PRESETS),
        ("advjax.models", "MODELS", MODELS),
        ("advjax.pretrained", "NETWORKS", NETWORKS),
        ("advjax.attacks", "ATTACKS", ATTACKS),
        ("advjax.defences", "DEFENCES", DEFENCES),
        ("advjax.smoothing", "NOISES", NOISES),
        ("advjax.smoothing", "BOUNDS", BOUNDS),
        ("advjax.transforms", "TRANSFORMS", TRANSFORMS),
        ("data_prep.corpora", "CORPORA", CORPORA),
    ],
)
def test_the_source_of_a_table_has_the_names_of_the_table(module, table, names):
    assert names_in(module, table) == list(names)


def test_a_table_that_is_not_there_is_named():
    with pytest.raises(LookupError, match="advjax.attacks has no dictionary NOISES"):
        names_in("advjax.attacks", "NOISES")


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("pgd", ["num_steps: a whole number; its default is 40", "gradients in one"]),
        ("rescnn", ["width: a whole number; its default is 64", "first stage"]),
        ("voices", ["minutes_per_speaker: a finite number", "3 to 8 s"]),
        ("crepe", ["a published network", "capacity: 'tiny' or 'full'", "the wheel"]),
        ("mfbe", ["num_bands", "mel filters"]),
        ("smooth_adv", ["eps: a finite number; no default", "l2 norm"]),
        ("mp3", ["kbps"]),
        ("gaussian", ["a noise distribution", "a training"]),
    ],
)
def test_options_have_kinds_defaults_and_units(name, parts):
    page = options_of(name)
    assert all(part in page for part in parts), page


def test_every_name_has_a_page():
    for _, module, table in TABLES:
        for name in names_in(module, table):
            assert options_of(name).startswith((f"{name}: a ", f"{name}: an "))


def test_a_name_that_no_table_has_gets_a_hint():
    with pytest.raises(ValueError, match="'mbfe'. Did you mean 'mfbe'"):
        options_of("mbfe")


def test_flags_of_choices_refuse_other_names():
    values = flags.FlagValues()
    define_choice("model", "network", None, "One of {}.", flag_values=values)
    define_choices("attack", "attack", ["pgd"], "One of {}.", flag_values=values)
    values(["program", "--model=rescnn(width=3)", "--attack=pgd", "--attack=fgsm()"])
    assert values.model == "rescnn(width=3)"
    assert values.attack == ["pgd", "fgsm()"]
    assert "One of rescnn, " in values["model"].help
    for wrong in ("--model=rescn", "--model=rescn(width=3)"):
        with pytest.raises(flags.IllegalFlagValueError, match="mean 'rescnn'"):
            values(["program", wrong])
    with pytest.raises(flags.IllegalFlagValueError, match="--attack=pdg: .*'pgd'"):
        values(["program", "--attack=pdg"])


def test_names_of_several_kinds_are_those_of_each():
    both = names_of("representation or preset")
    assert both == [*REPRESENTATIONS, *PRESETS]
