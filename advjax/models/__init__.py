"""Networks: the table of contents.

Every network takes `[batch, *features]` and a keyword `train: bool`, and returns
`[batch, classes]`. In training it may return a tuple: its logits, then the logits of
its auxiliary heads.

The training memory in a network's docstring is that of one step of adversarial training
on one image of 1568x1308, resized by the network or at its own size, with 50 classes in
float32, compiled for CPUs by `experiments.benchmarks.network_memory`.
"""

from collections.abc import Callable

from flax import linen as nn

from advjax.models.alexnet import AlexNet
from advjax.models.convnet import GCNN, VGG13
from advjax.models.crnn import CRNN
from advjax.models.densenet import DenseMel, DenseWav
from advjax.models.ge2e import GE2E
from advjax.models.googlenet import GoogLeNet
from advjax.models.guarded import Guarded
from advjax.models.rescnn import ResCNN
from advjax.models.resnet import ResNet18, ResNet34, ResNet56
from advjax.models.silero_vad import SileroVad
from advjax.models.vgg import VGG16
from advjax.surf_svm import SurfSvm

MODELS: dict[str, Callable[..., nn.Module]] = {
    "rescnn": ResCNN,
    "alexnet": AlexNet,
    "googlenet": GoogLeNet,
    "vgg16": VGG16,
    "resnet18": ResNet18,
    "resnet34": ResNet34,
    "resnet56": ResNet56,
    "vgg13": VGG13,
    "crnn": CRNN,
    "gcnn": GCNN,
    "dense_mel": DenseMel,
    "dense_wav": DenseWav,
    "ge2e": GE2E,
    "silero_vad": SileroVad,
    "surf_svm": SurfSvm,
    "guarded": Guarded,
}

__all__ = [
    "CRNN",
    "GCNN",
    "GE2E",
    "MODELS",
    "VGG13",
    "VGG16",
    "AlexNet",
    "DenseMel",
    "DenseWav",
    "GoogLeNet",
    "Guarded",
    "ResCNN",
    "ResNet18",
    "ResNet34",
    "ResNet56",
    "SileroVad",
    "SurfSvm",
]
