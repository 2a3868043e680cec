"""The claims of the publication, judged on the clips of all folds."""

from collections.abc import Iterator, Sequence

import numpy as np

from advjax.metrics.clustered import ClusteredMean, Contrast, clustered_difference
from experiments.lab.claims import Claim, Criterion
from experiments.studies.robust_svm import published
from experiments.studies.robust_svm.results import Result, Transferred
from experiments.studies.robust_svm.victims import EPS, NETWORKS, run_name

MARGIN = 0.05
"""Points of accuracy within which two classifiers count as competitive; ours."""


def claims(every: Sequence[Result]) -> list[Claim]:
    """The claims about one corpus, with the tests that are at hand.

    Args:
        every: the classifiers of the first input.
    """
    known = {each.name: each for each in every}
    if "surf_svm" not in known:
        return []
    pipeline, moved = known["surf_svm"], Transferred(every)
    # A claim about the networks waits for both.
    networks = [known[name] for name in NETWORKS if known.keys() >= {*NETWORKS}]
    accurate = [_accuracy(pipeline, each) for each in networks]
    plain = [_accuracy(pipeline, known["plain_svm"])] if "plain_svm" in known else []
    return [
        Claim(
            "The pipeline is as accurate as the networks",
            published.ACCURATE,
            tuple(accurate),
            _why("networks"),
        ),
        Claim(
            "Its stages cost no accuracy beside a plain SVM",
            "ours: what its stages are for",
            tuple(plain),
            _why("plain SVM"),
        ),
        Claim(
            "Examples made on networks fool it less than they fool those networks",
            published.ROBUST + "; the comparison of the publication",
            tuple(_transferred_beside_own(pipeline, networks, moved)),
            _why("transfer"),
        ),
        Claim(
            "They fool it less than they fool another network",
            published.ROBUST + "; the same attacker for both",
            tuple(_transferred_beside_transferred(pipeline, networks, moved)),
            _why("transfer"),
        ),
        Claim(
            "An attacker who knows it fools it less than the networks",
            published.ROBUST + "; the same attacker for both",
            tuple(_adaptive(pipeline, networks)),
            _why("attacks"),
        ),
    ]


def _why(cells: str) -> str:
    return f"the cells of the {cells} are not finished"


def _accuracy(pipeline: Result, other: Result) -> Criterion:
    """Not worse by more than the margin."""
    means = [
        each.mean(each.right.values(), [*each.right]) for each in (pipeline, other)
    ]
    return Criterion(
        f"accuracy, pipeline minus {other.title}, plus the margin of "
        f"{100 * MARGIN:g} points, {len(other.right)} clips",
        _plus(clustered_difference(*means), MARGIN),
    )


def _plus(contrast: Contrast, margin: float) -> Contrast:
    value, low, high, clusters = contrast
    return Contrast(value + margin, low + margin, high + margin, clusters)


def _moved_mean(
    each: Result, source: Result, moved: Transferred
) -> ClusteredMean | None:
    """Misclassified BIM-b examples of a source, of clips that both have right."""
    run = run_name("bim_b", EPS)
    if each.moved is None or source.name not in moved.known:
        return None
    both = moved.known[each.name] & moved.known[source.name]
    rows = [
        row
        for row in each.moved
        if row.source == source.name and row.attack == run and row.id in both
    ]
    if not rows:
        return None
    hits = [row.answer != row.label for row in rows]
    return each.mean(hits, [row.id for row in rows])


def _transferred_beside_own(
    pipeline: Result, networks: Sequence[Result], moved: Transferred
) -> Iterator[Criterion]:
    for each in networks:
        own = each.success("bim_b", EPS)
        other = _moved_mean(pipeline, each, moved)
        if own and other:
            mean = each.mean(own.values(), [*own])
            yield Criterion(
                f"fooled by BIM-b {EPS:g} made on {each.title}: {each.title} minus "
                f"pipeline, {len(own)} and {len(other.clusters)} clips",
                clustered_difference(mean, other),
            )


def _transferred_beside_transferred(
    pipeline: Result, networks: Sequence[Result], moved: Transferred
) -> Iterator[Criterion]:
    for each in networks:
        for source in networks:
            if source.name == each.name:
                continue
            means = [_moved_mean(m, source, moved) for m in (each, pipeline)]
            if None not in means:
                first, second = (len(mean.clusters) for mean in means)
                yield Criterion(
                    f"fooled by BIM-b {EPS:g} made on {source.title}: {each.title} "
                    f"minus pipeline, {first} and {second} clips",
                    clustered_difference(*means),
                )


def _adaptive(pipeline: Result, networks: Sequence[Result]) -> Iterator[Criterion]:
    mine = pipeline.success("pgd", EPS)
    for each in networks:
        other = each.success("pgd", EPS)
        if mine and other:
            means = [
                result.mean(np.array([*won.values()], float), [*won])
                for result, won in ((each, other), (pipeline, mine))
            ]
            yield Criterion(
                f"fooled by PGD {EPS:g}: {each.title} minus pipeline, {len(other)} and "
                f"{len(mine)} clips",
                clustered_difference(*means),
            )
