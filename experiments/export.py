"""Write a classifier as a file for other programs: ONNX or StableHLO.

  python -m experiments.export --classifier=runs/classifiers/FOLDER --to=onnx

The file takes waveforms [batch, samples] in [-1, 1] at the classifier's rate, and gives
logits; the front end is in it, and labels, rate and length are kept with it. An ONNX
file is read again by --classifier=onnx:FILE, here and by certify and attack.

--classifier may also name a network of your own, torch:PATH.py:FUNCTION or
module:PATH.py:FUNCTION. Without it the flags name a classifier as they do for `attack`,
which is found or trained first:

  python -m experiments.export --model=ge2e --weights=FILE.whl --corpus=librispeech \\
      --corpus_dir=LibriSpeech --to=stablehlo

What is written is read back, and its logits are compared with the classifier's on
random clips, and on test clips where --run, --records or --corpus gives some. The
largest difference is printed; one above rounding is an error, and no file is left.
"""

import pathlib

from experiments import app, flags, requests

flags.declare(
    __name__,
    *(flags.TO, flags.FILE, flags.RUN),
    *flags.MODEL_FLAGS,
    *flags.DATA_FLAGS,
    *(flags.PRESET, flags.NUM_POINTS),
    *flags.RUN_FLAGS,
)


def main() -> None:
    """Export, then say how the file compares."""
    from advjax import interop
    from advjax.runtime import failures
    from data_prep.help import command
    from experiments.lab import classifiers, exports
    from experiments.lab.console import say

    to = flags.TO.value
    failures.need(*interop.FORMATS[to].packages)
    given = flags.CLASSIFIER.value
    origins = (flags.CORPUS, flags.CORPUS_DIR, flags.RECORDS)
    if given and not any(map(flags.is_set, origins)):
        classifier, clips = classifiers.load(given), None
        folder = pathlib.Path(given)
    else:
        draft = requests.draft(defence="plain")
        exports.check(draft, to)
        requests.announce(draft, f"export a network as {to}, compared on {{}}")
        system = draft.resolve()
        classifier, folder = system.classifier, system.folder
        clips = exports.clips(system, requests.num_points(system))
    file = flags.FILE.value or exports.file_of(flags.home(), folder, to)
    found = interop.FORMATS[to].export(classifier, file, clips=clips)
    batch = "any number of clips" if found.batch is None else "one clip at a time"
    say(f"exported    {found.path} takes {batch}")
    say(
        f"            Logits differ by {found.difference:.1e} at most on "
        f"{found.num_clips} clips, at values up to {found.largest:.2g}."
    )
    if to == "onnx":
        again = f"--classifier=onnx:{found.path}"
        say(f"next        {command('experiments.certify')} {again} certifies the file")


if __name__ == "__main__":
    app.run(main)
