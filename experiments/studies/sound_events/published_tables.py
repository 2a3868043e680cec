"""The publication's entries: beside ours, or in tables of their own."""

from collections.abc import Iterator, Mapping

import numpy as np

from advjax.reports.page import Block, Heading
from advjax.reports.tables import DASH, Table
from experiments.lab.study_tables import listing, pivot
from experiments.studies.sound_events import published

LARGER = (
    f"publication: {published.NAME}, networks of full width on all 41 classes of "
    "FSDKaggle2018 (about 9,500 training clips), "
    f"{published.NUM_CLIPS} attacked clips; it gives no intervals"
)


def _mean_of_each(attack: str) -> float:
    return float(
        np.mean([each.snr_db for (a, _), each in published.EACH.items() if a == attack])
    )


MEANS = (
    "the publication's SNRs in this table disagree with the means of its own table 3: "
    + ", ".join(
        f"{name} {published.TOGETHER[attack].snr_db:.2f} here and "
        f"{_mean_of_each(attack):.2f} there"
        for name, attack in (("DeepFool", "deepfool"), ("C&W", "carlini_wagner"))
    )
    + " dB; the former DeepFool entry is that of dense-wav alone"
)
INFLATED = (
    "C&W with a target: very probably inflated by a slip in the authors' code, the "
    "square of the mean in place of the mean of squares"
)


def mean_snr_text(attack: str) -> str | None:
    """The mean SNR of the publication's pairs of classes under a targeted attack."""
    values = [snr for row in published.PAIRS.get(attack, ()) for snr in row]
    known = [snr for snr in values if snr is not None]
    if not known:
        return None
    inflated = ", inflated" if attack == "carlini_wagner_targeted" else ""
    return f"{np.mean(known):.1f}{inflated}"


def pairs(attack: str) -> dict[tuple[str, str], float]:
    """The publication's mean SNRs in dB, by label and target."""
    classes = published.PAIR_CLASSES
    return {
        (label, target): snr
        for label, row in zip(classes, published.PAIRS[attack], strict=True)
        for target, snr in zip(classes, row, strict=True)
        if snr is not None
    }


def transfer_text(tested: str, source: str) -> str | None:
    """The publication's share of examples that transfer, in percent."""
    if tested not in published.TRANSFER or source not in published.NETWORKS:
        return None
    share = published.TRANSFER[tested][published.NETWORKS.index(source)]
    return None if share is None else f"{share:.2f}"


def sections_of(
    titles: Mapping[str, str], networks: Mapping[str, str]
) -> Iterator[Block]:
    """All of the publication's tables, for a corpus that is not its own.

    Args:
        titles: of the attacks.
        networks: titles of the networks.
    """
    yield Heading("The publication's own tables, on another corpus", 2)
    yield (
        f"{LARGER[0].upper()}{LARGER[1:]}. The corpus above has other classes and far "
        "fewer clips, so that only the order of attacks and of networks compares."
    )
    for title, table in _tables(titles, networks).items():
        yield Heading(title, 3)
        yield table


def _tables(titles: Mapping[str, str], networks: Mapping[str, str]) -> dict[str, Table]:
    entry = {
        "success, %": lambda item: f"{item[1].success:g}",
        "mean SNR, dB": lambda item: f"{item[1].snr_db:.2f}",
        "GT": lambda item: None if item[1].gt is None else f"{item[1].gt:.4f}",
        "New": lambda item: f"{item[1].new:.4f}",
        "GT new": lambda item: f"{item[1].gt_new:.4f}",
    }
    found = {
        "Its table 1": listing(
            published.ACCURACY.items(),
            {
                "network": lambda item: networks[item[0]],
                "training clips, %": lambda item: f"{100 * item[1][0]:.2f}",
                "test clips, %": lambda item: f"{100 * item[1][1]:.2f}",
            },
        ),
        "Its table 2": listing(
            published.TOGETHER.items(),
            {"attack": lambda item: titles[item[0]]} | entry,
            [MEANS],
        ),
        "Its table 3": listing(
            published.EACH.items(),
            {
                "attack": lambda item: titles[item[0][0]],
                "network": lambda item: networks[item[0][1]],
            }
            | entry,
        ),
    }
    for attack, part in (("carlini_wagner_targeted", "a"), ("lbfgs_targeted", "b")):
        known = pairs(attack)
        names = {name: name for name in published.PAIR_CLASSES}
        title = f"Its table 4({part}): mean SNR in dB, {titles[attack]}"
        found[title] = pivot(
            "from",
            names,
            names,
            lambda *pair, known=known: f"{known[pair]:.1f}" if pair in known else DASH,
            [INFLATED] if part == "a" else [],
        )
    own = {name: networks[name] for name in published.NETWORKS}
    found["Its table 5: percent of DeepFool's and C&W's examples that transfer"] = (
        pivot(
            "tested on, %",
            own,
            {name: f"made on {title}" for name, title in own.items()},
            transfer_text,
        )
    )
    return found
