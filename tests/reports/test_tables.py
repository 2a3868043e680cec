import pytest

from advjax.metrics.shares import Share
from advjax.reports import tables
from advjax.runs.row_types import CERTIFICATES, CertificateRow, Run


def run(label, points, cap=float("inf")) -> Run:
    """A run of (correct, predict, radius) points."""
    rows = [
        CertificateRow(i, 1, predict, radius, correct, 0.5, f"{i}", 0.9, 95, 100, 20.0)
        for i, (correct, predict, radius) in enumerate(points)
    ]
    return Run(label, CERTIFICATES.rows(rows), cap)


POINTS = [(True, 1, 0.5), (True, 1, 0.03), (False, 2, 0.7), (False, -1, 0.0)]
RUN = run("voices mfbe", POINTS, cap=0.8)


def test_certified_accuracies_and_a_dash_beyond_the_cap():
    table = tables.certified_accuracy_table([RUN])
    assert table.header == [
        *("run", "points", "smoothed", "abstain", "ACR", "r=0.01", "r=0.05", "r=0.25"),
        *("r=0.5", "r=0.75", "r=1", "r=1.25", "r=1.5"),
    ]
    assert table.rows == [
        [
            *("voices mfbe", "4", "0.500 [0.07, 0.93]", "0.250", "0.1325"),
            *("0.500 [0.07, 0.93]", *["0.250 [0.01, 0.81]"] * 3),
            # 0.75 was in reach and nothing reached it; 1.0 was not.
            *("0.000 [0.00, 0.60]", "–", "–", "–"),
        ]
    ]


def test_the_cap_itself_is_in_reach():
    table = tables.certified_accuracy_table(
        [run("a", [(True, 1, 0.5)], 0.5)], [0.5, 1.0]
    )
    assert table.rows[0][-2:] == ["1.000 [0.03, 1.00]", "–"]


def test_what_wrong_certificates_leave_of_accuracies_is_told():
    known = RUN._replace(alpha=0.001)
    table = tables.certified_accuracy_table([known, known._replace(label="two"), RUN])
    (note,) = [note for note in table.notes if "appendix F" in note]
    # 0.001 + sqrt(0.001 * 0.999 * ln(20) / 4) + ln(20) / 12
    assert "these 4 points" in note and "accuracy minus 0.278 " in note
    # Of another alpha it is another, and says of which run it speaks.
    table = tables.certified_accuracy_table([known, RUN._replace(label="b", alpha=0.1)])
    named = [note for note in table.notes if "appendix F" in note]
    assert len(named) == 2 and "(voices mfbe)" in named[0] and "(b)" in named[1]
    assert not any(
        "appendix" in note for note in tables.certified_accuracy_table([RUN]).notes
    )


def test_a_share_has_its_interval():
    assert tables.share_text(Share(27, 30)) == "0.900 [0.73, 0.98]"
    assert tables.percent_text(Share(27, 30)) == "90 [73, 98]"
    assert tables.percent_text(Share(1, 3), 1) == "33.3 [1, 91]"
    assert tables.share_text(Share(0, 0)) == tables.percent_text(Share(0, 0)) == "–"


def test_a_run_without_rows_is_refused():
    with pytest.raises(ValueError, match="no rows"):
        tables.certified_accuracy_table([run("empty", [])])


def test_text_is_aligned():
    table = tables.Table(["run", "r=1"], [["a", "0.5"], ["long", "–"]], ["a note"])
    assert tables.as_text(table).split("\n") == [
        "run   r=1",
        "────  ───",
        "a     0.5",
        "long    –",
        "a note",
    ]


def test_a_wide_table_has_intervals_below_their_rates():
    row = ["a run", "0.900 [0.73, 0.98]", "1.000 [0.00, 1.00] 7/9", "0.1 (linf)", "–"]
    table = tables.Table(["run", "clean", "moved by it", "size", "x"], [row])
    assert tables.as_text(table, width=40).split("\n") == [
        "run      clean    moved  size    x",
        "─────  ───────    by it  ──────  ─",
        "a run    0.900    1.000  0.1     –",
        "       .73–.98  0–1 7/9  (linf)",
    ]
    assert tables.as_text(table, width=100).split("\n")[2] == "  ".join(
        [row[0], row[1], row[2], row[3], "–"]
    )
    assert "---: | ---: | --- | ---: |" in tables.as_markdown(table)


