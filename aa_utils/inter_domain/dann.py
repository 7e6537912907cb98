"""DANN: features from which a discriminator cannot tell the domains apart.

Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 17 (2016), arXiv 1505.07818. With features f = G(x), label classifier
C, domain discriminator D (probability of "source") and the gradient reversal R (identity forward, -lambda_p times the gradient backward):

L = CE(C(f_s), y_s) + w * ( BCE(D(R(f_s)), 1) + BCE(D(R(f_t)), 0) ) / 2        lambda_p = 2 / (1 + exp(-10 p)) - 1

p is the progress, the share of the steps done, as in Ganin et al.; TLlib's coefficient is a warm start by iteration i instead,
2 / (1 + exp(-i / 1000)) - 1, whatever the length of the run: 0.24 after 500 steps, 0.76 after 2,000, where here it is 1 at the end of both.
The mean of the two domain losses (chance level ln 2) is the convention of TLlib; their sum would double lambda. lambda_p scales what
reaches G only: D learns at full strength from the first step. Both batches go through the network together (`together`), so BatchNorm sees
one mixture of the domains, or one after the other, each with its own statistics.

Watch `domain` in the history: above ln 2 = 0.693, or with `domain_accuracy` below 1/2, G has outrun D and the reversed
gradient only spoils the features. That happened when D learned no faster than a backbone trained from scratch, and when it began before the
backbone had features worth aligning: hence `discriminator_lr` and `wait`. With `domain` next to 0 from the first steps on and an
accuracy of 1, D has outrun G, and nothing is left to reverse: so it was with a small network whose BatchNorm saw USPS and MNIST in one
mixture.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aa_utils.errors import check_number
from aa_utils.training.method import Terms


@dataclass(frozen=True)
class Config:
    """Options of DANN; where nothing else is said the values are TLlib's (examples/domain_adaptation/image_classification/dann.py)."""

    weight: float = 1.0  # w
    lambda_max: float = 1.0  # the value lambda_p tends to: 1 in Ganin et al., eq. 14
    gamma: float = 10.0  # steepness of lambda_p: Ganin et al., section 5.2.2
    wait: float = 0.0  # share of the steps with lambda 0: none in Ganin et al.; a network from scratch first needs features to align (0.5)
    together: bool = True  # one pass, as TLlib; False: a pass for each domain, as in the codes of MCD and ADDA
    hidden: int = 1024  # width of the discriminator's two hidden layers
    discriminator_lr: float = 10.0  # in multiples of the backbone's: TLlib's ratio (backbone 0.1, discriminator 1), from scratch too

    def __post_init__(self) -> None:
        check_number("wait", self.wait, at_least=0, below=1)
        check_number("hidden", self.hidden, at_least=1, whole=True)
        for name in ("weight", "lambda_max", "gamma", "discriminator_lr"):
            check_number(name, getattr(self, name), at_least=0)

    @property
    def lr_factors(self) -> dict[str, float]:
        """What the training loop asks for: D must keep ahead of G, or its reversed gradient says nothing."""
        return {"discriminator": self.discriminator_lr}


def coefficient(progress: float, config: Config) -> float:
    """lambda_p at progress p in [0, 1]: 0 until `wait`, then Ganin et al., eq. 14, over the steps that are left, to lambda_max * 0.9999."""
    p = max(0.0, (progress - config.wait) / (1 - config.wait))
    return config.lambda_max * (2 / (1 + math.exp(-config.gamma * p)) - 1)


class Reverse(torch.autograd.Function):
    """R: the identity, whose gradient is multiplied by -lambda."""

    @staticmethod
    def forward(ctx, f: Tensor, coefficient: float) -> Tensor:  # type: ignore[no-untyped-def]
        """f itself."""
        ctx.coefficient = coefficient
        return f.view_as(f)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[no-untyped-def]
        """The gradient, reversed."""
        return -ctx.coefficient * gradient, None


def networks(classifier: nn.Module, config: Config) -> dict[str, nn.Module]:
    """The domain discriminator: two hidden layers with BatchNorm and ReLU, one logit."""
    width = config.hidden
    layers = [nn.Linear(classifier.width, width), nn.BatchNorm1d(width), nn.ReLU()]
    layers += [nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, 1)]
    return {"discriminator": nn.Sequential(*layers)}


def losses(nets: nn.ModuleDict, batch: dict[str, Tensor], progress: float, config: Config) -> Terms:
    """{"classification", "domain"} and, to watch, the share of images whose domain the discriminator gets right."""
    n = len(batch["x_s"])
    features = nets["classifier"].features
    if config.together:
        f = features(torch.cat([batch["x_s"], batch["x_t"]]))
    else:
        f = torch.cat([features(batch["x_s"]), features(batch["x_t"])])
    z_s = nets["classifier"].head(f[:n])
    z_d = nets["discriminator"](Reverse.apply(f, coefficient(progress, config)))[:, 0]
    domain = (
        F.binary_cross_entropy_with_logits(z_d[:n], torch.ones_like(z_d[:n]))
        + F.binary_cross_entropy_with_logits(z_d[n:], torch.zeros_like(z_d[n:]))
    ) / 2
    right = ((z_d[:n] > 0).float().mean() + (z_d[n:] <= 0).float().mean()) / 2
    return Terms({"classification": F.cross_entropy(z_s, batch["y_s"]), "domain": config.weight * domain}, {"domain_accuracy": right})
