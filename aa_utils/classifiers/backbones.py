"""Classifiers: a timm backbone, an optional bottleneck, a head; saved as `model.safetensors` + `config.json`."""

import copy
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from aa_utils.classifiers import networks, weights
from aa_utils.data import tensor_files
from aa_utils.errors import InputError, check_number

HALF = (0.5, 0.5, 0.5)
WIDEST = 65_536  # of a bottleneck; 256 to 2,048 are usual
AGAIN = "the run that wrote it makes it again: run its call once more (notebooks 30 and 40 write classifiers)"
KEYS = ("backbone", "kwargs", "bottleneck", "num_classes", "mean", "std")  # of a config, what makes the classifier


class Classifier(nn.Module):
    """Backbone (timm, no head) + optional bottleneck (Linear, BatchNorm, ReLU; as in DANN's ResNet recipe) + linear head.

    A backbone with `make_head(num_classes)` brings its own head instead, of any depth; it takes no bottleneck. `heads` > 1: as many heads
    of that kind, whose logits are averaged (`joined`).
    It takes float images (N, 3, H, W) in [0, 1] and normalises them itself, so that source and target cannot be normalised differently.
    `config` is all that makes it again, without its weights. `frozen`: neither weights nor statistics of the backbone change in training,
    and the backbone's features (N, D) may stand for the images wherever these go (`aa_utils.classifiers.features`).
    """

    def __init__(self, config: dict):
        super().__init__()
        self.config, self.frozen = dict(config), False
        backbone, num_classes, bottleneck = (config[key] for key in ("backbone", "num_classes", "bottleneck"))
        self.backbone = networks.create(backbone, **config["kwargs"])
        if bottleneck and hasattr(self.backbone, "make_head"):
            raise InputError(f"bottleneck is {bottleneck}, but {backbone} brings its own head; set bottleneck=0")
        self.backbone_width = networks.width(self.backbone)
        self.width = bottleneck or self.backbone_width
        self.bottleneck = nn.Identity()
        if bottleneck:
            self.bottleneck = nn.Sequential(nn.Linear(self.backbone_width, bottleneck), nn.BatchNorm1d(bottleneck), nn.ReLU())  # type: ignore[assignment]
        make_head = getattr(self.backbone, "make_head", partial(nn.Linear, self.width))
        heads = config.get("heads", 1)
        self.head = make_head(num_classes) if heads == 1 else Heads(make_head(num_classes) for _ in range(heads))
        for name in ("mean", "std"):
            self.config.setdefault(name, list(self.backbone.pretrained_cfg.get(name) or HALF))
            self.register_buffer(name, torch.tensor(self.config[name]).view(1, -1, 1, 1), persistent=False)
        networks.lay_out(self)  # a sixth faster on CPU, more with tensor cores; the values are the same to rounding

    def freeze(self, frozen: bool = True) -> "Classifier":
        """Itself, with a backbone that stays as it is in training; or, with False, one that learns."""
        self.frozen = frozen
        self.config.pop("frozen", None)
        self.config |= {"frozen": True} if frozen else {}
        self.backbone.requires_grad_(not frozen)
        return self.train(self.training)

    def train(self, mode: bool = True) -> "Classifier":
        """Train or eval mode; a frozen backbone stays in eval mode, in which BatchNorm's statistics do not move."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def features(self, x: Tensor) -> Tensor:
        """f (N, width): pooled backbone features, after the bottleneck if there is one. `x`: images, or the backbone's features (N, D)."""
        return self.bottleneck(x if x.ndim == 2 else self.of_backbone(x))

    def of_backbone(self, x: Tensor) -> Tensor:
        """f (N, D): what the backbone makes of images, before any bottleneck."""
        return self.backbone(((x - self.mean) / self.std).contiguous(memory_format=torch.channels_last))

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


