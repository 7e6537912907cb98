"""Improved precision and recall (Kynkäänniemi et al. 2019, arXiv 1904.06991, equations 1 and 2).

The manifold of a set is the union of balls around its points, each reaching to the k-th nearest other point of the set. Precision is the
share of generated images on the manifold of the truth: are they plausible? Recall is the share of the truth on that of the generated
images: is all of it covered? Collapse shows in recall, garbage in precision.
"""

import numpy as np
import torch
from torch import Tensor

from aa_utils.errors import InputError

ROWS = 2048


def precision_recall(truth: np.ndarray, drawn: np.ndarray, k: int = 3) -> tuple[float, float]:
    """(precision, recall) of features `drawn` (m, d) against `truth` (n, d). Sets of the same size are best: balls shrink as a set grows.

    Errors: InputError for sets of k images or fewer, or different widths.
    """
    if truth.ndim != 2 or drawn.ndim != 2 or truth.shape[1] != drawn.shape[1] or k < 1 or min(len(truth), len(drawn)) <= k:
        raise InputError(
            f"features of shapes {truth.shape} and {drawn.shape}, k={k}; two sets of more than k rows are needed, equally wide"
        )
    a, b = torch.from_numpy(truth), torch.from_numpy(drawn)
    return _covered(b, a, _radii(a, k)), _covered(a, b, _radii(b, k))


def _radii(points: Tensor, k: int) -> Tensor:
    """Distance (n,) of each point to its k-th nearest other one; the nearest of all is itself."""
    return torch.cat([_distances(part, points).kthvalue(k + 1).values for part in points.split(ROWS)])


def _covered(points: Tensor, centres: Tensor, radii: Tensor) -> float:
    """The share of `points` in at least one of the balls."""
    return torch.cat([(_distances(part, centres) <= radii).any(1) for part in points.split(ROWS)]).double().mean().item()


def _distances(a: Tensor, b: Tensor) -> Tensor:
    # Not by matrix product: its rounding would put a point outside a ball of radius 0 around itself.
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
