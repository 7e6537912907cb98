"""Random views of a batch, on its device: every image has its own parameters, all images go through the same few tensor operations.

Affine changes of one image are composed into one matrix and sampled once. Random numbers are drawn on the CPU from torch's global state,
so the same seed gives the same views on every device.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from aa_utils.errors import InputError
from aa_utils.training import rand_augment


def none(x: Tensor, flip: bool) -> Tensor:
    """The images as they are."""
    return x


def weak(x: Tensor, flip: bool) -> Tensor:
    """FixMatch's weak view: shifted by at most 1/8 of the side, and mirrored with probability 1/2 where `flip` allows it.

    The authors pad by reflection and crop, so they shift by whole pixels; here by fractions too.
    """
    return _sample(x, _matrix(len(x), shift=(torch.rand(len(x), 2) * 2 - 1) * 0.125, mirror=_mirror(len(x), flip)))


def affine(x: Tensor, flip: bool) -> Tensor:
    """Small changes of pose: 10 degrees, shear 0.15, size 0.85 to 1.15, shift 1/8; mirrored where `flip` allows it."""
    n = len(x)
    turn, shear, size = (torch.rand(n) * 2 - 1 for _ in range(3))
    shift = (torch.rand(n, 2) * 2 - 1) * 0.125
    return _sample(
        x, _matrix(n, turn * math.radians(10), shear * 0.15, scale=1 + size[:, None] * 0.15, shift=shift, mirror=_mirror(n, flip))
    )


def crop(x: Tensor, flip: bool) -> Tensor:
    """RandomResizedCrop + flip, the photo recipe of the adaptation literature: area 0.08 to 1, aspect 3/4 to 4/3, then enlarged."""
    n = len(x)
    area, aspect = torch.empty(n).uniform_(0.08, 1), torch.empty(n).uniform_(math.log(3 / 4), math.log(4 / 3)).exp()
    scale = torch.stack([(area * aspect).sqrt(), (area / aspect).sqrt()], 1).clamp(max=1)
    shift = (torch.rand(n, 2) * 2 - 1) * (1 - scale) / 2
    return _sample(x, _matrix(n, scale=scale, shift=shift, mirror=_mirror(n, flip)))


def strong(x: Tensor, flip: bool) -> Tensor:
    """FixMatch's strong view: the weak one in 8 bits, two random operations and Cutout (`rand_augment`)."""
    levels = weak(x, flip).mul_(255).round_().byte()
    return rand_augment.rand_augment(levels).float().div_(255)


VIEWS = {"none": none, "weak": weak, "affine": affine, "crop": crop, "strong": strong}


def check(names: Sequence[str]) -> None:
    """Errors: InputError unless `names` are two known views: of source and of target."""
    if isinstance(names, str) or len(names) != 2:
        raise InputError(f"augment is {names!r}; it names two views, of source and of target, such as ['affine', 'affine']")
    for name in names:
        if name not in VIEWS:
            raise InputError(f"no augmentation '{name}'; there are: {', '.join(VIEWS)}")


def view(pixels: Tensor, name: str, flip: bool) -> Tensor:
    """The view `name` of uint8 `pixels` (N, 3, S, S) as float32 in [0, 1]. `flip`: False where left and right differ, as in digits.

    Of a frozen backbone's features (N, 1 + V, D), which are those of views made before, one of each row's: (N, D).
    """
    if name not in VIEWS:
        raise InputError(f"no augmentation '{name}'; there are: {', '.join(VIEWS)}")
    if pixels.ndim == 3:
        return pixels[torch.arange(len(pixels)), torch.randint(pixels.shape[1], (len(pixels),))]
    return VIEWS[name](pixels.float().div_(255), flip)


def _mirror(n: int, flip: bool) -> Tensor:
    return torch.where(torch.rand(n) < 0.5, -1.0, 1.0) if flip else torch.ones(n)


def _matrix(
    n: int,
    turn: Tensor | float = 0.0,
    shear_x: Tensor | float = 0.0,
    shear_y: Tensor | float = 0.0,
    scale: Tensor | float = 1.0,
    shift: Tensor | float = 0.0,
    mirror: Tensor | float = 1.0,
) -> Tensor:
    """(n, 2, 3) matrices from output to input coordinates (both -1 to 1): turn in radians, shift in sides of the image."""
    turn, shear_x, shear_y, mirror = (torch.as_tensor(v).expand(n) for v in (turn, shear_x, shear_y, mirror))
    scale, shift = (torch.as_tensor(v).expand(n, 2) for v in (scale, shift))
    cos, sin, one = turn.cos(), turn.sin(), torch.ones(n)
    rotation = torch.stack([cos, -sin, sin, cos], 1).view(n, 2, 2)
    shear = torch.stack([one, shear_x, shear_y, one], 1).view(n, 2, 2)
    stretch = torch.diag_embed(scale * torch.stack([mirror, one], 1))
    return torch.cat([rotation @ shear @ stretch, 2 * shift[:, :, None]], 2)


def _sample(x: Tensor, matrix: Tensor) -> Tensor:
    # Reflection, as FixMatch pads: it invents no border colour.
    grid = F.affine_grid(matrix.to(x.device, non_blocking=True), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
