"""Our attacks beside those of torchattacks, Foolbox and ART, in one table.

  python -m experiments.benchmarks.attacks

Builds the task of the embedded synthetic speakers and its ResCNN (or takes --records
and --classifier), rebuilds the network in PyTorch with the same weights, compares the
logits, and then times every attack on the same examples, with the same budgets and
step counts, in turns: ours, rival, rival, ours, ... Success and distances are those
that our logits give for what a contestant returned. Prints the table in Markdown;
--out=FOLDER also writes it there, as attacks.md, and every turn, as attacks.json.

Needs PyTorch and the rivals:
  pip install 'advjax[bench]' && pip install --no-deps torchattacks==3.5.1
"""

import dataclasses
import functools
import importlib
import importlib.metadata
import json
import pathlib
import platform
import time
from collections.abc import Callable

import jax
import numpy as np

from advjax import attacks
from advjax.attacks.base import Attack
from advjax.attacks.carlini_wagner import carlini_wagner
from advjax.attacks.deepfool import deepfool
from advjax.attacks.gradient_sign import fgsm, pgd
from advjax.attacks.jsma import jsma
from advjax.reports import tables
from advjax.runtime.compilation import compiler_options
from advjax.types import LogitsFn
from experiments import app, flags, requests
from experiments.benchmarks import contest, rivals, torch_rescnn
from experiments.benchmarks import flags as bench
from experiments.benchmarks.rivals import RIVALS, Terms
from experiments.lab.console import say
from experiments.lab.data import spread
from experiments.lab.task import System

_DEFAULTS = Terms()
flags.declare(
    __name__,
    flags.OUT,
    flags.ATTACKS,
    flags.EPS,
    flags.CW_STEPS,
    bench.RIVALS,
    bench.NUM_EXAMPLES,
    bench.DRIVERS,
    bench.TURNS,
    bench.TURN_LIMIT_S,
    bench.SLOW_EXAMPLES,
    bench.BOUNDS,
    bench.PGD_STEPS,
    bench.CW_SEARCHES,
    bench.CW_CONSTANT,
    bench.CW_RATE,
    bench.GAMMA,
    *flags.MODEL_FLAGS,
    *flags.DATA_FLAGS,
    *flags.RUN_FLAGS,
)

Variants = dict[str, Callable[[Terms], Attack]]


def main() -> None:
    """Compare, then report."""
    chosen = [_known(name, OURS, "attacks") for name in flags.ATTACKS.value or OURS]
    libraries = [
        _known(name, RIVALS, "rivals") for name in bench.RIVALS.value or RIVALS
    ]
    _use_torch(libraries)
    system = requests.task(defence="plain").resolve()
    x, y = _examples(system, bench.NUM_EXAMPLES.value)
    classifier = system.classifier
    terms = _terms(len(classifier.labels))
    logits_fn = system.logits_fn()
    network, parity = _same_network(classifier, logits_fn, x)
    network, layout = _faster_layout(network, x)
    # Compiling is part of the first call here, whatever earlier starts have left.
    jax.config.update("jax_enable_compilation_cache", False)
    notes = [
        f"{len(x)} test examples that the network gets right, of shape "
        f"{'x'.join(map(str, x.shape[1:]))}; {classifier.module.width} channels in "
        f"its first stage, {classifier.num_parameters():,} parameters; logits "
        f"of JAX and PyTorch differ by {parity:.1e} at most; PyTorch computes "
        f"{layout}, which was the faster, on {contest.num_cores()} threads.",
        f"Median of {bench.TURNS.value} turns. The first call compiles ours; a rival's "
        f"is on {min(bench.SLOW_EXAMPLES.value, len(x))} examples, and where all would "
        f"take longer than {bench.TURN_LIMIT_S.value:g} s, so are its turns.",
        "Every time includes learning whether the attack succeeded. Success and the "
        "median distance of the successes are judged by our logits. Beside ours: "
        f"weaker or stronger by more than {contest.TOLERANCE:.0%} of success or "
        "distance; the last column divides by the fastest rival that is not weaker "
        "than ours.",
    ]
    rows, measured = [], {}
    for name in chosen:
        say(f"{name}:")
        problem = _problem(name, terms, logits_fn, x, y)
        results = contest.contest(
            [*_ours(name, terms, problem), *_rivals(name, libraries, network, terms)],
            problem,
            num_turns=bench.TURNS.value,
            limit_s=bench.TURN_LIMIT_S.value,
            slow_examples=bench.SLOW_EXAMPLES.value,
            say=say,
        )
        rows += _rows(name, problem, results)
        measured[name] = [dataclasses.asdict(result) for result in results]
        table = tables.Table(_HEADER, rows, notes)
        text = f"{tables.as_markdown(table)}\n\n{_machine(terms)}\n"
        if flags.OUT.value is not None:
            _write(pathlib.Path(flags.OUT.value), text, measured)
    print(text)


