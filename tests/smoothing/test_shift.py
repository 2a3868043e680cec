import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.smoothing import certify_shift
from tests.problems import linear, small_network

LENGTH = 40


def by_place(labels, num_classes=3):
    """A classifier of impulses: the label of the place where the impulse is."""
    return linear(np.eye(num_classes)[labels].T, np.zeros(num_classes))


def impulse(place):
    return jnp.zeros(LENGTH).at[place].set(1.0)


def voted(labels, place, max_shift, step=1):
    """The true answer of the smoothed classifier for an impulse."""
    places = (place + np.arange(-max_shift, max_shift + 1, step)) % LENGTH
    return np.bincount(labels[places], minlength=3).argmax()


def true_radius(answer, step=1):
    """The greatest shift without another answer, by asking at every one."""
    shift = 0
    while shift < LENGTH and answer(shift) == answer(-shift) == answer(0):
        shift += step
    return shift - step


@pytest.mark.parametrize(("max_shift", "step"), [(4, 1), (6, 2), (0, 1), (9, 3)])
def test_no_certificate_passes_the_enumerated_radius(max_shift, step):
    rng, reached, positive = np.random.default_rng(0), 0, 0
    for _ in range(500):
        labels = np.repeat(rng.integers(0, 3, LENGTH // 4), 4)
        found = certify_shift(
            by_place(labels), impulse(20), max_shift=max_shift, step=step
        )
        assert found.prediction == voted(labels, 20, max_shift, step)
        truth = true_radius(lambda s, y=labels: voted(y, 20 + s, max_shift, step), step)
        assert found.radius <= truth
        reached += found.radius == truth
        positive += found.radius > 0
    assert reached > 60
    assert positive > 60 or max_shift == 0


@pytest.mark.parametrize(
    ("top", "rival", "steps"),
    # Five votes to one; in a tie the first class wins.
    [(0, 2, 2), (2, 0, 1)],
)
def test_the_tie_that_ends_a_certificate(top, rival, steps):
    labels = np.full(LENGTH, rival)
    labels[16:21] = top
    labels[21:24] = 1
    labels[24] = rival
    # Counts 5, 3, 1: the lead over class 1 is 2, over the rival 4.
    found = certify_shift(by_place(labels), impulse(20), max_shift=4)
    assert (found.prediction, found.votes, found.num_votes) == (top, 5, 9)
    # Class 1 wins a tie against class 2 and loses one to class 0.
    assert found.radius == (1 if top == 0 else 0)
    # Without class 1 the rival's tie decides: 5 to 1, three votes for no class.
    logits_fn = by_place(labels)

    def silent(x):
        row = logits_fn(x)
        return jnp.where(row[1] > 0, jnp.nan, row)

    found = certify_shift(silent, impulse(20), max_shift=4)
    assert (found.prediction, found.votes, found.radius) == (top, 5, steps)


def test_unanimity_certifies_the_greatest_shift():
    labels = np.zeros(LENGTH, int)
    labels[11:30] = 2
    assert certify_shift(by_place(labels), impulse(20), max_shift=9) == (2, 9, 19, 19)
    # One more and half of the copies are class 0's, which wins the tie by its place.
    assert voted(labels, 29, 9) == 2
    assert voted(labels, 30, 9) == 0


def test_a_network_keeps_its_answer_within_the_radius():
    network = small_network(num_features=24)
    certificate = jax.tree_util.Partial(certify_shift, network)
    wave = np.repeat(np.random.default_rng(2).normal(size=6), 4).astype(np.float32)
    found = certificate(jnp.asarray(wave), max_shift=6)
    assert found.radius == 3
    for shift in range(-found.radius, found.radius + 1):
        shifted = certificate(jnp.asarray(np.roll(wave, shift)), max_shift=6)
        assert shifted.prediction == found.prediction


def test_one_program_serves_every_clip_and_classifier():
    labels, traces = np.zeros(LENGTH, int), []

    def counted(weights, x):
        traces.append(x.shape)
        return weights @ x

    for weights in (np.eye(3)[labels].T, np.eye(3)[labels + 1].T):
        logits_fn = jax.tree_util.Partial(counted, jnp.asarray(weights, jnp.float32))
        certify_shift(logits_fn, impulse(3), max_shift=4)
    assert len(traces) == 1


def test_impossible_requests_are_refused():
    logits_fn = by_place(np.zeros(LENGTH, int))
    for options in ({"max_shift": -1}, {"max_shift": 5, "step": 2}, {"step": 0}):
        with pytest.raises(ValueError, match="multiple"):
            certify_shift(logits_fn, impulse(0), **{"max_shift": 4, **options})
    with pytest.raises(ValueError, match="no finite logits"):
        certify_shift(lambda x: x[:3] * jnp.nan, impulse(0), max_shift=1)
