# %% [markdown]
# # Certify a classifier of your own recordings
#
# Write a small folder of sounds, find out what the corpus `folder` makes of it, train a
# classifier on it, and certify the clips that it has not seen. Nothing is downloaded.
# With your own folder in `RECORDINGS`, leave out the cell that writes the sounds. The
# same on the command line:
#
#     ./launch.sh certify --corpus=folder --corpus_dir=recordings --sigma=0.25

# %%
import pathlib

import jax
import numpy as np
import soundfile

from advjax.smoothing import certify_batch, gaussian
from data_prep.corpora import CORPORA
from experiments.lab.task import Task

HOME = pathlib.Path("runs")  # records and classifiers, shared with the programs
RECORDINGS = pathlib.Path("recordings")
SIGMA = 0.25  # standard deviation of the noise, in the units of mel energies

# %% [markdown]
# ## A folder
#
# One folder for each class; rates, lengths and channels may differ. A table
# `metadata.csv` or Kaldi's lists would do as well (`docs/data.md`).

# %%
rng = np.random.default_rng(0)
for index in range(36):
    name, rate_hz = (
        ("hum", "hiss", "clicks")[index % 3],
        (8_000, 16_000, 44_100)[index % 5 % 3],
    )
    time_s = np.arange(int(rng.uniform(0.8, 1.5) * rate_hz)) / rate_hz
    noise = 0.1 * rng.standard_normal(len(time_s))
    pitch_hz = rng.uniform(80.0, 200.0)
    wave = {
        "hum": 0.3 * np.sin(2 * np.pi * pitch_hz * time_s) + 0.1 * noise,
        "hiss": noise,
        "clicks": np.where(time_s * pitch_hz / 10 % 1 < 0.02, 0.5, 0.0) + 0.1 * noise,
    }[name]
    (RECORDINGS / name).mkdir(parents=True, exist_ok=True)
    soundfile.write(RECORDINGS / name / f"{index:02d}.wav", wave, rate_hz)

# %% [markdown]
# ## The corpus
#
# Listing reads names and headers. The split is made by file, because no speakers are
# given, and depends on a seed alone.

# %%
corpus = CORPORA["folder"](RECORDINGS, seed=0)
print(*corpus.found, sep="\n")

# %% [markdown]
# ## A classifier
#
# `resolve` cuts examples of the front end's length, trains a network under noise, and
# finds both again the next time. Fewer clips than a batch are one batch.

# %%
system = Task(
    home=HOME, corpus="folder(seed=0)", corpus_dir=str(RECORDINGS), sigma=SIGMA
).resolve()
points = system.test_points(None)

# %% [markdown]
# ## Certificates

# %%
certificates = certify_batch(
    system.logits_fn(),
    np.stack([point.x for point in points]),
    np.array([point.label for point in points]),
    jax.random.key(0),
    noise=gaussian(SIGMA),
    num_selection=100,
    num_estimation=1000,
)
for radius, share in zip((0.0, 0.25), certificates.accuracy([0.0, 0.25]), strict=True):
    print(f"certified accuracy at {radius}: {share:.2f} of {len(points)} clips")
print(f"caveat: {corpus.caveat}")