def _write(folder: pathlib.Path, text: str, measured) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "attacks.md").write_text(text, encoding="utf-8")
    every_turn = json.dumps(measured, indent=1, default=np.ndarray.tolist)
    (folder / "attacks.json").write_text(every_turn + "\n", encoding="utf-8")


def _known(name: str, table, flag: str) -> str:
    if name not in table:
        raise ValueError(f"--{flag}={name}: choose among {', '.join(table)}")
    return name


def _use_torch(libraries: list[str]) -> None:
    """Nothing; gives PyTorch as many threads as XLA takes: one for each core."""
    try:
        import torch

        for library in libraries:
            importlib.import_module(library)
    except ModuleNotFoundError as error:
        raise ValueError(f"{error.name} is missing: {rivals.NEEDED}") from error
    torch.set_num_threads(contest.num_cores())
    torch.manual_seed(flags.SEED.value)


def _terms(num_classes: int) -> Terms:
    low, high = (float(bound) for bound in bench.BOUNDS.value or _DEFAULTS.bounds)
    return Terms(
        bounds=(low, high),
        num_classes=num_classes,
        eps=flags.value_or(flags.EPS, _DEFAULTS.eps),
        pgd_steps=flags.value_or(bench.PGD_STEPS, _DEFAULTS.pgd_steps),
        cw_steps=flags.value_or(flags.CW_STEPS, _DEFAULTS.cw_steps),
        cw_searches=flags.value_or(bench.CW_SEARCHES, _DEFAULTS.cw_searches),
        cw_constant=flags.value_or(bench.CW_CONSTANT, _DEFAULTS.cw_constant),
        cw_rate=flags.value_or(bench.CW_RATE, _DEFAULTS.cw_rate),
        gamma=flags.value_or(bench.GAMMA, _DEFAULTS.gamma),
    )


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
    top = np.asarray(contest.logits(system.logits_fn(), x)).argmax(1)
    right = np.flatnonzero(top == y)
    if len(right) < count:
        raise ValueError(f"--num_examples={count}: {len(right)} are classified right")
    kept = right[spread(len(right), count)]
    return x[kept], y[kept]


def _same_network(classifier, logits_fn: LogitsFn, x: np.ndarray):
    """The network in PyTorch, and the greatest difference of its logits from ours."""
    import torch

    network = torch_rescnn.twin(classifier)
    with torch.no_grad():
        theirs = network(_to_torch(x)).numpy()
    difference = float(np.abs(np.asarray(contest.logits(logits_fn, x)) - theirs).max())
    if not difference < 1e-4:
        raise ValueError(f"the logits of JAX and PyTorch differ by {difference:.1e}")
    return network, difference


def _faster_layout(network, x: np.ndarray):
    """The network in the memory layout whose gradients come sooner."""
    import torch

    def seconds(layout) -> float:
        network.to(memory_format=layout)
        point = _to_torch(x).requires_grad_()
        start = time.perf_counter()
        # The first call with a cotangent imports half of PyTorch; not in a turn.
        logits = network(point)
        torch.autograd.backward(logits, torch.ones_like(logits))
        return time.perf_counter() - start

    layouts = {
        "channels last": torch.channels_last,
        "channels first": torch.contiguous_format,
    }
    tried = [
        {name: seconds(layout) for name, layout in layouts.items()} for _ in "1234"
    ]
    fastest = min(layouts, key=lambda name: min(turn[name] for turn in tried[1:]))
    return network.to(memory_format=layouts[fastest]), fastest


