"""Kernel distance: the squared maximum mean discrepancy of two sets of features, for images KID (Bińkowski et al. 2018, arXiv 1801.01401).

    MMD²_u = Σ_{i≠j} k(a_i, a_j) / n(n-1) + Σ_{i≠j} k(b_i, b_j) / m(m-1) - 2 Σ_{i,j} k(a_i, b_j) / nm,    k(x, y) = (x·y / d + 1)³

Unbiased (Gretton et al. 2012, lemma 6): two sets from the same source are at 0 in the mean, whatever their size, so a value may fall below
0. A Fréchet distance has a floor that depends on the size; this has none. The paper averages it over subsets of 1,000 images; here it is
taken over all pairs at once, which has the same expectation and less noise.
"""

import numpy as np

from aa_utils.errors import InputError

ROWS = 2048


def kernel_distance(a: np.ndarray, b: np.ndarray) -> float:
    """MMD²_u of features a (n, d) and b (m, d). Errors: InputError for fewer than two rows or different widths."""
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise InputError(f"features of shapes {a.shape} and {b.shape}; a kernel distance needs two sets of two rows or more, equally wide")
    n, m = len(a), len(b)
    within = (_total(a, a) - _diagonal(a)) / (n * (n - 1)) + (_total(b, b) - _diagonal(b)) / (m * (m - 1))
    return float(within - 2 * _total(a, b) / (n * m))


def _total(a: np.ndarray, b: np.ndarray) -> float:
    """Σ_ij k(a_i, b_j), some rows at a time."""
    width = a.shape[1]
    return sum(float(((a[start : start + ROWS] @ b.T / width + 1) ** 3).sum()) for start in range(0, len(a), ROWS))


def _diagonal(a: np.ndarray) -> float:
    return float(((np.square(a).sum(1) / a.shape[1] + 1) ** 3).sum())
