"""Compare certified radii with what is audible beside each clip.

  python -m experiments.audibility --rep=magnitude --sigma=0.25

takes the run of `experiments.certify` with the same flags, or certifies first. For
every clip it compares the radius at the waveform with the l2 norm below which no
perturbation is audible beside the clip (the masking threshold of MPEG-1's
psychoacoustic model 1, the clip's loudest entry at 96 dB). Radii at magnitude, melmag
and log1pmel hold at the waveform after division by a proved bound on how far these
stages move with it; mfbe is normalised in each frame, and has no such bound.

  python -m experiments.audibility --run=FOLDER

takes the certificates of a run. Writes audibility.tsv and audibility/report.md with a
figure into the run's folder, and prints in how many clips a perturbation inside the
radius could be heard.
"""

from experiments import app, flags, requests

flags.declare(
    __name__,
    flags.RUN,
    *flags.MODEL_FLAGS,
    *flags.DATA_FLAGS,
    *(flags.PRESET, flags.NUM_POINTS, flags.WORKDIR),
    *flags.RUN_FLAGS,
    *flags.CERTIFY_FLAGS,
)


def main() -> None:
    """Certify what is not certified, then compare."""
    from experiments.lab import audibility, audibility_report
    from experiments.lab.certify_settings import waveform_bound
    from experiments.lab.console import say

    system, folder = requests.certified(
        audibility_report.check,
        then="compare the radii with the smallest audible perturbations",
    )
    rows = audibility.write_audibility(system, folder)
    bound, _ = waveform_bound(system.stage, system.noise)
    print(audibility_report.report(folder, rows, bound))
    say(f"report      {folder}/{audibility_report.FOLDER}/report.md")
    say(f"            A line for each clip: {folder}/audibility.tsv")


if __name__ == "__main__":
    app.run(main, device_per_core=True)
