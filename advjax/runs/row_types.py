"""Row types and schemas of all kinds of runs.

`CERTIFICATES`, `ATTACK_ROWS`, `SMOOTHED_ATTACKS` and `SHIFTS` read and write the rows
of runs. `AUDIBILITY` and `AUDIBLE_ATTACKS` are tables beside the first two.
"""

from typing import Annotated, NamedTuple

from advjax.runs.cells import ANY, Flag, Real, Seconds, Text, Whole
from advjax.runs.columns import Rows
from advjax.runs.row_checks import (
    check_attacks,
    check_certificates,
    check_shifts,
    check_smoothed_attacks,
)
from advjax.runs.rows import Schema

Count = Annotated[int, Whole()]
Class = Annotated[int, Whole(low=-1)]
"""-1 where there is none."""
Name = Annotated[str, Text()]
Truth = Annotated[bool, Flag()]
Judgement = Annotated[int, Whole(low=-1, high=1, absent=-1)]
"""1 or 0; -1 where it was not judged."""
Size = Annotated[float, Real(low=0)]
Norm = Annotated[float, Real(low=0, words=("inf",))]
Probability = Annotated[float, Real(low=0, high=1)]
Decibels = Annotated[float, Real(words=ANY)]
Rounded = Annotated[float, Real(words=ANY, format=".6g")]
RoundedDecibels = Annotated[float, Real(words=ANY, format=".2f")]


class CertificateRow(NamedTuple):
    """One certified point, in the order of the columns.

    The columns of Cohen's `certify.py` come first, so that his analysis reads our
    files. `CERTIFICATES` also reads his files and those of programs made from it, with
    or without the time. There `id` is the idx, `votes` and `n` are 0, and all other
    missing columns are NaN. Files of earlier versions lack the last two.
    """

    idx: Count
    """Its place in the split."""
    label: Count
    predict: Class
    """The certified class; -1 for an abstention."""
    radius: Size
    """In the units of the representation where the noise entered; 0.0 if abstaining."""
    correct: Truth
    time: Annotated[float, Seconds()]
    """Seconds spent on this point."""
    id: Name
    """The example's name in its records: joins rows across stages and runs."""
    p_lower: Probability
    """Lower confidence bound on the probability of the certified class."""
    votes: Count
    """For the selected class, out of `n` estimation samples."""
    n: Count
    snr_db: Annotated[float, Real(words=ANY, format=".4f")]
    """20 log10(norm(x) / radius); inf at radius 0, NaN for a radius other than l2."""
    radius_wave: Annotated[float, Real(low=0, words=("nan",))] = float("nan")
    """The radius at the waveform; NaN if no Lipschitz bound is known."""
    radius_wave_snr_db: Annotated[float, Real(words=ANY, format=".4f")] = float("nan")
    """The same ratio for `radius_wave` and the norm of the waveform."""


class AttackRow(NamedTuple):
    """One attacked example, in the order of the columns.

    The three confidences are those of Subramanian et al. 2019 (arXiv:1907.02477), whose
    tables call them GT, New and GT new. Only runs at the waveform have the last two
    columns, and only those with a finish the last one.
    """

    idx: Count
    """Its place in the split."""
    label: Count
    clean: Count
    """The prediction on the clean example."""
    target: Class
    """The class to reach; -1 for an untargeted attack."""
    predict: Count
    """The prediction on the adversarial example."""
    success: Truth
    """The goal is met within the budget, measured on the adversarial example.

    False for an example of the target's class, or predicted as the target before."""
    queries: Count
    """Forward passes spent."""
    time: Size
    """Seconds since the previous example was finished."""
    id: Name
    budget: Norm
    """In the attack's norm and the units of the stage; inf if there was none."""
    snr_db: Decibels
    linf: Norm
    l2: Norm
    l0: Count
    gt: Probability
    """Probability of the clean prediction on the clean example."""
    new: Probability
    """Probability of the adversarial prediction on the adversarial example."""
    gt_new: Probability
    """Probability of the clean prediction on the adversarial example."""
    zero_gradient: Probability
    """Share of entries at which the clean loss has a gradient of exactly zero."""
    success_pcm16: Judgement = -1
    """The success holds on the file of 16 bits; see `evaluation.judge_pcm16`."""
    success_float32: Judgement = -1
    """The attack succeeded before its `finish`, which `success` does not say."""


