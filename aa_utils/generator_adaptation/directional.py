"""The diffusion-guided directional regulariser of StyleGAN-Fusion (arXiv 2212.04473): what the guide says of the adapted image and of the
unadapted one, under the same prompt, time and noise, shall stay alike.

∇_z = λ w(t) [ε̂_g(α z + σ ε') - ε̂_g(α z_org + σ ε')], as in the official code (sd.py, train_directionalLoss_step, mode 1). With a Gaussian
guide it is a spring, λ w α κ (z - z_org), which pushes instead of pulling where guidance makes κ negative.
"""

from torch import Tensor

from aa_utils.generator_adaptation.recipe import Recipe
from aa_utils.generator_adaptation.score_distillation import bounded, unit


def gradient(current: Tensor, original: Tensor, weight: Tensor, recipe: Recipe) -> Tensor:
    """λ w(t) [ε̂ - ε̂_org], (n, c, h, w), from what the guide predicts for both; both of unit norm first if `recipe.rescale_directional`."""
    if recipe.rescale_directional:
        current, original = unit(current), unit(original)
    return bounded(recipe.directional * weight * (current - original), recipe)
