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
    *(flags.PRESET, flags.PRECISION, flags.LOG),
    *flags.RUN_FLAGS,
    *flags.PROCESS_FLAGS,
)


def main() -> None:
    """Train, then print the accuracy."""
    from advjax.reports import tables
    from advjax.runtime import parallel
    from data_prep.help import command
    from experiments.lab import caveats, held_out, preflight
    from experiments.lab.console import say

    draft = requests.draft(to_train=True)
    preflight.check(draft)
    requests.announce(draft, f"train a network on {draft.source.flag}")
    system = draft.resolve()
    parameters = system.classifier.num_parameters()
    if parallel.process().index > 0:
        return
    found = held_out.held_out_accuracy(system)
    noise = f"noise {system.task.sigma:g} at {system.stage.name}"
    accuracies = [["clean", found.clean], [noise, found.noisy]]
    table = tables.Table(
        [f"{found.clean.total} held-out crops", "accuracy"],
        [[name, tables.share_text(share)] for name, share in accuracies],
        [tables.INTERVAL_NOTE],
    )
    print(tables.as_text(table))
    if caveat := caveats.of_records(system.data.folder):
        print(f"caveat: {caveat}")
    say(f"trained     {system.folder}, {parameters:,} parameters")
    say(
        f"next        {command('experiments.certify')} with the same flags certifies it"
    )
    attack = f"{command('experiments.attack')} --run={system.folder} --budget=30dB"
    say(f"            {attack} attacks it")


if __name__ == "__main__":
    app.run(main, several_processes=True)
