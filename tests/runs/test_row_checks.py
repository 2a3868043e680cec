"""Rows that were changed since they were written, and rows of other programs."""

import pathlib

import numpy as np
import pytest
from scipy import stats

from advjax.runs import (
    descriptions,
)
from advjax.runs import folder as runs
from advjax.runs.row_types import (
    ATTACK_ROWS,
    CERTIFICATES,
    SMOOTHED_ATTACKS,
    AttackRow,
    CertificateRow,
    SmoothedAttackRow,
)
from advjax.smoothing.bounds.clopper_pearson import clopper_pearson_lower

RESULTS = pathlib.Path(__file__).parents[2] / "experiments" / "results"
SIGMA, N, ALPHA = 0.25, 100, 0.01
SETTINGS = {
    "noise_enters_at": "mfbe",
    "noise": {"law": "gaussian", "sigma": SIGMA, "norm": "l2"},
    "bound": "clopper_pearson",
    "num_estimation": N,
    "alpha": ALPHA,
    "cap": 1.0,
}


def certificate(number: int, votes: int) -> CertificateRow:
    p = float(clopper_pearson_lower(votes, N, ALPHA))
    radius = SIGMA * float(stats.norm.ppf(p)) if p > 0.5 else 0.0
    predict = 1 if p >= 0.5 else -1
    return CertificateRow(
        idx=number, label=1, predict=predict, radius=radius, correct=predict == 1,
        time=0.5, id=f"clip-{number}", p_lower=p, votes=votes, n=N, snr_db=20.0,
        radius_wave=radius / 3, radius_wave_snr_db=30.0,
    )  # fmt: skip


GOOD = [certificate(n, votes) for n, votes in enumerate((100, 95, 80, 50))]


def write(folder, lines, settings=SETTINGS, schema=CERTIFICATES):
    with runs.open_run(folder, settings=settings, environment={}, schema=schema) as run:
        for line in lines:
            run.append(line)


def test_rows_that_agree_with_their_settings_read(tmp_path):
    write(tmp_path, GOOD)
    assert CERTIFICATES.read(tmp_path).id == tuple(row.id for row in GOOD)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"radius": GOOD[1].radius * 1.001}, "the radius is "),
        ({"radius": 0.0}, "the radius is 0, where p_lower="),
        ({"p_lower": 0.9}, "p_lower is 0.9, where 95 of 100 votes give"),
        ({"p_lower": 0.4}, "p_lower is 0.4, and the prediction 1"),
        ({"predict": -1, "correct": False, "radius": 0.0}, "p_lower is .* below one"),
        ({"votes": 96}, "p_lower is "),
        ({"n": 1000}, "n is 1000 in a run of 100 votes"),
        ({"votes": 101}, "101 votes of 100"),
        ({"radius_wave": 0.2}, "radius_wave is 0.2, where the other rows"),
        ({"correct": False}, "correct is 0 where the label is 1 and the prediction 1"),
        ({"id": "clip-0"}, "line 2 has the id 'clip-0' already"),
    ],
)
def test_a_row_that_contradicts_its_settings_is_named(tmp_path, change, complaint):
    write(tmp_path, [])
    path = tmp_path / "rows.tsv"
    changed = [GOOD[0], GOOD[1]._replace(**change), *GOOD[2:]]
    path.write_bytes(CERTIFICATES.content(changed))
    with pytest.raises(ValueError, match=f"{path} line 3: {complaint}"):
        CERTIFICATES.read(tmp_path)


def test_a_radius_above_the_cap_and_other_laws(tmp_path):
    law = {"law": "masked(strength=2)", "sigma": SIGMA, "norm": "l2"}
    settings = SETTINGS | {"noise": law, "cap": 0.1}
    write(tmp_path, GOOD, settings)
    with pytest.raises(ValueError, match="line 2: the radius .* above the run's cap"):
        CERTIFICATES.read(tmp_path)
    uniform = {"law": "uniform", "sigma": SIGMA, "norm": "l1"}
    write(tmp_path / "uniform", GOOD, SETTINGS | {"noise": uniform})
    with pytest.raises(ValueError, match="line 2: the radius is"):
        CERTIFICATES.read(tmp_path / "uniform")


