"""Our attacks beside those of torchattacks, Foolbox and ART, in one table.

  python -m experiments.benchmarks.attacks

Builds the task of the embedded synthetic speakers and its ResCNN (or takes --records
and --classifier), rebuilds the network in PyTorch with the same weights, compares the
logits, and then times every attack on the same examples, with the same budgets and
step counts. Success and distances are those that our logits give for what a contestant
returned. Prints the table in Markdown; --out=FOLDER also writes it there, as
attacks.md, every turn, as attacks.json, and attacks.png.

Needs PyTorch and the rivals; torchattacks asks for releases of requests that nothing
else here can live with:
  pip install 'advjax[bench]' && pip install --no-deps torchattacks==3.5.1
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np
from absl.flags import FLAGS

from advjax import attacks
from advjax.attacks import Attack
from advjax.reports import tables
from advjax.runtime import failures, parallel
from advjax.runtime.compilation import compiler_options
from experiments import app, flags, requests
from experiments.benchmarks import flags as bench
from experiments.benchmarks import harness, problems, results, strength
from experiments.benchmarks.results import Contest, Result
from experiments.benchmarks.rivals import attack_libraries, pytorch
from experiments.benchmarks.rivals.attack_libraries import LIBRARIES, Terms
from experiments.benchmarks.strength import Outcome, Problem
from experiments.benchmarks.work import Work

flags.declare(
    __name__,
    *(flags.OUT, flags.ATTACKS, flags.EPS, flags.CW_STEPS),
    *(bench.RIVALS, bench.NUM_EXAMPLES, bench.DRIVERS, bench.TURNS),
    *(bench.TURN_LIMIT_S, bench.SLOW_EXAMPLES, bench.BOUNDS, bench.PGD_STEPS),
    *(bench.CW_SEARCHES, bench.CW_CONSTANT, bench.CW_RATE, bench.GAMMA),
    *(*flags.MODEL_FLAGS, *flags.DATA_FLAGS, *flags.RUN_FLAGS),
)


def main() -> None:
    """Compare, then report."""
    chosen = bench.names(flags.ATTACKS, OURS)
    libraries = bench.names(bench.RIVALS, LIBRARIES)
    failures.need(*dict.fromkeys(["torch", *libraries]))
    pytorch.start(flags.SEED.value)
    system = requests.task(defence="plain").resolve()
    if system.stage.name != system.representation.name:
        raise ValueError(
            f"--rep={system.stage.name}: only the network is rebuilt in PyTorch, "
            f"without the front end; give --rep={system.representation.name}"
        )
    classifier, logits_fn = system.classifier, system.logits_fn()
    x, y = strength.examples(system, bench.NUM_EXAMPLES.value)
    terms = _terms(len(classifier.labels))
    parity = pytorch.parity(classifier, x, 1e-4)
    network, layout = faster_layout(pytorch.twin(classifier), x)
    problems.compile_afresh()
    notes = [
        f"{len(x)} test examples that the network gets right, of shape "
        f"{'x'.join(map(str, x.shape[1:]))}; {classifier.module.width} channels "
        f"in its first stage, {classifier.num_parameters():,} parameters; logits "
        f"of JAX and PyTorch differ by {parity:.1e} of the largest; PyTorch computes "
        f"{layout}, which was the faster, on {parallel.num_cores()} threads",
        f"a rival's first call is on {min(bench.SLOW_EXAMPLES.value, len(x))} "
        "examples, and so are its turns where all examples would take longer than "
        f"{bench.TURN_LIMIT_S.value:g} s",
        "every time includes the check of success; success and the median distance of "
        "the successes are judged by our logits",
        "beside ours: weaker or stronger than the fastest of our strongest by more "
        f"than {strength.TOLERANCE:.0%} of success or distance; the best rival is the "
        "fastest that is not weaker",
        f"terms: {dataclasses.asdict(terms)}",
    ]
    setting = results.setting(
        ["torch", "torchattacks", "foolbox", "adversarial-robustness-toolbox"]
    )
    contests = []
    for name in chosen:
        problem = pose(name, terms, logits_fn, x, y)
        rivals = rival_contestants(name, libraries, network, terms, problem)
        contests.append(
            _compete(name, problem, [*our_contestants(name, terms, problem), *rivals])
        )
        # Attacks take hours: a report is written after each.
        report = results.write(
            flags.OUT.value, "attacks", contests, summary(contests, notes), setting
        )
    print(report)


def _terms(num_classes: int) -> Terms:
    """The terms that flags of the same names give."""
    given = {
        field.name: FLAGS[field.name].value
        for field in dataclasses.fields(Terms)
        if field.name in FLAGS and FLAGS[field.name].value is not None
    }
    if "bounds" in given:
        low, high = map(float, given["bounds"])
        given["bounds"] = (low, high)
    return Terms(**given | {"num_classes": num_classes})


def faster_layout(network, x: np.ndarray):
    """The network in the memory layout whose gradients come sooner, and its name."""
    import torch

    layouts = {
        "channels last": torch.channels_last,
        "channels first": torch.contiguous_format,
    }

    def seconds(name: str) -> float:
        network.to(memory_format=layouts[name])
        point = pytorch.tensor(x, channels_first=True).requires_grad_()
        pytorch.wait()
        start = time.perf_counter()
        logits = network(point)
        torch.autograd.backward(logits, torch.ones_like(logits))
        pytorch.wait()
        return time.perf_counter() - start

    # The first gradients import half of PyTorch, and do not count.
    trials = [(seconds(name), name) for _ in range(4) for name in layouts]
    _, fastest = min(trials[len(layouts) :])
    return network.to(memory_format=layouts[fastest]), fastest


def pose(name: str, terms: Terms, logits_fn, x, y) -> Problem:
    """The problem of an attack: its goal, norm and budget."""
    attack = _variants(name, terms)[""]
    # JSMA aims at the next class, as torchattacks does of itself with ten.
    goal = ((y + 1) % terms.num_classes).astype(np.int32) if attack.targeted else y
    budget = terms.eps if attack.fixed_budget else None
    return Problem(
        logits_fn, x, goal, attack.targeted, attack.norm, terms.bounds, budget
    )


def our_contestants(
    name: str, terms: Terms, problem: Problem
) -> Iterator[harness.Contestant]:
    """Each variant by `run_batch` with each number of slots, and by `vmap` of `run`."""
    count = len(problem.x)
    keys = jax.random.split(jax.random.key(flags.SEED.value), count)
    given = (problem.logits_fn, problem.x, problem.y, keys, problem.budget)

    def by_slots(attack: Attack, num_slots: int) -> np.ndarray:
        found = dict(attacks.run_batch(attack, *given, num_slots=num_slots))
        return np.stack([found[index].x_adv for index in range(count)])

    def by_vmap(many) -> np.ndarray:
        return np.asarray(many(*given).x_adv)

    for variant, attack in _variants(name, terms).items():
        for driver in bench.DRIVERS.value:
            if driver == "vmap":
                one = functools.partial(attacks.run, attack)
                many = jax.jit(
                    jax.vmap(one, (None, 0, 0, 0, None)),
                    compiler_options=compiler_options(),
                )
                run, title = functools.partial(by_vmap, many), "vmap"
            else:
                run = functools.partial(by_slots, attack, int(driver))
                title = f"{driver} slots"
            yield harness.in_process(
                f"ours{variant}, {title}", "ours", run, batch=count
            )


def rival_contestants(
    name: str, libraries: Sequence[str], network, terms: Terms, problem: Problem
) -> Iterator[harness.Contestant]:
    """The libraries that have the attack."""
    few = min(bench.SLOW_EXAMPLES.value, len(problem.x))
    for library in libraries:
        if name not in LIBRARIES[library]:
            continue
        attack = attack_libraries.build(library, name, network, terms, problem.budget)

        def run(units: int, attack=attack) -> np.ndarray:
            x = pytorch.tensor(problem.x[:units], channels_first=True)
            return pytorch.array(attack(x, pytorch.tensor(problem.y[:units]).long()))

        yield harness.Contestant(library, "rival", Work, {"run": run}, few)


def _compete(
    name: str, problem: Problem, contestants: Sequence[harness.Contestant]
) -> Contest:
    """The contest of an attack, with the outcome of each contestant's last call."""
    entrants: list[harness.Entrant] = []
    found = harness.contest(
        contestants,
        rounds=bench.TURNS.value,
        size=functools.partial(_examples_of_turns, len(problem.x)),
        check=entrants.extend,
        title=name,
    )
    outcomes = {
        one.contestant.name: strength.judge(problem, one.result) for one in entrants
    }
    ranked = _rank(outcomes, found, by_distance=problem.budget is None)
    return Contest(f"{name}, {problem.norm}", "examples", ranked)


