"""Inputs of a speaker classifier, clean, noisy and perturbed: O'Reilly (2020).

  python -m experiments.studies.speaker_inputs --defence=plain \\
      --corpus=librispeech --corpus_dir=LibriSpeech --workdir=results/inputs

Trains the network if need be, then takes about a minute on 2 cores. Prints inputs.md
and writes it, with noisy_inputs.png and WAVs, into --workdir. The study of certified
speakers has the same tables of its own network, and certified runs beside them.
"""

from experiments import app, flags, requests

flags.declare(
    __name__,
    *flags.MODEL_FLAGS,
    *flags.DATA_FLAGS,
    flags.WORKDIR,
    *flags.RUN_FLAGS,
)


def main() -> None:
    """Print and write the tables."""
    from experiments.lab.console import say
    from experiments.studies.speakers import inputs

    task = requests.task()
    out = requests.workdir() or task.home / "studies" / "speaker_inputs"
    found = inputs.markdown(inputs.sections(task, out))
    text = f"# The inputs of a speaker classifier\n\n{found}\n"
    (out / "inputs.md").write_text(text, encoding="utf-8")
    print(text, end="")
    say(f"report      {out}/inputs.md, {inputs.FIGURE} and WAVs")


if __name__ == "__main__":
    app.run(main, device_per_core=True)