@pytest.mark.parametrize("lower", [0.0, 0.93, 0.999])
def test_a_sequential_bound_lies_between_what_its_votes_can_give(tmp_path, lower):
    radius = SIGMA * float(stats.norm.ppf(lower)) if lower else 0.0
    one = certificate(0, 95)._replace(n=97, p_lower=lower, radius=radius)
    one = one._replace(radius_wave=float("nan"))
    if not lower:
        one = one._replace(predict=-1, correct=False)
    settings = SETTINGS | {"bound": "sequential", "cap": 9.0}
    write(tmp_path, [one], settings)
    if lower == 0.93:
        assert len(CERTIFICATES.read(tmp_path)) == 1
        return
    with pytest.raises(ValueError, match="line 2: p_lower is"):
        CERTIFICATES.read(tmp_path)


CELLS = {
    "idx": ["1_0", "٣", "3.0", " 3", "-1", "+3", "007", "9" * 5000, ""],
    "predict": ["-2", "1e0"],
    "radius": ["nan", "inf", "-0.5", "1_0.0", "0x1p-1", "1e999", "٠.٥", "0,5", "１"],
    "correct": ["True", "1.0", "yes", "2"],
    "time": ["0:99:00", "-1 day, 23:00:00", "1:2:3:4", "inf", "-3", "0:00:6x"],
    "p_lower": ["1.5", "-0.1", "nan", "inf"],
    "votes": ["-1", "1_000", "1e3"],
    "snr_db": ["infinity", "NaN", "1_0"],
    "id": [""],
}


@pytest.mark.parametrize(
    ("column", "text"), [(name, text) for name in CELLS for text in CELLS[name]]
)
def test_a_cell_that_no_program_writes_is_refused(tmp_path, column, text):
    cells = CERTIFICATES.line(GOOD[1]).decode().split("\t")
    cells[CertificateRow._fields.index(column)] = text
    content = CERTIFICATES.header + "\t".join(cells).encode()
    with pytest.raises(ValueError, match=f"line 2: .*{column}"):
        CERTIFICATES.parse(content, tmp_path)


ATTACKED = AttackRow(
    idx=3, label=1, clean=1, target=-1, predict=2, success=True, queries=17, time=0.25,
    id="b", budget=0.1, snr_db=30.1, linf=0.1, l2=0.3, l0=9, gt=0.9, new=0.6,
    gt_new=0.3, zero_gradient=0.0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"predict": 1, "gt_new": 0.6}, "success is 1 where the label is 1"),
        ({"target": 3}, "success is 1 where .* the target 3"),
        ({"l0": 0}, "l0 is 0 where l2 is 0.3"),
        ({"linf": 0.4}, "linf is 0.4 where l2 is 0.3"),
        ({"new": 0.2}, "gt_new is 0.3 and new 0.2"),
        ({"linf": 0.2}, "success is 1 where linf is 0.2, and the budget 0.1"),
        ({"id": "a"}, "line 2 has the id 'a' already"),
        ({"gt": 1.5}, "gt must be 1 or less"),
        ({"queries": -1}, "queries must be 0 or more"),
        ({"l2": float("nan")}, "l2 must be a number, found 'nan'"),
        ({"success_pcm16": 0}, "success_pcm16 is 0 where success is 1"),
        ({"success_pcm16": 2}, "success_pcm16 must be 1 or less"),
        (
            {"success": False, "success_pcm16": 1},
            "success_pcm16 is 1 where success is 0",
        ),
    ],
)
def test_an_attacks_row_that_contradicts_itself_is_named(tmp_path, change, complaint):
    settings = {"attack": {"name": "pgd"}, "norm": "linf", "budget": "0.1"}
    settings["finish"] = "pcm16"
    write(tmp_path, [], settings, ATTACK_ROWS)
    path = tmp_path / "rows.tsv"
    two = [ATTACKED._replace(id="a"), ATTACKED._replace(**change)]
    path.write_bytes(ATTACK_ROWS.content(two))
    with pytest.raises(ValueError, match=f"{path} line 3: {complaint}"):
        ATTACK_ROWS.read(tmp_path)


