"""Our attacks beside those of torchattacks, Foolbox and ART, in one table.

  python -m experiments.benchmarks.attacks

Builds the task of the embedded synthetic speakers and its ResCNN (or takes --records
and --classifier), rebuilds the network in PyTorch with the same weights, compares the
logits, and then times every attack on the same examples, with the same budgets and
step counts, in turns, every turn in another order. Success and distances are those
that our logits give for what a contestant returned. Prints the table in Markdown;
--out=FOLDER also writes it there, as attacks.md, every turn, as attacks.json, and
attacks.png.

Needs PyTorch and the rivals:
  pip install 'advjax[bench]' && pip install --no-deps torchattacks==3.5.1
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np

from advjax import attacks
from advjax.attacks.base import Attack
from advjax.attacks.carlini_wagner import carlini_wagner
from advjax.attacks.deepfool import deepfool
from advjax.attacks.gradient_sign import fgsm, pgd
from advjax.attacks.jsma import jsma
from advjax.reports import tables
from advjax.runtime import parallel
from advjax.runtime.compilation import compiler_options
from experiments import app, flags, requests
from experiments.benchmarks import flags as bench
from experiments.benchmarks import harness, results, strength
from experiments.benchmarks.results import Result
from experiments.benchmarks.rivals import attack_libraries, pytorch
from experiments.benchmarks.rivals.attack_libraries import LIBRARIES, Terms
from experiments.benchmarks.strength import Outcome, Problem
from experiments.benchmarks.work import Work
from experiments.lab.data import spread
from experiments.lab.task import System

_DEFAULTS = Terms()
flags.declare(
    __name__,
    *(flags.OUT, flags.ATTACKS, flags.EPS, flags.CW_STEPS),
    *(bench.RIVALS, bench.NUM_EXAMPLES, bench.DRIVERS, bench.TURNS),
    *(bench.TURN_LIMIT_S, bench.SLOW_EXAMPLES, bench.BOUNDS, bench.PGD_STEPS),
    *(bench.CW_SEARCHES, bench.CW_CONSTANT, bench.CW_RATE, bench.GAMMA),
    *(*flags.MODEL_FLAGS, *flags.DATA_FLAGS, *flags.RUN_FLAGS),
)

Variants = dict[str, Callable[[Terms], Attack]]


def main() -> None:
    """Compare, then report."""
    chosen = [_known(name, OURS, "attacks") for name in flags.ATTACKS.value or OURS]
    libraries = bench.RIVALS.value or list(LIBRARIES)
    for name in libraries:
        _known(name, LIBRARIES, "rivals")
    attack_libraries.start(libraries, flags.SEED.value)
    system = requests.task(defence="plain").resolve()
    classifier = system.classifier
    x, y = _examples(system, bench.NUM_EXAMPLES.value)
    terms = _terms(len(classifier.labels))
    parity = pytorch.parity(classifier, x, 1e-4)
    network, layout = _faster_layout(pytorch.twin(classifier), x)
    # Compiling is part of the first call here, whatever earlier starts have left.
    jax.config.update("jax_enable_compilation_cache", False)
    notes = [
        f"{len(x)} test examples that the network gets right, of shape "
        f"{'x'.join(map(str, x.shape[1:]))}; {classifier.module.width} channels "
        f"in its first stage, {classifier.num_parameters():,} parameters; logits "
        f"of JAX and PyTorch differ by {parity:.1e} at most; PyTorch computes "
        f"{layout}, which was the faster, on {parallel.num_cores()} threads.",
        f"Median of {bench.TURNS.value} turns. The first call compiles ours; a rival's "
        f"is on {min(bench.SLOW_EXAMPLES.value, len(x))} examples, and where all would "
        f"take longer than {bench.TURN_LIMIT_S.value:g} s, so are its turns.",
        "Every time includes learning whether the attack succeeded. Success and the "
        "median distance of the successes are judged by our logits. Beside ours: "
        f"weaker or stronger by more than {strength.TOLERANCE:.0%} of success or "
        "distance; the last column divides by the fastest rival that is not weaker "
        "than ours: ratios of turns of the same round, in brackets the 95 % interval "
        "of their median (bootstrap).",
        f"Terms: {dataclasses.asdict(terms)}",
    ]
    setting = results.setting(
        ["torch", "torchattacks", "foolbox", "adversarial-robustness-toolbox"]
    )
    rows, contests = [], []
    for name in chosen:
        problem = _problem(name, terms, system.logits_fn(), x, y)
        found = harness.contest(
            [
                *_ours(name, terms, problem),
                *_rivals(name, libraries, network, terms, problem),
            ],
            rounds=bench.TURNS.value,
            size=functools.partial(_examples_of_turns, len(x)),
            observe=functools.partial(_judge, problem),
            title=name,
        )
        contests.append(results.Contest(name, "examples", found))
        rows += _rows(name, problem, found)
        # Attacks take hours: what is there is written.
        text = tables.as_markdown(tables.Table(_HEADER, rows, notes))
        report = results.write(flags.OUT.value, "attacks", contests, text, setting)
    print(report)


def _known(name: str, table, flag: str) -> str:
    if name not in table:
        raise ValueError(f"--{flag}={name}: choose among {', '.join(table)}")
    return name


def _terms(num_classes: int) -> Terms:
    low, high = (float(bound) for bound in bench.BOUNDS.value or _DEFAULTS.bounds)
    given = {
        "eps": flags.EPS.value,
        "pgd_steps": bench.PGD_STEPS.value,
        "cw_steps": flags.CW_STEPS.value,
        "cw_searches": bench.CW_SEARCHES.value,
        "cw_constant": bench.CW_CONSTANT.value,
        "cw_rate": bench.CW_RATE.value,
        "gamma": bench.GAMMA.value,
    }
    given = {name: value for name, value in given.items() if value is not None}
    return Terms(bounds=(low, high), num_classes=num_classes, **given)


def _examples(system: System, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first test examples, spread over the split, that the network gets right."""
    if system.stage.name != system.representation.name:
        raise ValueError(
            f"--rep={system.stage.name}: only the network is rebuilt in PyTorch, "
            f"without the front end; give --rep={system.representation.name}"
        )
    points = system.test_points(None)
    x = np.stack([point.x for point in points]).astype(np.float32)
    y = np.asarray([point.label for point in points], np.int32)
    right = np.flatnonzero(strength.winners(system.logits_fn(), x) == y)
    if len(right) < count:
        raise ValueError(f"--num_examples={count}: {len(right)} are classified right")
    kept = right[spread(len(right), count)]
    return x[kept], y[kept]


