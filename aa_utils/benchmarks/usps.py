"""USPS: 7,291 + 2,007 digits from envelopes at 16x16 pixels, white ink on black.

Hull, "A Database for Handwritten Text Recognition Research", IEEE TPAMI 16 (1994); the split of the LIBSVM page, which torchvision reads.
CoGAN and MCD split it otherwise (`usps_cogan`): numbers on the two test sets are neighbours, not the same measurement.
"""

import torch
from torch import Tensor

from aa_utils.benchmarks import Target, _digits

FILES = {"train": ["usps.bz2"], "test": ["usps.t.bz2"]}


def load(domain: str = "", size: int = 32) -> Target:
    """The domain `train`, `test` or `train-<n>`. Errors: InputError for another one, and where `AA_DATA` lacks the files."""
    return _digits.target("usps", domain, size, FILES, read)


def read(root: str, part: str, download: bool) -> tuple[Tensor, Tensor]:
    """uint8 (N, 1, 16, 16) and int64 (N,) of `part`, `train` or `test`, from torchvision's files in `root`."""
    from torchvision.datasets import USPS

    digits = USPS(root, train=part == "train", download=download)
    return torch.from_numpy(digits.data)[:, None], torch.tensor(digits.targets)
