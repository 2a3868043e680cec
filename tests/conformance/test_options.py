"""Every option of every family refuses a wrong kind in one line that names it."""

import inspect
import re
import warnings

import numpy as np
import pytest

from advjax import catalog
from advjax.attacks import ATTACKS
from advjax.defences import DEFENCES
from advjax.models import MODELS
from advjax.representations import FRONT_ENDS
from advjax.smoothing import NOISES, gaussian
from advjax.transforms import TRANSFORMS
from data_prep.corpora import CORPORA

WRONG = (
    "a", None, -1, 0, 2.5, 1e300, True, 10**400, 2**31, float("nan"), float("inf"), (),
    (1, 2), ((1,),), ("a",), {}, (float("nan"), 1.0), (10**400, 1),
)  # fmt: skip
# What a program gives beside the text.
KNOWN = {
    "num_classes": 3,
    "num_samples": 3000,
    "sample_rate_hz": 16_000,
    "starts": np.zeros((3, 12), np.float32),
    "law": gaussian(0.1),
    "sigma": 0.1,
    "eps": 0.1,
    "half_width": 0.1,
}
FAMILIES = {
    "attacks": ATTACKS,
    "models": MODELS,
    "front_ends": FRONT_ENDS,
    "defences": DEFENCES,
    "noises": NOISES,
    "transforms": TRANSFORMS,
    "corpora": CORPORA,
}
MEMBERS = [
    pytest.param(table, name, id=f"{family}-{name}")
    for family, table in FAMILIES.items()
    for name in table
]


def cases(table, name, folder):
    """Every option with every wrong value, and what a program gives beside it."""
    for option, parameter in catalog.parameters(name, table).items():
        assert parameter.annotation is not inspect.Parameter.empty
        given = {k: v for k, v in KNOWN.items() if k != option}
        if table is CORPORA and option != "corpus_dir":
            given["corpus_dir"] = str(folder)
        if table is ATTACKS:
            given.pop("law", None)
        # The table of that law takes seconds where its scale is large.
        slow = (2.5,) if name == "pcm16" else ()
        for value in (value for value in WRONG if value not in slow):
            yield option, value, given


@pytest.mark.parametrize(("table", "name"), MEMBERS)
def test_a_wrong_value_is_refused_by_name_or_builds(table, name, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for option, value, given in cases(table, name, tmp_path):
            try:
                catalog.build(name, {option: value}, table, **given)
            except FileNotFoundError:
                assert table is CORPORA
            except ValueError as error:
                assert name in str(error)  # noqa: PT017
                assert option in str(error)  # noqa: PT017
                assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pgd(num_steps='40')", "pgd(num_steps='40'): num_steps must be a whole"),
        ("pgd(num_steps=True)", "must be a whole number; its default is 40"),
        ("pgd(bounds=1)", "a tuple of 2: (a finite number, a finite number)"),
        ("pgd(norm=2)", "norm must be a text in quotes; its default is 'linf'"),
        ("pgd(loss='mse')", "choose one of cross_entropy, margin"),
        ("deepfool(pruning='a')", "a finite number or None"),
        ("deepfool(overshot=1.0)", "Did you mean 'overshoot'?"),
        ("PGD", "Did you mean 'pgd'?"),
        ("pgd(num_steps=1, num_steps=2)", "num_steps is given more than once"),
        ("partial_information(starts=3)", "only Python code"),
    ],
)
def test_what_is_said_of_an_option(text, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        catalog.pick(text, ATTACKS)


@pytest.mark.parametrize("option", ["width=0", "width='8'", "width=2.5", "dropout=2"])
def test_a_network_that_cannot_be_made_is_refused(option):
    with pytest.raises(ValueError, match="^rescnn.*" + option.split("=")[0]):
        catalog.pick(f"rescnn({option})", MODELS, num_classes=3)


def test_the_fields_of_flax_are_no_options():
    with pytest.raises(ValueError, match="Did you mean 'width'") as refused:
        catalog.pick("rescnn(widht=8)", MODELS, num_classes=3)
    assert "parent" not in str(refused.value)
    with pytest.raises(ValueError, match="no option name"):
        catalog.pick("rescnn(name='x')", MODELS, num_classes=3)