def build(
    backbone: str,
    num_classes: int,
    bottleneck: int = 0,
    pretrained: bool | str = False,
    normalisation: dict | None = None,
    **kwargs: object,
) -> Classifier:
    """A classifier on any timm model, `pocket_resnet` and `pocket_vit` among them; weights not pretrained come from the random state.

    `backbone`: timm's name, or "hf-hub:…", "local-dir:…". `pretrained`: True for timm's own weights, or where others are
    (`weights.FORMS`); the images are then normalised as these were taught. `normalisation` {"mean", "std"} says it otherwise. `kwargs` go
    to the timm model (for example `img_size` of a ViT). Errors: InputError for an unknown backbone, and for weights out of reach or of
    another network.
    """
    check_number("bottleneck", bottleneck, at_least=0, at_most=WIDEST, whole=True)
    architecture, options = networks.identify(backbone)
    options |= kwargs
    options.pop("num_classes", None)
    config = {"backbone": architecture, "kwargs": options, "bottleneck": bottleneck, "num_classes": num_classes}
    if pretrained is False:
        return Classifier(config | (normalisation or {}))
    source = backbone if pretrained is True and architecture != backbone else pretrained
    taught = weights.fetch(architecture, options, source)
    about = {"mean": taught.mean, "std": taught.std, "weights": {"pretrained": source} | taught.about}
    classifier = Classifier(config | about | (normalisation or {}))
    weights.put(classifier.backbone, taught, architecture, options)
    return classifier


def check(architecture: dict, image_size: int, num_classes: int = 2, batch_size: int = 2) -> Classifier:
    """The classifier that `architecture`, options of `build`, stands for; tried on two images. Its pretrained weights are fetched here.

    Errors: InputError as `build` and `check_fit`.
    """
    with torch.random.fork_rng(devices=[]):
        classifier = build(num_classes=num_classes, **architecture)
    check_fit(classifier, image_size, batch_size)
    return classifier


def check_fit(classifier: Classifier, image_size: int, batch_size: int = 2) -> None:
    """InputError if the backbone does not take images of `image_size` pixels, or normalises by a batch that is of one number only."""
    name, bottleneck = classifier.config["backbone"], classifier.config["bottleneck"]
    networks.check_images(classifier.backbone, name, image_size)
    if batch_size > 1:
        return
    trial = copy.deepcopy(classifier).train()  # statistics move
    try:
        with torch.no_grad():
            trial.features(torch.zeros(1, 3, image_size, image_size, device=classifier.mean.device))
    except ValueError as error:
        part = f"a bottleneck of {bottleneck}" if bottleneck else f"'{name}' at {image_size} pixels"
        way_out = "set batch_size=2 or more" + (", or bottleneck=0" if bottleneck else "")
        raise InputError(f"batch_size is {batch_size}, and {part} is normalised by the batch, which takes two images; {way_out}") from error


def renewed(classifier_config: dict) -> Classifier:
    """A classifier of the same kind with one head, for images normalised in the same way; all weights come from the random state."""
    return Classifier({name: value for name, value in classifier_config.items() if name in KEYS})


def save(classifier: Classifier, folder: Path, class_names: list[str], **more: object) -> None:
    """Write `model.safetensors`, then `config.json` (architecture, classes, normalisation, digest, and what `more` says about the run)."""
    tensor_files.write_weights(folder, classifier.state_dict(), classifier.config | {"class_names": class_names} | more)


def load(folder: Path) -> tuple[Classifier, dict]:
    """The classifier that `save` wrote, in eval mode, and its config. Errors: InputError if there is none, or a damaged one."""
    if not (folder / "config.json").is_file() or not (folder / "model.safetensors").is_file():
        raise InputError(f"no classifier in '{folder}': it needs model.safetensors and config.json (notebooks 30 and 40 write them)")
    config, tensors = tensor_files.read_config(folder, AGAIN), tensor_files.read_weights(folder, AGAIN)
    try:
        classifier = Classifier({name: value for name, value in config.items() if name in (*KEYS, "heads", "weights")})
        classifier.load_state_dict(tensors)
    except (KeyError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0][:200]
        raise InputError(f"'{folder}' holds no classifier of this kit: config.json and weights do not fit ({reason}); {AGAIN}") from error
    return classifier.freeze(config.get("frozen", False)).eval(), config