def _faster_layout(network, x: np.ndarray):
    """The network in the memory layout whose gradients come sooner."""
    import torch

    def seconds(layout) -> float:
        network.to(memory_format=layout)
        point = pytorch.tensor(x, channels_first=True).requires_grad_()
        pytorch.wait()
        start = time.perf_counter()
        # The first call with a cotangent imports half of PyTorch; not in a turn.
        logits = network(point)
        torch.autograd.backward(logits, torch.ones_like(logits))
        pytorch.wait()
        return time.perf_counter() - start

    layouts = {
        "channels last": torch.channels_last,
        "channels first": torch.contiguous_format,
    }
    tried = [
        {name: seconds(layout) for name, layout in layouts.items()} for _ in range(4)
    ]
    fastest = min(layouts, key=lambda name: min(turn[name] for turn in tried[1:]))
    return network.to(memory_format=layouts[fastest]), fastest


def _problem(name: str, terms: Terms, logits_fn, x, y) -> Problem:
    attack = next(iter(OURS[name].values()))(terms)
    # JSMA goes for the next class, which is torchattacks' own choice for ten.
    goal = ((y + 1) % terms.num_classes).astype(np.int32) if attack.targeted else y
    budget = terms.eps if attack.fixed_budget else None
    return Problem(
        logits_fn, x, goal, attack.targeted, attack.norm, terms.bounds, budget
    )


def _ours(name: str, terms: Terms, problem: Problem) -> Iterator[harness.Contestant]:
    """Each variant by `run_batch` with each number of slots, and by `vmap` of `run`."""
    x, y = problem.x, problem.y
    keys = jax.random.split(jax.random.key(flags.SEED.value), len(x))

    def by_slots(attack: Attack, num_slots: int, units: int) -> np.ndarray:
        x_adv = np.empty_like(x[:units])
        for example, result in attacks.run_batch(
            attack, problem.logits_fn, x[:units], y[:units], keys[:units],
            problem.budget, num_slots=num_slots,
        ):  # fmt: skip
            x_adv[example] = result.x_adv
        return x_adv

    def by_vmap(many, units: int) -> np.ndarray:
        given = (x[:units], y[:units], keys[:units], problem.budget)
        return np.asarray(many(problem.logits_fn, *given).x_adv)

    for variant, build in OURS[name].items():
        attack = build(terms)
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
            yield harness.Contestant(
                f"ours{variant}, {title}", "ours", Work, {"run": run}, len(x)
            )


