"""Which part of a request a server does not take, by what it says."""

import re

_REFUSED = re.compile(
    r"support|unexpected|unknown|unrecogni|permitted|allowed|extra|invalid|deprecated|must be|between|only|range|less than|greater than"
    r"|[\u3000-\u9fff]",  # a Chinese service that names a field at all
    re.IGNORECASE,
)


def refused_field(message: str, names: list[str]) -> str:
    """The first of `names` that a server says it does not know, or does not take with this value; "" for none."""
    return next((name for name in names if re.search(rf"\b{name}\b", message)), "") if _REFUSED.search(message) else ""
