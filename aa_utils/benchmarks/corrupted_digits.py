"""UCI handwritten digits made harder: the real scans of `uci_digits`, with a rendered corruption at one of five severities, "noise-3".

A target for questions on hard shifts, no benchmark of the literature: corruptions are computed here, after ImageNet-C (Hendrycks and
Dietterich 2019, arXiv 1903.12261), whose constants `noise` and `contrast` have; those of the others are of this kit, for images in which a
digit fills the frame. Each is a function of the scan alone: the same call gives the same pixels, and a higher severity adds to what a
lower one did (the same noise louder, the same strokes and more).
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from aa_utils.benchmarks import Target, uci_digits
from aa_utils.errors import InputError
from aa_utils.seeds import stable_hash, torch_generator

SEVERITIES = (1, 2, 3, 4, 5)
NOISE = (0.08, 0.12, 0.18, 0.26, 0.38)  # standard deviation of Gaussian noise; ImageNet-C
BLUR = (1.0, 1.75, 2.5, 3.5, 4.5)  # standard deviation in pixels of an image of 32
CONTRAST = (0.4, 0.3, 0.2, 0.1, 0.05)  # what is left of each pixel's distance from the mean; ImageNet-C
CLUTTER = (2, 4, 6, 9, 12)  # strokes a third of the side long, at half to full brightness
INVERSION = (0.2, 0.4, 0.6, 0.8, 1.0)  # share of the scans that are black on white


def load(domain: str = "", size: int = 32) -> Target:
    """The 1,797 scans at `size` x `size`, corrupted as `domain` says: "<kind>-<severity>", a kind of KINDS. Labels are those of the scans.

    Errors: InputError for another domain.
    """
    kind, _, severity = domain.partition("-")
    if kind not in KINDS or severity not in map(str, SEVERITIES):
        there = ", ".join(f"{name}-1" for name in KINDS)
        raise InputError(f"no 'corrupted_digits:{domain}'; a domain is a kind and a severity from 1 to 5: {there}, …")
    clean = uci_digits.load("", size)
    grey = clean.images.pixels[:, :1].float() / 255
    made = KINDS[kind](grey, int(severity) - 1, clean.ids).clamp(0, 1)
    pixels = (made * 255).round().byte().expand(-1, 3, -1, -1).contiguous()
    return Target(f"corrupted_digits:{domain}", replace(clean.images, pixels=pixels), clean.labels, f"{kind}, severity {severity} of 5")


def _noise(grey: Tensor, level: int, ids: list[str]) -> Tensor:
    return grey + NOISE[level] * torch.randn(grey.shape, generator=torch_generator("corrupted_digits", "noise"))


def _blur(grey: Tensor, level: int, ids: list[str]) -> Tensor:
    from torchvision.transforms.functional import gaussian_blur

    sigma = BLUR[level] * grey.shape[-1] / 32
    reach = min(math.ceil(3 * sigma), grey.shape[-1] - 1)  # its reflection pads the border
    return gaussian_blur(grey, [2 * reach + 1] * 2, [sigma] * 2)


def _contrast(grey: Tensor, level: int, ids: list[str]) -> Tensor:
    mean = grey.mean((2, 3), keepdim=True)
    return (grey - mean) * CONTRAST[level] + mean


def _clutter(grey: Tensor, level: int, ids: list[str]) -> Tensor:
    return torch.maximum(grey, torch.stack([_strokes(name, CLUTTER[level], grey.shape[-1]) for name in ids])[:, None])


def _strokes(name: str, number: int, size: int) -> Tensor:
    """(S, S): `number` straight strokes on black; the first ones are those of fewer."""
    from PIL import Image, ImageChops, ImageDraw

    random, canvas = np.random.default_rng(stable_hash("corrupted_digits", "clutter", name)), Image.new("L", (size, size))
    for x, y, angle, light in random.random((max(CLUTTER), 4))[:number]:
        dx, dy = size / 6 * math.cos(math.tau * angle), size / 6 * math.sin(math.tau * angle)
        ends = [x * size - dx, y * size - dy, x * size + dx, y * size + dy]
        stroke = Image.new("L", (size, size))
        ImageDraw.Draw(stroke).line(ends, fill=round(255 * (0.5 + 0.5 * light)), width=max(1, round(size / 16)))
        canvas = ImageChops.lighter(canvas, stroke)  # a dim stroke hides no bright one
    return torch.from_numpy(np.asarray(canvas).copy()).float() / 255


def _inversion(grey: Tensor, level: int, ids: list[str]) -> Tensor:
    chosen = torch.tensor([stable_hash("corrupted_digits", "inversion", name) / 2**63 < INVERSION[level] for name in ids])
    return torch.where(chosen[:, None, None, None], 1 - grey, grey)


KINDS: dict[str, Callable[[Tensor, int, list[str]], Tensor]] = {
    "noise": _noise, "blur": _blur, "contrast": _contrast, "clutter": _clutter, "inversion": _inversion
}  # fmt: skip
