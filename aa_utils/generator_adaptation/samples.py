"""Sample grids on the way: the same latents before and after, one below the other."""

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from aa_utils import files
from aa_utils.errors import InputError
from aa_utils.generator_adaptation.generators import latents
from aa_utils.generator_adaptation.generators.latents import render
from aa_utils.seeds import torch_generator

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE = 256  # pixels; larger images are shown at this size
AT_ONCE = 8


class Sheet:
    """The unadapted images of `count` fixed latents, kept for the upper row of every grid. The latents are the same in every run."""

    def __init__(self, frozen: nn.Module, count: int, psi: float, folder: Path):
        self.folder, self.psi = folder, psi
        rng = torch_generator("samples")
        device = next(frozen.parameters()).device
        self.z = torch.randn(count, frozen.z_dim, generator=rng).to(device)
        self.labels = latents.labels(frozen, count, rng, device, chosen=latents.in_turn(frozen, count))
        self.before = self.images(frozen)

    @torch.no_grad()
    def images(self, net: nn.Module) -> np.ndarray:
        """(count, side, side, 3) uint8 of the fixed latents, with fixed noise maps."""
        parts = []
        for start in range(0, len(self.z), AT_ONCE):
            rows = slice(start, start + AT_ONCE)
            labels = None if self.labels is None else self.labels[rows]
            parts.append(uint8(render(net, net.mapping(self.z[rows], labels, psi=self.psi), "fixed", labels)))
        return np.concatenate(parts)

    def write(self, net: nn.Module, step: int) -> Path:
        """Write step<k>.png: the unadapted images above, those of `net` below. Returns its path."""
        path, buffer = self.folder / f"step{step:06d}.png", io.BytesIO()
        rows = [np.concatenate(list(row), axis=1) for row in (self.before, self.images(net))]
        Image.fromarray(np.concatenate(rows)).save(buffer, "png")
        files.write_bytes(path, buffer.getvalue())
        return path


def uint8(x: Tensor) -> np.ndarray:
    """Images (n, 3, S, S) in [-1, 1] as (n, side, side, 3) uint8, no larger than `SIDE`."""
    if x.shape[-1] > SIDE:
        x = F.interpolate(x, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True)
    return ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def on_the_way(folder: Path, rows: int = 6) -> np.ndarray:
    """A picture of a run's grids in `folder`: the unadapted images, then those of up to `rows` steps spread evenly to the last one."""
    grids = [np.asarray(Image.open(path)) for path in sorted(folder.glob("step*.png"))]
    if not grids:
        raise InputError(f"no sample grids in '{folder}'")
    half = len(grids[0]) // 2
    wanted = sorted({round(k * (len(grids) - 1) / rows) for k in range(1, rows + 1)} - {0})
    return np.concatenate([grids[0][:half], *(grids[k][half:] for k in wanted)])


def figure(pictures: Sequence[np.ndarray], titles: Sequence[str], width: float = 9.6) -> "Figure":
    """`pictures` (height, width, 3) uint8 below each other, `width` inches wide, each over its title."""
    import matplotlib.pyplot as plt

    said = ["\n".join(textwrap.wrap(title.replace("$", r"\$"), 140)) for title in titles]
    lines = [1 + text.count("\n") for text in said]
    heights = [width * len(picture) / picture.shape[1] + 0.13 + 0.12 * n for picture, n in zip(pictures, lines, strict=True)]
    made, axes = plt.subplots(len(pictures), 1, figsize=(width, sum(heights)), squeeze=False, height_ratios=heights, layout="constrained")
    for axis, picture, text in zip(axes[:, 0], pictures, said, strict=True):
        axis.imshow(picture, interpolation="nearest" if picture.shape[1] < 1000 else "antialiased")
        axis.set_title(text, fontsize=8, loc="left")
        axis.axis("off")
    plt.close(made)  # it is shown once, as the value of its cell
    return made
