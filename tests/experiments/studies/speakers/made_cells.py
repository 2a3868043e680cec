"""Finished cells of the study of certified speakers, with rows that tests choose."""

import json

from scipy import stats

from advjax.runs.folder import open_run
from advjax.runs.row_types import CertificateRow
from experiments.lab.cells import Cell
from experiments.lab.grid import Found

N0, N = 500, 10_000
CHAIN = {"name": "waveform", "source": None, "sample_rate_hz": 16000}
REPRESENTATION = {
    "name": "mfbe",
    "num_bands": 64,
    "floor": 1e-24,
    "source": {
        **{"name": "magnitude", "frame_length": 400, "hop": 160, "num_fft": 512},
        **{"window": "rectangular", "preemphasis": 0.97, "floor": 1e-24},
        "source": {**CHAIN, "num_samples": 25800},
    },
}


def make_cell(folder, stage, training, sigma, radii, **more):
    """A cell whose crops have these radii; a radius of None is an abstention.

    Crops are cut from utterances by threes. Keywords: `seed` and `split` of the cell,
    `check` ("fixed" or "many"), `n`, `drawn` (votes of each crop), `cap` (in sigmas),
    `bound`, `asked` (radii), `steps` (of cell.json) and `classifier`.
    """
    axes = {"stage": stage, "training": training, "sigma": sigma}
    name = f"{stage}/{training}/{sigma:g}"
    if "seed" in more:
        axes["seed"], name = more["seed"], f"seed{more['seed']}/{name}"
    if "check" in more:
        axes["bound"], name = more["check"], f"{more['check']}/{name}"
    if "split" in more:
        axes["split"], name = more["split"], f"{more['split']}/{name}"
    n, bound = more.get("n", N), more.get("bound", "sequential")
    settings = {
        **{"corpus": "librispeech", "noise_enters_at": stage, "bound": bound},
        **{"num_selection": N0, "num_estimation": n, "alpha": 1e-3},
        **{"num_points": len(radii), "seed": more.get("seed", 0)},
        **{"cap": more.get("cap", 3.17) * sigma, "defence": training},
        "classifier": more.get("classifier", f"{training}{sigma}"),
        "representation": REPRESENTATION,
    }
    if "asked" in more:
        settings["radii"] = list(more["asked"])
    environment = {"num_classes": 10, "num_test_clips": 300}
    with open_run(
        folder / name, settings=settings, environment=environment
    ) as appended:
        for index, radius in enumerate(radii):
            held = radius is not None
            appended.append(
                CertificateRow(
                    *(index, 1, 1 if held else -1, radius or 0.0, held, 2.0),
                    f"118-1-{index // 3:04d}@{index}",
                    stats.norm.cdf(radius / sigma) if held else 0.4,
                    *(90, more.get("drawn", n), 20.0),
                )
            )
    if "steps" in more:
        task = {"crops": {"train": 300}, "model": "rescnn(width=8)"}
        content = {"task": task, "steps": more["steps"]}
        (folder / name / "cell.json").write_text(json.dumps(content))
    return Cell(name, tuple(axes.items()))


def step(seconds, **result):
    """A finished step, as `cell.json` has it."""
    return {
        **{"settings": {}, "given": None, "result": result, "seconds": seconds},
        **{"peak_gib": 1.0, "environment": {}},
    }


def found(folder, *cells):
    """The finished cells of a study."""
    return Found(folder, None, {cell: folder / cell.path for cell in cells})
