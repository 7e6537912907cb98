"""The spaces in which images are compared: what a network sees in them.

    reader:models/pocket-reader    what the render-trained reader of digits sees before it decides; offline. It knows characters and is
                                   blind to looks: plain digits and the same in chalk are one set to it
    judge:<folder>                 what the render-trained judge of looks (`factors`) sees; offline, blind to characters
    clip:<folder or hub id>        unit embeddings of a transformers CLIP
    inception:<file>               2048 features of the Inception-v3 of Heusel et al. 2017 (arXiv 1706.08500), images brought to 299 pixels
                                   bilinearly with antialiasing, torchmetrics' way and close to clean-fid's (Parmar et al. 2022, arXiv
                                   2104.11222: resizing without it changes the number); clean-fid's own resize is bicubic
    inception-legacy:<file>        the same without antialiasing, as TensorFlow 1 did it: for comparison with older papers

Several joined by " + " are one space. Nothing is downloaded: `<file>` is torch-fidelity's weights-inception-2015-12-05-6726825d.pth.
Features of reader and judge are in units of their mean and spread over renders of the whole pocket world: each counts alike, and numbers
of different domains can be compared. (In units of one domain's spread what never varies there, its ink say, would outweigh all else.)
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from aa_utils.errors import InputError
from aa_utils.generator_adaptation import clip_direction
from aa_utils.paths import existing
from aa_utils.pretrained import torch_files, weight_files, whole

KINDS = ("reader", "judge", "clip", "inception", "inception-legacy")
INCEPTION = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
AT_ONCE = 128
WORLD = 1024  # renders that say what a feature's unit is


@dataclass(frozen=True)
class Space:
    """A name and what it sees: images (n, 3, H, W) in [-1, 1] -> features (n, d)."""

    name: str
    see: Callable[[Tensor], Tensor]
    device: str = "cpu"

    @torch.inference_mode()
    def __call__(self, pixels: Tensor) -> np.ndarray:
        """Features (n, d) float64 of images (n, 3, H, W) uint8."""
        return np.concatenate([self.see(as_float(part.to(self.device))).double().cpu().numpy() for part in pixels.split(AT_ONCE)])


def load(name: str, device: str = "cpu") -> Space:
    """The space of that name (see above). Errors: InputError for another name, or a network that is not there."""
    parts = [part.strip() for part in name.split(" + ")]
    if len(parts) > 1:
        spaces = [load(part, device) for part in parts]
        return Space(name, lambda x: torch.cat([space.see(x) for space in spaces], 1), device)
    kind, _, what = name.partition(":")
    if kind not in KINDS or not what:
        raise InputError(f"no features {name!r}; there are: {', '.join(f'{kind}:<file or folder>' for kind in KINDS)}")
    if kind == "clip":
        return Space(name, clip_direction.load(what, device).images, device)
    if kind.startswith("inception"):
        return Space(name, _inception(existing(what, "Inception weights", INCEPTION), kind == "inception", device), device)
    net = (_reader(what) if kind == "reader" else _judge(what)).to(device).requires_grad_(False)
    return Space(name, _standardised(lambda x: net[:-1](sized(x, 32)), device), device)


def as_float(pixels: Tensor) -> Tensor:
    """uint8 images as floats in [-1, 1]."""
    return pixels.float() / 127.5 - 1


def sized(images: Tensor, side: int) -> Tensor:
    """Images (n, 3, H, W) at `side` pixels, antialiased; untouched if they have them."""
    if images.shape[-1] == side:
        return images
    return F.interpolate(images, (side, side), mode="bilinear", align_corners=False, antialias=True)


def _standardised(see: Callable[[Tensor], Tensor], device: str) -> Callable[[Tensor], Tensor]:
    """Features in units of their mean and spread over the pocket world; those that hardly vary there are left out."""
    with torch.inference_mode():
        known = torch.cat([see(as_float(part.to(device))) for part in _world().split(AT_ONCE)])
    mean, spread = known.mean(0), known.std(0)
    alive = spread > 0.01 * spread.max()
    return lambda x: (see(x)[:, alive] - mean[alive]) / spread[alive]


@cache
def _world() -> Tensor:
    """Renders (n, 3, 32, 32) uint8 of the whole pocket world, of a seed that no training pool has."""
    from aa_utils.pocket.quality import FRESH
    from aa_utils.pocket.render import render

    return torch.from_numpy(render(WORLD, FRESH)[0]).permute(0, 3, 1, 2).contiguous()


def _reader(folder: str) -> torch.nn.Sequential:
    from aa_utils.pocket import reader

    return reader.load(existing(f"{folder}/reader.safetensors", "reader", "01_pocket_world"))


def _judge(folder: str) -> torch.nn.Sequential:
    from aa_utils.generator_adaptation.evaluation import factors

    return factors.load(existing(folder, "judge", "72_evaluate_generator"))


def _inception(file: Path, antialias: bool, device: str) -> Callable[[Tensor], Tensor]:
    from torchmetrics.image.fid import NoTrainInceptionV3

    # The hash in the name, then a reading that builds nothing but tensors; torch-fidelity would unpickle all that a file holds.
    weight_files.check_hash_in_name(file, INCEPTION)
    try:
        torch_files.load(file)
        net = NoTrainInceptionV3("inception-v3-compat", ["2048"], str(file), antialias=antialias).to(device)
        whole.check_finite(net, file)
    except (RuntimeError, InputError) as error:
        raise InputError(f"'{file}' does not hold Inception's weights ({whole.reason(error)}); get it from {INCEPTION}") from error
    return lambda images: net(((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8))
