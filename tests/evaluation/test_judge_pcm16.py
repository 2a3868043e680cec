"""Successes judged on the file of 16 bits."""

import jax
import numpy as np
import pytest

from advjax import evaluation
from advjax.attacks import on_pcm16, pgd
from advjax.signal.samples import FULL_SCALE
from tests.problems import half_space

STEP = 1 / FULL_SCALE
F = half_space(np.ones(8), offset=8 * 0.2 * STEP)
POINT = evaluation.Point(0, "clip", np.zeros(8, np.float32), 1)


def row_of(attack, budget, point=POINT):
    ((row, x_adv),) = evaluation.attack_points(
        attack, F, [point], jax.random.key(0), budgets=[budget],
        targets=[0] if attack.targeted else None,
    )  # fmt: skip
    return row, evaluation.judge_pcm16(F, row, x_adv)


@pytest.mark.parametrize("targeted", [False, True])
def test_a_success_that_rounding_undoes_is_none_of_the_file(targeted):
    attack = pgd(num_steps=4, targeted=targeted)
    row, judged = row_of(attack, 0.4 * STEP)
    assert row.success and row.success_pcm16 == row.success_float32 == -1
    assert judged == row._replace(success_pcm16=0)
    row, judged = row_of(attack, 3 * STEP)
    assert judged == row._replace(success_pcm16=1) and row.success


def test_a_failure_is_none_of_the_file():
    row, judged = row_of(pgd(num_steps=4), 0.1 * STEP)
    assert not row.success and judged == row._replace(success_pcm16=0)


def test_a_finished_success_counts_if_it_holds():
    attack = on_pcm16(pgd(num_steps=4))
    row, judged = row_of(attack, 0.4 * STEP)
    assert (row.success, row.success_float32) == (False, 1)
    assert (judged.success, judged.success_pcm16) == (False, 0)
    row, judged = row_of(attack, 3 * STEP)
    assert (judged.success, judged.success_pcm16, judged.success_float32) == (1, 1, 1)
    # A judge that another program makes may disagree with the attack's own.
    doubted = evaluation.judge_pcm16(F, row, POINT.x)
    assert (doubted.success, doubted.success_pcm16) == (False, 0)
