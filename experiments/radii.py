"""Radii that Gaussian noise can certify, and the votes that they take.

  python -m experiments.radii --sigma=0.25 --radii=0.25,0.5,0.75

No network is needed. One table has the fewest votes that certify each of --radii. The
other has the radius by the lower bound on the probability of the top class: Neyman and
Pearson's, which certificates have, beside those of Renyi's divergence and of Kullback
and Leibler's. Prints both and writes report.md, radii.png and the tables as CSV and
LaTeX into --out, by default a folder `radii` in --home.
"""

import pathlib

from experiments import app, flags, requests

flags.declare(
    __name__,
    *(flags.SIGMA, flags.ALPHA, flags.RADII, flags.OUT),
    *flags.RUN_FLAGS,
)


def main() -> None:
    """Report."""
    from advjax.reports.tables import PUBLICATION_RADII
    from experiments.lab import preflight, radii
    from experiments.lab.console import say

    out = pathlib.Path(flags.OUT.value or flags.home() / "radii")
    preflight.check_writable(out, "--out" if flags.OUT.value else "--home")
    text = radii.report(
        out,
        sigma=flags.SIGMA.value,
        alpha=flags.ALPHA.value,
        radii=requests.radii() or PUBLICATION_RADII,
    )
    print(text)
    say(f"report      {out}/report.md, radii.png, tables")


if __name__ == "__main__":
    app.run(main)