def _judge(problem: Problem, entrant: harness.Entrant) -> None:
    outcome = strength.judge(problem, entrant.result)
    entrant.facts |= {name: each.tolist() for name, each in outcome._asdict().items()}


def _rivals(
    name: str, libraries: Sequence[str], network, terms: Terms, problem: Problem
) -> Iterator[harness.Contestant]:
    """The libraries that have the attack."""
    few = min(bench.SLOW_EXAMPLES.value, len(problem.x))
    for library in libraries:
        if name not in LIBRARIES[library]:
            continue
        attack = LIBRARIES[library][name](network, terms)

        def run(units: int, attack=attack) -> np.ndarray:
            x = pytorch.tensor(problem.x[:units], channels_first=True)
            return pytorch.array(attack(x, pytorch.tensor(problem.y[:units]).long()))

        yield harness.Contestant(library, library, Work, {"run": run}, few)


def _examples_of_turns(total: int, entrants: Sequence[harness.Entrant]) -> list[int]:
    """All examples; a batch where all would take too long, and 0 if a batch does.

    What works on a batch takes hardly longer for twice as many, and its first call
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


def _outcome(result: Result) -> Outcome:
    facts = result.facts
    return Outcome(np.asarray(facts["success"]), np.asarray(facts["distance"]))


def _rows(name: str, problem: Problem, found: Sequence[Result]) -> list[list[str]]:
    outcomes = {result.name: _outcome(result) for result in found}
    beside = functools.partial(strength.standing, by_distance=problem.budget is None)

    def fastest(some: Sequence[Result], other: Outcome) -> Result | None:
        """The fastest that is not weaker than `other`."""
        equals = [r for r in some if beside(outcomes[r.name], other) != "weaker"]
        return max(equals, key=lambda result: result.rate, default=None)

    ours = [result for result in found if result.kind == "ours"]
    strongest = max((outcomes[result.name] for result in ours), key=Outcome.rate)
    best = outcomes[fastest(ours, strongest).name]
    rival = fastest([result for result in found if result not in ours], best)
    return [
        [
            name,
            result.name,
            str(len(outcomes[result.name].success)),
            f"{outcomes[result.name].rate():.3f}",
            f"{outcomes[result.name].median():.4g} ({problem.norm})",
            f"{result.first.wall_s:.2f}",
            f"{result.median_s * result.turns[0].units:.3f}",
            f"{result.rate:.3g}",
            beside(outcomes[result.name], best),
            tables.DASH if rival is None else str(results.ratio(result, rival)),
        ]
        for result in found
    ]


_HEADER = (
    "attack", "by", "examples", "success", "median distance", "first call, s",
    "run, s", "examples/s", "beside ours", "times the best rival",
)  # fmt: skip


def _deepfool(terms: Terms, *, pruning: float) -> Attack:
    return deepfool(
        num_candidates=terms.num_classes,
        overshoot=terms.overshoot,
        max_steps=terms.deepfool_steps,
        pruning=pruning,
        bounds=terms.bounds,
    )


def _jsma(terms: Terms, *, scores: str) -> Attack:
    return jsma(
        theta=terms.theta,
        gamma=terms.gamma,
        scores=scores,
        targeted=True,
        bounds=terms.bounds,
    )


# The first variant of each is the one whose norm and goal make the problem.
OURS: dict[str, Variants] = {
    "fgsm": {"": lambda t: fgsm(bounds=t.bounds)},
    # The rivals always take every step; both readings are shown.
    "pgd": {
        "": lambda t: pgd(num_steps=t.pgd_steps, bounds=t.bounds),
        " (every step)": lambda t: pgd(
            num_steps=t.pgd_steps, stop="last", bounds=t.bounds
        ),
    },
    "deepfool": {
        "": lambda t: _deepfool(t, pruning=2.0),
        " (pruning=1.5)": lambda t: _deepfool(t, pruning=1.5),
    },
    "carlini_wagner": {
        "": lambda t: carlini_wagner(
            num_searches=t.cw_searches,
            num_steps=t.cw_steps,
            learning_rate=t.cw_rate,
            initial_c=t.cw_constant,
            bounds=t.bounds,
        )
    },
    # ART's saliency map is that of the target's logit; torchattacks has the paper's.
    "jsma": {
        "": lambda t: _jsma(t, scores="logits"),
        " (scores='logit')": lambda t: _jsma(t, scores="logit"),
    },
}


if __name__ == "__main__":
    app.run(main)
