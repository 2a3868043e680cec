"""PyTorch networks for tests, as a user writes them. Imported where torch is."""

import torch
from torch import nn


class Block(nn.Module):
    """A 3x3 convolution, batch norm with statistics as training leaves them, ReLU."""

    def __init__(self, channels, features, pool):
        super().__init__()
        self.conv = nn.Conv2d(channels, features, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(features)
        self.pool = nn.MaxPool2d(2) if pool else nn.Identity()
        with torch.no_grad():
            self.norm.running_mean.normal_(0, 0.3)
            self.norm.running_var.uniform_(0.5, 2)

    def forward(self, x):
        return self.pool(torch.relu(self.norm(self.conv(x))))


def mel_bands(bands, bins, rate):
    """Triangles that are even in mel."""
    hz = torch.linspace(0, rate / 2, bins)[None]
    top = 2595 * torch.log10(torch.tensor(1 + rate / 1400))
    edges = 700 * (10 ** (torch.linspace(0, float(top), bands + 2) / 2595) - 1)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (hz - low) / (middle - low), (high - hz) / (high - middle)
    return torch.clamp(torch.minimum(rising, falling), min=0)


class ConvFront(nn.Module):
    """Log-mels whose Fourier transform is a strided convolution."""

    def __init__(self, bands=40, window=400, hop=160, rate=16_000):
        super().__init__()
        bins = window // 2 + 1
        self.fourier = nn.Conv1d(1, 2 * bins, window, stride=hop, bias=False)
        self.mel = nn.Conv1d(bins, bands, 1, bias=False)
        turns = torch.arange(bins)[:, None] * torch.arange(window) / window
        waves = torch.cat([torch.cos(2 * torch.pi * turns), torch.sin(turns * 6.2832)])
        with torch.no_grad():
            self.fourier.weight.copy_((waves * torch.hann_window(window))[:, None])
            self.mel.weight.copy_(mel_bands(bands, bins, rate)[..., None])
        self.requires_grad_(False)  # energies stay positive in a training

    def forward(self, x):
        real, imaginary = self.fourier(x[:, None]).chunk(2, dim=1)
        return torch.log(self.mel(real**2 + imaginary**2) + 1e-6)


class StftFront(nn.Module):
    """Log-mels by `torch.stft`."""

    def __init__(self, bands=40, window=400, hop=160, rate=16_000):
        super().__init__()
        self.size, self.hop = window, hop
        self.register_buffer("window", torch.hann_window(window))
        self.register_buffer("mel", mel_bands(bands, window // 2 + 1, rate))

    def forward(self, x):
        found = torch.stft(
            x, self.size, self.hop, window=self.window, return_complex=True
        )
        return torch.log(self.mel @ found.abs() ** 2 + 1e-6)


class Network(nn.Module):
    """Five 3x3 convolutions over log-mels, with the mean over time and bands."""

    def __init__(self, front, classes=3, widths=(32, 32, 64, 64, 64)):
        super().__init__()
        self.front = front
        ends = zip((1, *widths[:-1]), widths, strict=True)
        self.blocks = nn.Sequential(
            *(Block(*end, 0 < place < 4) for place, end in enumerate(ends))
        )
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, x):
        return self.head(self.blocks(self.front(x)[:, None]).mean((2, 3)))


def network(front=ConvFront, seed=0, **options):
    """A network with fresh weights, in evaluation mode."""
    torch.manual_seed(seed)
    return Network(front(), **options).eval()
