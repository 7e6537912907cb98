"""Random views of a batch, on its device: every image has its own parameters, all images go through the same few tensor operations.

Affine changes of one image are composed into one matrix and sampled once. Random numbers are drawn on the CPU from torch's global state,
so the same seed gives the same views on every device.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from aa_utils.errors import InputError

# FixMatch's RandAugment pool (fixmatch/augmentations, Table 12 of the paper) without the two operations that move ink and paper to new
# colours at random (Equalize, Solarize); ranges are the paper's.
GEOMETRIC = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
PHOTOMETRIC = ("autocontrast", "brightness", "colour", "contrast", "posterize", "sharpness")
OPERATIONS = ("identity", *GEOMETRIC, *PHOTOMETRIC)
PER_IMAGE = 2  # operations applied to each image of a strong view
CUTOUT = 0.5  # side of the grey square of a strong view, at most, as a share of the image's


def none(x: Tensor, flip: bool) -> Tensor:
    """The images as they are."""
    return x


def weak(x: Tensor, flip: bool) -> Tensor:
    """FixMatch's weak view: shifted by at most 1/8 of the side, and mirrored with probability 1/2 where `flip` allows it."""
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
    """FixMatch's strong view: the weak one, two random operations of `OPERATIONS` at random strength, then Cutout."""
    n = len(x)
    # One row an image: which operations it gets, and how strong each is in [-1, 1].
    chosen = torch.rand(n, len(OPERATIONS)).argsort(1)[:, :PER_IMAGE]
    active = torch.zeros(n, len(OPERATIONS)).scatter_(1, chosen, 1.0)
    strength = torch.rand(n, len(OPERATIONS)) * 2 - 1
    on = {name: active[:, i] for i, name in enumerate(OPERATIONS)}
    by = {name: on[name] * strength[:, i] for i, name in enumerate(OPERATIONS)}
    shift = (torch.rand(n, 2) * 2 - 1) * 0.125 + 0.3 * torch.stack([by["translate_x"], by["translate_y"]], 1)
    matrix = _matrix(n, by["rotate"] * math.radians(30), by["shear_x"] * 0.3, by["shear_y"] * 0.3, shift=shift, mirror=_mirror(n, flip))
    return _cutout(_photometric(_sample(x, matrix), on, by))


VIEWS = {"none": none, "weak": weak, "affine": affine, "crop": crop, "strong": strong}


def view(pixels: Tensor, name: str, flip: bool) -> Tensor:
    """The view `name` of uint8 `pixels` (N, 3, S, S) as float32 in [0, 1]. `flip`: False where left and right differ, as in digits."""
    if name not in VIEWS:
        raise InputError(f"no augmentation '{name}'; there are: {', '.join(VIEWS)}")
    return VIEWS[name](pixels.float().div_(255), flip)


def _mirror(n: int, flip: bool) -> Tensor:
    return torch.where(torch.rand(n) < 0.5, -1.0, 1.0) if flip else torch.ones(n)


def _matrix(n: int, turn=0.0, shear_x=0.0, shear_y=0.0, scale=1.0, shift=0.0, mirror=1.0) -> Tensor:
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


def _photometric(x: Tensor, on: dict[str, Tensor], by: dict[str, Tensor]) -> Tensor:
    """An operation that an image did not draw has factor 1 (or weight 0) for it, so one pass serves the whole batch."""

    def column(value: Tensor) -> Tensor:
        return value.to(x.device, non_blocking=True).view(-1, 1, 1, 1)

    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    stretched = (x - low) / (high - low).clamp(min=1 / 255)
    x = torch.lerp(x, stretched, column(on["autocontrast"]))
    x = x * column(1 + 0.95 * by["brightness"].clamp(max=0) + 0.45 * by["brightness"].clamp(min=0))
    grey = x.mean(1, keepdim=True)
    x = torch.lerp(grey, x, column(1 + 0.95 * by["colour"]))
    x = torch.lerp(grey.mean((2, 3), keepdim=True), x, column(1 + 0.95 * by["contrast"].clamp(max=0) + 0.45 * by["contrast"].clamp(min=0)))
    x = torch.lerp(F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1), x, column(1 + 0.95 * by["sharpness"])).clamp(0, 1)
    bits = 6 + 2 * by["posterize"]  # 4 to 8 bits
    levels = column(torch.where(on["posterize"] > 0, 2 ** bits.round(), 256.0))
    return torch.where(column(on["posterize"]) > 0, (x * (levels - 1)).round() / (levels - 1), x)


def _cutout(x: Tensor) -> Tensor:
    n, _, height, width = x.shape
    half = torch.rand(n, 1, device="cpu") * CUTOUT / 2
    centre = torch.rand(n, 2)
    rows, columns = ((torch.arange(s) + 0.5) / s for s in (height, width))
    inside = ((rows - centre[:, :1]).abs() < half)[:, None, :, None] & ((columns - centre[:, 1:]).abs() < half)[:, None, None, :]
    return x.masked_fill(inside.to(x.device, non_blocking=True), 0.5)
