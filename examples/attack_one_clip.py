# %% [markdown]
# # Attack one clip, and listen to it
#
# Find or train a speaker classifier (the one of `./launch.sh train`), look for the
# smallest perturbation of a waveform that changes its prediction, and write both clips
# as WAV files.

# %%
import pathlib

import jax
import numpy as np
import soundfile

from advjax import attacks
from advjax.metrics.distortion import snr_db
from advjax.signal.samples import from_int16, to_int16
from experiments.lab.task import Task

HOME = pathlib.Path("runs")  # records and classifiers, shared with the programs
OUT = pathlib.Path("clips")

# %% [markdown]
# ## A classifier and a clip
#
# `resolve` builds what is not in `HOME` yet: synthetic speakers and a network for them.

# %%
system = Task(home=HOME, at="waveform", defence="plain").resolve()
logits_fn = system.logits_fn()
predict = jax.jit(lambda wave: logits_fn(wave).argmax())
clip = system.test_points(1)[0]
labels = system.classifier.labels
print(f"clip {clip.id} of {labels[clip.label]}")

# %% [markdown]
# ## The attack
#
# Carlini and Wagner's attack minimises the l2 norm of the perturbation.

# %%
attack = attacks.carlini_wagner(
    norm="l2", num_steps=50, num_searches=4, bounds=(-1.0, 1.0)
)
result = jax.jit(attacks.run, static_argnums=0)(
    attack, logits_fn, clip.x, clip.label, jax.random.key(0), np.inf
)
print(
    f"now {labels[predict(result.x_adv)]}, at "
    f"{snr_db(clip.x, result.x_adv):.1f} dB SNR, after {int(result.queries)} queries"
)

# %% [markdown]
# ## As files
#
# A file holds 16-bit samples, and rounding can undo a small perturbation. So the file
# is judged, not the array. `attacks.on_pcm16(attack)` is the same attack with results
# that hold in files.

# %%
OUT.mkdir(exist_ok=True)
for name, wave in (("clean", clip.x), ("adversarial", result.x_adv)):
    rounded = to_int16(np.asarray(wave))
    path = OUT / f"{name}.wav"
    soundfile.write(path, rounded, system.representation.sample_rate_hz)
    print(f"{path}: {labels[predict(from_int16(rounded))]}")
