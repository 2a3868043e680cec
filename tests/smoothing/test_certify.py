import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import stats

from advjax import smoothing
from advjax.runtime import parallel
from advjax.smoothing import (
    ABSTAIN,
    ClopperPearson,
    Example,
    Noise,
    Placement,
    VotePlan,
    certify,
    certify_each,
    gaussian,
    reach,
    uniform,
)
from tests.problems import distance, half_space

SIGMA = 0.25
NORMAL, OFFSET = (0.6, 0.0, -0.8, 0.0), 0.1
NOISE = gaussian(SIGMA)


def at_distance(ratio):
    """A point of class 1, `ratio` sigma from the plane."""
    x = np.asarray(NORMAL) * (ratio * SIGMA - OFFSET)
    assert distance(NORMAL, OFFSET, x) == pytest.approx(ratio * SIGMA)
    return jnp.asarray(x, jnp.float32)


def plan_of(num_estimation, radii=()):
    return VotePlan(100, num_estimation, 1e-3, ClopperPearson(radii))


@functools.cache
def certificates(ratio, *, num, num_estimation):
    logits_fn, x = half_space(NORMAL, OFFSET), at_distance(ratio)
    # A tile of the size of the whole count: here a dispatch costs more than the votes.
    pairs = certify_each(
        logits_fn,
        [Example(x, key) for key in jax.random.split(jax.random.key(11), num)],
        noise=NOISE,
        plan=plan_of(num_estimation),
        placement=Placement(min(1000, num_estimation)),
    )
    return [certificate for _, certificate in pairs]


def p_value(num_wrong, num, alpha):
    """One-sided: how likely so many wrong statements are at a rate of alpha."""
    return stats.binomtest(num_wrong, num, alpha, alternative="greater").pvalue


@pytest.mark.parametrize(
    ("ratio", "num_estimation", "num", "expected"),
    [
        (1.0, 1_000, 2000, 0.8529),
        (1.0, 10_000, 150, 0.9534),
        pytest.param(2.0, 1_000, 1000, 1.7410, marks=pytest.mark.slow),
        pytest.param(2.0, 10_000, 300, 1.9158, marks=pytest.mark.slow),
    ],
)
def test_mean_certified_radius_of_a_half_space(ratio, num_estimation, num, expected):
    # The standard error of the mean is below 0.003 sigma in each row.
    found = certificates(ratio, num=num, num_estimation=num_estimation)
    radii = np.array([c.radius for c in found]) / SIGMA
    assert abs(radii.mean() - expected) < 0.01
    assert {c.prediction for c in found} == {1}


@pytest.mark.parametrize("alpha", [0.05, 1e-3])
def test_certificates_are_wrong_at_most_alpha_of_the_time(alpha):
    num = 2_000
    votes = [c.votes for c in certificates(1.0, num=num, num_estimation=1_000)]
    radii = [NOISE.radius(ClopperPearson.lower(k, 1_000, alpha)) for k in votes]
    truth = distance(NORMAL, OFFSET, at_distance(1.0))
    assert p_value(sum(radius > truth for radius in radii), num, alpha) > 1e-4
    # The judge can reject: the share of votes in place of its lower bound is too bold.
    plug_in = [NOISE.radius(k / 1_000) for k in votes]
    assert p_value(sum(radius > truth for radius in plug_in), num, alpha) < 1e-4


def test_uniform_noise_certifies_the_l1_distance():
    # By the axis nearest to the plane, the l1 distance is exact for one coordinate.
    distribution, x = uniform(0.5), jnp.array([0.2, 0.0])
    found = [
        certify(
            half_space([1.0, 0.0]),
            x,
            key,
            noise=distribution,
            num_estimation=5_000,
            placement=Placement(500),
        )  # fmt: skip
        for key in jax.random.split(jax.random.key(5), 100)
    ]
    radii = np.array([c.radius for c in found])
    truth = distance([1.0, 0.0], 0.0, x, norm="l1")
    assert (radii > truth).mean() < 0.05
    assert 0.15 < radii.mean() < truth


def test_the_fields_agree_with_each_other():
    c = certificates(1.0, num=1, num_estimation=1000)[0]
    assert c.p_lower == ClopperPearson.lower(c.votes, 1000, 1e-3)
    assert c.radius == pytest.approx(SIGMA * stats.norm.ppf(c.p_lower), rel=1e-12)


