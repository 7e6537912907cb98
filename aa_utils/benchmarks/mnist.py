"""MNIST: 60,000 + 10,000 handwritten digits at 28x28 pixels, 256 grey levels, white ink on black.

LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document Recognition", Proceedings of the IEEE 86 (1998).
"""

from torch import Tensor

from aa_utils.benchmarks import Target, _digits

# torchvision wants all four, whichever part is asked for.
FILES = [f"MNIST/raw/{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]


def load(domain: str = "", size: int = 32) -> Target:
    """The domain `train`, `test` or `train-<n>`. Errors: InputError for another one, and where `AA_DATA` lacks the files."""
    return _digits.target("mnist", domain, size, {"train": FILES, "test": FILES}, _read)


def _read(root: str, part: str, download: bool) -> tuple[Tensor, Tensor]:
    from torchvision.datasets import MNIST

    digits = MNIST(root, train=part == "train", download=download)
    return digits.data[:, None], digits.targets.long()
