"""USPS as CoGAN split it, and MCD and ADDA after it: all 9,298 images drawn anew into 7,438 for training and 1,860 for test.

Liu & Tuzel, "Coupled Generative Adversarial Networks", NIPS 2016, arXiv 1606.07536; MCD reads its file, usps_28x28.pkl. On the test set
of the `usps` benchmark, which is another people's writing and harder, the same classifier scores about 2 points lower. Which images are in
which part is drawn by this module: the sizes are theirs, the draw is not.
"""

import torch
from torch import Tensor

from aa_utils.benchmarks import Target, _digits, usps
from aa_utils.seeds import torch_generator

FILES = {part: [file for files in usps.FILES.values() for file in files] for part in usps.FILES}  # both parts come from both files
TRAINING = 7438


def load(domain: str = "", size: int = 32) -> Target:
    """The domain `train`, `test` or `train-<n>`. Errors: InputError for another one, and where `AA_DATA` lacks the files."""
    return _digits.target("usps_cogan", domain, size, FILES, _read)


def _read(root: str, part: str, download: bool) -> tuple[Tensor, Tensor]:
    pixels, labels = (torch.cat(both) for both in zip(*(usps.read(root, each, download) for each in usps.FILES), strict=True))
    order = torch.randperm(len(pixels), generator=torch_generator("split", "usps_cogan"))
    index = (order[:TRAINING] if part == "train" else order[TRAINING:]).sort().values
    return pixels[index], labels[index]