def _examples_of_turns(total: int, entrants: Sequence[harness.Entrant]) -> list[int]:
    """All examples; a batch where all would take too long, and 0 if a batch does.

    Work on a batch takes hardly longer for twice as many examples, and its first call
    imports: where the first call leaves doubt, two more give the slope.
    """
    limit_s, counts = bench.TURN_LIMIT_S.value, []
    for entrant in entrants:
        few, first_s = entrant.last.units, entrant.last.wall_s
        total_s = first_s * total / few
        if few < total and total_s > limit_s >= first_s and 2 * few <= total:
            once, twice = (entrant.run(count).wall_s for count in (few, 2 * few))
            total_s = twice + (total / few - 2) * max(twice - once, 0.0)
        slow = few < total and total_s > limit_s
        counts.append((few if first_s <= limit_s else 0) if slow else total)
    return counts


def _rank(
    outcomes: dict[str, Outcome], found: Sequence[Result], *, by_distance: bool
) -> tuple[Result, ...]:
    """Add the outcomes, and the standing beside the best of ours, to the results.

    The best of ours is the fastest that is not weaker than the strongest. A result that
    is weaker than it gets the kind "weaker".
    """
    beside = functools.partial(strength.standing, by_distance=by_distance)
    ours = [result for result in found if result.kind == "ours"]
    strongest = max((outcomes[result.name] for result in ours), key=Outcome.rate)
    equals = [r for r in ours if beside(outcomes[r.name], strongest) != "weaker"]
    best = outcomes[max(equals, key=lambda result: result.rate).name]
    ranked = []
    for result in found:
        outcome = outcomes[result.name]
        standing = beside(outcome, best)
        kind = "weaker" if standing == "weaker" else result.kind
        facts = {name: each.tolist() for name, each in outcome._asdict().items()}
        facts["standing"] = standing
        ranked.append(result._replace(kind=kind, facts=facts))
    return tuple(ranked)


