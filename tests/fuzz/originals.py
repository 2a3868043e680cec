"""Targets of damage: folders as programs write them, and their readers."""

import contextlib
import dataclasses
import hashlib
import io
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import soundfile
from scipy import stats

from advjax import checkpoint, records
from advjax.attacks import pgd, run_batch, snapshots
from advjax.classifier import Classifier, initialise
from advjax.models import MODELS
from advjax.representations import Magnitude, MelEnergies, Waveform
from advjax.runs import folder as runs
from advjax.runs.row_types import (
    ATTACK_ROWS,
    CERTIFICATES,
    SHIFTS,
    SMOOTHED_ATTACKS,
    AttackRow,
    CertificateRow,
    ShiftRow,
    SmoothedAttackRow,
)
from advjax.runtime.parallel import Process
from advjax.smoothing import Tally
from advjax.smoothing.bounds.clopper_pearson import clopper_pearson_lower
from advjax.training import checkpoints
from data_prep.clips import decode
from experiments.lab import adversarial_examples, vote_checkpoints
from tests.fuzz import mutations
from tests.problems import linear

RATE = 16_000
NO_CHECKSUM = "a text that no checksum covers"
SAMPLES = "uncompressed samples, which no checksum covers"
HEADER = "the header of uncompressed samples, which no checksum covers"
FRAMES = "compressed frames without a checksum"


@dataclasses.dataclass(frozen=True)
class Original:
    """One kind of folder.

    Attributes:
        name: of the kind.
        make: fills a folder.
        read: what a program reads of it, as values that can be compared.
        count: how many damages to try.
        ways: how a file is damaged, by the ending of its name; "" for the rest.
        explain: (before, after) to why no reader can notice; None where one could.
    """

    name: str
    make: Callable[[pathlib.Path], None]
    read: Callable[[pathlib.Path], Any]
    count: int
    ways: dict[str, tuple[mutations.Mutation, ...]]
    explain: Callable[[Any, Any], str | None] = lambda before, after: None


def digest(array: Any) -> str:
    """A short name of an array's type, shape and content."""
    array = np.ascontiguousarray(array)
    told = f"{array.dtype}{array.shape}".encode()
    return hashlib.sha256(told + array.tobytes()).hexdigest()[:12]