def test_unanimity_certifies_the_cap():
    c = certify(
        half_space(NORMAL, OFFSET),
        at_distance(9.0),
        jax.random.key(0),
        noise=NOISE,
        num_estimation=1000,
    )
    assert c.votes == 1000
    cap = smoothing.max_radius(SIGMA, 1000, 1e-3)
    assert c.radius == pytest.approx(cap, rel=1e-10)
    assert reach(NOISE, plan_of(1000)).max_radius == c.radius


def test_on_the_plane_it_abstains():
    found = certificates(0.0, num=20, num_estimation=500)
    for c in found:
        assert (c.prediction, c.radius) == (ABSTAIN, 0.0)
        assert 0.3 < c.p_lower < 0.5


def test_same_key_same_certificate_whatever_the_chunk_and_the_devices():
    def once(seed, *chunk_and_mesh):
        return certify(
            half_space(NORMAL, OFFSET),
            at_distance(1.0),
            jax.random.key(seed),
            noise=NOISE,
            num_estimation=1000,
            placement=Placement(10, *chunk_and_mesh),
        )

    assert once(0) == once(0, 3) == once(0, 1)
    assert once(0) == once(0, None, parallel.local_mesh())
    assert len({once(seed).votes for seed in range(5)}) > 1


def test_selection_and_estimation_draw_afresh():
    # Were the noise shared, a selection as large as the estimation would see its votes.
    logits_fn, x, key = half_space(NORMAL, OFFSET), at_distance(1.0), jax.random.key(0)
    halves = jax.random.split(key)
    options = {"noise": NOISE, "num_samples": 500, "placement": Placement(20)}
    counts = [smoothing.count_votes(logits_fn, x, half, **options) for half in halves]
    c = certify(logits_fn, x, key, noise=NOISE, num_selection=500, num_estimation=500)
    assert c.votes == counts[1][1] != counts[0][1]


def test_three_lines_for_a_network_of_ones_own():
    model = nnx.Linear(4, 3, rngs=nnx.Rngs(0))
    x, key = jnp.array([1.0, -2.0, 0.5, 0.3]), jax.random.key(0)
    by_module = certify(model, x, key, noise=NOISE, num_estimation=1000)
    by_lambda = certify(lambda x: model(x), x, key, noise=NOISE, num_estimation=1000)
    assert by_module == by_lambda
    assert by_module.prediction == int(model(x).argmax())
    # The top class leads its nearest rival by a margin known for a linear network.
    weights, bias = np.asarray(model.kernel[...]).T, np.asarray(model.bias[...])
    top = by_module.prediction
    rivals = [k for k in range(3) if k != top]
    gaps = [distance(weights[top] - weights[k], bias[top] - bias[k], x) for k in rivals]
    assert 0 < by_module.radius <= min(gaps)


def test_a_certificate_goes_on_from_any_tally():
    seen, x, key = [], at_distance(1.0), jax.random.key(0)

    def certified(notes, *tally):
        ((_, found),) = certify_each(
            half_space(NORMAL, OFFSET), [Example(x, key, *tally)], noise=NOISE,
            plan=plan_of(250), placement=Placement(20, 5),
            on_tally=lambda number, tally: notes.append(tally),
        )  # fmt: skip
        return found

    whole = certified(seen)
    assert [(t.num_selection, t.num_estimation) for t in seen] == [
        (100, 0), (100, 100), (100, 200), (100, 250),
    ]  # fmt: skip
    for tally in seen:
        again = []
        assert certified(again, tally) == whole
        assert [*seen[: seen.index(tally) + 1], *again] == seen


def test_progress_shows_the_votes(capsys):
    arguments = half_space(NORMAL, OFFSET), at_distance(1.0), jax.random.key(0)
    options = {"noise": NOISE, "num_estimation": 130, "placement": Placement(20)}
    silent = certify(*arguments, **options)
    assert capsys.readouterr().err == ""
    assert certify(*arguments, **options, progress=True) == silent
    assert "certify: 230 votes" in capsys.readouterr().err


def test_several_examples_are_each_alone():
    logits_fn, options = half_space(NORMAL, OFFSET), {"noise": NOISE}
    placement = Placement(tile=20, chunk=2)
    votes = {"num_estimation": 130, "placement": placement}
    keys = jax.random.split(jax.random.key(3), 3)
    xs = [at_distance(d) for d in (0.1, 1.0, 2.0)]
    alone = [
        certify(logits_fn, x, key, **options, **votes)
        for x, key in zip(xs, keys, strict=True)
    ]
    found = certify_each(
        logits_fn,
        map(Example, xs, keys),
        plan=plan_of(130),
        placement=placement,
        **options,
    )
    assert list(found) == list(enumerate(alone))
    assert len({c.votes for c in alone}) == 3


