"""The reconstruction-guidance regulariser of StyleGAN-Fusion (arXiv 2212.04473): the clean latents that the guide sees in the noisy ones
shall stay near those of the unadapted image.

The official code (sd.py, train_directionalLoss_step, mode 2) takes e = ε̂_g(z_t), ẑ = (z_t - σ e) / α, L = MSE(ẑ, z_org) and
∇_z = λ w(t) [R(e) - R(∂L/∂e)], R(v) = v / rms(v). As ∂L/∂e = -(2/n) (σ/α) (ẑ - z_org), this is λ w(t) [R(e) + R(ẑ - z_org)], without a
backward pass. The noise that was added is not taken off R(e), in the official code or here.
"""

from torch import Tensor

from aa_utils.generator_adaptation.recipe import Recipe
from aa_utils.generator_adaptation.score_distillation import bounded, unit


def clean(z_t: Tensor, predicted: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """ẑ = (z_t - σ ε̂) / α: the latents (n, c, h, w) that remain of `z_t` without the predicted noise."""
    return (z_t - sigma * predicted) / alpha


def gradient(predicted: Tensor, clean: Tensor, original: Tensor, weight: Tensor, recipe: Recipe) -> Tensor:
    """λ w(t) [R(ε̂) + R(ẑ - z_org)], (n, c, h, w)."""
    return bounded(recipe.reconstruction * weight * (unit(predicted) + unit(clean - original)), recipe)
