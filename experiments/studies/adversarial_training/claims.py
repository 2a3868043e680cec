"""Claims of Sallo et al. (2020), each with the criteria that judge it here."""

from collections.abc import Sequence

from advjax.metrics.clustered import (
    ClusteredMean,
    Contrast,
    clustered_difference,
    clustered_mean_ratio,
)
from experiments.lab.claims import Claim, Criterion
from experiments.studies.adversarial_training.names import NAMES
from experiments.studies.adversarial_training.results import (
    LEVEL,
    Row,
    equal_success,
    fixed_limit,
    pooled,
    rates,
    ratio_of,
)


def claimed(rows: Sequence[Row], eps: float) -> list[Claim]:
    """The claims, with a criterion for each corpus.

    Args:
        rows: of the grid.
        eps: of the fixed limits.
    """
    corpora = list(dict.fromkeys(row.corpus for row in rows))
    by = {corpus: [row for row in rows if row.corpus == corpus] for corpus in corpora}

    def each(criterion) -> list[Criterion]:
        found = (criterion(corpus, some) for corpus, some in by.items())
        return [c for some in found for c in some]

    return [
        Claim(
            "Adversarial training lowers the clean accuracy.",
            "Table 1: brackets of 6.9 to 29.2, all above 0",
            each(_drop),
        ),
        Claim(
            "It lowers the fooling rate of attacks of limited strength.",
            f"Table 2: 49.3 to 76.4 %, where attacks fool more than {LEVEL:.0%} of the "
            "plain networks' clips",
            each(_fall),
            "no attack is finished",
        ),
        Claim(
            "It raises the perturbation that attacks need.",
            "Table 3: ratios of 1.231 to 2.892, all above 1",
            each(_dearer),
            "no attack is finished",
        ),
        Claim(
            f"Without a limit, attacks still fool {LEVEL:.0%} of the clips.",
            "abstract: fooling rates above 90 %",
            each(_unlimited),
            "no attack is finished",
        ),
        Claim(
            "ResNet-56 on DWT||Tonnetz is the most accurate.",
            "Table 1: 71.79 % and 91.36 %, the highest of 24 on each corpus",
            each(_most_accurate),
            "there is no such network, or no other",
        ),
        Claim(
            "DWT||Tonnetz is the better representation.",
            "Table 1: its best network leads on both corpora",
            each(_better_representation),
            "no network has both representations",
        ),
        Claim(
            "AlexNet is the most robust under limits.",
            "Table 2: the lowest of all networks in all 8 rows",
            each(lambda corpus, some: _alexnet(corpus, some, eps)),
            "there is no AlexNet, or no other network",
        ),
    ]


def _clips(*means: ClusteredMean) -> str:
    """The number of different clips' recordings behind means, in words."""
    count = len({name for mean in means for name in mean.clusters})
    return f"{count} recordings"


def _networks(rows: Sequence[Row]) -> str:
    """The number of networks on representations, in words."""
    return f"{len(rows)} network{'s' * (len(rows) > 1)}"


def _accuracy(rows: Sequence[Row], training: str) -> ClusteredMean:
    return pooled([row.accuracy(training) for row in rows])


def _drop(corpus: str, rows: Sequence[Row]) -> list[Criterion]:
    plain, other = (_accuracy(rows, t) for t in ("plain", "adversarial"))
    name = f"{NAMES[corpus]}: accuracy, plain minus adversarial, {_networks(rows)}"
    return [Criterion(f"{name}, {_clips(plain)}", clustered_difference(plain, other))]


def _fall(corpus: str, rows: Sequence[Row]) -> list[Criterion]:
    found = rates(rows, lambda sizes: equal_success(sizes.sizes))
    if found is None:
        return []
    plain, other = found.plain, found.adversarial
    name = (
        f"{NAMES[corpus]}: fooling rate at the equal-success budget, plain minus "
        f"adversarial, {found.count} attacks on networks, {_clips(plain, other)}"
    )
    return [Criterion(name, clustered_difference(plain, other))]


def _dearer(corpus: str, rows: Sequence[Row]) -> list[Criterion]:
    ratios = [
        found
        for row in rows
        for attack in row.attacks
        if (found := ratio_of(row, attack, "area under success"))
    ]
    if not ratios:
        return []
    value, low, high, count = clustered_mean_ratio([each[:2] for each in ratios])
    name = f"{NAMES[corpus]}: mean perturbation ratio of {len(ratios)} attacks, minus 1"
    return [Criterion(name, Contrast(value - 1, low - 1, high - 1, count))]


def _unlimited(corpus: str, rows: Sequence[Row]) -> list[Criterion]:
    """On the attacks that fool as many clips of the plain networks."""
    ever = []
    for row in rows:
        for attack in row.attacks:
            plain, other = row.sizes(attack)
            if len(other.sizes) and equal_success(plain.sizes).reached:
                ever.append(other.ever)
    if not ever:
        return []
    mean = pooled(ever)
    low, high = (end - LEVEL for end in mean.interval())
    name = (
        f"{NAMES[corpus]}: clips of adversarial networks fooled at any budget, minus "
        f"{LEVEL}; {len(ever)} attacks that fool as many of the plain networks'"
    )
    return [
        Criterion(
            name, Contrast(mean.value - LEVEL, low, high, len(set(mean.clusters)))
        )
    ]


def _most_accurate(corpus: str, rows: Sequence[Row]) -> list[Criterion]:
    found = {row[1:3]: row for row in rows}
    best = found.pop(("dwt_tonnetz", "resnet56"), None)
    if best is None:
        return []
    own = best.accuracy("plain")
    return [
        Criterion(
            f"{NAMES[corpus]}: accuracy, minus that of {NAMES[network]} on "
            f"{NAMES[representation]}",
            clustered_difference(own, other.accuracy("plain")),
        )
        for (representation, network), other in found.items()
    ]


def _better_representation(corpus: str, rows: Sequence[Row]) -> list[Criterion]:
    sides = {
        name: [row for row in rows if row.representation == name]
        for name in ("dwt_tonnetz", "stft")
    }
    networks = set.intersection(*({r.network for r in s} for s in sides.values()))
    if not networks:
        return []
    own, other = (
        _accuracy([row for row in side if row.network in networks], "plain")
        for side in sides.values()
    )
    name = f"{NAMES[corpus]}: accuracy, minus that on STFT, {len(networks)} networks"
    return [Criterion(name, clustered_difference(own, other))]


def _alexnet(corpus: str, rows: Sequence[Row], eps: float) -> list[Criterion]:
    networks = list(dict.fromkeys(row.network for row in rows))
    if "alexnet" not in networks:
        return []

    def rate(network: str) -> ClusteredMean | None:
        found = [
            other.rate(fixed_limit(other, eps))
            for row in rows
            if row.network == network
            for other in (row.sizes(attack)[1] for attack in row.attacks)
            if len(other.sizes)
        ]
        return pooled(found) if found else None

    own = rate("alexnet")
    others = {name: rate(name) for name in networks if name != "alexnet"}
    return [
        Criterion(
            f"{NAMES[corpus]}: fooling rate within fixed limits, {NAMES[name]} minus "
            "AlexNet, adversarially trained",
            clustered_difference(other, own),
        )
        for name, other in others.items()
        if own is not None and other is not None
    ]
