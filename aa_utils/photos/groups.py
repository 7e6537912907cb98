"""Doubtful photos: groups that look alike to the classifier and are probably misnamed, and near-duplicates."""

from dataclasses import dataclass

import torch
from torch import Tensor

from aa_utils.photos.judge import Judgement, percent

PER_CLASS = 3  # groups for each class: photos of one class are of several kinds
MANY = 300  # groups from which on the centres follow batches of photos: passes over all of them, until nothing moves, take hours
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


@dataclass(frozen=True)
class Alike:
    """`rows`: photos that are nearly the same as the first of them; `likeness`: the least correlation of one of them to it."""

    rows: list[int]
    likeness: float


def suspicious(found: Judgement, most: int = 8) -> tuple[list[Group], int]:
    """(the most doubtful groups, the number of groups looked at), by k-means on the directions of the features after stage 3."""
    f = torch.nn.functional.normalize(found.f.double())
    k = max(1, min(PER_CLASS * found.p.shape[1], len(f) // SMALLEST))
    member = _members(f, k)
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


def _members(f: Tensor, k: int) -> Tensor:
    """int64 (N,): to which of k groups each row of f (N, D) belongs, by k-means."""
    from sklearn.cluster import KMeans, MiniBatchKMeans

    if k <= MANY:
        found = KMeans(k, n_init=3, random_state=0).fit(f.numpy())
    else:
        found = MiniBatchKMeans(k, batch_size=4 * k, max_iter=4, n_init=1, random_state=0).fit(f.numpy())
    return torch.from_numpy(found.labels_).long()


def same(pixels: Tensor, rows: int = 1024) -> tuple[list[Alike], list[int]]:
    """(groups of photos that are nearly the same, the largest first; photos of one flat colour) of pixels uint8 (N, 3, S, S).

    Compared are grey pictures of GRID x GRID pixels, without their brightness and contrast; flat ones are in no group. In their order the
    photos join the group whose first photo they resemble most, or begin one: time grows with photos times groups, memory with the photos.
    """
    parts = [_grey(part) for part in pixels.split(rows)]
    flat = torch.cat([flat for _, flat in parts])
    firsts: list[int] = []
    members: dict[int, list[int]] = {}
    least: dict[int, float] = {}
    leading = parts[0][0][:0]  # the pictures of `firsts`

    def join(first: int, photo: int, likeness: float) -> None:
        members.setdefault(first, [first]).append(photo)
        least[first] = min(least.get(first, 1.0), likeness)

    for number, (unit, is_flat) in enumerate(parts):
        left = (~is_flat).nonzero()[:, 0]
        if firsts and len(left):
            likeness, nearest = (unit[left] @ leading.T).max(1)
            joins = likeness > ALIKE
            for i, r, k in zip(left[joins].tolist(), likeness[joins].tolist(), nearest[joins].tolist(), strict=True):
                join(firsts[k], number * rows + i, r)
            left = left[~joins]
        new = []
        while len(left):
            first, left = int(left[0]), left[1:]
            new.append(first)
            likeness = unit[left] @ unit[first]
            for i, r in zip(left[likeness > ALIKE].tolist(), likeness[likeness > ALIKE].tolist(), strict=True):
                join(number * rows + first, number * rows + i, r)
            left = left[likeness <= ALIKE]
        firsts += [number * rows + i for i in new]
        leading = torch.cat([leading, unit[new]])
    found = [Alike(members[first], least[first]) for first in members]
    return sorted(found, key=lambda alike: (-len(alike.rows), -alike.likeness, alike.rows)), flat.nonzero()[:, 0].tolist()


def _grey(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """(unit vectors (n, at most GRID * GRID) of the grey pictures less their mean, whether each picture is flat (n,))."""
    grey = pixels.float().mean(1, keepdim=True)
    small = torch.nn.functional.adaptive_avg_pool2d(grey, min(GRID, grey.shape[-1])).flatten(1)
    return torch.nn.functional.normalize(small - small.mean(1, keepdim=True)), grey.flatten(1).std(1) < FLAT
