"""USPS: 7,291 + 2,007 digits from envelopes at 16x16 pixels, white ink on black.

Hull, "A Database for Handwritten Text Recognition Research", IEEE TPAMI 16 (1994); the split of the LIBSVM page, which torchvision reads.
MCD and CoGAN use another one, 7,438 + 1,860 images in a file of their own (usps_28x28.pkl): numbers on the two test sets are neighbours,
not the same measurement.
"""

import torch
from torch import Tensor

from aa_utils.benchmarks import Target, _digits

FILES = {"train": ["usps.bz2"], "test": ["usps.t.bz2"]}


def load(domain: str = "", size: int = 32) -> Target:
    """The domain `train`, `test` or `train-<n>`. Errors: InputError for another one, and where `AA_DATA` lacks the files."""
    return _digits.target("usps", domain, size, FILES, _read)


def _read(root: str, part: str, download: bool) -> tuple[Tensor, Tensor]:
    from torchvision.datasets import USPS

    digits = USPS(root, train=part == "train", download=download)
    return torch.from_numpy(digits.data)[:, None], torch.tensor(digits.targets)
