"""UCI handwritten digits: 1,797 scans of 43 writers at 8x8 pixels, 16 grey levels, white ink on black. Comes with scikit-learn, no
download.

Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository (1998); scikit-learn holds its test part.
"""

import torch
import torch.nn.functional as F

from aa_utils.benchmarks import Target
from aa_utils.data.images import ImageSet
from aa_utils.errors import InputError

CLASS_NAMES = [f"digit {word}" for word in ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]]


def load(domain: str = "", size: int = 32) -> Target:
    """All 1,797 scans, enlarged to `size` x `size` by bicubic interpolation and repeated over the three channels."""
    if domain:
        raise InputError(f"uci_digits has a single domain; ask for 'uci_digits', not 'uci_digits:{domain}'")
    from sklearn.datasets import load_digits

    scans, labels = load_digits(return_X_y=True)
    grey = torch.from_numpy(scans).float().view(-1, 1, 8, 8) / 16
    grey = F.interpolate(grey, size=(size, size), mode="bicubic", align_corners=False, antialias=size < 8).clamp(0, 1)
    pixels = (grey * 255).round().byte().expand(-1, 3, -1, -1).contiguous()
    ids = [f"uci-{i:04d}" for i in range(len(pixels))]
    return Target("uci_digits", ImageSet(pixels, None, ids, list(CLASS_NAMES)), torch.from_numpy(labels).long())
