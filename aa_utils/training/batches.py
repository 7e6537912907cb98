"""Which images a batch holds, as a function of the step: no state, so a run can continue anywhere in the order."""

from functools import lru_cache

import torch
from torch import Tensor

from aa_utils.seeds import torch_generator


def shuffled(n: int, size: int, step: int, seed: tuple) -> Tensor:
    """The `size` indices (int64, below `n`) of the batch at `step`: every image once an epoch, in an order drawn by `seed` and epoch."""
    parts, position, left = [], step * size, size
    while left:
        epoch, place = divmod(position, n)
        part = _epoch(n, epoch, seed)[place : place + left]
        parts.append(part)
        position, left = position + len(part), left - len(part)
    return torch.cat(parts)


def balanced(members: list[Tensor], size: int, step: int, seed: tuple) -> Tensor:
    """The `size` indices of the batch at `step`, all classes equally often: each K draws in a row hold each of the K classes once.

    `members[k]` (n_k,) are the indices of class k, none empty; within a class every image comes once before any comes again.
    """
    chosen = []
    for position in range(step * size, (step + 1) * size):
        draw, place = divmod(position, len(members))
        k = int(_order(len(members), draw, (*seed, "classes"))[place])
        turn, place = divmod(draw, len(members[k]))
        chosen.append(members[k][_order(len(members[k]), turn, (*seed, "class", k))[place]])
    return torch.stack(chosen)


def by_class(labels: Tensor) -> list[Tensor]:
    """Indices of the images of each class that has any, in the order of the classes."""
    _, counts = labels.unique(return_counts=True)
    return list(labels.argsort(stable=True).split(counts.tolist()))  # one pass, however many classes


def _permutation(n: int, number: int, seed: tuple) -> Tensor:
    return torch.randperm(n, generator=torch_generator(*seed, number))


_epoch = lru_cache(maxsize=8)(_permutation)  # of whole data sets: few and large
_order = lru_cache(maxsize=4096)(_permutation)  # of classes and within classes: many and small