def test_markdown_escapes_and_aligns():
    got = tables.markdown_table(["a|b", "n"], [["x|y", "1,000"], ["z", "2*"]])
    assert got == "| a\\|b | n |\n| --- | ---: |\n| x\\|y | 1,000 |\n| z | 2* |"
    with_note = tables.as_markdown(tables.Table(["a"], [["x"]], ["* note"]))
    assert with_note.endswith("| x |\n\n- \\* note")
    assert tables.markdown_table(["a", "b"], []) == "| a | b |\n| --- | --- |"


def test_latex_escapes():
    table = tables.Table(["a_b", "50%"], [[r"\x^2~{&}", "–"]], ["# $"])
    assert tables.as_latex(table).split("\n") == [
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"a\_b & 50\% \\",
        r"\midrule",
        r"\textbackslash{}x\textasciicircum{}2\textasciitilde{}\{\&\} "
        r"& \textendash{} \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\par\footnotesize \# \$",
    ]


def test_latex_has_signs_for_letters_beyond_ascii():
    table = tables.Table(["σ ≥ α", "a --- b"], [["[x] |<>", "`mp3_a`\n−1"], ["*", "é"]])
    text = tables.as_latex(table, caption="50 % of σ", label="tab:a_b").split("\n")
    assert text[:4] == [
        r"\begin{table}", r"\centering", r"\caption{50 \% of $\sigma$}",
        r"\label{tab:a_b}",
    ]  # fmt: skip
    assert r"$\sigma$ $\geq$ $\alpha$ & a -{}-{}- b \\" in text
    # A row that began with a bracket or a star would be the argument of the row before.
    row = r"{}[x] \textbar{}\textless{}\textgreater{} & \texttt{mp3\_a} $-$1 \\"
    assert row in text and r"{}* & é \\" in text
    assert text[-1] == r"\end{table}"


def test_csv_has_plain_numbers_and_columns_for_intervals_counts_and_units():
    rates = ["1.000 [0.00, 1.00] 7/9", "–", "0.500 [0.1, 0.90] 3/6"]
    sizes = ["0.1 (linf)", "2.5e-05 (l2)", ""]
    mixed = ["47.9, (plain 80.8)", "1", "2"]
    table = tables.Table(
        ["run", "moved", "size", "n", "slip", "mixed", "none"],
        [
            [f"a, {i}", *cells, "–"]
            for i, cells in enumerate(
                zip(rates, sizes, ["1,000", "-12", "1"], ["1*", "+2", "nan"], mixed,
                    strict=True)
            )
        ],
        ["a note"],
    )  # fmt: skip
    lines = tables.as_csv(table).split("\n")
    assert lines == [
        "run,moved,moved low,moved high,moved count,moved total,size,size unit,n,slip,"
        "mixed,none",
        '"a, 0",1.000,0.00,1.00,7,9,0.1,linf,1000,1,"47.9, (plain 80.8)",',
        '"a, 1",,,,,,2.5e-05,l2,-12,2,1,',
        '"a, 2",0.500,0.1,0.90,3,6,,,1,nan,2,',
        "",
    ]
    assert tables.as_csv(tables.Table(["a", "b"], [])) == "a,b\n"


def test_html_escapes_and_sets_intervals_below():
    table = tables.Table(
        ["run", "fooled", "size"],
        [["<b>a</b>", "0.900 [0.73, 0.98]", "0.1 (l2)"]],
        ["below 1 & above 0"],
    )
    text = tables.as_html(table)
    assert "<td>&lt;b&gt;a&lt;/b&gt;</td>" in text
    assert '<td class="number">0.900<small>.73–.98</small></td>' in text
    assert "<td>0.1<small>(l2)</small></td>" in text
    assert '<th class="number">fooled</th>' in text
    assert "<li>below 1 &amp; above 0</li>" in text
    assert "<ul" not in tables.as_html(table._replace(notes=[]))
