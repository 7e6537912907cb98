"""pocket_resnet: a ResNet for 32 px that a laptop trains in seconds, as a timm network."""

from timm.models import register_model
from timm.models.resnet import BasicBlock, ResNet
from torch import nn

from aa_utils.errors import InputError

HALF = (0.5, 0.5, 0.5)


@register_model
def pocket_resnet(pretrained: bool = False, **kwargs) -> ResNet:
    """A ResNet for 32 px: four stages of one basic block, 16 to 128 channels, 16x16 to 2x2; 0.3 M weights, 4 M multiply-adds an image."""
    if pretrained:
        raise InputError("pocket_resnet has no pretrained weights; set pretrained=False")
    for key in ("pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"):
        kwargs.pop(key, None)
    shape = {"layers": (1, 1, 1, 1), "channels": (16, 32, 64, 128), "stem_type": "deep", "stem_width": 8, "zero_init_last": False}
    net = ResNet(BasicBlock, **(shape | kwargs))
    net.maxpool = nn.Identity()  # 32 px are too few to halve them twice before the first block
    net.pretrained_cfg = {"mean": HALF, "std": HALF}
    return net
