import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from advjax import attacks, reprs
from advjax.catalog import pick
from advjax.models import VGG16, ResCNN


class Made(NamedTuple):
    act: Callable[..., Any]
    size: int
    call: str = ""

    __repr__ = reprs.call_or_fields


@reprs.keep_call
def make(size, *, act=len, values=None):
    """The docstring."""
    del values
    return Made(act, size)


def test_made_things_show_their_call():
    assert repr(make(3)) == "make(size=3)"
    assert repr(make(size=np.float32(0.25))) == "make(size=0.25)"
    given = {"act": functools.partial(max, 1), "values": np.zeros((2, 3), np.float32)}
    assert repr(make(1, **given)) == "make(size=1, act=max, values=float32[2, 3])"
    assert len(repr(make("x" * 1000))) < 80
    assert inspect.signature(make) == inspect.signature(make.__wrapped__)
    with pytest.raises(TypeError, match="size"):
        make()


def test_things_made_by_hand_show_their_plain_fields():
    assert repr(Made(len, 3)) == "Made(size=3)"


@pytest.mark.parametrize("text", ["pgd(num_steps=7, norm='l2')", "fgsm()", "noise()"])
def test_attacks_show_a_choice_that_makes_them_again(text):
    made = pick(text, attacks.ATTACKS)
    assert repr(made) == text
    assert repr(pick(repr(made), attacks.ATTACKS)) == text


def test_wrapped_attacks_show_what_they_wrap():
    wrapped = attacks.expectation(
        attacks.bim(num_steps=3), sample=jax.tree_util.Partial(max), num_samples=2
    )
    assert repr(wrapped) == (
        "expectation(attack=bim(num_steps=3), sample=max, num_samples=2)"
    )


def test_networks_show_options_that_are_not_the_default():
    shown = reprs.changed_fields(ResCNN(num_classes=3, width=2, dropout=0.5))
    assert shown == "ResCNN(num_classes=3, width=2)"
    shown = reprs.changed_fields(VGG16(num_classes=3, resize=None))
    assert shown == "VGG16(num_classes=3, resize=None)"
