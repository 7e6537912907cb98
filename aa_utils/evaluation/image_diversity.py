"""How different the images of a class are: numbers on their features, whatever made those. No label of the target enters."""

import torch
from torch import Tensor
from torch.nn.functional import normalize


def mean_distance(f: Tensor) -> float:
    """The mean cosine distance over all pairs of the features f (N, D), in [0, 2]; 0 for a single image."""
    f = normalize(f.double(), dim=1)
    n = len(f)
    return float((n * n - f.sum(0).square().sum()) / (n * (n - 1))) if n > 1 else 0.0


def vendi(f: Tensor) -> float:
    """The Vendi score of the features f (N, D) under their cosine: in [1, N], as many images as would be equally diverse if no two of
    them were alike. exp of the entropy of the eigenvalues of K / N (Friedman and Dieng 2023, arXiv 2210.02410, definition 3.1)."""
    f = normalize(f.double(), dim=1)
    gram = f @ f.T if len(f) <= f.shape[1] else f.T @ f  # the same eigenvalues, but for zeros
    eigenvalues = (torch.linalg.eigvalsh(gram) / len(f)).clamp(min=0)
    return float(torch.special.entr(eigenvalues).sum().exp())
