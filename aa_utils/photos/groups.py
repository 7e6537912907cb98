"""What does not fit: groups of photos that look alike to the classifier and give reason to doubt it, and photos that are there twice."""

from dataclasses import dataclass

import torch
from torch import Tensor

from aa_utils.photos.judge import Judgement, percent

PER_CLASS = 3  # groups for each class: photos of one class are of several kinds
SMALLEST = 5  # photos a group holds at least, on average and to be shown
# A group is suspicious by rules fixed beforehand.
MIXED = 0.7  # its commonest prediction has a smaller share,
VOTES = 0.7  # or the classifiers of the run agree on its photos less than this, in the mean,
RELIABLE = 0.2  # or a smaller share of it is reliable,
FAR = 3.5  # or its nearness to synthetic images lies so many robust standard deviations below that of all photos
ALIKE = 0.995  # correlation of two photos' grey pixels from which on they count as nearly the same
GRID = 16  # side of the grey pictures that are compared
FLAT = 1.0  # standard deviation of grey values (0 to 255) below which a picture shows nothing


@dataclass(frozen=True)
class Group:
    """`rows` int64: its photos, the nearest to the group's centre first; `named`: [(class, share)] predicted; `reasons`: sentences."""

    rows: list[int]
    named: list[tuple[int, float]]
    reasons: list[str]
    far: bool


def suspicious(found: Judgement, most: int = 8) -> tuple[list[Group], int]:
    """(the most doubtful groups, the number of groups looked at), by k-means on the directions of the features after stage 3."""
    from sklearn.cluster import KMeans

    f = torch.nn.functional.normalize(found.f.double())
    k = max(1, min(PER_CLASS * found.p.shape[1], len(f) // SMALLEST))
    member = torch.from_numpy(KMeans(k, n_init=3, random_state=0).fit(f.numpy()).labels_).long()
    middle = found.nearness.median()
    spread = 1.4826 * (found.nearness - middle).abs().median()
    groups = []
    for number in range(k):
        rows = (member == number).nonzero()[:, 0]
        if len(rows) < SMALLEST:
            continue
        counts = torch.bincount(found.prediction[rows], minlength=found.p.shape[1]).float() / len(rows)
        named = [(int(c), float(counts[c])) for c in counts.argsort(descending=True, stable=True)[:3] if counts[c] > 0]
        votes, reliable = float(found.votes[rows].mean()), float(found.reliable[rows].float().mean())
        away = float((middle - found.nearness[rows].median()) / spread.clamp(min=1e-6))
        reasons, doubt = [], 0.0
        if away > FAR:
            reasons.append("looks like no synthetic image of any class")
            doubt += away / FAR
        if named[0][1] < MIXED:
            reasons.append(f"looks alike, but is given several classes ({percent(named[0][1])} the commonest)")
            doubt += MIXED - named[0][1]
        if votes < VOTES:
            reasons.append(f"the run's classifiers disagree ({percent(votes)} of their votes are for the class given)")
            doubt += VOTES - votes
        if reliable < RELIABLE:
            reasons.append(f"{percent(reliable) if reliable else 'none'} of it is reliable")
            doubt += RELIABLE - reliable
        if reasons:
            near = (f[rows] @ f[rows].mean(0)).argsort(descending=True, stable=True)
            groups.append((doubt * len(rows) ** 0.5, Group(rows[near].tolist(), named, reasons, away > FAR)))
    return [group for _, group in sorted(groups, key=lambda pair: -pair[0])[:most]], k


def same(pixels: Tensor, rows: int = 1024) -> tuple[list[tuple[int, int, float]], list[int]]:
    """(pairs (i, j, correlation) of photos that are nearly the same, i < j, the most alike first; photos of one flat colour).

    Compared are grey pictures of GRID x GRID pixels, without their brightness and contrast; flat ones are left out of the pairs.
    """
    grey = torch.cat([part.float().mean(1, keepdim=True) for part in pixels.split(rows)])
    small = torch.nn.functional.adaptive_avg_pool2d(grey, min(GRID, grey.shape[-1])).flatten(1)
    small = small - small.mean(1, keepdim=True)
    flat = grey.flatten(1).std(1) < FLAT
    unit = torch.nn.functional.normalize(small)
    pairs = []
    for first in range(0, len(unit), rows):
        alike = unit[first : first + rows] @ unit.T
        alike[flat[first : first + rows]] = 0
        alike[:, flat] = 0
        for i, j in (alike.triu(first + 1) > ALIKE).nonzero().tolist():
            pairs.append((first + i, j, float(alike[i, j])))
    return sorted(pairs, key=lambda pair: -pair[2]), flat.nonzero()[:, 0].tolist()
