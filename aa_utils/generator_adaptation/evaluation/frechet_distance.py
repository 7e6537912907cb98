"""Fréchet distance of two Gaussians (Fréchet 1957; for images Heusel et al. 2017, arXiv 1706.08500, equation 6):

    d² = |μ₁ - μ₂|² + Tr(C₁ + C₂ - 2 (C₁ C₂)^½)

Features are standardised by mean and spread of the real ones, so that each counts alike and numbers mean the same for any reader; one that
hardly ever varies counts less, or a handful of rare images would decide. Two sets of n images of the same source are not at 0 but near
d(d + 1)/(2n): the table has that floor, measured.
"""

import numpy as np

from aa_utils.errors import InputError

LEAST = 0.1  # of the typical spread of a feature


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """d² (see above) of the Gaussians with the moments of two sets of features (n, d) and (m, d).

    Errors: InputError for fewer than two rows or different widths.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise InputError(f"features of shapes {a.shape} and {b.shape}; a Fréchet distance needs two sets of two rows or more, equally wide")
    apart = a.mean(0) - b.mean(0)
    c_a, c_b = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    # (C_a C_b)^½ has the trace of (C_a^½ C_b C_a^½)^½, which is symmetric: its roots are real, whatever the ranks.
    values, vectors = np.linalg.eigh(c_a)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ c_b @ root).clip(0)).sum()
    return float(apart @ apart + np.trace(c_a) + np.trace(c_b) - 2 * cross)


def standardised(truth: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """`truth` and `others` less the mean of `truth`, in units of its spread, or of LEAST of the typical spread where that is more.

    Errors: InputError if all rows of `truth` are the same.
    """
    spread = truth.std(0)
    typical = np.sqrt(np.square(spread).mean())
    if not typical > 0:
        raise InputError(f"all {len(truth)} true images have the same features: there is nothing to compare with")
    return [(x - truth.mean(0)) / np.maximum(spread, LEAST * typical) for x in (truth, *others)]
