"""The publication's claims, each judged by differences over recordings."""

from collections.abc import Iterator, Sequence

import numpy as np

from advjax.metrics.clustered import (
    ClusteredMean,
    Contrast,
    clustered_difference,
    clustered_share,
)
from experiments.lab.claims import Claim, Criterion
from experiments.studies.sound_events import published, questions
from experiments.studies.sound_events.answers import POOLED, transfer_shares
from experiments.studies.sound_events.examples import ClipRun
from experiments.studies.sound_events.finished import Report
from experiments.studies.sound_events.systems import KINDS

LEAST_SUCCESS, LEAST_SNR_DB = 0.95, 35.0
"""Of DeepFool and C&W: below every entry of the publication's table 3."""
MOST_TRANSFER = 0.10
"""No entry of the publication's table 5 is larger."""
_ORDER = (
    ("fgsm", "noise"),
    ("deepfool", "fgsm"),
    ("carlini_wagner", "fgsm"),
)
"""Pairs of attacks: the first succeeds more often, by the publication's table 2."""


def claimed(made: Report) -> Iterator[Claim]:
    """The claims whose networks have been attacked."""
    of = published.TOGETHER
    rates = {attack: f"{entry.success:g} %" for attack, entry in of.items()}
    order = "noise {noise}, FGSM {fgsm}, DeepFool {deepfool}, C&W {carlini_wagner}"
    yield Claim(
        "White noise fools fewer clips than FGSM, and FGSM far fewer than DeepFool and "
        "C&W",
        f"table 2: {order.format(**rates)}",
        [*filter(None, (_order(made, *pair, published.NETWORKS) for pair in _ORDER))],
        "not all of these attacks are finished",
    )
    yield Claim(
        "This order holds in every network",
        "tables 2 and 3",
        [
            found
            for name in published.NETWORKS
            for pair in _ORDER
            if (found := _order(made, *pair, [name]))
        ],
        "not all of these attacks are finished",
    )
    yield Claim(
        f"DeepFool and C&W succeed on at least {100 * LEAST_SUCCESS:.0f} % of clips",
        "table 3: 97.97 to 100 %",
        [*filter(None, (_success(made, attack) for attack in POOLED))],
        "neither attack is finished",
    )
    mel = [name for name in published.NETWORKS if name != "dense_wav"]
    yield Claim(
        f"On networks of mel levels they do so above {LEAST_SNR_DB:.0f} dB",
        "table 3: 49.40 to 55.67 dB",
        [
            found
            for attack in POOLED
            for name in mel
            if (found := _snr(made, attack, name))
        ],
        "neither attack is finished",
    )
    yield Claim(
        "The network on raw waves takes the largest perturbations",
        "table 3: 41.81 and 45.62 dB, the least of each attack",
        [*filter(None, (_louder(made, attack, mel) for attack in POOLED))],
        "dense-wav has not been attacked",
    )
    yield Claim(
        f"L-BFGS leads at least {100 * LEAST_SUCCESS:.0f} % of clips to their targets",
        "table 4(b), which has every pair",
        [*filter(None, [_success(made, "lbfgs_targeted")])],
        "the attack is not finished",
    )
    yield Claim(
        f"At most {100 * MOST_TRANSFER:.0f} % of examples fool another network",
        "table 5: 0 to 9.96 %",
        [*filter(None, [_transfer(made)])],
        "the networks have not seen each other's examples",
    )
    yield from _on_near_classes(made)


def _runs(made: Report, attack: str, networks: Sequence[str]) -> list[ClipRun]:
    found = [made.runs.get((name, attack)) for name in networks]
    return [run for run in found if run is not None]


def _mean(made: Report, runs: Sequence[ClipRun], column: str) -> ClusteredMean:
    """The mean of a column; each network counts alike."""
    values, clusters, strata = [], [], []
    for run in runs:
        kept = np.ones(len(run.rows), bool)
        if column != "success":
            kept = np.asarray(run.rows.success)
        of = np.asarray(getattr(run.rows, column), float)[kept]
        values.append(of)
        clusters += [c for c, k in zip(made.clusters(run), kept, strict=True) if k]
        strata += [run.source] * len(of)
    return ClusteredMean(np.concatenate(values), clusters, strata)


