"""The robust classical pipeline: how it is fitted, and what attacks its machine."""

from advjax.defences.surf_svm.fitting import Stages, SvmRecipe, fit, fit_front, purified

__all__ = ["Stages", "SvmRecipe", "fit", "fit_front", "purified"]
