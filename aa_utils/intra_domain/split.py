"""Confident and unconfident target images, by the adapted classifier's predictions.

Per predicted class, as in SHOT++ (Liang et al. 2021, arXiv 2012.07297, section 3.4): a global threshold would take most images
from the easy classes.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from aa_utils.errors import InputError, check_number

SCORES = ("entropy", "max_probability")


@dataclass(frozen=True)
class Split:
    """`labelled` int64 (M,): indices of the confident images, ascending; `pseudo` int64 (M,): their labels; `counts`: a row per class."""

    labelled: Tensor
    pseudo: Tensor
    counts: list[dict]


def confidence(p: Tensor, score: str = "entropy") -> Tensor:
    """(N,) in [0, 1] from probabilities (N, K): 1 - entropy / ln K, or the largest probability."""
    if score not in SCORES:
        raise InputError(f"score is '{score}'; there are: {', '.join(SCORES)}")
    if score == "max_probability":
        return p.amax(1)
    return (1 - torch.special.entr(p).sum(1) / math.log(p.shape[1])).clamp(0, 1)  # type: ignore[no-any-return]


def split(p: Tensor, class_names: list[str], score: str = "entropy", fraction: float = 0.5, threshold: float = 0.0) -> Split:
    """The confident part of N images with probabilities p (N, K).

    `fraction` of the images of each predicted class, the most confident first (at least one); or, where `threshold` > 0, all images whose
    confidence is at least that, whatever their class. A class that is never predicted, or has no confident image, has counts of 0.
    Errors: InputError for values out of range, for probabilities that are not finite, and if no image is confident.
    """
    check_number("fraction", fraction, above=0, at_most=1)
    check_number("threshold", threshold, at_least=0, at_most=1)  # 0: use fraction instead
    odd = int((~p.isfinite()).any(1).sum())
    if odd:
        raise InputError(f"{odd} of {len(p)} predictions are not finite: their classifier diverged; train it again with a lower lr")
    c, prediction = confidence(p, score), p.argmax(1)
    confident = torch.zeros(len(p), dtype=torch.bool)
    counts = []
    for k, name in enumerate(class_names):
        mine = (prediction == k).nonzero()[:, 0]
        if threshold > 0:
            taken = mine[c[mine] >= threshold]
        else:
            # Stable order: equal scores (a saturated softmax) are taken in the order of the images.
            taken = mine[c[mine].argsort(descending=True, stable=True)[: math.ceil(fraction * len(mine))]]
        confident[taken] = True
        counts.append({"class_name": name, "predicted": len(mine), "confident": len(taken), "unconfident": len(mine) - len(taken)})
    labelled = confident.nonzero()[:, 0]
    if not len(labelled):
        raise InputError(
            f"no target image reaches confidence {threshold} (highest: {float(c.max()):.3f}); lower threshold, or use fraction"
        )
    return Split(labelled, prediction[labelled], counts)


def missing(counts: list[dict]) -> list[str]:
    """The classes without a confident image: no method can learn these from the target."""
    return [row["class_name"] for row in counts if not row["confident"]]
