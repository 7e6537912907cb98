"""FixMatch's RandAugment on a batch: two operations an image, each with a strength of its own, then Cutout.

Sohn et al. 2020, "FixMatch", arXiv 2001.07685, appendix, Table 12: 14 operations and their ranges, `RANGES` here. Drawn as in the authors'
code (libml/augment.py, AugmentPoolRAMC): two of the 14 with replacement, applied in the order in which they were drawn, so an image may be
turned twice, or equalised and then tinted; a strength uniform in the range; then a grey square of half the side, cut at the border, about a
pixel drawn uniformly. Each operation computes what Pillow computes: in 8 bits, nearest neighbour, what comes in from outside is grey.

Differences. The authors' code departs from the paper's table: it draws 9 steps and leaves each operation out with probability 1/2; colour,
contrast, brightness and sharpness are 0.28 to 1.72, bits 4 to 1, and shifts 1 to 9 pixels of 32. Here the table holds, strengths are real
numbers, and every drawn operation is applied (identity is one of them). Grey is level 128, as 8 bits have no middle.

An operation goes through the images that drew it, together. Which ones these are is known on the CPU, so a GPU never waits to be asked.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# Operation -> the range of its strength. Two have none: they are what they are.
RANGES: dict[str, tuple[float, float]] = {
    "identity": (0, 0),
    "autocontrast": (0, 0),
    "equalize": (0, 0),
    "brightness": (0.05, 0.95),  # 1: the image itself; 0: black
    "colour": (0.05, 0.95),  # 0: grey
    "contrast": (0.05, 0.95),  # 0: its mean brightness everywhere
    "sharpness": (0.05, 0.95),  # 0: smoothed
    "posterize": (4, 8),  # bits
    "solarize": (0, 1),  # inverted from this share of the brightness on
    "rotate": (-30, 30),  # degrees, counter-clockwise
    "shear_x": (-0.3, 0.3),
    "shear_y": (-0.3, 0.3),
    "translate_x": (-0.3, 0.3),  # of the side, in whole pixels
    "translate_y": (-0.3, 0.3),
}
OPERATIONS = tuple(RANGES)
ENHANCEMENTS = ("brightness", "colour", "contrast", "sharpness")
GEOMETRIC = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
GROUPS = (ENHANCEMENTS, GEOMETRIC, ("autocontrast",), ("equalize",), ("posterize",), ("solarize",))  # what is computed together
DRAWN = 2  # operations an image
CUTOUT = 0.5  # side of the grey square, as a share of the image's
GREY = 128


def rand_augment(x: Tensor) -> Tensor:
    """DRAWN random operations on each image of uint8 `x` (N, 3, S, S), then Cutout: uint8, on the same device."""
    n = len(x)
    drawn = torch.randint(len(OPERATIONS), (DRAWN, n))
    low, high = torch.tensor([RANGES[name] for name in OPERATIONS]).float()[drawn].unbind(2)
    strengths = low + (high - low) * torch.rand(DRAWN, n)
    x = x.clone()
    for operations, strength in zip(drawn, strengths, strict=True):
        order, counts = operations.argsort(), torch.bincount(operations, minlength=len(OPERATIONS)).tolist()
        members = dict(zip(OPERATIONS, order.split(counts), strict=True))
        for group in GROUPS:
            rows = torch.cat([members[name] for name in group])
            if len(rows):
                there = rows.to(x.device, non_blocking=True)
                x[there] = _together(x[there], {name: len(members[name]) for name in group}, strength[rows])
    return cutout(x, torch.randint(x.shape[-1], (n, 2)))


def apply(x: Tensor, name: str, strength: Tensor) -> Tensor:
    """The operation `name` on uint8 images (n, 3, S, S), each with its own strength (n,), on the CPU: uint8."""
    return x if name == "identity" else _together(x, {name: len(x)}, strength)


def _together(x: Tensor, counts: dict[str, int], strength: Tensor) -> Tensor:
    """The operations of one of GROUPS on images that lie in the order of `counts`, so many of each."""
    name = next(iter(counts))
    if name in GEOMETRIC:
        return geometric(x, matrices(counts, strength, x.shape[-1]))
    if name in ("autocontrast", "equalize"):
        from torchvision.transforms.v2 import functional

        return getattr(functional, name)(x)  # type: ignore[no-any-return]
    strength = strength.to(x.device, non_blocking=True).view(-1, 1, 1, 1)
    if name == "posterize":
        step = 2 ** (8 - strength.add(0.5).floor())
        return (x.float().div_(step).floor_() * step).byte()
    if name == "solarize":
        return torch.where(x < (256 * strength).floor(), x, 255 - x)
    levels = x.float()
    parts = zip(counts, levels.split(list(counts.values())), strict=True)
    nothing = torch.cat([without(part, kind) for kind, part in parts if len(part)])
    return torch.lerp(nothing, levels, strength).byte()  # as `Image.blend`, which cuts off what comes after the point


def without(x: Tensor, name: str) -> Tensor:
    """What strength 0 of an enhancement leaves of float levels (n, 3, S, S), as Pillow's `ImageEnhance` defines it."""
    if name == "brightness":
        return torch.zeros_like(x)
    if name == "sharpness":
        return _smooth(x)
    red, green, blue = x.int().unbind(1)
    luma = ((19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16)[:, None].float()
    return (luma if name == "colour" else luma.mean((2, 3), keepdim=True).add(0.5).floor()).expand(x.shape)


def _smooth(x: Tensor) -> Tensor:
    """Pillow's `ImageFilter.SMOOTH`: the mean of 3 x 3, in which the middle counts five times; the border stays."""
    rows = x[..., :-2, :] + x[..., 1:-1, :] + x[..., 2:, :]
    nine = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    result = x.clone()
    result[..., 1:-1, 1:-1] = (nine + 4 * x[..., 1:-1, 1:-1]).div_(13).add_(0.5).floor_()
    return result


def matrices(counts: dict[str, int], strength: Tensor, side: int) -> Tensor:
    """(n, 2, 3): from output to input coordinates, -1 to 1 over the image, of so many operations of each name in a row, strengths (n,).

    Shears leave the first row or column where it is.
    """
    by = {name: torch.zeros(len(strength)) for name in GEOMETRIC}
    start = 0
    for name, count in counts.items():
        by[name][start : start + count] = strength[start : start + count]
        start += count
    turn = by["rotate"] * (math.pi / 180)
    across, down = ((by[name] * side).trunc() * (2 / side) for name in ("translate_x", "translate_y"))
    cos, sin = turn.cos(), turn.sin()
    values = [cos, by["shear_x"] - sin, by["shear_x"] + across, by["shear_y"] + sin, cos, by["shear_y"] + down]
    return torch.stack(values, 1).view(-1, 2, 3)


def geometric(x: Tensor, matrix: Tensor) -> Tensor:
    """uint8 images (n, 3, S, S) sampled where the matrices (n, 2, 3) point: the nearest pixel, grey outside."""
    grid = F.affine_grid(matrix.to(x.device, non_blocking=True), list(x.shape), align_corners=False)
    # Zeros outside, about grey: grid_sample pads with nothing else.
    return F.grid_sample(x.float() - GREY, grid, mode="nearest", padding_mode="zeros", align_corners=False).add_(GREY).byte()


def cutout(x: Tensor, centre: Tensor) -> Tensor:
    """uint8 images with a grey square of CUTOUT of their side about the pixels `centre` (n, 2: row, column), as far as it lies inside."""
    side = x.shape[-1]
    half = int(CUTOUT * side) // 2
    place = torch.arange(side)
    rows, columns = ((place >= c - half) & (place < c + half) for c in (centre[:, :1], centre[:, 1:]))
    inside = rows[:, None, :, None] & columns[:, None, None, :]
    return x.masked_fill(inside.to(x.device, non_blocking=True), GREY)
