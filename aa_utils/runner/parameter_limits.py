"""Whole numbers that no run can mean: a zero too many, or a sign, is said at once, before it asks for days or for terabytes.

Bounds are ten times what anybody used and more; what a stage cannot do within them it says itself.
"""

import re

from aa_utils.errors import check_number

COMPUTES_NOTHING = "what a run is asked for: its record says it"
BOUNDS = {  # the name of a parameter, as a pattern -> (least, most)
    r"(.*_)?(steps|horizon)": (0, 100_000_000),
    r"batch(_size)?": (0, 100_000),
    r"image_size": (4, 4096),
    r"width|height": (0, 16_384),
    r"bottleneck": (0, 65_536),
    r"feature_views": (0, 1000),
    r"workers|calls_at_once": (0, 1024),
    r"seeds?|token_cap": (-(2**64), 2**64),
}
OTHERS = (-(10**9), 10**9)


def check(name: str, value: object) -> None:
    """Nothing, if `value` is no whole number, one that the parameter `name` can mean, or a list of such.

    Errors: InputError with the bounds.
    """
    if isinstance(value, (list, tuple)):
        for item in value:
            check(name, item)
    if isinstance(value, int) and not isinstance(value, bool):
        least, most = next((bounds for pattern, bounds in BOUNDS.items() if re.fullmatch(pattern, name)), OTHERS)
        check_number(name, value, at_least=least, at_most=most, whole=True)
