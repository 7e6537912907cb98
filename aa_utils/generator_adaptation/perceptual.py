"""How far an adapted image is from the unadapted one, as a network sees it: a regulariser that keeps what is shown.

`lpips:vgg` (Zhang et al. 2018, arXiv 1801.03924) is the official code's; its backbone has to be there. Offline there are the image tower of
any CLIP (`clip:models/pocket-clip`) and the render-trained reader (`reader:models/pocket-reader`): 1 - cos of their features.
"""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from aa_utils.errors import InputError
from aa_utils.paths import existing
from aa_utils.pretrained import torch_files, whole

# torchvision's files that torchmetrics' LPIPS reads, and where they come from.
BACKBONES = {"vgg": "vgg16-397923af.pth", "alex": "alexnet-owt-7be5be79.pth", "squeeze": "squeezenet1_1-b8a52dc0.pth"}
URL = "https://download.pytorch.org/models/"
KINDS = ("lpips", "clip", "reader")


@dataclass(frozen=True)
class Distance:
    """distance(a, b) (n,) >= 0 between images (n, 3, H, W) in [-1, 1], with its `name`; gradients flow to `a`."""

    name: str
    between: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        return self.between(a, b)


def load(name: str, device: str = "cpu") -> Distance | None:
    """The distance `name`: lpips:vgg (or alex, squeeze), clip:<folder or hub id>, reader:<folder>; None for "".

    Errors: InputError for another name, or weights that are not there.
    """
    if not name:
        return None
    kind, _, what = name.partition(":")
    if kind not in KINDS or not what:
        raise InputError(f"no perceptual distance {name!r}; there are: lpips:vgg, lpips:alex, lpips:squeeze, clip:<model>, reader:<folder>")
    if kind == "lpips":
        return Distance(name, _lpips(what, device))
    if kind == "clip":
        from aa_utils.generator_adaptation import clip_direction

        return Distance(name, feature_distance(clip_direction.load(what, device).images))
    from aa_utils.pocket import reader

    net = reader.load(existing(what, "reader", "01_pocket_world") / "reader.safetensors").to(device).requires_grad_(False)
    return Distance(name, feature_distance(lambda images: net[:-1](_sized(images, 32))))


def feature_distance(features: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """1 - cos of `features` (n, d) of two batches of images; the second without gradient."""

    def between(a: Tensor, b: Tensor) -> Tensor:
        with torch.no_grad():
            kept = F.normalize(features(b), dim=-1)
        return 1 - (F.normalize(features(a), dim=-1) * kept).sum(-1)

    return between


def _lpips(backbone: str, device: str) -> Callable[[Tensor, Tensor], Tensor]:
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    if backbone not in BACKBONES:
        raise InputError(f"no LPIPS backbone '{backbone}'; there are: {', '.join(BACKBONES)}")
    file = Path(torch.hub.get_dir()) / "checkpoints" / BACKBONES[backbone]
    try:
        if file.exists():
            torch_files.load(file)  # nothing but tensors: torchvision would unpickle all that a file holds
        else:
            torch.hub.load_state_dict_from_url(URL + file.name, check_hash=True, weights_only=True, progress=False)
        net = LearnedPerceptualImagePatchSimilarity(net_type=backbone).net.to(device).requires_grad_(False)  # type: ignore[arg-type]
    except (OSError, RuntimeError, pickle.UnpicklingError, InputError) as error:
        raise InputError(
            f"LPIPS needs '{file}', and {whole.reason(error)}; put the file of that name from {URL} there, or take clip:<model> or "
            "reader:<folder>"
        ) from error
    return lambda a, b: net(a, b).flatten()


def _sized(images: Tensor, side: int) -> Tensor:
    if images.shape[-1] == side:
        return images
    return F.interpolate(images, (side, side), mode="bilinear", align_corners=False, antialias=True)
