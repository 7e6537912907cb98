"""Pictures whose values do not fit 8 bits (12, 14 and 16 bits, 32-bit integers, floats): one rule for what is black and what is white.

- Black is 0, or the least value where that is negative.
- White is the smallest of 255, 511, 1023, … (all ones in binary) that is not below the largest value: 4095 for a 12-bit camera, whatever
  holds its numbers. Floats up to 1 are fractions: white is 1. Floats may overshoot their white by a sixteenth (resampling does that).
- A picture that uses less than an eighth of the range between them is stretched from its least to its largest value: temperatures, say.
So a 16-bit copy of an 8-bit photo is that photo again, and the same numbers give the same picture in every type. NaN and -inf are black,
+inf is white, and a picture of one value stays where it lies in the range.
"""

import numpy as np

from aa_utils.data.formats import Unreadable

OVERSHOOT = 1 / 16
USED = 1 / 8


def levels(least: float, largest: float, fractions: bool) -> tuple[float, float]:
    """(black, white) of a picture whose finite values go from `least` to `largest`; `fractions`: they are floats."""
    black, room = min(0.0, least), 1 + OVERSHOOT if fractions else 1
    white = 1.0 if fractions and largest <= room else 255.0
    while white * room < largest:
        white = 2 * white + 1
    if 0 < largest - least < USED * (white - black):
        return least, largest
    return black, white


def levels_of(ends: list[tuple[float, float] | None], fractions: bool) -> tuple[float, float]:
    """(black, white) of the parts of a picture, by the `extremes` of each. Errors: Unreadable if no value is finite."""
    finite = [pair for pair in ends if pair]
    if not finite:
        raise Unreadable("no pixel has a finite value")
    return levels(min(low for low, _ in finite), max(high for _, high in finite), fractions)


def extremes(values: np.ndarray) -> tuple[float, float] | None:
    """(least, largest) of the finite values, or None where there are none."""
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    return (float(finite.min()), float(finite.max())) if finite.size else None


def to_8_bits(values: np.ndarray, black: float, white: float) -> np.ndarray:
    """uint8, of the same shape: `black` and below become 0, `white` and above 255."""
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = (values.astype(np.float64) - black) * (255 / (white - black))
    return np.nan_to_num(scaled, nan=0.0).clip(0, 255).round().astype(np.uint8)
