"""The robust classical pipeline, a stage a file, and all of them as one network."""

from advjax.models.surf_svm.guarded import Guarded
from advjax.models.surf_svm.network import SurfSvm

__all__ = ["Guarded", "SurfSvm"]
