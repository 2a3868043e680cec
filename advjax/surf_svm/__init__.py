"""The robust classical pipeline: its stages and its machine, also as one network.

`fitting` fits the pipeline; `attacks` holds attacks on the machine itself.
"""

from advjax.surf_svm.network import SurfSvm

__all__ = ["SurfSvm"]
