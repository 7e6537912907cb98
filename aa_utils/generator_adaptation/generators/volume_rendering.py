"""Volume rendering (Max 1995; NeRF: arXiv 2003.08934, section 4; mip-NeRF: arXiv 2103.13415) as EG3D does it (arXiv 2112.07945).

Between two samples of a ray the density is softplus(s - 1), with s the mean of what the field says there; over a length d it lets
exp(-softplus(s - 1) d) of the light through. An interval's weight is the light that arrives there and is stopped in it:

    w_i = exp(-Σ_{k<i} τ_k) (1 - exp(-τ_i)),    τ_i = softplus(s_i - 1) d_i,    Σ_i w_i = 1 - exp(-Σ_i τ_i)

and a ray's colour is Σ w_i c_i. Shapes: N images, R rays in each, S samples on a ray, C colours.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

Field = Callable[[Tensor], tuple[Tensor, Tensor]]  # points (N, 3, M) -> densities (N, M), before the softplus, and colours (N, C, M)

# Behind all that a ray meets. "field": its last interval stops what light is left, as in NeRF's code: a backdrop that the scene paints.
BACKS = ("black", "white", "field")
FLOOR = 0.01 + 1e-5  # the released code adds 0.01, and 1e-5 once more where it inverts the distribution


@dataclass(frozen=True)
class Sampling:
    """Where rays are sampled: `coarse` evenly, then `fine` more where the first found something; `near` and `far` may be those of each ray,
    (N, R, 1)."""

    near: float | Tensor
    far: float | Tensor
    coarse: int
    fine: int


def render(
    field: Field, origins: Tensor, directions: Tensor, sampling: Sampling, back: str = "black", random: bool = False,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Colours (N, C, R) in [-1, 1], depths (N, R) and opacities (N, R) of rays from `origins` (N, 3) in `directions` (N, 3, R).

    The depth is the mean distance at which light is stopped, `far` where none is. `back`: what is seen behind it all, see BACKS.
    `random`: samples are jittered, by numbers of `generator` or the global random state; otherwise they stand in the middle.
    """
    shape = (len(origins), directions.shape[2])
    drawn = [directions.new_full((*shape, sampling.coarse), 0.5), _middles(sampling.fine, directions).expand(*shape, -1)]
    if random:
        drawn = [_uniform(numbers.shape, directions.device, generator) for numbers in drawn]
    depths = stratified(sampling.near, sampling.far, drawn[0])
    density, colours = _ask(field, origins, directions, depths)
    parts = [colours]
    if sampling.fine:
        with torch.no_grad():
            fine = importance(depths, interval_weights(density, depths), drawn[1])
        fine_density, fine_colours = _ask(field, origins, directions, fine)
        parts.append(fine_colours)
        depths, order = torch.cat([depths, fine], 2).sort(2)
        density = torch.cat([density, fine_density], 2).gather(2, order)
    weights = interval_weights(density, depths)
    if back == "field":
        weights = torch.cat([weights[..., :-1], weights[..., -1:] + (1 - weights.sum(2, keepdim=True))], 2)
    opacity = weights.sum(2)
    middle = (depths[..., :-1] + depths[..., 1:]) / 2
    depth = torch.where(opacity > 1e-8, (weights * middle).sum(2) / opacity.clamp_min(1e-8), depths[..., -1])
    # An interval has the mean colour of its two ends. Weights go back to the order of the samples: there is one for many colours.
    ends = (F.pad(weights, (1, 0)) + F.pad(weights, (0, 1))) / 2
    if sampling.fine:
        ends = torch.empty_like(ends).scatter(2, order, ends)
    split = ends.split([part.shape[3] for part in parts], 2)
    colour = sum((part * share[:, None]).sum(3) for part, share in zip(parts, split, strict=True))
    return 2 * (colour + (1 - opacity)[:, None] if back == "white" else colour) - 1, depth, opacity


def interval_weights(density: Tensor, depths: Tensor) -> Tensor:
    """The weights w_i (N, R, S - 1) of the intervals between samples of `density` (before the softplus) at `depths`, both (N, R, S)."""
    between = (density[..., :-1] + density[..., 1:]) / 2
    thickness = F.softplus(between - 1) * (depths[..., 1:] - depths[..., :-1])
    arriving = torch.exp(-F.pad(thickness.cumsum(-1)[..., :-1], (1, 0)))
    return arriving * -torch.expm1(-thickness)


def stratified(near: float | Tensor, far: float | Tensor, jitter: Tensor) -> Tensor:
    """Depths (…, S), one in each of S steps from `near` on, where `jitter` (…, S) in [0, 1) says. The last step begins at `far`."""
    count = jitter.shape[-1]
    return near + (far - near) * torch.linspace(0, 1, count, device=jitter.device) + jitter * ((far - near) / (count - 1))


def importance(depths: Tensor, weights: Tensor, uniform: Tensor) -> Tensor:
    """More depths (…, F), where the weights (…, S - 1) between `depths` (…, S) are large; `uniform` (…, F) are numbers in [0, 1).

    Weights are blurred, and FLOOR is added: nothing is excluded (mip-NeRF, section 3.1). As in the released code the steps lie half an
    interval before the intervals whose weights they have.
    """
    wide = F.pad(weights, (1, 1))
    blurred = torch.maximum(wide[..., :-1], wide[..., 1:])
    blurred = (blurred[..., :-1] + blurred[..., 1:]) / 2 + FLOOR
    middle = (depths[..., :-1] + depths[..., 1:]) / 2
    return inverse_cdf(middle[..., :-1], blurred[..., 1:-1], uniform)


def inverse_cdf(edges: Tensor, weights: Tensor, uniform: Tensor) -> Tensor:
    """Where the distribution with `weights` (…, B), not all zero, in the bins between `edges` (…, B + 1) has its quantiles `uniform`."""
    share = weights / weights.sum(-1, keepdim=True)
    above = share.cumsum(-1)
    bin = torch.searchsorted(above, uniform.contiguous(), right=True).clamp_max(weights.shape[-1] - 1)
    low, high = edges[..., :-1].gather(-1, bin), edges[..., 1:].gather(-1, bin)
    share = share.gather(-1, bin)
    within = (uniform - (above.gather(-1, bin) - share)) / share
    return low + within * (high - low)


def _ask(field: Field, origins: Tensor, directions: Tensor, depths: Tensor) -> tuple[Tensor, Tensor]:
    points = origins[:, :, None, None] + directions[:, :, :, None] * depths[:, None]
    density, colours = field(points.flatten(2))
    return density.reshape(depths.shape), colours.unflatten(2, depths.shape[1:])


def _middles(count: int, like: Tensor) -> Tensor:
    return (torch.arange(count, dtype=like.dtype, device=like.device) + 0.5) / max(1, count)


def _uniform(size: tuple[int, ...], device: torch.device, generator: torch.Generator | None) -> Tensor:
    return torch.rand(size, generator=generator, device=device if generator is None else generator.device).to(device)
