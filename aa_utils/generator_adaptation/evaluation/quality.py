"""How good a pocket generator is: a Fréchet distance in the features of pocket-reader, and what that reader reads."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from aa_utils.errors import InputError
from aa_utils.generator_adaptation.evaluation.frechet_distance import frechet_distance, standardised
from aa_utils.pocket import reader
from aa_utils.seeds import torch_generator

if TYPE_CHECKING:
    from PIL.Image import Image

AT_ONCE = 256


@torch.inference_mode()
def draw(net: nn.Module, labels: Tensor | int, seed: int, psi: float = 1.0, noise: str = "random", device: str = "cpu") -> Tensor:
    """Images (n, C, R, R) uint8 of `net`, one for each of `labels`: classes (n,), or labels of a 3-D one, which begin with its camera.
    From a generator without, `labels` of them.

    Latents and noise come from `seed`, AT_ONCE images at a time.
    """
    labels, n = (None, labels) if isinstance(labels, int) else (labels, len(labels))
    rng, parts = torch_generator("draw", seed), []
    for start in range(0, n, AT_ONCE):
        rows = slice(start, min(n, start + AT_ONCE))
        z = torch.randn(rows.stop - start, net.z_dim, generator=rng).to(device)
        w = net.mapping(z, None if labels is None else labels[rows].to(device), psi)
        seen = (w, labels[rows].to(device)) if hasattr(net, "sample_cameras") else (w,)
        parts.append(to_uint8(net.synthesis(*seen, noise, rng)).cpu())
    return torch.cat(parts)


def to_uint8(x: Tensor) -> Tensor:
    """Images in [-1, 1] as uint8, rounded."""
    return ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def mosaic(pixels: Tensor, columns: int, scale: int = 2) -> "Image":
    """Images (n, 3, R, R) uint8 in rows of `columns`, every pixel `scale` wide, with white lines between them."""
    from PIL import Image

    rows, side = -(-len(pixels) // columns), scale * pixels.shape[-1] + 2
    sheet = np.full((rows * side, columns * side, 3), 255, np.uint8)
    for k, image in enumerate(pixels.permute(0, 2, 3, 1).numpy()):
        y, x = k // columns * side, k % columns * side
        sheet[y : y + side - 2, x : x + side - 2] = image.repeat(scale, 0).repeat(scale, 1)
    return Image.fromarray(sheet[:-2, :-2])


@torch.inference_mode()
def features(net: nn.Sequential, pixels: Tensor) -> np.ndarray:
    """The features (n, 128) that the reader `net` sees in images (n, 3, 32, 32) uint8, before it decides."""
    parts = [net[:-1](part.float() / 127.5 - 1) for part in pixels.split(1024)]
    return torch.cat(parts).double().numpy()


def quality(
    generator: nn.Module, net: nn.Sequential, truth: tuple[Tensor, Tensor], others: tuple[Tensor, Tensor], seed: int, device: str = "cpu"
) -> pd.DataFrame:
    """A table with the rows generator and renders: images, frechet (distance to `truth`), read (the share that `net` reads as asked).

    `truth` and `others` are pixels (n, 3, 32, 32) uint8 and labels (n,) of two independent sets of renders; the generator is asked for the
    labels of `others`, whose own row is the floor.
    """
    drawn = draw(generator, others[1] if generator.label_dim else len(others[1]), seed, device=device)
    f_truth, f_drawn, f_others = standardised(*(features(net, pixels) for pixels in (truth[0], drawn, others[0])))
    rows = []
    for name, pixels, f in (("generator", drawn, f_drawn), ("renders", others[0], f_others)):
        right = reader.read(net, pixels.permute(0, 2, 3, 1)) == others[1].numpy()
        read = float(right.mean()) if generator.label_dim or name == "renders" else float("nan")
        rows.append({"images": name, "frechet": frechet_distance(f_truth, f), "read": read})
    return pd.DataFrame(rows)


def load_reader(folder: Path) -> nn.Sequential:
    """pocket-reader. Errors: InputError if it is not in `folder`."""
    if not (folder / "reader.safetensors").is_file():
        raise InputError(f"no reader.safetensors in '{folder}'; models/pocket-reader has one (01_pocket_world makes it)")
    return reader.load(folder / "reader.safetensors")
