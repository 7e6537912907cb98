"""The one exception for bad input, whose message is a sentence for a person (what, which value, the way out); and the check of numbers."""

import math
import sys

COMPUTES_NOTHING = "what an exception says"


class InputError(ValueError):
    """Bad input. The runner prints the message alone, without a traceback, and exits non-zero."""


def check_number(
    name: str,
    value: object,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    whole: bool = False,
) -> None:
    """Nothing, if `value` is a finite number within these bounds, and a whole one if `whole` says so.

    Errors: InputError that names the value and its bounds.
    """
    bounds = {"at least": at_least, "above": above, "at most": at_most, "below": below}
    words = " and ".join(f"{word} {bound:g}" for word, bound in bounds.items() if bound is not None)
    kind = "a whole number" if whole else "a finite number"
    if (
        isinstance(value, bool)
        or not isinstance(value, int if whole else (int, float))
        or not (abs(value) <= sys.float_info.max if isinstance(value, int) else math.isfinite(value))
    ):
        said = repr(value) if not isinstance(value, int) or value.bit_length() < 256 else f"a number of {value.bit_length()} bits"
        raise InputError(f"{name} is {said}; it is {kind}{', ' if words else ''}{words}")
    fits = (at_least is None or value >= at_least, above is None or value > above)
    fits += (at_most is None or value <= at_most, below is None or value < below)  # type: ignore[assignment]
    if not all(fits):
        raise InputError(f"{name} is {value}; it must be {words}")
