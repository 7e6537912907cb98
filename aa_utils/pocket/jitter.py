"""Renders that never look the same twice: what a network that reads needs, or it learns its pool of pictures by heart."""

import torch
import torch.nn.functional as F
from torch import Tensor


def jitter(x: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures (n, 3, S, S) in [-1, 1], each slightly moved, dimmed and noised; all random numbers are `generator`'s."""
    move = torch.eye(2, 3).repeat(len(x), 1, 1) + 0.06 * torch.randn(len(x), 2, 3, generator=generator)
    x = F.grid_sample(x, F.affine_grid(move, x.shape, align_corners=False), padding_mode="border", align_corners=False)  # type: ignore[arg-type]
    return x * (1 + 0.1 * torch.randn(len(x), 1, 1, 1, generator=generator)) + 0.05 * torch.randn(x.shape, generator=generator)
