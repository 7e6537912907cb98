"""The two LeNet-like networks on which MCD, and most of the literature after it, is compared on digits.

Saito et al., "Maximum Classifier Discrepancy for Unsupervised Domain Adaptation", CVPR 2018, arXiv 1712.02560, section 4.2; layers as in
the authors' code (mil-tokyo/MCD_DA, classification/model/usps.py and svhn2mnist.py). Where G ends and C begins decides what two heads can
disagree about, and what a discriminator sees: so each network brings its own head, `make_head(num_classes)`.
"""

from collections.abc import Callable

from timm.models import register_model
from torch import Tensor, nn

from aa_utils.errors import InputError

HALF = (0.5, 0.5, 0.5)  # images are scaled to -1 … 1


class LeNet(nn.Module):
    """`layers` on images of `side` pixels, float (N, 3, side, side), grey or in colour: f (N, num_features)."""

    def __init__(self, name: str, layers: nn.Sequential, side: int, grey: bool, num_features: int, make_head: Callable[[int], nn.Module]):
        super().__init__()
        self.name, self.layers, self.side, self.grey, self.num_features = name, layers, side, grey, num_features
        self.make_head = make_head
        self.pretrained_cfg = {"mean": HALF, "std": HALF}

    def forward(self, x: Tensor) -> Tensor:
        """f (N, num_features). Errors: InputError for images of another size."""
        if x.shape[-2:] != (self.side, self.side):
            raise InputError(f"{self.name} takes images of {self.side} pixels a side, got {x.shape[-1]}; set image_size={self.side}")
        return self.layers(x.mean(1, keepdim=True) if self.grey else x)


@register_model
def lenet_usps(pretrained: bool = False, **kwargs) -> LeNet:
    """The network of MNIST <-> USPS: 28 px, the mean of the channels; 40 k weights, then a head of 88 k (768 -> 100 -> 100 -> K)."""
    _from_scratch("lenet_usps", pretrained, kwargs)
    layers = nn.Sequential(
        *(nn.Conv2d(1, 32, 5), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 48, 5), nn.BatchNorm2d(48), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Flatten(),
    )

    def make_head(num_classes: int) -> nn.Sequential:
        hidden = [(nn.Dropout(0.5), nn.Linear(n, 100), nn.BatchNorm1d(100), nn.ReLU()) for n in (768, 100)]
        return nn.Sequential(*hidden[0], *hidden[1], nn.Dropout(0.5), nn.Linear(100, num_classes))

    return LeNet("lenet_usps", layers, 28, True, 768, make_head)


@register_model
def lenet_svhn(pretrained: bool = False, **kwargs) -> LeNet:
    """The network of SVHN -> MNIST: 32 px, colour; 25 M weights, nearly all in 8192 -> 3072, then a head of 6 M (3072 -> 2048 -> K)."""
    _from_scratch("lenet_svhn", pretrained, kwargs)
    layers = nn.Sequential(
        *(nn.Conv2d(3, 64, 5, padding=2), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)),
        *(nn.Conv2d(64, 64, 5, padding=2), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)),
        *(nn.Conv2d(64, 128, 5, padding=2), nn.BatchNorm2d(128), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(8192, 3072), nn.BatchNorm1d(3072), nn.ReLU(), nn.Dropout(0.5)),
    )

    def make_head(num_classes: int) -> nn.Sequential:
        return nn.Sequential(nn.Linear(3072, 2048), nn.BatchNorm1d(2048), nn.ReLU(), nn.Linear(2048, num_classes))

    return LeNet("lenet_svhn", layers, 32, False, 3072, make_head)


def _from_scratch(name: str, pretrained: bool, kwargs: dict) -> None:
    if pretrained:
        raise InputError(f"{name} has no pretrained weights; set pretrained=False")
    # What timm hands to every model; anything else is an option that these networks do not have.
    unknown = set(kwargs) - {"pretrained_cfg", "pretrained_cfg_overlay", "cache_dir", "num_classes"}
    if unknown:
        raise InputError(f"{name} has no option '{sorted(unknown)[0]}'")
