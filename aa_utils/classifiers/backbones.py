"""Classifiers: a timm backbone, an optional bottleneck, a head; saved as `model.safetensors` + `config.json`."""

import copy
import difflib
from functools import partial
from pathlib import Path

import timm
import torch
from timm.models import register_model
from timm.models.resnet import BasicBlock, ResNet
from torch import Tensor, nn

from aa_utils.classifiers import lenet, pocket_vit, wrn  # noqa: F401  (they register their networks with timm)
from aa_utils.data import tensor_files
from aa_utils.errors import InputError

HALF = (0.5, 0.5, 0.5)
AGAIN = "the run that wrote it makes it again: run its call once more (notebooks 30 and 40 write classifiers)"


@register_model
def pocket_resnet(pretrained: bool = False, **kwargs) -> ResNet:
    """A ResNet for 32 px: four stages of one basic block, 16 to 128 channels, 16x16 to 2x2; 0.3 M weights, 4 M multiply-adds an image."""
    _only_from_scratch("pocket_resnet", pretrained, kwargs)
    shape = {"layers": (1, 1, 1, 1), "channels": (16, 32, 64, 128), "stem_type": "deep", "stem_width": 8, "zero_init_last": False}
    net = ResNet(BasicBlock, **(shape | kwargs))
    net.maxpool = nn.Identity()  # 32 px are too few to halve them twice before the first block
    net.pretrained_cfg = {"mean": HALF, "std": HALF}
    return net


def _only_from_scratch(name: str, pretrained: bool, kwargs: dict) -> None:
    if pretrained:
        raise InputError(f"{name} has no pretrained weights; set pretrained=False")
    for key in ("pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"):
        kwargs.pop(key, None)


class Classifier(nn.Module):
    """Backbone (timm, no head) + optional bottleneck (Linear, BatchNorm, ReLU; as in DANN's ResNet recipe) + linear head.

    A backbone with `make_head(num_classes)` brings its own head instead, of any depth; it takes no bottleneck. `heads` > 1: as many heads
    of that kind, whose logits are averaged (`joined`).
    It takes float images (N, 3, H, W) in [0, 1] and normalises them itself, so that source and target cannot be normalised differently.
    """

    def __init__(self, backbone: str, num_classes: int, bottleneck: int = 0, pretrained: bool = False, heads: int = 1, **kwargs):
        super().__init__()
        self.backbone = _backbone(backbone, pretrained, kwargs)
        if bottleneck and hasattr(self.backbone, "make_head"):
            raise InputError(f"bottleneck is {bottleneck}, but {backbone} brings its own head; set bottleneck=0")
        self.width = bottleneck or self.backbone.num_features
        self.bottleneck = nn.Identity()
        if bottleneck:
            self.bottleneck = nn.Sequential(nn.Linear(self.backbone.num_features, bottleneck), nn.BatchNorm1d(bottleneck), nn.ReLU())
        make_head = getattr(self.backbone, "make_head", partial(nn.Linear, self.width))
        self.head = make_head(num_classes) if heads == 1 else Heads(make_head(num_classes) for _ in range(heads))
        normalisation = {name: list(self.backbone.pretrained_cfg.get(name) or HALF) for name in ("mean", "std")}
        self.config = {"backbone": backbone, "kwargs": kwargs, "bottleneck": bottleneck, "num_classes": num_classes} | normalisation
        if heads > 1:
            self.config["heads"] = heads
        self.register_buffer("mean", torch.tensor(normalisation["mean"]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(normalisation["std"]).view(1, 3, 1, 1), persistent=False)
        self.to(memory_format=torch.channels_last)  # a sixth faster on CPU, more with tensor cores; the values are the same to rounding

    def features(self, x: Tensor) -> Tensor:
        """f (N, width): pooled backbone features, after the bottleneck if there is one."""
        x = ((x - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        return self.bottleneck(self.backbone(x))

    def forward(self, x: Tensor) -> Tensor:
        """z (N, K): logits."""
        return self.head(self.features(x))

    def reset_head(self) -> None:
        """Draw new weights for the head from the current random state; of several joined heads one is left."""
        if isinstance(self.head, Heads):
            self.head = self.head[0]
            del self.config["heads"]
        reset(self.head)


class Heads(nn.ModuleList):
    """Several heads as one: the mean of their logits, which names the same classes as the sum."""

    def forward(self, f: Tensor) -> Tensor:
        """z (N, K)."""
        return torch.stack([head(f) for head in self]).mean(0)


def joined(classifier: Classifier, *heads: nn.Module) -> Classifier:
    """A copy of `classifier` whose head is the mean of its own and of `heads` (of the same kind): what a method with several keeps."""
    result = copy.deepcopy(classifier)
    result.head = Heads([result.head, *copy.deepcopy(heads)])
    result.config["heads"] = len(result.head)
    return result


def reset(net: nn.Module) -> None:
    """Draw new weights for every layer of `net`, as it draws them when it is made, from the current random state."""
    for layer in net.modules():
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()


def build(backbone: str, num_classes: int, bottleneck: int = 0, pretrained: bool = False, **kwargs) -> Classifier:
    """A classifier on any timm model, `pocket_resnet` and `pocket_vit` among them; weights not pretrained come from the random state.

    `kwargs` go to the timm model (for example `img_size` of a ViT). Errors: InputError for an unknown backbone or weights out of reach.
    """
    return Classifier(backbone, num_classes, bottleneck, pretrained, **kwargs)


def save(classifier: Classifier, folder: Path, class_names: list[str], **more: object) -> None:
    """Write `model.safetensors`, then `config.json` (architecture, classes, normalisation, digest, and what `more` says about the run)."""
    tensor_files.write_weights(folder, classifier.state_dict(), classifier.config | {"class_names": class_names} | more)


def load(folder: Path) -> tuple[Classifier, dict]:
    """The classifier that `save` wrote, in eval mode, and its config. Errors: InputError if there is none, or a damaged one."""
    if not (folder / "config.json").is_file() or not (folder / "model.safetensors").is_file():
        raise InputError(f"no classifier in '{folder}': it needs model.safetensors and config.json (notebooks 30 and 40 write them)")
    config, tensors = tensor_files.read_config(folder, AGAIN), tensor_files.read_weights(folder, AGAIN)
    try:
        heads = config.get("heads", 1)
        classifier = build(config["backbone"], config["num_classes"], config["bottleneck"], heads=heads, **config["kwargs"])
        classifier.load_state_dict(tensors)
    except (KeyError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0][:200]
        raise InputError(f"'{folder}' holds no classifier of this kit: config.json and weights do not fit ({reason}); {AGAIN}") from error
    return classifier.eval(), config


def _backbone(name: str, pretrained: bool, kwargs: dict) -> nn.Module:
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), n=5)
        hint = f"; near it: {', '.join(close)}" if close else ""
        raise InputError(f"timm has no model '{name}'{hint}")
    try:
        return timm.create_model(name, pretrained=pretrained, num_classes=0, **kwargs)
    except InputError:
        raise
    except Exception as error:
        if not pretrained:
            raise
        # timm raises whatever its download library raises: offline, refused, no such weights.
        raise InputError(
            f"cannot get the pretrained weights of '{name}' ({type(error).__name__}: {str(error).splitlines()[0][:200]}); "
            "connect once so that the Hugging Face cache holds them (HF_HOME), or set pretrained=False"
        ) from error
