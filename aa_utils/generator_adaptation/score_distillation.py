"""Score distillation sampling: the gradient that a guide gives to latents (Poole et al. 2022, arXiv 2209.14988, eq. 3).

∇_z L = w(t) (ε̂_g(z_t; y, t) - ε), z_t = α z + σ ε: the guide sees the latents with noise and says which part of it is noise; what it says
beyond the noise that was added is what it would take away. No gradient passes through the U-Net.

Delta denoising (Hertz et al. 2023, arXiv 2304.07090, eq. 3) puts in the place of ε what the guide says of the unadapted latents under the
source's own words, with the same time and noise: w(t) [ε̂_g(α z + σ ε; y) - ε̂_g(α z_org + σ ε; y_source)]. What both sentences leave open
cancels. With a Gaussian guide of one spread, latents rest at z_org + (μ - μ_source) instead of all at μ.
"""

import torch
from torch import Tensor

from aa_utils.generator_adaptation.recipe import Recipe

# w(t) by (α, σ). `sigma2` is DreamFusion's and the official code's.
WEIGHTS = {
    "sigma2": lambda alpha, sigma: sigma**2,
    "uniform": lambda alpha, sigma: torch.ones_like(alpha),
    "alpha_sigma2": lambda alpha, sigma: alpha * sigma**2,  # as threestudio's `fantasia3d`
}


def times(n: int, recipe: Recipe, rng: torch.Generator) -> Tensor:
    """n times, uniform in t_min..t_max inclusive; one for the whole batch if `recipe.one_time`, as in the official code."""
    drawn = torch.randint(recipe.t_min, recipe.t_max + 1, (1 if recipe.one_time else n,), generator=rng)
    return drawn.expand(n)


def gradient(predicted: Tensor, noise: Tensor, weight: Tensor, recipe: Recipe) -> Tensor:
    """w(t) (ε̂ - ε), both brought to unit norm first if `recipe.rescale`; then `bounded`. All (n, c, h, w), `weight` (n, 1, 1, 1).

    `noise` is what was added or, for delta denoising, what the guide predicts for the source.
    """
    if recipe.rescale:
        predicted, noise = unit(predicted), unit(noise)
    return bounded(weight * (predicted - noise), recipe)


def unit(v: Tensor) -> Tensor:
    """v with a root mean square of 1 in each item of the batch. The official code takes one norm over a batch, which has one item there."""
    return v / v.square().mean((1, 2, 3), keepdim=True).sqrt().clamp_min(1e-12)


def bounded(g: Tensor, recipe: Recipe) -> Tensor:
    """g times `recipe.scale`, clamped to ± `recipe.clamp` (0: not at all). With guidance 100 a clamp at 1 leaves little but signs."""
    g = recipe.scale * g
    return g.clamp(-recipe.clamp, recipe.clamp) if recipe.clamp else g


def clipped(g: Tensor, quantile: float) -> Tensor:
    """Gradients g (n, 3, H, W) of images, each clipped at the `quantile` of its absolute values (0: not at all)."""
    if not quantile:
        return g
    # One by one: torch.quantile refuses more than 2^24 numbers.
    limit = torch.stack([torch.quantile(row.abs(), quantile) for row in g.flatten(1)]).view(-1, 1, 1, 1)
    return g.clamp(-limit, limit)
