"""FixMatch: a confident prediction on a weak view is the label of a strong view of the same image.

Sohn et al., "FixMatch: Simplifying Semi-Supervised Learning with Consistency and Confidence", NeurIPS 2020, arXiv 2001.07685. With weak
view a, strong view A, q_b = softmax(C(G(a(u_b)))) without gradient, labelled images x_b with (here: pseudo-)labels y_b, b = 1 … B:

L = 1/B sum_b CE(a(x_b), y_b)  +  lambda_u * 1/(mu B) sum_{b=1}^{mu B} 1[max q_b >= tau] CE(A(u_b), argmax q_b)

The second sum is divided by all mu*B images, not by those over the threshold (eq. 4): a classifier unsure of most learns little from the
rest. The three parts go through the network together, so BatchNorm sees one mixture, as in the authors' code; averaged weights are for
evaluation only.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aa_utils.data.images import ImageSet
from aa_utils.errors import check_number
from aa_utils.training import consistency
from aa_utils.training.loop import Stream
from aa_utils.training.method import Terms

needs_images = True  # views of one image, weak and strong


@dataclass(frozen=True)
class Config:
    """Options of FixMatch; values of the paper's section 4.1 (CIFAR, SVHN) unless said otherwise."""

    mu: int = 7  # unlabelled images for each labelled one
    threshold: float = 0.95  # tau
    weight: float = 1.0  # lambda_u
    ema: float = 0.999  # decay of the averaged weights that are evaluated

    def __post_init__(self) -> None:
        check_number("mu", self.mu, at_least=1, whole=True)
        check_number("threshold", self.threshold, at_least=0, at_most=1)
        check_number("weight", self.weight, at_least=0)
        check_number("ema", self.ema, at_least=0, below=1)


def streams(labelled: ImageSet, unlabelled: ImageSet, config: Config, batch_size: int) -> list[Stream]:
    """B labelled images, every class equally often, in a weak view; mu*B unlabelled ones in a weak and a strong view."""
    return [
        Stream("l", labelled.pixels, labelled.labels, batch_size, {"x_l": "weak"}, balanced=True),
        Stream("u", unlabelled.pixels, None, config.mu * batch_size, {"x_u_weak": "weak", "x_u_strong": "strong"}),
    ]


def losses(nets: nn.ModuleDict, batch: dict[str, Tensor], progress: float, config: Config) -> Terms:
    """{"labelled", "unlabelled"} and, to watch, the share of unlabelled images over the threshold."""
    parts = [batch["x_l"], batch["x_u_weak"], batch["x_u_strong"]]
    z_l, z_weak, z_strong = nets["classifier"](torch.cat(parts)).split([len(part) for part in parts])
    unlabelled, mask, _ = consistency.masked(z_weak, z_strong, config.threshold)
    return Terms({"labelled": F.cross_entropy(z_l, batch["y_l"]), "unlabelled": config.weight * unlabelled}, {"confident": mask.mean()})
