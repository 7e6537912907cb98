"""FixMatch between domains: the source is labelled, the target is FixMatch's unlabelled set. Nothing is aligned.

Sohn et al., "FixMatch", NeurIPS 2020, arXiv 2001.07685, used for adaptation as in TLlib (examples/domain_adaptation/
image_classification/fixmatch.py). With weak view a and strong view A of target images, q_i = softmax(C(G(a(x_i)))) without gradient:

L = 1/B sum_b CE(x_s_b, y_s_b)  +  lambda_u * 1/(mu B) sum_{i=1}^{mu B} 1[max q_i >= tau] CE(A(x_t_i), argmax q_i)

The second term is that of intra_domain/fixmatch.py, from the same function. Three parts go through the network: `together`, as in
FixMatch's own code, so that BatchNorm sees one mixture of the domains in training and in evaluation; or one after the other, as in TLlib
(weak target, source, strong target), each normalised by its own statistics in training and by their running mixture in evaluation. TLlib
asks for q > tau, the paper for q >= tau; no float tells them apart. From generated images to MNIST the first ended at 38 +- 24 per cent,
the second at 83.4 +- 0.7 (n = 3, results/README.md).

Watch `classes_named`: a target class that no confident image names teaches nothing and is soon unlearned (TLlib's README: VisDA-17 at 79.5
per cent in the mean, its class truck at 8.6). `confident` near 1 within few steps means that tau filters nothing.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aa_utils.errors import InputError, check_number
from aa_utils.training import consistency
from aa_utils.training.method import Terms

target_views = {"x_t_weak": "weak", "x_t_strong": "strong"}
needs_images = True  # views of one image, weak and strong


@dataclass(frozen=True)
class Config:
    """Options of FixMatch between domains; values of TLlib's fixmatch.py and fixmatch.sh, which average no weights."""

    mu: int = 1  # target images for each source image, two views of each: 32 for 32; fixmatch.sh has 3 on Office-31, 2 on VisDA-17
    threshold: float = 0.9  # tau; 0.8 on VisDA-17 (fixmatch.sh), 0.95 in the paper's semi-supervised setting
    weight: float = 1.0  # lambda_u
    together: bool = True  # one pass, as FixMatch; False: a pass for each part, as TLlib

    def __post_init__(self) -> None:
        check_number("mu", self.mu, at_least=1, whole=True)
        if not 0 <= self.threshold <= 1:
            raise InputError(f"threshold is {self.threshold}; it is a probability, 0 to 1")
        check_number("weight", self.weight, at_least=0)


def losses(nets: nn.ModuleDict, batch: dict[str, Tensor], progress: float, config: Config) -> Terms:
    """{"classification", "consistency"} and, to watch, the share of target images over the threshold and of classes that these name."""
    classifier, parts = nets["classifier"], [batch["x_s"], batch["x_t_weak"], batch["x_t_strong"]]
    if config.together:
        z_s, z_weak, z_strong = classifier(torch.cat(parts)).split([len(part) for part in parts])
    else:
        with torch.no_grad():
            z_weak = classifier(batch["x_t_weak"])
        z_s, z_strong = classifier(batch["x_s"]), classifier(batch["x_t_strong"])
    loss, mask, pseudo = consistency.masked(z_weak, z_strong, config.threshold)
    named = (F.one_hot(pseudo, z_weak.shape[1]) * mask[:, None]).amax(0)
    terms = {"classification": F.cross_entropy(z_s, batch["y_s"]), "consistency": config.weight * loss}
    return Terms(terms, {"confident": mask.mean(), "classes_named": named.mean()})
