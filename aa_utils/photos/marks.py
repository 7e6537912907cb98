"""What a person says of photos, and what follows from it: which classes fail, and how many images each is to have.

A mark says what a photo shows, not only whether one classifier was right, so it measures the next classifier too.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from aa_utils.errors import check_number

KINDS = ("is", "is_not", "none", "unsure")  # of a mark: a class, another class than this, no class of the run, nobody can tell
MISSED, SHARE = 2, 0.2  # a class fails if at least so many of its marked photos are missed, and at least such a share of them
MOST = 8.0  # times per_class images of a class, at most: what eight times as many did not mend, more will not


@dataclass(frozen=True)
class Mark:
    """What a person says of a photo. `kind`: one of KINDS; `name`: the class of "is" and "is_not", else ""."""

    kind: str
    name: str = ""

    def verdict(self, prediction: str) -> str:
        """One of "right", "wrong", "unsure" and "open": from this mark nobody can say whether that prediction is right, so look again."""
        if self.kind == "is":
            return "right" if prediction == self.name else "wrong"
        if self.kind == "is_not":
            return "wrong" if prediction == self.name else "open"
        return {"none": "wrong", "unsure": "unsure"}[self.kind]


@dataclass(frozen=True)
class Marks:
    """`of`: id -> Mark, with classes of this run; `predictions`: id -> class named when it was marked; `right`: ids of those right then.

    `times`: class -> the multiple of per_class images that had taught it; `decided_by`: seeds of the samples whose marks had a part in
    that; `seed`: of their own sample. `measures`: whether that is this run's; marks of another draw only say which classes fail. `sha256`:
    of the file, "" where there is none.
    """

    of: dict[str, Mark] = field(default_factory=dict)
    predictions: dict[str, str] = field(default_factory=dict)
    right: frozenset[str] = frozenset()
    times: dict[str, float] = field(default_factory=dict)
    decided_by: frozenset[int] = frozenset()
    seed: int = 0
    measures: bool = False
    sha256: str = ""


@dataclass(frozen=True)
class Taught:
    """`images`: class -> how many images taught it; `per_class`: how many do where no marks ask for more."""

    images: dict[str, int]
    per_class: int

    @property
    def times(self) -> dict[str, float]:
        """Class -> multiple of `per_class`."""
        return {name: number / self.per_class for name, number in self.images.items()}

    def decided_by(self, marks: Marks) -> frozenset[int]:
        """The seeds of the samples whose marks had a part in these numbers: those of `marks` too, if they asked for more than before."""
        more = any(times > marks.times.get(name, 1.0) + 1e-9 for name, times in self.times.items())
        return marks.decided_by | ({marks.seed} if more and marks.of else set())


def taught(labels: Tensor, class_names: Sequence[str], per_class: int) -> Taught:
    """Taught by the images with these `labels` (N,)."""
    return Taught(dict(zip(class_names, labels.bincount(minlength=len(class_names)).tolist(), strict=True)), per_class)


@dataclass(frozen=True)
class OfClass:
    """Of `marked` photos that show the class `name`, so many were `missed`; `taken_for`: [(class, how often)], the commonest first."""

    name: str
    marked: int
    missed: int
    taken_for: list[tuple[str, int]]

    @property
    def fails(self) -> bool:
        """Whether it is missed so often that more images are called for."""
        return self.missed >= MISSED and self.missed >= SHARE * self.marked


def by_class(class_names: Sequence[str], marks: Mapping[str, Mark], predictions: Mapping[str, str]) -> list[OfClass]:
    """For each class how its marked photos fare with `predictions` (id -> class name); photos whose class no mark names are left aside."""
    made, shows = [], defaultdict(list)
    for one, mark in marks.items():
        if mark.kind == "is":
            shows[mark.name].append(one)
    for name in class_names:
        own = shows.get(name, [])
        taken = Counter(predictions[one] for one in own if predictions[one] != name)
        made.append(OfClass(name, len(own), sum(taken.values()), sorted(taken.items(), key=lambda item: (-item[1], item[0]))))
    return made


def more_images(marks: Marks, class_names: Sequence[str], per_class: int, factor: float) -> dict[str, int]:
    """Class -> images beyond `per_class`: `factor` times as many as before for classes that were seen to fail, as before for others.

    It follows from the marks alone, so the same call gives the same images. Errors: InputError for a factor below 1 or above MOST.
    """
    check_number("more_where_wrong", factor, at_least=1, at_most=MOST)
    fails = {one.name for one in by_class(class_names, marks.of, marks.predictions) if one.fails}
    more = {}
    for name in class_names:
        times = min(MOST, marks.times.get(name, 1.0) * (factor if name in fails else 1.0))
        more[name] = max(0, round(per_class * times) - per_class)
    return {name: number for name, number in more.items() if number}
