"""Reports on disk: Markdown, and each table of results as CSV and LaTeX."""

import csv
import shutil
import subprocess

import pytest

from advjax.reports import page, tables
from advjax.reports.files import write_report

TABLE = tables.Table(
    ["run", "fooled", "σ ≥ 0"],
    [["[a]_b & c", "0.900 [0.73, 0.98]", "1,000"], ["*<d>|~^\\", "–", "2.5e-05"]],
    ["50 % of `x_adv.npy`, by --save_audio; $#{}: α – … 2−1"],
)
BLOCKS = [
    page.Heading("Attacks", 1),
    TABLE,
    page.Heading("Runs"),
    page.Settings(TABLE),
    "## Votes of σ=0.5\n\nA text.\n\n### At 50 %",
    TABLE,
    page.Heading("At 50 %", 3),
    TABLE,
    page.Heading("–"),
    TABLE,
]
NAMES = ["attacks", "votes_of_0_5_at_50", "votes_of_0_5_at_50_2", "table"]


def test_each_table_of_results_has_its_files(tmp_path):
    write_report(tmp_path / "out" / "report.md", BLOCKS, origin=["attack\n-x, code 1"])
    out = tmp_path / "out"
    assert (out / "report.md").read_text("utf-8") == page.as_markdown(BLOCKS)
    files = {path.name for path in (out / "tables").iterdir()}
    assert files == {f"{name}.{kind}" for name in NAMES for kind in ("csv", "tex")}
    with (out / "tables" / "attacks.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["run", "fooled", "fooled low", "fooled high", "σ ≥ 0"]
    assert rows[0] == ["[a]_b & c", "0.900", "0.73", "0.98", "1000"]
    assert rows[1][1:] == ["", "", "", "2.5e-05"]
    latex = (out / "tables" / f"{NAMES[1]}.tex").read_text("utf-8").split("\n")
    assert latex[:2] == ["% needs the package booktabs", "% attack -x, code 1"]
    assert r"\caption{Votes of $\sigma$=0.5: At 50 \%}" in latex
    assert rf"\label{{tab:{NAMES[1]}}}" in latex


def test_a_report_without_results_has_no_folder_of_tables(tmp_path):
    write_report(tmp_path / "report.md", ["A text.", page.Settings(TABLE)])
    assert [path.name for path in tmp_path.iterdir()] == ["report.md"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is absent")
def test_latex_compiles_with_booktabs_alone(tmp_path):
    write_report(tmp_path / "report.md", BLOCKS, origin=["attack --x=50%"])
    inputs = "\n".join(rf"\input{{tables/{name}}}" for name in NAMES)
    (tmp_path / "main.tex").write_text(
        "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n"
        f"{inputs}\n\\end{{document}}\n"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
