import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from advjax import catalog
from advjax.runtime import parallel
from advjax.smoothing import (
    ABSTAIN,
    BOUNDS,
    ClopperPearson,
    Example,
    Placement,
    Sequential,
    VotePlan,
    certify_each,
    count_votes,
    gaussian,
    max_radius,
    reach,
)
from advjax.smoothing.bounds import confidence_sequence
from advjax.smoothing.bounds.confidence_sequence import sequential_lower
from tests.problems import distance, half_space

SIGMA, ALPHA = 0.25, 1e-3
NORMAL, OFFSET = (0.6, 0.0, -0.8, 0.0), 0.1
NOISE = gaussian(SIGMA)
LOGITS_FN = half_space(NORMAL, OFFSET)
RADII = (0.1, 0.25, 0.4)
"""0.4, 1 and 1.6 sigma."""
DEPTHS = (2.5, -0.4, 0.1, 1.0, 3.5, 0.6, 1.5, 0.0)
"""Of the examples in class 1, in sigma."""


def examples(depths=DEPTHS):
    for number, depth in enumerate(depths):
        x = np.asarray(NORMAL) * (depth * SIGMA - OFFSET)
        assert abs(distance(NORMAL, OFFSET, x) - abs(depth) * SIGMA) < 1e-6
        yield Example(jnp.asarray(x, jnp.float32), jax.random.key(number))


def pairs_of(
    logits_fn, given, *, radii=RADII, num_estimation=600, num_selection=100,
    alpha=ALPHA, on_tally=None, **placement,
):  # fmt: skip
    return certify_each(
        logits_fn,
        given,
        noise=NOISE,
        plan=VotePlan(num_selection, num_estimation, alpha, Sequential(radii)),
        placement=Placement(**placement),
        on_tally=on_tally,
    )


def certified(given=None, **options):
    """The certificates by number; at most 600 votes unless said."""
    pairs = list(pairs_of(LOGITS_FN, given or examples(), **options))
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


@functools.cache
def undisturbed():
    """The certificates of `examples()` as they come."""
    return certified()


def test_each_example_stops_where_its_own_votes_say():
    """The rule spelled out, on votes that `count_votes` counts of one example."""
    found = undisturbed()
    assert sorted(found) == list(range(len(DEPTHS)))
    for number, example in enumerate(examples()):
        key_selection, key_estimation = jax.random.split(example.key)
        options = {"noise": NOISE, "placement": Placement(20)}
        chosen = count_votes(
            LOGITS_FN, example.x, key_selection, num_samples=100, **options
        )
        top, lower, upper = int(chosen.argmax()), 0.0, 1.0
        for num in confidence_sequence.looks(20, 600).tolist():
            votes = count_votes(
                LOGITS_FN, example.x, key_estimation, num_samples=num, **options
            )
            votes = int(votes[top])
            lower = max(lower, float(sequential_lower(votes, num, ALPHA)))
            upper = min(
                upper,
                float(confidence_sequence.narrow(
                    confidence_sequence.Bracket(), votes, num,
                    num_estimation=600, alpha=ALPHA,
                ).ceiling),
            )  # fmt: skip
            certain = [NOISE.radius(lower) >= r for r in RADII]
            hopeless = [NOISE.radius(max(upper, lower)) < r for r in RADII]
            if upper < 0.5 or (lower >= 0.5 and np.logical_or(certain, hopeless).all()):
                break
        c = found[number]
        assert (c.num_estimation, c.votes, c.p_lower) == (num, votes, lower)
        assert c.prediction == (top if lower >= 0.5 else ABSTAIN)
        assert c.radius == NOISE.radius(lower)
    drawn = [found[number].num_estimation for number in range(len(DEPTHS))]
    assert len(set(drawn)) >= 4
    assert min(drawn) < 200 < max(drawn)


@pytest.mark.parametrize(
    "options",
    [
        {"num_slots": 1},
        {"num_slots": 3, "chunk": 2},
        {"num_slots": 50, "chunk": 1},
        {"num_slots": 3, "tiles_at_once": 4, "chunk": 1},
    ],
)
def test_slots_and_chunks_change_no_certificate(options):
    assert certified(**options) == undisturbed()


@pytest.mark.parametrize("num_devices", [1, 2, 4])
def test_devices_change_no_certificate(num_devices):
    if jax.device_count() < num_devices:
        pytest.skip(f"needs {num_devices} devices, this process has fewer")
    mesh = parallel.data_mesh(jax.devices()[:num_devices])
    assert certified(mesh=mesh, tiles_at_once=2, chunk=3) == undisturbed()


def test_keys_and_tiles_change_them():
    # What the tests above would also pass with: noise that never changes.
    other = [e._replace(key=jax.random.key(9)) for e in examples()]
    assert certified(other) != undisturbed()
    assert certified(tile=25) != undisturbed()


@pytest.mark.parametrize("cut_after", [1, 5, 9, 14])
def test_what_was_cut_off_ends_as_what_was_not(cut_after):
    tallies, calls, found = {}, 0, {}

    def note(number, tally):
        nonlocal calls
        calls, tallies[number] = calls + 1, tally

    pairs = pairs_of(LOGITS_FN, examples(), num_slots=3, chunk=1, on_tally=note)
    for number, certificate in pairs:
        found[number] = certificate
        if calls >= cut_after:
            break
    assert len(found) < len(DEPTHS)
    assert any(tally.num_estimation > 0 for tally in tallies.values())
    left = [number for number in range(len(DEPTHS)) if number not in found]
    given = list(examples())
    again = certified(
        [
            given[n]._replace(tally=tallies[n]) if n in tallies else given[n]
            for n in left
        ]
    )
    found |= {left[place]: certificate for place, certificate in again.items()}
    assert found == undisturbed()


