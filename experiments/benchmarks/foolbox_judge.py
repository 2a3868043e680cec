"""Our attacks beside Foolbox's, both in JAX and on the same function: who finds more?

  python -m experiments.benchmarks.foolbox_judge --records=FOLDER --classifier=FOLDER \\
      --rep=waveform --defence=plain

Runs every attack that both have, with the same budgets and step counts, on test
examples that the network gets right, and prints for each the success rate and the
median distance of the successes, both computed from our logits. This judges strength,
not speed: see `experiments.benchmarks.attacks` for that. --out=FILE.md also writes the
table, and the same as JSON.

Needs Foolbox: pip install 'advjax[test]'
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from advjax import attacks
from advjax.attacks import Attack
from advjax.reports import tables
from advjax.runtime import failures
from advjax.types import Bounds, LogitsFn
from experiments import app, flags, requests
from experiments.benchmarks import flags as bench
from experiments.benchmarks import results, strength
from experiments.benchmarks.strength import Problem
from experiments.lab.console import say

flags.declare(
    __name__,
    *(flags.CW_STEPS, bench.NUM_EXAMPLES, bench.SNR_DB, bench.CW_RATE, flags.OUT),
    *(*flags.MODEL_FLAGS, *flags.DATA_FLAGS, *flags.RUN_FLAGS),
)


class Pair(NamedTuple):
    """One attack as both have it.

    Attributes:
        ours: with the bounds bound.
        theirs: its name in Foolbox's module of attacks.
        options: of theirs.
        snr_db: added to the signal-to-noise ratio of the budgets.
    """

    ours: Attack
    theirs: str
    options: Mapping[str, Any] = {}
    snr_db: float = 0.0


class Verdict(NamedTuple):
    """Success rates of ours and theirs, and median distances of the successes."""

    name: str
    norm: str
    success: tuple[float, float]
    distance: tuple[float, float]

    @property
    def holds(self) -> bool:
        """True if ours succeeds as often and, within 2 %, from as near."""
        ours, theirs = self.distance
        near = not theirs > 0 or ours <= 1.02 * theirs
        return self.success[0] >= self.success[1] and near


def pairs(bounds: Bounds, *, cw_steps: int, cw_rate: float) -> dict[str, Pair]:
    """Every attack that both have, with the same options."""
    found = {}
    for norm, name in (("linf", "Linf"), ("l2", "L2")):
        given = {"norm": norm, "bounds": bounds}
        found |= {
            f"fgsm, {norm}": Pair(attacks.fgsm(**given), f"{name}FastGradientAttack"),
            f"bim, {norm}": Pair(
                attacks.bim(relative_step=2.0, **given), f"{name}BasicIterativeAttack",
                {"rel_stepsize": 0.2, "steps": 10, "random_start": False},
            ),
            f"pgd, {norm}": Pair(
                attacks.pgd(**given), f"{name}ProjectedGradientDescentAttack",
                {"rel_stepsize": 2.5 / 40, "steps": 40},
            ),
            f"deepfool, {norm}": Pair(
                attacks.deepfool(**given), f"{name}DeepFoolAttack"
            ),
        }  # fmt: skip
    found["carlini_wagner, l2"] = Pair(
        attacks.carlini_wagner(
            num_steps=cw_steps, learning_rate=cw_rate, bounds=bounds
        ),
        "L2CarliniWagnerAttack",
        {"steps": cw_steps, "stepsize": cw_rate},
    )
    found["noise, l2"] = Pair(
        attacks.noise(num_draws=100, bounds=bounds),
        "L2RepeatedAdditiveGaussianNoiseAttack",
        {"repeats": 100},
        snr_db=-40.0,
    )
    return found


def judge(
    logits_fn: LogitsFn,
    x: np.ndarray,
    y: np.ndarray,
    *,
    bounds: Bounds,
    snr_db: float,
    cw_steps: int,
    cw_rate: float = 1e-2,
) -> Iterator[Verdict]:
    """A verdict for each attack that both have.

    Args:
        logits_fn: one example to one row of logits.
        x: clean examples that it gets right, [examples, *features].
        y: their labels.
        bounds: least and greatest value of an entry, finite.
        snr_db: signal-to-noise ratio of the budgets at the example of median level.
        cw_steps: steps of Carlini-Wagner for each of its nine constants.
        cw_rate: its learning rate.
    """
    failures.need("foolbox")
    import foolbox

    many = jax.jit(jax.vmap(logits_fn))
    x, y = np.asarray(x, np.float32), np.asarray(y, np.int32)
    levels = np.linalg.norm(x.reshape(len(x), -1), axis=1)
    example = x[int(np.argsort(levels)[len(x) // 2])]
    keys = jax.random.split(jax.random.key(0), len(x))
    for name, pair in pairs(bounds, cw_steps=cw_steps, cw_rate=cw_rate).items():
        norm, budget = pair.ours.norm, None
        if pair.ours.fixed_budget:
            level = snr_db + pair.snr_db
            budget = float(attacks.eps_for_snr(example, snr_db=level, norm=norm))
        found = dict(attacks.run_batch(pair.ours, logits_fn, x, y, keys, budget))
        ours = np.stack([found[index].x_adv for index in range(len(x))])
        # Foolbox was not written for strict promotion.
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            model = foolbox.JAXModel(many, bounds=bounds)
            attack = getattr(foolbox.attacks, pair.theirs)(**pair.options)
            _, theirs, _ = attack(
                model, jnp.asarray(x), jnp.asarray(y), epsilons=budget
            )
        problem = Problem(logits_fn, x, y, False, norm, bounds, budget)
        both = [strength.judge(problem, np.asarray(each)) for each in (ours, theirs)]
        success = tuple(each.rate() for each in both)
        # Without a success there is no distance.
        distance = tuple(each.median() if each.rate() else 0.0 for each in both)
        yield Verdict(name, norm, success, distance)


def table(verdicts: list[Verdict]) -> tables.Table:
    """A row for each attack."""
    header = ["attack", "success", "Foolbox", "median distance", "Foolbox", "as strong"]
    rows = [
        [
            v.name,
            *(f"{rate:.3f}" for rate in v.success),
            *(f"{size:.4g}" for size in v.distance),
            "yes" if v.holds else "no",
        ]
        for v in verdicts
    ]
    note = (
        "distance: of the successes, in the units of the stage; as strong: no less "
        "success, and no more than 2 % further"
    )
    return tables.Table(header, rows, [note])


def main() -> None:
    """Judge, then print."""
    system = requests.task(defence="plain").resolve()
    x, y = strength.examples(system, bench.NUM_EXAMPLES.value)
    verdicts = []
    for verdict in judge(
        system.logits_fn(), x, y,
        bounds=system.stage.bounds,
        snr_db=bench.SNR_DB.value,
        cw_steps=flags.value_or(flags.CW_STEPS, 200),
        cw_rate=flags.value_or(bench.CW_RATE, 1e-2),
    ):  # fmt: skip
        verdicts.append(verdict)
        say(str(verdict))
    facts = {"verdicts": verdicts}
    one = results.Contest("attacks beside Foolbox's", "examples", (), facts)
    setting = results.setting(["foolbox"])
    print(results.write(flags.OUT.value, "strength", [one], table(verdicts), setting))


if __name__ == "__main__":
    app.run(main)
