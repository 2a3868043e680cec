"""Truth on the device: certificates, votes and gradients whose values are known."""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from advjax import smoothing
from advjax.classifier import Classifier
from advjax.runtime import parallel, targets
from experiments.benchmarks import problems
from experiments.benchmarks.parts import Row, Size
from experiments.benchmarks.parts.processes import failure

NUM_FEATURES = 10_240
"""As many as at mfbe."""
ALPHA = 1e-6
"""Of the certificates: a true radius beyond the exact one has this probability."""
DIFFERENCE = 1e-3
"""Greatest relative l2 difference of float32 gradients between two devices. Products
in tf32 or bfloat16 differ by more."""


def truth(size: Size) -> Iterator[Row]:
    """Yield a row for each check; one that is not passed is of the kind "wrong"."""
    votes = 10_000 if size.small else 100_000
    classifier = problems.fresh_rescnn(size.width)
    checks: dict[str, Callable[[], Row]] = {}
    for multiple in (0.5, 1.0, 2.0):
        name = f"radius of a half space at {multiple:g} sigma"
        checks[name] = lambda multiple=multiple: radius(multiple, votes)
    for stage in problems.SIGMAS:
        checks[f"one dispatch against many, {stage}"] = lambda stage=stage: dispatches(
            classifier, stage, 40 if size.small else 4000
        )
    for stage in problems.SIGMAS:
        checks[f"gradient against the CPU, {stage}"] = lambda stage=stage: gradients(
            classifier, stage
        )
    for name, check in checks.items():
        try:
            yield check()._replace(work="truth", name=name)
        except Exception as error:  # the other checks go on
            yield failure("truth", name, error)


def _row(passed: bool, figure: float, unit: str, note: str = "") -> Row:
    return Row("", "", "check" if passed else "wrong", figure, unit, note=note)


def radius(multiple: float, num_votes: int) -> Row:
    """The certified radius of a linear classifier, relative to its exact distance.

    For a half space both the smoothed classifier's probability and its radius are known
    in closed form (Cohen et al. 2019, arXiv:1902.02918, appendix B): the radius is the
    distance to the plane. A certificate is less, by what its votes leave open: four
    standard deviations of the votes are allowed, beside those of the bound.
    """
    sigma = 0.25
    share = special.ndtr(multiple)
    spread = 4 - special.ndtri(ALPHA)
    low = share - spread * np.sqrt(share * (1 - share) / num_votes)
    least = special.ndtri(low) / multiple
    rng = np.random.default_rng(0)
    normal = rng.normal(size=NUM_FEATURES)
    normal = (normal / np.linalg.norm(normal)).astype(np.float32)
    x = np.float32(multiple * sigma) * normal

    def logits_fn(x):
        score = jnp.dot(jnp.asarray(normal), x, precision="highest")
        return jnp.stack([jnp.zeros_like(score), score])

    found = smoothing.certify(
        logits_fn,
        x,
        jax.random.key(1),
        noise=smoothing.gaussian(sigma),
        num_estimation=num_votes,
        alpha=ALPHA,
    )
    ratio = found.radius / (multiple * sigma)
    note = f"{found.votes} of {num_votes} votes; from {least:.3f} to 1 is right"
    passed = found.prediction == 1 and least <= ratio <= 1
    return _row(passed, ratio, "of the exact radius", note)


def dispatches(classifier: Classifier, stage: str, num_votes: int) -> Row:
    """Votes that differ between a single dispatch and one a tile."""
    tile = num_votes // 4
    (clip,) = problems.clip(stage)
    logits_fn = classifier.logits_fn(stage)
    found = [
        smoothing.certify(
            logits_fn,
            clip,
            jax.random.key(2),
            noise=smoothing.gaussian(problems.SIGMAS[stage]),
            num_selection=tile,
            num_estimation=num_votes,
            alpha=0.1,
            placement=smoothing.Placement(tile, chunk, parallel.local_mesh()),
        )
        for chunk in (num_votes // tile, 1)
    ]
    differ = abs(found[0].votes - found[1].votes)
    passed = not differ and found[0].prediction == found[1].prediction
    return _row(passed, differ, "votes differ", f"of {num_votes}")


def gradients(classifier: Classifier, stage: str) -> Row:
    """Relative l2 difference of float32 input gradients, this device and the CPU."""
    inputs = problems.parity_inputs(stage)
    ours = _gradient(classifier, stage, inputs)
    with targets.compiling_for("cpu"), jax.default_device(jax.devices("cpu")[0]):
        exact = _gradient(classifier, stage, inputs)
    error = float(np.linalg.norm(ours - exact) / np.linalg.norm(exact))
    return _row(error <= DIFFERENCE, error, "relative difference")


def _gradient(classifier: Classifier, stage: str, inputs: np.ndarray) -> np.ndarray:
    logits_fn = classifier.logits_fn(stage)

    def loss(x):
        return -jax.nn.log_softmax(logits_fn(x))[0]

    return np.asarray(jax.jit(jax.vmap(jax.grad(loss)))(inputs))
