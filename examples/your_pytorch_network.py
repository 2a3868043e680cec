# %% [markdown]
# # A PyTorch network of your own
#
# Train a small PyTorch network on synthetic speech, take it into JAX with its weights,
# attack it and certify it. Nothing is downloaded. It takes about a minute on a laptop
# and needs `pip install "advjax[interop]"`.

# %%
import jax
import numpy as np
import torch
from torch import nn

from advjax import attacks
from advjax.interop import from_torch
from advjax.signal.samples import from_int16
from advjax.smoothing import certify, gaussian
from data_prep.corpora import voices
from data_prep.crops import crops

SIGMA = 0.002  # standard deviation of the noise, where full scale is 1
NUM_SAMPLES = 8000  # half a second

# %% [markdown]
# ## Clips
#
# Four synthetic speakers; a clip is a waveform `[samples]` in [-1, 1].


# %%
def examples(split, policy, per_class):
    """Waveforms [clips, samples] and labels [clips] of a split."""
    found = list(
        crops(
            voices(num_speakers=4),
            split,
            policy=policy,
            per_class=per_class,
            num_samples=NUM_SAMPLES,
        )
    )
    waves = from_int16(np.stack([crop.audio for crop in found]))
    return waves, np.array([crop.label for crop in found])


train_x, train_y = examples("train", "random", 40)
test_x, test_y = examples("test", "spaced", 5)

# %% [markdown]
# ## The network, trained in PyTorch
#
# Noise in training is what makes the smoothed classifier accurate.


# %%
class Network(nn.Module):
    """A spectrogram, two convolutions with batch norm, and a mean over time."""

    def __init__(self):
        """Fresh weights."""
        super().__init__()
        self.register_buffer("window", torch.hann_window(256))
        self.convolutions = nn.Sequential(
            *(nn.Conv2d(1, 8, 5, stride=2), nn.BatchNorm2d(8), nn.ReLU()),
            *(nn.Conv2d(8, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
        )
        self.head = nn.Linear(16 * 30, 4)

    def forward(self, x):
        """Logits [batch, 4] of waveforms [batch, samples]."""
        bins = torch.stft(x, 256, 128, window=self.window, return_complex=True)
        maps = self.convolutions(torch.log(bins.abs() + 1e-2)[:, None])
        return self.head(maps.mean(dim=3).flatten(1))


torch.manual_seed(0)
network = Network()
optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
for _ in range(60):
    batch = torch.randint(len(train_x), (32,))
    waves = torch.from_numpy(train_x)[batch]
    noisy = waves + SIGMA * torch.randn_like(waves)
    loss = nn.functional.cross_entropy(network(noisy), torch.tensor(train_y)[batch])
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
network.eval()

# %% [markdown]
# ## The same network in JAX
#
# `from_torch` copies the weights and returns a function from one clip to one row of
# logits. It is compiled and differentiated like any other.

# %%
logits_fn = from_torch(network)
with torch.no_grad():
    native = network(torch.from_numpy(test_x)).numpy()
ours = np.asarray(jax.jit(jax.vmap(logits_fn))(test_x))
print(f"accuracy: {(ours.argmax(1) == test_y).mean():.2f} of {len(test_y)} clips")
print(f"largest difference from PyTorch's logits: {np.abs(ours - native).max():.1e}")

# %% [markdown]
# ## Certificates and an attack

# %%
for index in range(0, len(test_y), 5):
    found = certify(
        logits_fn,
        test_x[index],
        jax.random.key(index),
        noise=gaussian(SIGMA),
        num_selection=50,
        num_estimation=500,
    )
    print(f"clip {index}, speaker {test_y[index]}: {found}")

# %%
pgd = attacks.pgd(num_steps=20, bounds=(-1.0, 1.0))
keys = jax.random.split(jax.random.key(0), len(test_x))
results = dict(attacks.run_batch(pgd, logits_fn, test_x, test_y, keys, 0.002))
fooled = np.mean([results[index].success for index in range(len(test_x))])
print(f"fooled by PGD within 0.002 of full scale: {fooled:.2f} of the clips")
