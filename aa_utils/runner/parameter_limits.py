"""Numbers that no run can mean: a zero too many, or a sign, is said at once, before it asks for days or for terabytes.

Bounds are ten times what anybody used and more; what a stage cannot do within them it says itself. Fractions have bounds, too: with a loss
weighted by 1e20 the norm of the gradients overflows, clipping makes them 0, and a run would end well without having learned anything.
"""

import re

from aa_utils.errors import InputError, check_number
from aa_utils.runner.parameter_types import shown

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
SMALLEST, LARGEST = 1e-20, 1e9  # of a fraction that is not 0, without its sign
FOREIGN = {"request_fields"}  # mappings whose numbers another program reads


def check(name: str, value: object) -> None:
    """Nothing, if `value` is no number, one that the parameter `name` can mean, or a list or mapping of such.

    Errors: InputError with the bounds.
    """
    if isinstance(value, dict) and name not in FOREIGN:
        for key, item in value.items():
            _check_option(str(key), item)
    if isinstance(value, float):
        _check_size(name, value)
    if isinstance(value, (list, tuple)):
        for item in value:
            check(name, item)
    if isinstance(value, int) and not isinstance(value, bool):
        least, most = next((bounds for pattern, bounds in BOUNDS.items() if re.fullmatch(pattern, name)), OTHERS)
        check_number(name, value, at_least=least, at_most=most, whole=True)


def _check_option(name: str, value: object) -> None:
    """Of numbers in a mapping the size alone: what its whole numbers mean is said where the mapping is read."""
    if isinstance(value, dict):
        for key, item in value.items():
            _check_option(str(key), item)
    if isinstance(value, (list, tuple)):
        for item in value:
            _check_option(name, item)
    if isinstance(value, float):
        _check_size(name, value)
    if isinstance(value, int) and not -(2**64) <= value <= 2**64:
        raise InputError(f"{name} is {shown(value)}; it must be at least {-(2**64):g} and at most {2**64:g}")


def _check_size(name: str, value: float) -> None:
    if value and not SMALLEST <= abs(value) <= LARGEST:
        raise InputError(f"{name} is {value:g}; without its sign it must be 0, or at least {SMALLEST:g} and at most {LARGEST:g}")