def summary(contests: Sequence[Contest], notes: Sequence[str]) -> tables.Table:
    """A row for each contestant, with its success and its distance."""

    def distance(result: Result) -> str:
        arrays = (np.asarray(result.facts[name]) for name in Outcome._fields)
        return f"{Outcome(*arrays).median():.4g}"

    columns = {
        "examples": lambda result: str(len(result.facts["success"])),
        "success": lambda result: f"{np.mean(result.facts['success']):.3f}",
        "median distance": distance,
        "beside ours": lambda result: result.facts["standing"],
    }
    return results.table(contests, {"the best rival": ["rival"]}, columns, notes)


def _variants(name: str, terms: Terms) -> dict[str, Attack]:
    """Our variants of an attack, by the end of their names."""
    factory, options, variants = OURS[name]
    given = options(terms) | {"bounds": terms.bounds}
    return {title: factory(**given, **more) for title, more in variants.items()}


OURS: dict[str, tuple[Callable[..., Attack], Callable[[Terms], dict], dict]] = {
    "fgsm": (attacks.fgsm, lambda t: {}, {"": {}}),
    # The rivals always take every step; ours stops at the first success by default.
    "pgd": (
        attacks.pgd,
        lambda t: {"num_steps": t.pgd_steps},
        {"": {}, " (every step)": {"stop": "last"}},
    ),
    "deepfool": (
        attacks.deepfool,
        lambda t: {
            "num_candidates": t.num_classes, "overshoot": t.overshoot,
            "max_steps": t.deepfool_steps,
        },
        {"": {"pruning": 2.0}, " (pruning=1.5)": {"pruning": 1.5}},
    ),
    "carlini_wagner": (
        attacks.carlini_wagner,
        lambda t: {
            "num_searches": t.cw_searches, "num_steps": t.cw_steps,
            "learning_rate": t.cw_rate, "initial_c": t.cw_constant,
        },
        {"": {}},
    ),
    # ART's saliency map is that of the target's logit; torchattacks has the paper's.
    "jsma": (
        attacks.jsma,
        lambda t: {"theta": t.theta, "gamma": t.gamma, "targeted": True},
        {"": {"scores": "logits"}, " (scores='logit')": {"scores": "logit"}},
    ),
}  # fmt: skip
"""Attack, its options, and those of its variants, the default one first."""


if __name__ == "__main__":
    app.run(main)