def _order(
    made: Report, larger: str, smaller: str, networks: Sequence[str]
) -> Criterion | None:
    """The success of one attack minus that of another, on networks that have both."""
    both = [n for n in networks if {(n, larger), (n, smaller)} <= made.runs.keys()]
    if not both:
        return None
    means = [
        _mean(made, _runs(made, attack, both), "success")
        for attack in (larger, smaller)
    ]
    where = KINDS[both[0]].title if len(both) == 1 else f"{len(both)} networks"
    name = f"success, {made.titles[larger]} minus {made.titles[smaller]}, {where}"
    return Criterion(name, clustered_difference(*means))


def _success(made: Report, attack: str) -> Criterion | None:
    """The success of an attack on the publication's networks, above the least."""
    runs = _runs(made, attack, published.NETWORKS)
    if not runs:
        return None
    hits = np.concatenate([np.asarray(run.rows.success) for run in runs])
    clusters = [each for run in runs for each in made.clusters(run)]
    share = clustered_share([hits], clusters)
    low, high = share.interval()
    above = [each - LEAST_SUCCESS for each in (share.value, low, high)]
    name = (
        f"success of {made.titles[attack]} minus {LEAST_SUCCESS:g}, {len(hits)} "
        f"examples of {len(runs)} networks"
    )
    return Criterion(name, Contrast(*above, len(set(clusters))))


def _snr(made: Report, attack: str, network: str) -> Criterion | None:
    """The mean SNR of an attack on a network, above the least."""
    runs = _runs(made, attack, [network])
    if not runs or not np.any(runs[0].rows.success):
        return None
    mean = _mean(made, runs, "snr_db")
    least = ClusteredMean(np.full(len(mean.values), LEAST_SNR_DB), mean.clusters)
    name = (
        f"SNR of {made.titles[attack]} minus {LEAST_SNR_DB:g} dB, "
        f"{KINDS[network].title}, {len(mean.values)} examples"
    )
    return Criterion(name, clustered_difference(mean, least), 1)


def _louder(made: Report, attack: str, mel: Sequence[str]) -> Criterion | None:
    """The mean SNR on networks of mel levels minus that on the one of waves."""
    first, second = (_runs(made, attack, names) for names in (mel, ["dense_wav"]))
    means = [_mean(made, runs, "snr_db") for runs in (first, second) if runs]
    if len(means) < 2 or not all(len(mean.values) for mean in means):
        return None
    name = (
        f"SNR of {made.titles[attack]}, {len(first)} mel networks minus dense-wav, dB"
    )
    return Criterion(name, clustered_difference(*means), 1)


def _transfer(made: Report) -> Criterion | None:
    """The most transfer minus that between the publication's networks."""
    labels = {row.id: row.label for rows in made.known.values() for row in rows}
    shares = transfer_shares(made.answers, labels, made.recordings)
    values, clusters, strata = [], [], []
    for (judge, source), share in shares.items():
        if judge != source and {judge, source} <= set(published.NETWORKS):
            values += share.hits[0].tolist() if share.total else []
            clusters += share.clusters
            strata += [f"{judge} {source}"] * share.total
    if not values:
        return None
    mean = ClusteredMean(np.asarray(values, float), clusters, strata)
    most = ClusteredMean(np.full(len(values), MOST_TRANSFER), clusters)
    pairs = len(set(strata))
    name = f"{MOST_TRANSFER:g} minus transfer, mean of {pairs} pairs of networks"
    return Criterion(name, clustered_difference(most, mean))


def _on_near_classes(made: Report) -> Iterator[Claim]:
    """The two questions as claims, once the distances are measured."""
    if made.distances is None:
        return
    near, known = questions.nearest(made.distances), made.recordings
    found = {
        attack: questions.examples_of(made.of(attack), known)
        for attack in (*POOLED, "carlini_wagner_targeted", "lbfgs_targeted")
    }
    confused = {a: questions.confused(found[a], near) for a in POOLED}
    yield Claim(
        "Near pairs of classes are confused",
        "a question of the publication",
        [
            Criterion(f"share that gets the nearest class minus chance, {title}", each)
            for attack, each in confused.items()
            if each and (title := made.titles[attack])
        ],
        "neither attack is finished",
    )
    cheaper = {
        a: questions.cheaper(found[a], made.distances)
        for a in ("carlini_wagner_targeted", "lbfgs_targeted")
    }
    yield Claim(
        "A clip is led to a near class by a smaller perturbation",
        "a question of the publication",
        [
            Criterion(f"minus the rank correlation of SNR with distance, {title}", each)
            for attack, each in cheaper.items()
            if each and (title := made.titles[attack])
        ],
        "neither attack is finished",
    )
