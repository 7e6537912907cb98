"""SVHN: 73,257 + 26,032 house numbers from street photos at 32x32 pixels, in colour, cropped to one digit with its neighbours in view.

Netzer, Wang, Coates, Bissacco, Wu and Ng, "Reading Digits in Natural Images with Unsupervised Feature Learning", NIPS workshop (2011).
"""

import torch
from torch import Tensor

from aa_utils.benchmarks import Target, _digits

FILES = {"train": ["train_32x32.mat"], "test": ["test_32x32.mat"]}


def load(domain: str = "", size: int = 32) -> Target:
    """The domain `train`, `test` or `train-<n>`. Errors: InputError for another one, and where `AA_DATA` lacks the files."""
    return _digits.target("svhn", domain, size, FILES, _read)


def _read(root: str, part: str, download: bool) -> tuple[Tensor, Tensor]:
    from torchvision.datasets import SVHN

    digits = SVHN(root, split=part, download=download)  # the file says 10 for a zero; torchvision mends that
    return torch.from_numpy(digits.data), torch.from_numpy(digits.labels)
