"""What MNIST, USPS and SVHN share: domains by name, files under `AA_DATA` read by torchvision, pixels of one size.

A domain is `train`, `test`, or `train-<n>`: n of the training images, the subsample of the MNIST <-> USPS protocol (2,000 and 1,800). The
draw is the same in every run, and a smaller one is part of a larger one; the reference (mil-tokyo/MCD_DA) draws anew, unseeded, each time.
"""

import os
import re
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from aa_utils.benchmarks import Target
from aa_utils.benchmarks.uci_digits import CLASS_NAMES
from aa_utils.data.images import ImageSet
from aa_utils.errors import InputError
from aa_utils.paths import data_root
from aa_utils.seeds import torch_generator

Read = Callable[[str, str, bool], tuple[Tensor, Tensor]]


def target(name: str, domain: str, size: int, files: dict[str, list[str]], read: Read) -> Target:
    """The `domain` of the benchmark `name` at `size` x `size` pixels.

    `files`: what `train` and `test` are read from, below `AA_DATA`. `read(root, part, download)` gives uint8 (N, 1 or 3, S, S), int64 (N,).
    Errors: InputError for an unknown domain, for files that are missing or broken, and for more images than there are.
    """
    asked = re.fullmatch(r"(train|test)|train-([1-9]\d*)", domain)
    if not asked:
        said = f"'{name}:{domain}'" if domain else f"'{name}' alone"
        raise InputError(f"{said} is no domain; ask for '{name}:train', '{name}:test', or '{name}:train-<n>' for n training images")
    part = asked[1] or "train"
    pixels, labels = read_files(name, part, files[part], read)
    index = torch.arange(len(pixels))
    if asked[2]:
        if int(asked[2]) > len(pixels):
            raise InputError(f"'{name}:{domain}' asks for {asked[2]} training images; {name} has {len(pixels)}")
        index = torch.randperm(len(pixels), generator=torch_generator("subsample", name))[: int(asked[2])].sort().values
    images = ImageSet(resized(pixels[index], size), None, [f"{name}-{part}-{i:05d}" for i in index.tolist()], list(CLASS_NAMES))
    return Target(f"{name}:{domain}", images, labels[index])


def resized(pixels: Tensor, size: int) -> Tensor:
    """uint8 (N, 3, size, size) from uint8 (N, 1 or 3, S, S): bicubic, as for image folders; grey is repeated over the channels."""
    if pixels.shape[-1] != size:
        shape = {"size": (size, size), "mode": "bicubic", "align_corners": False, "antialias": size < pixels.shape[-1]}
        parts = [F.interpolate(part.float(), **shape).clamp(0, 255).round().byte() for part in pixels.split(4096)]  # type: ignore[arg-type]  # floats take memory
        pixels = torch.cat(parts)
    return pixels.expand(-1, 3, -1, -1).contiguous()


def read_files(name: str, part: str, files: list[str], read: Read) -> tuple[Tensor, Tensor]:
    """What `read` gives of `part`, once its `files` lie below `AA_DATA`. Errors: InputError where they are missing or broken."""
    root, download = data_root(), os.environ.get("AA_DOWNLOAD") == "1"
    missing = [file for file in files if not (root / file).is_file()]
    if missing and not download:
        raise InputError(
            f"no {name} in '{root}': {', '.join(missing)} missing. Set AA_DATA to the folder that has them (as torchvision lays them out), "
            "or AA_DOWNLOAD=1 and torchvision downloads them there"
        )
    try:
        return read(str(root), part, bool(missing))
    except Exception as error:  # torchvision raises whatever its reader raises: cut short, no such host, wrong checksum
        done = "downloaded" if missing else "read"
        raise InputError(
            f"{name} cannot be {done} in '{root}' ({type(error).__name__}: {str(error)[:200]}); files: {', '.join(files)}"
        ) from error
