"""MCD: two heads that disagree on the target point at the features that the source does not support; the features move until they agree.

Saito et al., "Maximum Classifier Discrepancy for Unsupervised Domain Adaptation", CVPR 2018, arXiv 1712.02560, section 3.3. With features
G, heads F1 and F2 that start from different weights, p_i = softmax(F_i(G(x_t))), each batch takes 2 + num_k optimizer steps:

A  all weights:   L = CE(F1(G(x_s)), y_s) + CE(F2(G(x_s)), y_s) + b (H_1 + H_2)
B  F1 and F2:     L = CE(F1(G(x_s)), y_s) + CE(F2(G(x_s)), y_s) + b (H_1 + H_2) - w d
C  G, num_k times: L = w d

d = mean over x_t of sum_k |p_1k - p_2k|, in [0, 2]        H_i = -1/K sum_k ln(mean over x_t of p_ik + 1e-6), smallest at equal shares

Every step sends the images through anew: the features of A are not those of B. The prediction is the mean of both heads' logits (the
classes that their sum, which the authors count, would name), not the better head: to know the better one takes target labels.

The authors and TLlib take the mean over classes, d / K, whose reach shrinks with K: 0.2 with 10 classes, 0.03 with 65. The sum does not;
their trade-off t is w = t / K here: digits 1 / 10 = 0.1, VisDA-17 1 / 12 = 0.083, Office-31 10 / 31 = 0.32, Office-Home 30 / 65 = 0.46.

BatchNorm: in the authors' digits code (classification/solver.py) source and target go through the network one after the other, the target
last and alone num_k times in C, so running statistics lean to the target. In their VisDA code and in TLlib both go through together in
all three steps (`joint`). Statistics also move in steps that leave the weights alone, there as here.

One optimizer serves all steps, so G's moments mix A's gradients with C's, as the authors' do. Adam hardly sees w in C, where it only
scales the gradient. With SGD the authors (VisDA) and TLlib give momentum to the heads alone; here G has it too, and goes about ten times
as far at the same lr: `backbone_lr` 0.1 makes up for that. The learning rate is constant in both codes.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aa_utils.classifiers import backbones
from aa_utils.errors import check_number
from aa_utils.training.method import Terms


@dataclass(frozen=True)
class Config:
    """Options of MCD; defaults are those of the authors' digits code (mil-tokyo/MCD_DA, classification/solver.py)."""

    weight: float = 0.1  # w: their 1 on the mean over 10 classes
    num_k: int = 4  # how often C is repeated: the default of all three codes
    balance: float = 0.0  # b: 0.01 in the authors' VisDA code and in TLlib; it pulls towards equal shares, right or wrong
    joint: bool = False  # source and target through the network together: the authors' VisDA code and TLlib

    def __post_init__(self) -> None:
        check_number("num_k", self.num_k, at_least=1, whole=True)
        for name in ("weight", "balance"):
            check_number(name, getattr(self, name), at_least=0)


def networks(classifier: nn.Module, config: Config) -> dict[str, nn.Module]:
    """F2: a head like the classifier's own, F1, with weights of its own; from equal weights d would stay 0."""
    second = copy.deepcopy(classifier.head)
    backbones.reset(second)
    return {"second_head": second}


def result(nets: nn.ModuleDict, config: Config) -> backbones.Classifier:
    """The classifier to keep: its logits are the mean of both heads'."""
    return backbones.joined(nets["classifier"], nets["second_head"])  # type: ignore[arg-type]


def discrepancy(z_1: Tensor, z_2: Tensor) -> Tensor:
    """d of two heads' logits (N, K): 0 where they agree, 2 where each is sure of another class, whatever K."""
    return (z_1.softmax(1) - z_2.softmax(1)).abs().sum(1).mean()


def imbalance(z: Tensor) -> Tensor:
    """H of logits (N, K): ln K if the batch's probabilities spread evenly over the classes, more otherwise."""
    return -(z.softmax(1).mean(0) + 1e-6).log().mean()


def step(nets: nn.ModuleDict, batch: dict[str, Tensor], progress: float, config: Config, update: Callable) -> Terms:
    """Steps A, B and C on one batch; returns the terms as weighted in them.

    {"classification", "balance" (if b > 0)} of A, "discrepancy_heads": w d that B starts from, "discrepancy": w d of the last C, and to
    watch, the share of target images on which both heads name the same class.
    """
    classifier = nets["classifier"]
    heads = [*classifier.head.parameters(), *nets["second_head"].parameters()]
    features = [weight for name, weight in classifier.named_parameters() if not name.startswith("head.")]
    both = [batch["x_s"], batch["x_t"]]

    def supervised(z_s: tuple[Tensor, Tensor], *z_t: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        terms = {"classification": sum(F.cross_entropy(z, batch["y_s"]) for z in z_s)}
        return terms | ({"balance": config.balance * sum(map(imbalance, z_t[0]))} if config.balance else {})  # type: ignore[dict-item, no-any-return]

    terms = supervised(*_logits(nets, both if config.joint or config.balance else both[:1], config.joint))
    update((sum(terms.values()), nets.parameters()))

    z_s, z_t = _logits(nets, both, config.joint, frozen=True)
    apart = config.weight * discrepancy(*z_t)
    update((sum(supervised(z_s, z_t).values()) - apart, heads))

    for _ in range(config.num_k):
        z_t = _logits(nets, both if config.joint else both[1:], config.joint)[-1]
        left = config.weight * discrepancy(*z_t)
        update((left, features))
    agree = (z_t[0].argmax(1) == z_t[1].argmax(1)).float().mean()
    return Terms(terms | {"discrepancy_heads": apart, "discrepancy": left}, {"agreement": agree})


def _logits(nets: nn.ModuleDict, batches: list[Tensor], joint: bool, frozen: bool = False) -> list[tuple[Tensor, Tensor]]:
    """(z_1, z_2) for each of the batches, sent through together or one by one; `frozen`: no gradient reaches the features."""
    z = []
    for x in [torch.cat(batches)] if joint else batches:
        with torch.set_grad_enabled(not frozen):
            f = nets["classifier"].features(x)
        z.append((nets["classifier"].head(f).float(), nets["second_head"](f).float()))
    if not joint:
        return z
    return list(zip(*(part.split([len(x) for x in batches]) for part in z[0]), strict=True))