@pytest.mark.parametrize("old", [b"\r\n", b"\n"], ids=["CRLF", "LF"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "BOM"])
@pytest.mark.parametrize("kind", ["certify", "attack", "smoothed_attacks"])
def test_files_that_an_editor_saved_read_and_go_on(tmp_path, kind, mark, old):
    smoothed = SmoothedAttackRow(
        "a", 3, 0.3, "pgd(norm='l2')", "1 sigma", 0.5, 0.25, 4, 1e-9, 900
    )
    schema, read, first, second = {
        "certify": (CERTIFICATES, CERTIFICATES.read, *GOOD[:2]),
        "attack": (
            ATTACK_ROWS, ATTACK_ROWS.read, ATTACKED,
            ATTACKED._replace(id="c", idx=4),
        ),
        "smoothed_attacks": (
            SMOOTHED_ATTACKS, SMOOTHED_ATTACKS.read, smoothed,
            smoothed._replace(clip="b"),
        ),
    }[kind]  # fmt: skip
    write(tmp_path, [first], {}, schema)
    path = tmp_path / "rows.tsv"
    path.write_bytes(mark + path.read_bytes().replace(b"\n", old) + old + old)
    # Without anything from `read` but its errors: three types, one question.
    read(tmp_path)
    write(tmp_path, [second], {}, schema)
    assert schema.ids(path.read_bytes(), path) == (first.id, second.id)
    read(tmp_path)


def test_a_row_of_no_point_of_the_run_is_refused(tmp_path):
    write(tmp_path, GOOD)
    known = {row.id for row in GOOD}
    runs.open_run(tmp_path, settings=SETTINGS, environment={}, ids=known).close()
    with pytest.raises(ValueError, match="line 4: this run has no point 'clip-2'"):
        runs.open_run(
            tmp_path, settings=SETTINGS, environment={}, ids=known - {"clip-2"}
        )


COHEN = "idx\tlabel\tpredict\tradius\tcorrect\ttime\n"
LINE = "0\t1\t1\t0.5\t1\t"


@pytest.mark.parametrize(
    ("text", "times"),
    [
        (COHEN + LINE + "1 day, 2:00:03.500000\n", [93603.5]),
        (COHEN + LINE + "2 days, 0:00:00\n", [172800.0]),
        (COHEN + LINE + "0:00:13", [13.0]),
        (COHEN + LINE + "0:00:13\n" + LINE[:-1], [13.0]),
        (COHEN + LINE + "0:00:13\n\n\n", [13.0]),
        ("\ufeff" + COHEN + LINE + "0:00:13\n", [13.0]),
        (COHEN + LINE.replace("5\t1", "5\t1.0") + "0:00:13\n", [13.0]),
        (COHEN + LINE.replace("5\t1", "5\tTrue") + "0:00:13\n", [13.0]),
        (COHEN.replace("\ttime", "") + LINE[:-1] + "\n", [np.nan]),
    ],
)
def test_files_of_programs_made_from_cohens_read(tmp_path, text, times):
    path = tmp_path / "sigma_0.25"
    path.write_text(text, encoding="utf-8")
    found = CERTIFICATES.read(path)
    np.testing.assert_array_equal(found.time, times)
    assert found.correct.tolist() == [True] and found.radius.tolist() == [0.5]


@pytest.mark.parametrize("cell", ["tensor(0.5)", "0.5 ", "[0.5]"])
def test_a_radius_that_is_no_number_is_not_guessed(tmp_path, cell):
    path = tmp_path / "f"
    path.write_text(COHEN + LINE.replace("0.5", cell) + "3.0\n")
    with pytest.raises(ValueError, match="line 2: radius must be a number"):
        CERTIFICATES.read(path)


def test_all_committed_rows_and_descriptions_read():
    schemas = {s.kind: s for s in (CERTIFICATES, ATTACK_ROWS, SMOOTHED_ATTACKS)}
    counts = dict.fromkeys(schemas, 0)
    for path in sorted(RESULTS.rglob("run.json")):
        kind = descriptions.kind_of(descriptions.description(path.parent))
        rows = schemas[kind].read(path.parent)
        # As they are written today, but for columns that earlier versions had not.
        old = (path.parent / "rows.tsv").read_bytes().splitlines()
        new = schemas[kind].content(rows).splitlines()
        num_columns = len(old[0].split(b"\t"))
        assert sorted(old) == sorted(
            b"\t".join(line.split(b"\t")[:num_columns]) for line in new
        ), path
        counts[kind] += 1
    # Studies add more of them.
    least = {"certify": 63, "attack": 75, "smoothed_attacks": 7}
    assert all(counts[kind] >= number for kind, number in least.items())
