"""A report of certified radii beside the audible: a conclusion, a table, a figure."""

import math
import pathlib
from collections.abc import Sequence

import numpy as np

from advjax.reports import figures, tables
from advjax.reports.files import write_report
from advjax.reports.page import Block, Heading, Settings
from advjax.runs import folder as runs
from advjax.runs.row_types import AudibilityRow
from experiments.lab import caveats, certify_report, origins
from experiments.lab.certify_settings import waveform_bound
from experiments.lab.task import Draft

FOLDER = "audibility"
"""The folder of the report within that of the run."""


def check(draft: Draft) -> None:
    """Refuse a stage or a noise whose radii are none at the waveform.

    Raises:
        ValueError: it is one; the message says what to give instead.
    """
    bound, reason = waveform_bound(draft.stage, draft.noise)
    if not math.isnan(bound):
        return
    flag, instead = f"--rep={draft.stage.name}", "--rep=waveform"
    if draft.noise.norm != "l2":
        flag, instead = f"--noise={draft.task.noise}", "--noise=gaussian"
    elif "magnitude" in [stage.name for stage in draft.stage.chain()]:
        instead = "--rep=magnitude or --rep=waveform"
    raise ValueError(
        f"{flag}: what is audible is known at the waveform alone, and {reason}. Give "
        f"{instead}"
    )


def conclusion(rows: Sequence[AudibilityRow]) -> str:
    """The result in words: clips whose radius covers an audible perturbation."""
    certified = [row for row in rows if row.radius_wave > 0]
    heard = sum(row.audible_inside for row in rows)
    text = (
        f"In {heard} of {len(rows)} clips a perturbation inside the certified radius "
        "could be heard."
    )
    if not certified:
        return f"{text} No clip has a certified radius."
    ratios = [row.smallest_audible / row.radius_wave for row in certified]
    distance_db = 20 * math.log10(np.median(ratios))
    side = "below" if distance_db >= 0 else "above"
    return (
        f"{text} The median certified radius is {abs(distance_db):.1f} dB {side} the "
        f"threshold of hearing beside the clip ({len(certified)} clips have a radius)."
    )


def report(folder: pathlib.Path, rows: Sequence[AudibilityRow], bound: float) -> str:
    """The text of a report; writes it, its table and `audible.png` into `FOLDER`.

    Args:
        folder: of the run of certificates.
        rows: of its clips.
        bound: the most that the stage moves for 1 at the waveform.
    """
    settings = runs.description(folder)["settings"]
    out, said = folder / FOLDER, conclusion(rows)
    out.mkdir(exist_ok=True)
    summary = table(rows, settings["noise_enters_at"], bound)
    parts: list[Block] = [
        Heading("Certified radii and audible perturbations", 1),
        said,
        summary,
        Heading("The run"),
        Settings(certify_report.summary([folder])),
    ]
    texts = [tables.as_text(summary)]
    certified = [row for row in rows if row.radius_wave > 0]
    try:
        if certified:
            figures.two_sizes_plot(
                [row.smallest_audible for row in certified],
                [row.radius_wave for row in certified],
                out / "audible.png",
                x_label="smallest audible l2 norm (waveform)",
                y_label="certified l2 radius (waveform)",
                above="audible perturbations inside the radius",
                below="all perturbations inside the radius are inaudible",
                title=f"{len(certified)} clips, certified at "
                f"{settings['noise_enters_at']}",
            )
            parts.insert(3, "![certified radii over audible norms](audible.png)")
    except ImportError:
        texts.append("(no figure: pip install matplotlib)")
    remarks = caveats.of_runs([folder])
    write_report(
        out / "report.md", [*parts, *remarks], origin=origins.of_runs([folder])
    )
    return "\n\n".join([*texts, *remarks, said])


def table(rows: Sequence[AudibilityRow], stage: str, bound: float) -> tables.Table:
    """Medians over the clips with a certified radius."""
    certified = [row for row in rows if row.radius_wave > 0]

    def median(name: str, form: str) -> str:
        found = [getattr(row, name) for row in certified]
        return f"{np.median(found):{form}}" if found else tables.DASH

    lines = [
        [f"certified radius at {stage}", median("radius", ".4g"), ""],
        [
            "certified radius at the waveform",
            median("radius_wave", ".4g"),
            median("radius_wave_snr_db", ".1f"),
        ],
        [
            "smallest audible perturbation at the waveform",
            median("smallest_audible", ".4g"),
            median("smallest_audible_snr_db", ".1f"),
        ],
    ]
    return tables.Table(
        ["median", "l2 norm", "SNR in dB"],
        lines,
        [
            f"of the {len(certified)} of {len(rows)} clips with a certified radius; a "
            f"radius at {stage} is {bound:.4g} times that at the waveform",
            "smallest audible: the norm below which no perturbation is audible beside "
            "the clip, by the masking threshold of MPEG-1's psychoacoustic model 1 "
            "with the clip's loudest entry at 96 dB",
        ],
    )
