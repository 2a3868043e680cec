"""Our side of the contest of `certify`: votes that `smoothing.certify_each` counts."""

import contextlib
import math
from typing import Any

import numpy as np

from advjax.runtime import parallel
from experiments.benchmarks import problems
from experiments.benchmarks.work import Work, process_cpu_s, process_peak_bytes

_lasting = contextlib.ExitStack()


def votes(
    *, width: int, tile: int, precision: str, cache: str, devices: int = 1,
    workers: int = 0, stage: str = "mfbe", num_compared: int = 1000,
    convolutions: str = "",
) -> Work:  # fmt: skip
    """`smoothing.certify_each`, whose votes estimate, but for a tile on each device.

    Args:
        width: channels of the first stage.
        tile: noisy copies at once.
        precision: of the network, as `logits_of` takes it.
        cache: folder of compiled programs; empty for none.
        devices: of a CPU.
        workers: processes that count in place of this one; 0 for none.
        stage: of the noise, "mfbe" or "waveform".
        num_compared: noisy copies whose predictions are compared with float32's.
        convolutions: the kind of CPU whose ways are taken; empty for this one.
    """
    import jax

    if devices > 1:
        jax.config.update("jax_num_cpu_devices", devices)
    from advjax import smoothing
    from advjax.runtime import targets
    from advjax.runtime.compilation import use_disk_cache
    from advjax.smoothing.counting.workers import Workers

    if cache:
        use_disk_cache(cache)
    if convolutions:
        # As long as this process lasts.
        _lasting.enter_context(targets.choosing_processor(convolutions))
    classifier = problems.fresh_rescnn(width)
    logits_fn = logits_of(classifier, stage, precision)
    (clip,), gaussian = problems.clip(stage), smoothing.gaussian(problems.SIGMAS[stage])
    place, used = smoothing.Placement(tile, mesh=parallel.local_mesh()), []
    if workers:
        started = Workers(logits_fn, noise=gaussian, num_workers=workers)
        place, used = place._replace(workers=started), started.usage
    key = jax.random.key(0)

    def run(units: int, clips: int = 1) -> None:
        """Count the votes, as many for each of so many clips."""
        examples = (
            smoothing.Example(clip, jax.random.fold_in(key, number))
            for number in range(clips)
        )
        # Whole rows of tiles: in a turn of ten tiles one that waits for another shows.
        num_votes, row = units // clips, tile * place.num_devices
        # At this alpha few votes are enough.
        plan = smoothing.VotePlan(row, num_votes - row, 0.1, smoothing.ClopperPearson())
        # Four dispatches.
        chunk = max(1, math.ceil(num_votes / row / 4))
        placement = place._replace(chunk=chunk)
        for _ in smoothing.certify_each(
            logits_fn, examples, noise=gaussian, plan=plan, placement=placement
        ):
            pass

    def peak_bytes() -> int:
        stats = jax.local_devices()[0].memory_stats() or {}
        own = stats.get("peak_bytes_in_use") or process_peak_bytes()
        return own + sum(one.peak_bytes for one in used)

    def cpu_s() -> float:
        return process_cpu_s() + sum(one.cpu_s for one in used)

    facts = precision_facts(classifier, stage, precision, num_compared)
    return Work(run, facts, peak_bytes, cpu_s)


def logits_of(classifier, stage: str, precision: str):
    """The logits function from a stage on; "bfloat16 in OpenVINO" is a precision."""
    kind, _, engine = precision.partition(" in ")
    if not engine:
        return classifier.logits_fn(stage, precision=kind)
    from advjax.interop import through_openvino

    return through_openvino(classifier, precision=kind).logits_fn(stage)


def precision_facts(
    classifier, stage: str, precision: str, num_compared: int
) -> dict[str, Any]:
    """Logits of the inputs in float32 and `precision`, and their disagreement.

    That is the share of so many noisy copies whose predictions differ.
    """
    from advjax.evaluation import logits_of_batch

    inputs = problems.parity_inputs(stage)
    count = len(inputs)
    if precision != "float32":
        copies = problems.noisy_copies(stage, num_compared, seed=5)
        inputs = np.concatenate([inputs, copies])
    found = {
        kind: logits_of_batch(
            logits_of(classifier, stage, kind), inputs,
            batch_size=min(50, len(inputs)),
        )
        for kind in {"float32", precision}
    }  # fmt: skip
    exact, rounded = found["float32"], found[precision]
    wrong = exact[count:].argmax(1) != rounded[count:].argmax(1)
    return {
        "logits": exact[:count].astype(float).tolist(),
        "rounded": rounded[:count].astype(float).tolist(),
        "disagreement": float(wrong.mean()) if wrong.size else 0.0,
    }
