"""The audit: photos drawn at random once, of a number fixed beforehand, for a person to mark; and the accuracy that the marks measure.

Nothing is ever trained on a mark.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aa_utils.errors import check_number
from aa_utils.photos import interval
from aa_utils.photos.marks import Marks
from aa_utils.seeds import stable_hash

LARGEST = 1000  # photos of a sample: a page with more of them is slow to open


@dataclass(frozen=True)
class Sample:
    """`photos`: the ids of all N photos; `rows`: positions of those drawn, in the order in which they are marked; `seed`: of the draw."""

    photos: list[str]
    rows: list[int]
    seed: int

    @property
    def ids(self) -> list[str]:
        """The ids of the photos drawn, in their order."""
        return [self.photos[i] for i in self.rows]

    @property
    def origin(self) -> str:
        """16 hex digits of all photos, by name and content: marks of a sample belong to these photos and to no others."""
        return f"{stable_hash('photos', *sorted(self.photos)):016x}"


@dataclass(frozen=True)
class Measured:
    """What `marks` say of the predictions of a run. They count in the order of the draw, up to the first photo without a mark.

    `counted`: how many that are; of them `right`, `wrong`, `unsure` (nobody can tell) and `open` (to look at again, for another class is
    named now). `lost`, `gained`: how many were right when they were marked and are wrong now, and the reverse. `low`, `high`: the share of
    all photos that is right, with 95 per cent confidence whenever the person stopped; 0 and 1 without marks. `fewest`: the table of
    `interval` for this sample.
    """

    sample: Sample
    marks: Marks
    fewest: np.ndarray
    counted: int
    right: int
    wrong: int
    unsure: int
    open: int
    lost: int
    gained: int
    low: float
    high: float

    @property
    def complete(self) -> bool:
        """Whether the whole sample is marked."""
        return self.counted == len(self.sample.rows)


def draw(photos: Sequence[str], size: int, seed: int) -> Sample:
    """`size` of the `photos` (ids), all if there are fewer, uniformly at random by `seed`; a smaller draw begins a larger one.

    Errors: InputError for a size below 1 or above LARGEST.
    """
    check_number("audit_size", size, at_least=1, at_most=LARGEST, whole=True)
    check_number("audit_seed", seed, whole=True)
    order = sorted(range(len(photos)), key=lambda i: (stable_hash("audit", seed, photos[i]), photos[i]))
    return Sample(list(photos), order[:size], seed)


def measure(sample: Sample, marks: Marks, predictions: Sequence[str]) -> Measured:
    """What `marks` say of `predictions`: N class names, in the order of the photos."""
    of = marks.of if marks.measures else {}
    counted = next((i for i, one in enumerate(sample.ids) if one not in of), len(sample.rows))
    now = {sample.photos[i]: of[sample.photos[i]].verdict(predictions[i]) for i in sample.rows[:counted]}
    verdicts = Counter(now.values())
    lost = sum(one in marks.right and verdict == "wrong" for one, verdict in now.items())
    gained = sum(one not in marks.right and verdict == "right" for one, verdict in now.items())
    fewest = interval.fewest(len(sample.photos), len(sample.rows))
    unclear = verdicts["unsure"] + verdicts["open"]
    low, high = interval.bounds(fewest, len(sample.photos), counted, verdicts["right"], unclear)
    numbers = {name: verdicts[name] for name in ("right", "wrong", "unsure", "open")}
    return Measured(sample, marks, fewest, counted, **numbers, lost=lost, gained=gained, low=low, high=high)


def metrics(measured: Measured) -> dict:
    """What a run's record keeps of a measurement, flat; without marks nothing."""
    if not measured.counted:
        return {}
    numbers = {name: getattr(measured, name) for name in ("right", "wrong", "unsure", "open")}
    counts = {f"marked_{name}": number for name, number in numbers.items()}
    return {
        "measured_low": measured.low,
        "measured_high": measured.high,
        "marked": measured.counted,
        **counts,
        "marks": measured.marks.sha256,
    }


def sentences(measured: Measured) -> list[str]:
    """What was measured, for people: one sentence, none without marks."""
    from aa_utils.photos.judge import percent

    if not measured.counted:
        return []
    drawn, everything = len(measured.sample.rows), len(measured.sample.photos)
    counted = f"{measured.counted} of the {drawn} photos drawn" if not measured.complete else f"{drawn} photos drawn"
    unclear = measured.unsure + measured.open
    seen = f"{measured.right} right, {measured.wrong} wrong" + (f", {unclear} unclear" if unclear else "")
    low, high = percent(measured.low), percent(measured.high)
    share = f"{low} to {high}" if low != high else low
    return [f"Measured on {counted} from {everything}: {seen}. {share} of all are right, with {percent(0.95)} confidence."]
