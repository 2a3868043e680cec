"""A network behind the differentiable stages of the classical pipeline.

Enhancement, reduction and autoencoder have exact gradients, so an attack can
differentiate through the whole network.
"""

from flax import linen as nn
from jaxtyping import Array, Float

from advjax import catalog
from advjax.layers.base import Network
from advjax.surf_svm.autoencoder import Autoencoder
from advjax.surf_svm.network import Front


class Guarded(Network):
    """A network on images in [0, 1] that are first enhanced, reduced and denoised.

    Attributes:
        num_classes: number of classes.
        network: a choice from `MODELS` for images.
        boost: as in `SurfSvm`.
        energy: as in `SurfSvm`.
        centred: as in `SurfSvm`.
        denoise: as in `SurfSvm`.
        width: as in `SurfSvm`.
    """

    num_classes: int
    network: str = "alexnet"
    boost: float | None = 1.5
    energy: float = 0.95
    centred: bool = False
    denoise: bool = True
    width: int = 32

    def __post_init__(self):
        """Refuse an unknown network."""
        network_behind(self.network, self.num_classes)
        super().__post_init__()

    def setup(self):
        """The autoencoder, if any, and the network."""
        if self.denoise:
            self.autoencoder = Autoencoder(self.width)
        self.classifier = network_behind(self.network, self.num_classes)

    @property
    def front(self) -> Front:
        """The stages before the autoencoder."""
        return Front(self.boost, self.energy, self.centred)

    def __call__(
        self, x: Float[Array, "batch height width 1"], *, train: bool
    ) -> Float[Array, "batch classes"]:
        """Logits of images in [0, 1]; `train` is passed to the network."""
        autoencoder = self.autoencoder if self.denoise else None
        images = self.front.purify(x[..., 0], autoencoder)
        return self.classifier(images[..., None], train=train)


def network_behind(text: str, num_classes: int) -> nn.Module:
    """The network that `Guarded.network` names, also usable by itself."""
    from advjax.models import MODELS  # which lists `Guarded`, too

    return catalog.pick(text, MODELS, num_classes=num_classes)
