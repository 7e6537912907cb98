"""Features of a frozen backbone: of each image, and of a few random views of it, computed once and kept on the disk.

They stand for the images in training and in prediction, and the methods do not notice: a batch holds features (B, D) where it would hold
images (B, 3, S, S), and `Classifier.features` takes either. What is trained is the bottleneck, the head, and what else the method has.
The file, `artifacts/cache/features/<network>-<key>.npy`, is opened as a memory map; it may be deleted at any time. Its key follows from the
backbone's weights, the pixels, the views, the code, and the kind of device.
"""

import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import timm
import torch
from torch import Tensor

from aa_utils import devices, files
from aa_utils.classifiers.backbones import Classifier
from aa_utils.paths import resolve
from aa_utils.progress import note, progress, warn
from aa_utils.runner import identity
from aa_utils.seeds import stable_hash

AT_ONCE = 256  # images in a batch, at most
PIXELS = {
    "cpu": 1 << 20,
    "cuda": 1 << 24,
    "mps": 1 << 22,
}  # in a batch: 64 images of 128 px on a CPU; networks hold some 50 numbers a pixel
KEEP_FROM = 1 << 20  # pixels of a set from which on its features are kept


def batch_size(image_size: int, device: str = "cpu") -> int:
    """How many images of `image_size` pixels a side go through a network at once without gradients: as many as PIXELS allows."""
    return max(1, min(AT_ONCE, PIXELS[devices.kind(device)] // image_size**2))


def as_input(part: Tensor, device: str | torch.device) -> Tensor:
    """What `Classifier.features` takes, float32 on `device`: images in [0, 1] for uint8 pixels (B, 3, S, S); for stored features
    (B, 1 + V, D) those of the images themselves, (B, D)."""
    if part.dtype == torch.uint8:
        return part.to(device).float().div_(255)
    return (part[:, 0] if part.ndim == 3 else part).to(device)


def stored(
    classifier: Classifier,
    pixels: Tensor,
    device: str = "cpu",
    views: int = 0,
    view: Callable[[Tensor], Tensor] | None = None,
    view_key: tuple = (),
) -> Tensor:
    """Features float32 (N, 1 + V, D) of a frozen backbone: of each of the uint8 images (N, 3, S, S), then of V random views of it.

    `view` makes of uint8 pixels (B, 3, S, S) a random view in [0, 1], from torch's random state; `view_key` names it. Which views
    these are follows from their number and the images, not from the run's seed: all seeds and methods share them. The tensor may be a
    read-only memory map.
    """
    place = devices.choose(device)
    classifier = classifier.to(place)
    if len(pixels) * pixels.shape[-1] ** 2 < KEEP_FROM:
        made = np.empty((len(pixels), 1 + views, classifier.backbone_width), dtype=np.float32)
        _fill(made, classifier, pixels, place, views, view)
        return torch.from_numpy(made)
    file = _file(classifier, pixels, place, (views, *view_key) if views else ())
    digest = file.with_suffix(".sha256")
    with files.locked(file.with_suffix(".lock")):
        if file.is_file() and digest.is_file() and digest.read_text() != files.sha256(file):
            warn(f"'{file}' is not as it was written: its SHA-256 differs; it counts as absent, and the features are computed again")
            digest.unlink()
        if not (file.is_file() and digest.is_file()):
            note(f"keeping features of {len(pixels)} images in '{file}'")
            with files.atomic(file) as temporary:
                shape = (len(pixels), 1 + views, classifier.backbone_width)
                made = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
                _fill(made, classifier, pixels, place, views, view)
                made.flush()
                written = files.sha256(temporary)
            files.write_text(digest, written)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable")
        return torch.from_numpy(np.load(file, mmap_mode="r"))


@torch.no_grad()
def _fill(made: np.ndarray, classifier: Classifier, pixels: Tensor, device: str, views: int, view: Callable | None) -> None:
    before, size, start = classifier.training, batch_size(pixels.shape[-1], device), 0
    classifier.eval()
    parts = pixels.split(size)
    with torch.random.fork_rng(devices=[]):
        for part in progress(parts, f"features of {classifier.config['backbone']}", len(parts), "batch"):
            here = part.to(device)
            for number in range(1 + views):
                torch.manual_seed(stable_hash("feature view", number, size, start))
                x = view(here) if number else here.float().div(255)
                made[start : start + len(part), number] = classifier.of_backbone(x).float().cpu().numpy()
            start += len(part)
    classifier.train(before)


def _file(classifier: Classifier, pixels: Tensor, device: str, view_key: tuple) -> Path:
    name, weights = classifier.config["backbone"], classifier.backbone.state_dict()
    settings = [timm.__version__, devices.kind(device), view_key, list(weights), tuple(pixels.shape)]
    settings += [classifier.config[key] for key in ("backbone", "kwargs", "mean", "std")]
    parts = identity.of(settings, [*weights.values(), pixels], __name__)
    return resolve("artifacts/cache/features") / f"{re.sub(r'[^A-Za-z0-9_-]', '_', name)}-{stable_hash(*parts.values()):016x}.npy"