def _audio(name: str, **options: Any) -> Original:
    def make(folder: pathlib.Path) -> None:
        rng = np.random.default_rng(0)
        tone = 0.3 * np.sin(np.arange(RATE // 2) * 0.2) + 0.1 * rng.normal(size=8000)
        soundfile.write(folder / name, np.clip(tone, -0.99, 0.99), RATE, **options)

    def read(folder: pathlib.Path) -> tuple[int, str]:
        wave = decode(folder / name, RATE)
        return len(wave), digest(wave)

    def explain(before: Any, after: Any) -> str | None:
        if name.endswith("mp3"):
            # Without its mark, the header is a silent frame like any other.
            return FRAMES if after[0] >= before[0] else None
        if name.endswith(("flac", "ogg")):
            return None
        return SAMPLES if before[0] == after[0] else HEADER

    return Original(name, make, read, 26, {"": mutations.ANY}, explain)


LABELS = ("anna", "bert")
CHAIN = MelEnergies(source=Magnitude(source=Waveform(num_samples=1600)))


def _records(file_format: str) -> Original:
    def example(index: int) -> records.Example:
        rng = np.random.default_rng(index)
        return records.Example(
            id=f"u{index}@0",
            audio=rng.integers(-(2**15), 2**15, 1600).astype(np.int16),
            features=rng.normal(size=CHAIN.feature_shape).astype(np.float32),
            label=index % 2,
            speaker=LABELS[index % 2],
        )

    def make(folder: pathlib.Path) -> None:
        records.write(
            folder,
            {"train": map(example, range(4)), "test": map(example, range(4, 6))},
            name="voices",
            representation=CHAIN,
            labels=LABELS,
            file_format=file_format,
        )

    def read(folder: pathlib.Path) -> Any:
        info = records.info(folder, expect=CHAIN)
        found = [repr(info._asdict())]
        for split in ("train", "test"):
            source = records.read(folder, split)
            for index in range(len(source)):
                each = source[index]
                found.append(
                    f"{each['id']} {each['label']} {each['speaker']} "
                    f"{digest(each['audio'])} {digest(each['features'])}"
                )
        return found

    ways = {"": mutations.ANY, ".json": mutations.JSON, ".npy": mutations.ARRAY}
    return Original(f"records {file_format}", make, read, 40, ways)


SIGMA, N, ALPHA = 0.25, 100, 0.01
CERTIFY = {
    "corpus": "voices", "noise_enters_at": "mfbe", "bound": "clopper_pearson",
    "noise": {"law": "gaussian", "sigma": SIGMA, "norm": "l2"}, "alpha": ALPHA,
    "num_estimation": N, "cap": 1.0, "num_points": 8, "seed": 0, "defence": "plain",
}  # fmt: skip
IDS = [f"clip-{n}" for n in range(8)]


def certificate(number: int) -> CertificateRow:
    """A row as a run has it."""
    votes = (100, 99, 95, 90, 80, 70, 60, 50)[number]
    p = float(clopper_pearson_lower(votes, N, ALPHA))
    sure = p >= 0.5
    radius = SIGMA * float(stats.norm.ppf(p)) if sure else 0.0
    return CertificateRow(
        number, 1, 1 if sure else -1, radius, sure, 0.5, IDS[number], p, votes, N, 20.0,
        radius / 3, 30.0,
    )  # fmt: skip


def attacked(number: int) -> AttackRow:
    """A row as a run has it."""
    won = number % 2 == 0
    return AttackRow(
        idx=number, label=1, clean=1, target=-1, predict=2 if won else 1, success=won,
        queries=17, time=0.25, id=IDS[number], budget=2.0, snr_db=30.1, linf=0.1,
        l2=float(np.sqrt(10) * 0.1), l0=10, gt=0.9, new=0.6, gt_new=0.3 if won else 0.6,
        zero_gradient=0.0,
    )  # fmt: skip


def smoothed(number: int) -> SmoothedAttackRow:
    """A row as a run has it."""
    return SmoothedAttackRow(
        IDS[number], 3, 0.3, "pgd(norm='l2')", "1 sigma", 0.5, 0.25, 4, 1e-9, 900
    )


def shifted(number: int) -> ShiftRow:
    """A row as a run has it: all 13 copies agree, or the outermost does not."""
    votes, radius = ((13, 6), (12, 5))[number % 2]
    return ShiftRow(number, 1, 1, radius, True, 0.5, IDS[number], votes, 13)


def _run(schema: Any, row: Callable[[int], Any], settings: dict):
    def make(folder: pathlib.Path) -> None:
        with runs.open_run(
            folder, settings=settings, environment={"jax": "1"}, schema=schema
        ) as run:
            for number in range(8):
                run.append(row(number))

    return make


def _rows(kind: str, make, read) -> Original:
    ways = {".tsv": mutations.TEXT, ".json": mutations.JSON}
    return Original(
        f"rows of {kind}", make, read, 70, ways, lambda before, after: NO_CHECKSUM
    )


def _certificates(folder: pathlib.Path) -> Any:
    return [*map(repr, CERTIFICATES.read(folder))], runs.description(folder)


def _attacked(folder: pathlib.Path) -> Any:
    return [*map(repr, ATTACK_ROWS.read(folder))], runs.description(folder)


def _smoothed(folder: pathlib.Path) -> Any:
    return list(SMOOTHED_ATTACKS.read(folder)), runs.description(folder)


def _shifted(folder: pathlib.Path) -> Any:
    return [*map(repr, SHIFTS.read(folder))], runs.description(folder)


LIMITS = vote_checkpoints.Limits(set(IDS), 3, 10, 100)


def _votes(folder: pathlib.Path) -> None:
    note = vote_checkpoints.writer(
        folder, Process(0, 1), clock=iter([0, 99, 99]).__next__
    )
    note(IDS[0], Tally(10, (1, 8, 0), 60, (0, 59, 0), 0.5, 0.9))


F = linear(np.random.default_rng(0).normal(size=(3, 5)), np.zeros(3))
X = np.random.default_rng(1).normal(size=(6, 5)).astype(np.float32)
ATTACK = pgd(num_steps=30, num_restarts=2, bounds=(-9.0, 9.0))


def _snapshot(folder: pathlib.Path) -> None:
    path = folder / "attack.npz"

    def save_once(slots: Any) -> None:
        if not path.exists():
            snapshots.save(path, slots, IDS[:6])

    list(
        run_batch(
            ATTACK, F, X, np.zeros(6, np.int32),
            jax.random.split(jax.random.key(2), 6), 0.3, num_slots=2, block=3,
            on_block=save_once,
        )
    )  # fmt: skip


def _slots(folder: pathlib.Path) -> Any:
    slots, ids = snapshots.load(folder / "attack.npz", ATTACK, F, jnp.asarray(X[0]))
    leaves = [
        jax.random.key_data(leaf)
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        else leaf
        for leaf in jax.tree.leaves(slots.state)
    ]
    counts = slots.steps.tolist(), slots.example.tolist(), slots.following
    return ids, counts, [digest(leaf) for leaf in leaves]


CLEAN = np.random.default_rng(3).normal(size=(8, 2, 5)).astype(np.float32)


def _examples(folder: pathlib.Path) -> None:
    settings = {"attack": {"name": "pgd"}, "norm": "l2", "budget": "2"}
    _run(ATTACK_ROWS, attacked, settings)(folder)
    with adversarial_examples.open_examples(
        folder / "x_adv.npy",
        CLEAN.shape,
        position={id: n for n, id in enumerate(IDS)},
        has_rows=False,
    ) as file:
        for id, x in zip(IDS, CLEAN, strict=True):
            file.write(id, x + np.float32(0.1))


def _stored(folder: pathlib.Path) -> Any:
    table = ATTACK_ROWS.read(folder)
    found = adversarial_examples.examples(folder, {id: n for n, id in enumerate(IDS)})
    for number, id in enumerate(table.id):
        x_adv = np.asarray(found[id])
        adversarial_examples.check_example(table, number, CLEAN[number], x_adv, folder)
    return {id: digest(x_adv) for id, x_adv in found.items()}


NETWORK = MODELS["rescnn"](num_classes=2, width=2, embedding_size=4)


def _classifier(folder: pathlib.Path) -> None:
    variables = jax.device_get(initialise(NETWORK, CHAIN, jax.random.key(0)))
    checkpoint.save(
        folder,
        Classifier(
            variables=variables, module=NETWORK, representation=CHAIN, labels=LABELS
        ),
        defence="plain",
    )


def _loaded(folder: pathlib.Path) -> Any:
    found = checkpoint.load(folder)
    return found.digest(), found.labels, repr(found.module), repr(found.representation)


STATE = checkpoints.TrainState(
    step=np.int32(3),
    params={"w": np.arange(64, dtype=np.float32)},
    batch_stats={},
    opt_state=(),
    rate_scale=np.float32(1),
)
BEST = {"w": np.ones(64, np.float32)}


def _training(folder: pathlib.Path) -> None:
    log = checkpoints.Log(settings="one", best=0.5)
    checkpoints.Checkpoints(folder).save(STATE, BEST, log)


def _latest(folder: pathlib.Path) -> Any:
    with contextlib.redirect_stderr(io.StringIO()) as said:
        state, best, log = checkpoints.Checkpoints(folder).latest(
            jax.tree.map(np.zeros_like, STATE),
            jax.tree.map(np.zeros_like, BEST),
            checkpoints.Log(settings="one"),
        )
    if "the training starts anew" in said.getvalue():
        return {}
    leaves = [digest(leaf) for leaf in jax.tree.leaves((state, best))]
    return leaves, dataclasses.asdict(log)


ORBAX = {"": mutations.ANY, ".json": mutations.JSON}
ORIGINALS = [
    _audio("pcm16.wav"),
    _audio("float.wav", subtype="FLOAT"),
    _audio("pcm.flac"),
    _audio("lossy.mp3"),
    _audio("lossy.ogg"),
    _audio("large.wav", format="RF64"),
    _audio("apple.aiff"),
    _records("npz"),
    _records("array_record"),
    _rows(
        "certify",
        _run(CERTIFICATES, certificate, CERTIFY),
        _certificates,
    ),
    _rows(
        "attack",
        _run(
            ATTACK_ROWS,
            attacked,
            {"attack": {"name": "pgd"}, "norm": "l2", "budget": "2"},
        ),
        _attacked,
    ),
    _rows(
        "smoothed attacks",
        _run(
            SMOOTHED_ATTACKS, smoothed, {"certificates": CERTIFY}
        ),
        _smoothed,
    ),
    _rows(
        "shifts",
        _run(SHIFTS, shifted, {"max_shift": 6, "shift_step": 1, "num_points": 8}),
        _shifted,
    ),
    Original(
        "votes", _votes, lambda folder: vote_checkpoints.read(folder, LIMITS), 50,
        {"": mutations.JSON},
    ),
    Original("attack.npz", _snapshot, _slots, 60, {"": mutations.ANY}),
    Original(
        "x_adv.npy", _examples, _stored, 60,
        {".npy": mutations.ARRAY, "": mutations.TEXT},
        # Less than the rounding of another machine.
        lambda before, after: SAMPLES,
    ),
    Original("classifier", _classifier, _loaded, 12, ORBAX),
    Original("training", _training, _latest, 20, ORBAX),
]  # fmt: skip
