"""The reader: a small network that reads the character in a picture, trained on renders only. It judges the generators and never meets a
target image."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from aa_utils.errors import InputError
from aa_utils.files import atomic
from aa_utils.pocket.clip import normalised
from aa_utils.pocket.jitter import jitter
from aa_utils.pretrained import weight_files, whole


def model(classes: int = 10) -> nn.Sequential:
    """An untrained reader; `[:-1]` gives its 128 features (for Fréchet distances)."""
    widths = (3, 32, 64, 96)
    blocks = [
        layer
        for inward, outward in pairwise(widths)
        for layer in (
            nn.Conv2d(inward, outward, 3, 2, 1, bias=False),
            nn.BatchNorm2d(outward),
            nn.ReLU(),
            nn.Conv2d(outward, outward, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outward),
            nn.ReLU(),
        )
    ]
    return nn.Sequential(*blocks, nn.Flatten(), nn.Linear(96 * 16, 128), nn.ReLU(), nn.Linear(128, classes))


def reading(net: nn.Module, pictures: Tensor, labels: Tensor, batch: int, device: str = "cpu"):
    """The loss of one step as `aa_utils.pocket.fit` wants it: cross-entropy on slightly moved, dimmed and noised renders."""

    def loss(generator: torch.Generator) -> dict[str, Tensor]:
        rows = torch.randint(len(pictures), (batch,), generator=generator)
        x = jitter(normalised(pictures[rows]), generator)
        return {"cross_entropy": F.cross_entropy(net(x.to(device)).float(), labels[rows].to(device), label_smoothing=0.05)}

    return loss


@torch.inference_mode()
def read(net: nn.Module, pictures: np.ndarray | Tensor) -> np.ndarray:
    """The class (n,) that `net` reads in uint8 pictures (n, 32, 32, 3)."""
    return torch.cat([net(normalised(part)).argmax(1) for part in torch.as_tensor(pictures).split(1024)]).numpy()


def save(net: nn.Module, file: Path) -> None:
    """The weights in fp16 safetensors."""
    with atomic(file) as temporary:
        save_file({key: value.half() if value.is_floating_point() else value for key, value in net.state_dict().items()}, temporary)


def load(file: Path, classes: int = 10) -> nn.Sequential:
    """The reader of a file written by `save`, ready to read. Errors: InputError for a file that is no such reader, or not whole."""
    net = model(classes)
    weight_files.check(file)
    try:
        net.load_state_dict(load_file(file))
    except RuntimeError as error:  # names the tensors
        raise InputError(f"'{file}' is not a whole reader of {classes} classes: {whole.reason(error)}; fetch it again") from error
    whole.check_finite(net, file)
    return net.float().eval()