def test_the_next_example_is_queued_before_the_last_votes_are_read():
    events = []

    def examples():
        for number in range(3):
            events.append(f"queue {number}")
            yield Example(at_distance(1.0), jax.random.key(number))

    options = {"noise": NOISE, "plan": plan_of(40), "placement": Placement(20)}
    for number, _ in certify_each(half_space(NORMAL, OFFSET), examples(), **options):
        events.append(f"found {number}")
    assert events == [
        "queue 0", "queue 1", "found 0", "queue 2", "found 1", "found 2",
    ]  # fmt: skip


def test_an_example_that_fails_leaves_those_before_it_their_certificates():
    broken = np.full_like(at_distance(1.0), np.nan)
    examples = [Example(x, jax.random.key(0)) for x in (at_distance(1.0), broken)]
    options = {"noise": NOISE, "plan": plan_of(40), "placement": Placement(20)}
    found = certify_each(half_space(NORMAL, OFFSET), examples, **options)
    assert next(found)[1].prediction == 1
    with pytest.raises(ValueError, match="NaN"):
        next(found)


def test_plan_states_cap_votes_and_needs():
    found = reach(NOISE, plan_of(10_000, (0.0, 0.25, 0.5, 0.75, 1.0)))
    assert found.max_radius == pytest.approx(3.1986 * SIGMA, abs=5e-5)
    assert found.votes_needed == 5156
    assert [r.radius for r in found.radii] == [0.0, 0.25, 0.5, 0.75, 1.0]
    unanimous = [r.num_estimation for r in found.radii]
    assert unanimous == [
        smoothing.num_for_radius(r.radius, SIGMA, 1e-3) for r in found.radii
    ]
    assert unanimous[1:4] == [40, 301, 5114]
    # 1.0 is four sigma, beyond the cap of 3.2.
    assert found.radii[-1].votes_needed is None
    for planned in found.radii[:-1]:
        least = planned.votes_needed
        enough, short = (
            ClopperPearson.lower(k, 10_000, 1e-3) for k in (least, least - 1)
        )
        assert enough >= 0.5 and NOISE.radius(enough) >= planned.radius
        assert short < 0.5 or NOISE.radius(short) < planned.radius


def test_plan_of_uniform_noise():
    found = reach(uniform(0.5), plan_of(1000, (0.4, 0.5)))
    assert found.max_radius == pytest.approx(0.5 * (2 * 0.001**0.001 - 1))
    # r = 0.4 asks for p = 0.9.
    assert found.radii[0].num_estimation == np.ceil(np.log(0.001) / np.log(0.9))
    # No vote proves p = 1.
    assert found.radii[1].num_estimation is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_estimation": 9}, "only abstain.*at least 10"),
        ({"num_estimation": 0}, "num_estimation=0"),
        ({"num_selection": 0}, "num_selection"),
        ({"alpha": 0.0}, "alpha"),
        ({"alpha": 1.0}, "alpha"),
        ({"noise": Noise(lambda key, x: x, None, "l2")}, "no known certificate"),
        ({"x": jnp.array([1.0, jnp.nan, 0.0, 0.0])}, "NaN"),
        ({"logits_fn": lambda x: x * jnp.nan}, "no finite logits"),
    ],
)
def test_requests_that_prove_nothing_are_refused(options, message):
    settings = {
        "logits_fn": half_space(NORMAL, OFFSET),
        "x": at_distance(1.0),
        "key": jax.random.key(0),
        "noise": NOISE,
        "num_estimation": 100,
    }
    with pytest.raises(ValueError, match=message):
        certify(**settings | options)


def test_it_says_that_it_runs_outside_of_jit():
    @jax.jit
    def certified(x):
        return certify(half_space(NORMAL), x, jax.random.key(0), noise=NOISE).radius

    with pytest.raises(ValueError, match="outside"):
        certified(at_distance(1.0))


def test_the_package_lists_what_it_exports():
    assert dir(smoothing) == sorted(smoothing.__all__)
    assert {"certify", "certify_batch", "gaussian"} < set(dir(smoothing))
    assert "bounds" not in dir(smoothing)


def test_plan_refuses_an_impossible_radius():
    with pytest.raises(ValueError, match="radius"):
        reach(NOISE, plan_of(1000, (-0.5,)))