def _to_torch(x: np.ndarray):
    """Channels first."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 1)))


def _problem(name: str, terms: Terms, logits_fn, x, y) -> contest.Problem:
    attack = next(iter(OURS[name].values()))(terms)
    # JSMA goes for the next class, which is torchattacks' own choice for ten.
    goal = ((y + 1) % terms.num_classes).astype(np.int32) if attack.targeted else y
    budget = terms.eps if attack.fixed_budget else None
    return contest.Problem(
        logits_fn, x, goal, attack.targeted, attack.norm, terms.bounds, budget
    )


def _ours(name: str, terms: Terms, problem: contest.Problem):
    """Each variant by `run_batch` with each number of slots, and by `vmap` of `run`."""
    keys = jax.random.split(jax.random.key(flags.SEED.value), len(problem.x))

    def by_slots(attack: Attack, num_slots: int, x, y):
        found = attacks.run_batch(
            attack, problem.logits_fn, x, y, keys, problem.budget, num_slots=num_slots
        )
        x_adv = np.empty_like(x)
        for example, result in found:
            x_adv[example] = result.x_adv
        return x_adv

    def by_vmap(many, x, y):
        return np.asarray(many(problem.logits_fn, x, y, keys, problem.budget).x_adv)

    for variant, build in OURS[name].items():
        attack = build(terms)
        for driver in bench.DRIVERS.value:
            if driver == "vmap":
                many = jax.jit(
                    jax.vmap(
                        functools.partial(attacks.run, attack), (None, 0, 0, 0, None)
                    ),
                    compiler_options=compiler_options(),
                )
                run, title = functools.partial(by_vmap, many), "vmap"
            else:
                run = functools.partial(by_slots, attack, int(driver))
                title = f"{driver} slots"
            yield contest.Contestant(f"ours{variant}, {title}", True, run)


def _rivals(name: str, libraries: list[str], network, terms: Terms):
    """The libraries that have the attack."""
    import torch

    for library in libraries:
        if name not in RIVALS[library]:
            continue
        attack = RIVALS[library][name](network, terms)

        def run(x, y, attack=attack):
            found = attack(_to_torch(x), torch.from_numpy(y).long())
            return np.moveaxis(found.detach().numpy(), 1, -1)

        yield contest.Contestant(library, False, run)


def _rows(name: str, problem: contest.Problem, results) -> list[list[str]]:
    by_distance = problem.budget is None
    ours = contest.reference(results, by_distance=by_distance)
    rival = contest.best_rival(results, ours, by_distance=by_distance)
    return [
        [
            name,
            result.name,
            str(result.num_examples),
            f"{result.rate(result.num_examples):.3f}",
            f"{result.median(result.num_examples):.4g} ({problem.norm})",
            f"{result.first_s:.2f}",
            f"{result.run_s:.3f}",
            f"{result.speed:.3g}",
            contest.standing(result, ours, by_distance=by_distance),
            tables.DASH if rival is None else f"{result.speed / rival.speed:.2f}",
        ]
        for result in results
    ]


_HEADER = (
    "attack",
    "by",
    "examples",
    "success",
    "median distance",
    "first call, s",
    "run, s",
    "examples/s",
    "beside ours",
    "times the best rival",
)


def _machine(terms: Terms) -> str:
    """What the numbers depend on, without naming the machine."""
    packages = ("torch", "torchattacks", "foolbox", "adversarial-robustness-toolbox")
    versions = app.environment()["versions"] | {
        name: importlib.metadata.version(name) for name in packages
    }
    said = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"Terms: {dataclasses.asdict(terms)}\n\n"
        f"{contest.processor()}, {contest.num_cores()} cores; Python "
        f"{platform.python_version()}; {said}."
    )


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
