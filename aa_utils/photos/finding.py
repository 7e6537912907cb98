"""One thing that a run gives reason to say."""

from dataclasses import dataclass

POOR = 0.6  # middle of the range of the accuracy below which the result is not to be used as it is


@dataclass(frozen=True)
class Finding:
    """`weight`: "act" (before anything else), "look" or "know"; the `observation`; what to `do`."""

    weight: str
    title: str
    observation: str
    do: str
