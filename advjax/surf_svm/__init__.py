"""The robust classical pipeline: its stages, its machine, and all of them as a network.

`fitting` fits it, and `attacks` attacks the machine itself.
"""

from advjax.surf_svm.network import SurfSvm

__all__ = ["SurfSvm"]
