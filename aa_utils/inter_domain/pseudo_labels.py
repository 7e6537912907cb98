"""Labels for unlabelled images from the features of a classifier that is partly right: class centres, and pairs across the domains.

Class centres: Liang et al., "Do We Really Need to Access the Source Data?" (SHOT), ICML 2020, arXiv 2002.08546, self-supervised
pseudo-labelling. Pairs: Xu et al., "CDTrans", ICLR 2022, arXiv 2109.06165, two-way centre-aware labelling. No function here takes a true
target label.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK = 1024  # rows of the similarity matrix in memory at once: all of VisDA-17's would be 31 GiB


def centre_labels(p: Tensor, f: Tensor) -> Tensor:
    """(N,) class of the nearest class centre, for probabilities p (N, K) and features f (N, D).

    With g = (f, 1) / |(f, 1)|, centres c_k = sum_i p_ik g_i / sum_i p_ik, labels argmax_k cos(g_i, c_k); then once more with these labels
    as hard p. A class that is predicted for no image (argmax p) gets no label, nor does one that loses all its images in the first round:
    its centre would be 0, and the cosine to it NaN, which the reference code's argmin takes for the smallest distance.
    """
    g = F.normalize(torch.cat([f, torch.ones_like(f[:, :1])], 1))
    k = p.shape[1]
    labels = _nearest_centre(g, p, F.one_hot(p.argmax(1), k).any(0))
    hard = F.one_hot(labels, k)
    return _nearest_centre(g, hard.to(g.dtype), hard.any(0))


def _nearest_centre(g: Tensor, weight: Tensor, allowed: Tensor) -> Tensor:
    # The cosine does not see the length of a centre, so the weighted sum serves as well as the weighted mean.
    cosine = g @ F.normalize(weight.T @ g).T
    return cosine.masked_fill(~allowed, -torch.inf).argmax(1)


def nearest(f: Tensor, others: Tensor, chunk: int = CHUNK) -> Tensor:
    """(N,) row of `others` (M, D) with the largest cosine to each row of f (N, D); `chunk` rows at a time."""
    others = F.normalize(others)
    return torch.cat([(F.normalize(part) @ others.T).argmax(1) for part in f.split(chunk)])


def two_way_pairs(f_s: Tensor, y_s: Tensor, f_t: Tensor, pseudo: Tensor, chunk: int = CHUNK) -> tuple[Tensor, Tensor]:
    """(rows_s, rows_t), each (P,): pairs of a source and a target image whose labels agree, y_s (N_s,) and `pseudo` (N_t,).

    First every target image with its nearest source image, then every source image with its nearest target image (cosine of the features
    f_s (N_s, D), f_t (N_t, D)); pairs that both ways find are there twice, as in the reference code. P may be 0.
    """
    rows_s = torch.cat([nearest(f_t, f_s, chunk), torch.arange(len(f_s), device=f_s.device)])
    rows_t = torch.cat([torch.arange(len(f_t), device=f_t.device), nearest(f_s, f_t, chunk)])
    agree = y_s[rows_s] == pseudo[rows_t]
    return rows_s[agree], rows_t[agree]