class SmoothedAttackRow(NamedTuple):
    """One attack on a smoothed classifier, in the order of the columns.

    A certified clip has a row for each attack and budget.
    """

    clip: Name
    """The example's name in its records, the `id` of its certificate's row."""
    label: Count
    radius: Size
    """Certified radius, in the units of the stage."""
    attack: Name
    """The attack on the mean over noise, with its options."""
    budget: Name
    """Meaning of `eps`: a multiple of the noise's standard deviation, the radius, or a
    search for the smallest perturbation."""
    eps: Norm
    """The largest l2 norm allowed; inf for a search for the smallest."""
    l2: Size
    """Norm of the perturbation; 0 if a search found none."""
    predict: Class
    """The smoothed classifier's prediction on the perturbed clip; -1 for an
    abstention."""
    p_value: Probability
    """p-value of the prediction's lead, for two equally likely best classes."""
    votes: Count
    """Votes for the leading class."""

    @property
    def id(self) -> str:
        """Unique name of this row in its file."""
        return f"{self.clip} {self.attack} {self.budget}"

    @property
    def flipped(self) -> bool:
        """True if the vote named another class; abstentions do not count."""
        return self.predict not in (self.label, -1)

    @property
    def inside(self) -> bool:
        """True if there is a perturbation and the certificate covers it."""
        return 0 < self.l2 <= self.radius


class ShiftRow(NamedTuple):
    """One clip certified against time shifts, in the order of the columns.

    See `smoothing.ShiftCertificate`.
    """

    idx: Count
    """Its place in the split."""
    label: Count
    predict: Count
    """The certified class."""
    radius: Annotated[float, Real(low=0, format=".0f")]
    """Largest shift in samples, a whole number."""
    correct: Truth
    time: Annotated[float, Seconds()]
    """Seconds spent on this clip."""
    id: Name
    votes: Count
    """Copies that are given the certified class, out of `n`."""
    n: Count


class AudibilityRow(NamedTuple):
    """One certified clip: its radius, and the threshold of audibility."""

    id: Name
    radius: Rounded
    """In the units of the representation where the noise entered."""
    radius_wave: Rounded
    """At the waveform."""
    radius_wave_snr_db: RoundedDecibels
    smallest_audible: Rounded
    """The l2 norm at the waveform below which no perturbation is audible."""
    smallest_audible_snr_db: RoundedDecibels
    audible_inside: Truth
    """The certified ball at the waveform holds audible perturbations."""


class AudibleAttackRow(NamedTuple):
    """One successful attack, as it is heard at the waveform."""

    id: Name
    wave_snr_db: RoundedDecibels
    audible_excess: Rounded
    audible_share: Rounded
    """Of frames and bins."""
    fools_as_wave: Truth
    """The resynthesised waveform still meets the attack's goal."""


CERTIFICATES = Schema(
    CertificateRow,
    "certificates",
    kind="certify",
    advice="certify something first",
    check=check_certificates,
    leading=(11, 6, 5),
    foreign=6,
)
"""Rows of certified points."""
ATTACK_ROWS = Schema(
    AttackRow,
    "an attack",
    kind="attack",
    advice="attack something first, with `python -m experiments.attack`",
    check=check_attacks,
    optional=2,
)
"""Rows of attacked examples."""
SMOOTHED_ATTACKS = Schema(
    SmoothedAttackRow,
    "attacks on a smoothed classifier",
    kind="smoothed_attacks",
    advice="attack a smoothed classifier first",
    check=check_smoothed_attacks,
    derived={"flipped": Flag()},
)
"""Rows of attacks on smoothed classifiers."""
SHIFTS = Schema(
    ShiftRow,
    "certificates against shifts",
    kind="shifts",
    advice="certify something first, with `python -m experiments.shifts`",
    check=check_shifts,
)
"""Rows of clips certified against shifts."""
AUDIBILITY = Schema(AudibilityRow, "the audibility of certificates")
"""Lines of an `audibility.tsv`."""
AUDIBLE_ATTACKS = Schema(AudibleAttackRow, "the audibility of attacks")
"""Lines of an `audible.tsv`."""
SCHEMAS = {
    each.kind: each for each in (CERTIFICATES, ATTACK_ROWS, SMOOTHED_ATTACKS, SHIFTS)
}
"""By the kind of a run."""


class Run(NamedTuple):
    """Rows of a run, with what tables and figures state about them."""

    label: str
    rows: Rows
    cap: float = float("inf")
    """Largest radius that the run can certify: that of a unanimous vote."""
    alpha: float | None = None
    """Failure probability of each certificate, where it is known."""
