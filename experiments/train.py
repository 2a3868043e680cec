"""Train a classifier, as `certify` does when it finds none.

  python -m experiments.train --rep=mfbe --sigma=0.25 --defence=gaussian

Writes the classifier to --home and prints its folder and its accuracy on held-out
utterances, clean and under noise of --sigma at --rep. The same command continues a
training that was stopped from its last checkpoint. Several processes, with the flags of
`experiments.certify`, take a part of every batch each.
"""

from experiments import app, flags, requests

flags.declare(
    __name__,
    *flags.MODEL_FLAGS,
    *flags.DATA_FLAGS,
    flags.PRESET,
    *flags.RUN_FLAGS,
    *flags.PROCESS_FLAGS,
)


def main() -> None:
    """Train, then print the accuracy."""
    from advjax.reports import tables
    from advjax.runtime import parallel
    from experiments.lab import caveats, held_out, preflight
    from experiments.lab.console import say

    draft = requests.task().draft()
    preflight.check(draft)
    requests.announce(draft, f"train {draft.task.model} by {draft.defence}")
    system = draft.resolve()
    parameters = system.classifier.num_parameters()
    if parallel.process().index > 0:
        return
    found = held_out.held_out_accuracy(system)
    print(
        f"{parameters:,} parameters; accuracy on {found.clean.total} held-out crops "
        f"{tables.share_text(found.clean)} clean, {tables.share_text(found.noisy)} "
        f"with noise {system.task.sigma:g} at the {system.stage.name} (95 % intervals)"
    )
    if caveat := caveats.of_records(system.data.folder):
        print(f"caveat: {caveat}")
    say("next        certify it: python -m experiments.certify with the same flags")


if __name__ == "__main__":
    app.run(main, several_processes=True)