def test_clear_examples_take_few_votes_and_certify_what_fixed_numbers_do():
    depths = np.linspace(-0.5, 4.0, 25).tolist()
    radii = (0.05, 0.25, 0.3)
    found = certified(examples(depths), radii=radii, num_estimation=10_000)
    mean = np.mean([c.num_estimation for c in found.values()])
    assert mean < 10_000 / 5
    plan = VotePlan(100, 10_000, ALPHA, ClopperPearson())
    pairs = certify_each(
        LOGITS_FN, examples(depths), noise=NOISE, plan=plan, placement=Placement(1000)
    )
    fixed = [certificate for _, certificate in pairs]
    for radius in radii:
        ours = np.mean([c.radius >= radius for c in found.values()])
        theirs = np.mean([c.radius >= radius for c in fixed])
        assert abs(ours - theirs) <= 0.08
    for number, c in found.items():
        assert c.radius <= abs(depths[number]) * SIGMA


@pytest.mark.slow
def test_certificates_are_wrong_at_most_alpha_of_the_time():
    alpha, num, depth = 0.05, 5_000, 1.0
    (one,) = examples([depth])
    keys = jax.random.split(jax.random.key(2), num)
    found = certified(
        [one._replace(key=key) for key in keys],
        alpha=alpha,
        radii=(0.2, 0.24, 0.26, 0.3),
        num_slots=200,
        tiles_at_once=50,
    )
    wrong = sum(c.radius > depth * SIGMA for c in found.values())
    assert stats.binomtest(wrong, num, alpha, alternative="greater").pvalue > 1e-4
    assert len({c.num_estimation for c in found.values()}) > 10
    # The judge can reject: a bound for a fixed number, at the number that votes chose.
    lower = BOUNDS["clopper_pearson"].lower
    fixed = [lower(c.votes, c.num_estimation, 0.2) for c in found.values()]
    wrong = sum(NOISE.radius(p) > depth * SIGMA for p in fixed)
    assert stats.binomtest(wrong, num, alpha, alternative="greater").pvalue < 1e-4


def test_one_program_serves_all_dispatches():
    traces = []

    def logits(weights, x):
        traces.append(x.shape)
        return weights * x

    for scale in (1.0, 3.0):
        model = jax.tree_util.Partial(logits, jnp.array([scale, 0.5]))
        given = [
            Example(jnp.array([0.3, 0.1]), jax.random.key(seed)) for seed in range(5)
        ]
        pairs = pairs_of(model, given, num_estimation=100, num_slots=2)
        assert len(list(pairs)) == 5
        once = len(traces) if scale == 1.0 else once
        assert len(traces) == once > 0


def test_the_plan_states_what_the_bound_costs():
    radii = (0.0, 0.25, 0.5, 0.75, 0.799)
    fixed, anytime = (
        reach(NOISE, VotePlan(100, 10_000, ALPHA, bound(radii)))
        for bound in (ClopperPearson, Sequential)
    )
    assert fixed.max_radius == pytest.approx(max_radius(SIGMA, 10_000, ALPHA))
    assert 0.96 * fixed.max_radius < anytime.max_radius < fixed.max_radius
    assert anytime.votes_needed == anytime.radii[0].votes_needed > fixed.votes_needed
    for planned in anytime.radii[:-1]:
        n, k = planned.num_estimation, planned.votes_needed
        best = [NOISE.radius(float(sequential_lower(m, m, ALPHA))) for m in (n - 1, n)]
        assert best[0] < planned.radius or planned.radius == 0.0
        assert best[1] >= planned.radius
        assert (
            float(sequential_lower(k, 10_000, ALPHA))
            >= stats.norm.cdf(planned.radius / SIGMA)
            > float(sequential_lower(k - 1, 10_000, ALPHA))
        )
    # 3.196 sigma lies between the two caps.
    assert anytime.radii[-1].votes_needed is None
    assert fixed.radii[-1].votes_needed is not None
    assert anytime.radii[-1].num_estimation > 10_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_estimation": 10}, "only abstain.*at least 11"),
        ({"num_selection": 0}, "num_selection"),
        ({"radii": (-0.1,)}, "radius=-0.1"),
        ({"alpha": 0.0}, "alpha"),
        ({"tile": 0}, "tile"),
        ({"given": [Example(jnp.array([1.0, jnp.nan]), jax.random.key(0))]}, "NaN"),
        (
            {"given": [Example(jnp.zeros(n), jax.random.key(0)) for n in (4, 3)]},
            "one shape",
        ),
    ],
)
def test_impossible_requests_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        certified(**options)


def test_a_bound_that_there_is_none_of_is_refused():
    with pytest.raises(ValueError, match="clopper_pearson, sequential"):
        catalog.pick("wald", BOUNDS, radii=(0.1,))


def test_a_classifier_that_is_never_finite_is_refused():
    pairs = pairs_of(lambda x: x * jnp.nan, examples(), num_estimation=100)
    with pytest.raises(ValueError, match="no finite logits"):
        next(pairs)
