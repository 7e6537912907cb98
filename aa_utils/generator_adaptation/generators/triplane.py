"""Tri-planes (EG3D: Chan et al. 2022, arXiv 2112.07945, section 3): a scene as three feature planes through the origin. A point is
projected onto each of them, its features are the mean of what lies there, and a small network makes density and colour of them.
"""

from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aa_utils.generator_adaptation.generators.modulated_conv import Linear, in_float32

# Which two coordinates (0: x, 1: y, 2: z) a plane is looked up by. In the released code, and so in the released networks, the third plane
# is the second one turned over (github.com/NVlabs/eg3d/issues/67): nothing distinguishes depth by height.
AXES = {"released": ((0, 1), (0, 2), (2, 0)), "fixed": ((0, 1), (0, 2), (2, 1))}
OVERSHOOT = 0.001  # colours reach a little beyond 0 and 1 (arXiv 2103.13415, mip-NeRF), so that a sigmoid can reach both


def features(planes: Tensor, points: Tensor, box: float, axes: str = "released") -> Tensor:
    """Features (N, C, M) of `points` (N, 3, M) in `planes` (N, 3 C, H, W), which span a cube of side `box` around the origin.

    Bilinear, zero outside of it, the mean over the planes.
    """
    places = 2 / box * points.float()
    total = torch.zeros((), device=planes.device)
    with in_float32(planes):
        # One plane after the other: together they would need three times the memory, which costs as much as the looking up.
        for plane, (u, v) in zip((planes.float() / 3).chunk(3, 1), AXES[axes], strict=True):
            grid = torch.stack([places[:, u], places[:, v]], 2)[:, None]
            total = total + F.grid_sample(plane, grid, align_corners=False).squeeze(2)
    return total


class Decoder(nn.Module):
    """Features of a point -> its density (before the softplus) and colours in [0, 1]: one hidden layer (section 4.2)."""

    def __init__(self, inward: int, width: int, colours: int, lr_multiplier: float = 1.0):
        super().__init__()
        shape = {"lr_multiplier": lr_multiplier}
        self.net = nn.Sequential(Linear(inward, width, **shape), nn.Softplus(), Linear(width, 1 + colours, **shape))  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Densities (N, M) and colours (N, colours, M) of features (N, C, M)."""
        with in_float32(x):
            y = _at_points(self.net[2], F.softplus(_at_points(self.net[0], x.float())))  # type: ignore[arg-type]
            density, colours = y.split([1, y.shape[1] - 1], 1)
            return density.squeeze(1), colours.sigmoid() * (1 + 2 * OVERSHOOT) - OVERSHOOT


def _at_points(layer: Linear, x: Tensor) -> Tensor:
    """`layer` on the channels of `x` (N, C, M), without moving them to the end."""
    weight = layer.weight * (layer.lr_multiplier / sqrt(layer.weight.shape[1]))
    return torch.baddbmm((layer.bias * layer.lr_multiplier)[:, None], weight.expand(len(x), -1, -1), x)
