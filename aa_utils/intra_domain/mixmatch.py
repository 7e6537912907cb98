"""MixMatch: guess labels for unlabelled images, sharpen them, and train on mixtures of images only.

Berthelot et al., "MixMatch: A Holistic Approach to Semi-Supervised Learning", NeurIPS 2019, arXiv 1905.02249. With unlabelled images u_b in
V weak views u_b^1 … u_b^V and labelled ones x_b, (here: pseudo-)labels y_b, b = 1 … B:

q_b = sharpen(1/V sum_v softmax(C(G(u_b^v)))), without gradient             sharpen(p)_k = p_k^(1/T) / sum_j p_j^(1/T)           (eq. 7)
W = [(x_b, y_b)] + [(u_b^v, q_b)], all N = (1 + V) B pairs; W' the same in a random order
l_i ~ Beta(alpha, alpha), l'_i = max(l_i, 1 - l_i), one for each pair                                                          (eqs. 8-9)
x_i = l'_i W_i + (1 - l'_i) W'_i for images, t_i likewise for labels; p_i = softmax(C(G(x_i)))                                (eqs. 10-11)

L = 1/B sum_{i <= B} CE(t_i, p_i)  +  w_p lambda_u * 1/(V B K) sum_{i > B} ||t_i - p_i||^2             w_p = min(1, p / ramp)  (eqs. 3-5)

The second term is a mean over images and classes: with K classes it weighs K times less than a sum, so lambda_u is not the same number for
10 classes and for 65. l' >= 1/2 keeps each mixture nearer to its own first part, so labelled places stay labelled ones.

BatchNorm: the label guesses use the statistics of their own batch and leave the running ones alone, as in the authors' code. That code then
interleaves labelled and unlabelled mixtures so that each of its 1 + V forward passes normalises a mixture of both, and updates the running
statistics by the first; here all N mixtures go through the network in one pass, which is what interleaving stands in for. Averaged weights
are for evaluation only.

SHOT++ (Liang et al. 2021, arXiv 2012.07297; tim-learn/SHOT-plus, code/uda/image_mixmatch.py) also refines an adapted network by MixMatch.
What differs there: unlabelled images are those that have no label, here all target images; l is one number a batch, here one for each pair,
as in MixMatch's own code; the labelled share of a class is rounded down, so that a class may lose all its images, here it is rounded up
(`split`); that share is that of the images whose entropy is below the mean, here a parameter; labelled batches are shuffled, here they hold
every class equally often; the guesses move BatchNorm's running statistics, and the mixtures go through it in three interleaved passes;
lambda_u is 100 and rises over all steps (`weight`, `ramp`); there are no averaged weights (`ema`).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aa_utils.data.images import ImageSet
from aa_utils.errors import InputError, check_number
from aa_utils.training import batchnorm
from aa_utils.training.loop import Stream
from aa_utils.training.method import Terms

needs_images = True  # mixtures of images


@dataclass(frozen=True)
class Config:
    """Options of MixMatch; values of the paper's section 4.1 and of the authors' runs on CIFAR-10 unless said otherwise."""

    views: int = 2  # V: augmentations of each unlabelled image that its guess is averaged over
    temperature: float = 0.5  # T: below 1 a guess becomes surer, 1 leaves it
    alpha: float = 0.75  # of Beta: 0.75 mixes by 0.78 to 0.22 in the mean, 0.1 by 0.94 to 0.06 (SHOT++ on digits)
    weight: float = 75.0  # lambda_u: 75 on CIFAR-10, 250 on SVHN; 100 in SHOT++, which starts from an adapted classifier as here
    ramp: float = 1 / 64  # share of the steps over which lambda_u rises from 0: 16,384 of 2^20 in the authors' code; 1 in SHOT++
    ema: float = 0.999  # decay of the averaged weights that are evaluated

    def __post_init__(self) -> None:
        check_number("views", self.views, at_least=1, whole=True)
        check_number("temperature", self.temperature, above=0)
        check_number("alpha", self.alpha, at_least=0.01, at_most=1e3)  # below, torch draws halves where Beta is 0 or 1
        check_number("weight", self.weight, at_least=0)
        if not 0 <= self.ramp <= 1:
            raise InputError(f"ramp is {self.ramp}; it is a share of the steps, 0 to 1")
        check_number("ema", self.ema, at_least=0, below=1)


def streams(labelled: ImageSet, unlabelled: ImageSet, config: Config, batch_size: int) -> list[Stream]:
    """B labelled images, every class equally often, in a weak view; B unlabelled ones in V weak views."""
    return [
        Stream("l", labelled.pixels, labelled.labels, batch_size, {"x_l": "weak"}, balanced=True),
        Stream("u", unlabelled.pixels, None, batch_size, {f"x_u_{v}": "weak" for v in range(config.views)}),
    ]


def sharpen(p: Tensor, temperature: float) -> Tensor:
    """p^(1/T), each row of (N, K) divided by its sum. By logarithms: for small T the powers themselves would all be 0."""
    return (p.log() / temperature).softmax(1)


@torch.no_grad()
def guess(classifier: nn.Module, views: list[Tensor], temperature: float) -> Tensor:
    """q (B, K): the sharpened mean of the predictions on V views (B, 3, S, S) of the same images; a pass each, no trace in BatchNorm."""
    with batchnorm.untouched(classifier):
        p = torch.stack([classifier(x).float().softmax(1) for x in views])
    return sharpen(p.mean(0), temperature)


def mix(x: Tensor, t: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """MixUp of images (N, 3, S, S) and soft labels (N, K) with the same in a random order, by l' >= 1/2 of its own for each (eqs. 8-11).

    The numbers are drawn on the CPU from torch's global state, which the training loop seeds for every step.
    """
    share = torch.distributions.Beta(alpha, alpha).sample((len(x),))
    share = torch.maximum(share, 1 - share).to(x.device)
    other = torch.randperm(len(x)).to(x.device)
    of_x, of_t = share.view(-1, 1, 1, 1), share.view(-1, 1)
    return of_x * x + (1 - of_x) * x[other], of_t * t + (1 - of_t) * t[other]


def losses(nets: nn.ModuleDict, batch: dict[str, Tensor], progress: float, config: Config) -> Terms:
    """{"labelled", "unlabelled"} and, to watch, how sure the guesses are: the mean of their largest probability."""
    views = [batch[f"x_u_{v}"] for v in range(config.views)]
    q = guess(nets["classifier"], views, config.temperature)
    y = F.one_hot(batch["y_l"], q.shape[1]).to(q.dtype)
    x, t = mix(torch.cat([batch["x_l"], *views]), torch.cat([y, *[q] * config.views]), config.alpha)
    z, n = nets["classifier"](x).float(), len(y)
    unlabelled = (z[n:].softmax(1) - t[n:]).square().mean()
    rise = min(1.0, progress / config.ramp) if config.ramp else 1.0
    terms = {"labelled": F.cross_entropy(z[:n], t[:n]), "unlabelled": rise * config.weight * unlabelled}
    return Terms(terms, {"guess_confidence": q.amax(1).mean()})
