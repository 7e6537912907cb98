"""Source only: the classifier is trained on the synthetic images alone. The baseline of every adaptation method.

L = CE(C(G(x_s)), y_s)
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from aa_utils.errors import check_number
from aa_utils.training.method import Terms

uses_target = False


@dataclass(frozen=True)
class Config:
    """Options of source-only training."""

    label_smoothing: float = 0.0  # 0.1 in SHOT's and CDTrans' source training; 0 in DANN's

    def __post_init__(self) -> None:
        check_number("label_smoothing", self.label_smoothing, at_least=0, below=1)


def losses(nets: nn.ModuleDict, batch: dict[str, Tensor], progress: float, config: Config) -> Terms:
    """{"classification"}: cross-entropy on the source batch."""
    z_s = nets["classifier"](batch["x_s"])
    return Terms({"classification": F.cross_entropy(z_s, batch["y_s"], label_smoothing=config.label_smoothing)})
