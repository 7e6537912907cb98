"""FixMatch's term, which both stages use: a strong view gets the class of the weak view of the same image, where that was confident.

Sohn et al. 2020, arXiv 2001.07685, eq. 4.
"""

import torch.nn.functional as F
from torch import Tensor


def masked(z_weak: Tensor, z_strong: Tensor, threshold: float) -> tuple[Tensor, Tensor, Tensor]:
    """(loss, mask, pseudo): 1/N sum_i 1[max q_i >= threshold] CE(z_strong_i, argmax q_i) with q = softmax(z_weak), without gradient.

    `z_weak`, `z_strong` (N, K): logits of two views of the same N images. The sum is divided by N, not by the number of images over the
    threshold. `mask` (N,) float, 1 for an image over the threshold; `pseudo` (N,) int64, the labels of the weak view.
    """
    confidence, pseudo = z_weak.detach().float().softmax(1).max(1)
    mask = (confidence >= threshold).float()
    return (F.cross_entropy(z_strong, pseudo, reduction="none") * mask).mean(), mask, pseudo
