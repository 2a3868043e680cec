"""The robust classical pipeline: how it is fitted, and what attacks its machine."""

from advjax.defences.surf_svm.fit import SvmRecipe, fit

__all__ = ["SvmRecipe", "fit"]
