"""Compare certified radii with what is audible beside each clip.

  python -m experiments.audibility --rep=magnitude --sigma=0.25

takes the run of `experiments.certify` with the same flags, or certifies first. For
every clip it compares the radius at the waveform with the l2 norm below which no
perturbation is audible beside the clip (the masking threshold of MPEG-1's
psychoacoustic model 1, the clip's loudest entry at 96 dB). Radii at magnitude, melmag
and log1pmel hold at the waveform after division by a proved bound on how far these
stages move with it; mfbe is normalised in each frame, and has no such bound.

Writes audibility.tsv into the run's folder and prints the share of certified balls that
hold audible perturbations.
"""

import math

from experiments import app, flags, requests

flags.declare(
    __name__,
    *flags.MODEL_FLAGS,
    *flags.DATA_FLAGS,
    *(flags.PRESET, flags.NUM_POINTS, flags.WORKDIR),
    *flags.RUN_FLAGS,
    *flags.CERTIFY_FLAGS,
)


def main() -> None:
    """Certify what is not certified, then compare."""
    from experiments.lab import audibility
    from experiments.lab.certify_settings import waveform_bound
    from experiments.lab.console import say

    def check(draft) -> None:
        bound, reason = waveform_bound(draft.stage, draft.noise)
        if math.isnan(bound):
            raise ValueError(reason)

    system, folder = requests.certified(check)
    bound, _ = waveform_bound(system.stage, system.noise)
    rows = audibility.write_audibility(system, folder)
    certified = sum(row.radius_wave > 0 for row in rows)
    held = sum(row.audible_inside for row in rows)
    share = f"{100 * held / certified:.0f} %" if certified else "none"
    print(
        f"{certified} of {len(rows)} clips have a radius; at the waveform it is "
        f"{1 / bound:.4g} times that at {system.stage.name}. Balls that hold audible "
        f"perturbations: {held} ({share})."
    )
    say(f"report      {folder}/audibility.tsv")


if __name__ == "__main__":
    app.run(main, device_per_core=True)
