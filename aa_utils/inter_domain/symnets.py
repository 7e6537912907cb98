"""SymNets: a head for each domain, joined into one of 2K outputs, so that the classes themselves tell the domains apart.

Zhang et al., "Domain-Symmetric Networks for Adversarial Domain Adaptation", CVPR 2019, arXiv 1904.04663, section 3; version 2: Zhang et
al., "Unsupervised Multi-Class Domain Adaptation: Theory, Algorithms, and Practice", TPAMI 2020, arXiv 2002.08681. With features G, heads
C_s and C_t of K outputs each, p = softmax([C_s | C_t]) over all 2K and its halves p^s and p^t, two losses of the same forward pass train
different weights:

heads, L = CE(C_s(G(x_s)), y_s) + CE(C_t(G(x_s)), y_s)             each a softmax over its own K; all labels are the source's
           - E_s ln p_y - E_t ln sum_k p^t_k                       version 2
           - E_s ln sum_k p^s_k - E_t ln sum_k p^t_k               version 1
G,     L = - E_s (ln p_y + ln p_{y+K}) / 2                         category confusion
           + lambda_p [ - E_t (ln sum_k p^s_k + ln sum_k p^t_k) / 2    version 1: domain confusion,
                        - E_t sum_k q_k ln q_k ],  q = p^s + p^t       and entropy
           + lambda_p [ - E_t sum_k (p^t_k ln p^s_k + p^s_k ln p^t_k) / 2 ]    version 2: both confusions in one

lambda_p = 2 / (1 + exp(-10 p)) - 1, here by step; the authors' code of version 1 changes it once an epoch, that of version 2 by iteration
if told to. Both gradients are taken before anything moves, then one optimizer step: G learns nothing from the heads' loss, the heads
nothing from G's. Logarithms of sums are log-sum-exps, so no probability of 0 needs a guard.

Source and target go through the network one after the other, as in both codes: BatchNorm normalises each by its own statistics, and the
running ones are a mixture of both. C_t is the classifier's head, which is saved and predicts: it takes no label to say so, whereas the
authors report the better of C_s and C_t on the target's labels, at the best epoch (on VisDA-17 version 2 reports C_t).
At uniform logits, near which a run begins: heads 2 ln K + 2 ln 2 (version 2: 2 ln K + ln 2K + ln 2), category confusion ln 2K, domain
confusion ln 2, entropy ln K. Authors' recipe: batches of 128 + 128, sgd, lr 0.01 with schedule `inverse`, backbone_lr 0.1, weight decay
1e-4.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aa_utils.classifiers import backbones
from aa_utils.errors import InputError, check_number
from aa_utils.training.method import Terms


@dataclass(frozen=True)
class Config:
    """Options of SymNets; values of the authors' code (YBZh/SymNets, symnets/trainer.py; YBZh/MultiClassDA for version 2)."""

    version: int = 1  # 1: CVPR 2019; 2: TPAMI 2020
    lambda_max: float = 1.0  # the value lambda_p tends to
    gamma: float = 10.0  # steepness of lambda_p

    def __post_init__(self) -> None:
        if self.version not in (1, 2):
            raise InputError(f"version is {self.version}; there are: 1 (CVPR 2019), 2 (TPAMI 2020)")
        for name in ("lambda_max", "gamma"):
            check_number(name, getattr(self, name), at_least=0)


def coefficient(progress: float, config: Config) -> float:
    """lambda_p at progress p in [0, 1]: from 0 to lambda_max * 0.9999."""
    return config.lambda_max * (2 / (1 + math.exp(-config.gamma * progress)) - 1)


def networks(classifier: nn.Module, config: Config) -> dict[str, nn.Module]:
    """C_s: a head like the classifier's own, C_t, with weights of its own."""
    source_head = copy.deepcopy(classifier.head)
    backbones.reset(source_head)
    return {"source_head": source_head}


def head_terms(z_s: Tensor, z_t: Tensor, y_s: Tensor, config: Config) -> dict[str, Tensor]:
    """{"classification", "domain"}: what the heads learn from logits [C_s | C_t] (N, 2K) of source and target, y_s (N,) int64."""
    k = z_s.shape[1] // 2
    classification = F.cross_entropy(z_s[:, :k], y_s) + F.cross_entropy(z_s[:, k:], y_s)
    source = F.cross_entropy(z_s, y_s) if config.version == 2 else -log_halves(z_s)[0].mean()
    return {"classification": classification, "domain": source - log_halves(z_t)[1].mean()}


def feature_terms(z_s: Tensor, z_t: Tensor, y_s: Tensor, strength: float, config: Config) -> dict[str, Tensor]:
    """{"category_confusion", "domain_confusion", "entropy" (version 1)}: what G learns from the same logits; `strength`: lambda_p."""
    k = z_s.shape[1] // 2
    terms = {"category_confusion": (F.cross_entropy(z_s, y_s) + F.cross_entropy(z_s, y_s + k)) / 2}
    log_s, log_t = z_t.log_softmax(1).split(k, 1)
    if config.version == 2:
        confusion = -(log_t.exp() * log_s + log_s.exp() * log_t).sum(1).mean() / 2
        return terms | {"domain_confusion": strength * confusion}
    log_q = torch.logaddexp(log_s, log_t)
    entropy = -(log_q.exp() * log_q).sum(1).mean()
    return terms | {"domain_confusion": -strength * torch.stack(log_halves(z_t)).mean(), "entropy": strength * entropy}


def log_halves(z: Tensor) -> tuple[Tensor, Tensor]:
    """(ln sum_k p^s_k, ln sum_k p^t_k), (N,) each: how much of the softmax over z (N, 2K) lies on either head."""
    log_s, log_t = z.log_softmax(1).chunk(2, 1)
    return log_s.logsumexp(1), log_t.logsumexp(1)


def step(nets: nn.ModuleDict, batch: dict[str, Tensor], progress: float, config: Config, update: Callable) -> Terms:
    """One update: heads by `head_terms`, features by `feature_terms`. Returns all terms and, to watch, the share of images that the
    heads put into the right domain (1/2: the features are aligned, or the heads learn nothing)."""
    classifier = nets["classifier"]
    heads = [*classifier.head.parameters(), *nets["source_head"].parameters()]
    features = [weight for name, weight in classifier.named_parameters() if not name.startswith("head.")]
    f_s, f_t = classifier.features(batch["x_s"]), classifier.features(batch["x_t"])
    z_s, z_t = (torch.cat([nets["source_head"](f), classifier.head(f)], 1).float() for f in (f_s, f_t))
    for_heads = head_terms(z_s, z_t, batch["y_s"], config)
    for_features = feature_terms(z_s, z_t, batch["y_s"], coefficient(progress, config), config)
    update((sum(for_features.values()), features), (sum(for_heads.values()), heads))
    right = [(own > other).float().mean() for own, other in (log_halves(z_s), log_halves(z_t)[::-1])]
    return Terms(for_heads | for_features, {"domain_accuracy": sum(right) / 2})  # type: ignore[dict-item]
