"""A value in the type of the default that it replaces: what a command line, a YAML file or papermill hands over."""

import math
import re

from aa_utils.errors import InputError
from aa_utils.redaction import redact
from aa_utils.runner.yaml_values import FLOAT, read_yaml

_HALF = re.compile("[\ud800-\udc7f\udd00-\udfff]")  # the others stand for bytes of a name that is not UTF-8


class CommandLine(str):
    """A value as typed on the command line: its type is decided by the default it replaces, so `domain=yes` stays text."""


def cast(name: str, value: object, default: object) -> object:
    """`value` in the type of `default`. Errors: InputError if it is of another one, or a number that is not finite."""
    if isinstance(value, CommandLine):
        try:
            parsed = read_yaml(value, f"the value of '{name}'")
        except InputError:
            if not isinstance(default, str) or not value.isprintable():
                raise
            parsed = str(value)  # "@home", "50 % off": text, though no YAML
        # Where text is expected the typed text counts, whatever YAML would make of it.
        value = str(value) if isinstance(default, str) and not isinstance(parsed, str) else parsed
    return _typed(name, value, default)


def texts(value: object) -> list[str]:
    """Every text in a value, keys included."""
    if isinstance(value, str):
        return [str(value)]
    if isinstance(value, (list, tuple)):
        return [text for item in value for text in texts(item)]
    if isinstance(value, dict):
        return [text for pair in value.items() for item in pair for text in texts(item)]
    return []


def shown(value: object) -> object:
    """`value` for a message: without secrets, and not longer than a message may be."""
    if isinstance(value, str):
        return redact(value) if len(value) <= 200 else redact(value)[:200] + "…"
    if isinstance(value, int) and value.bit_length() > 256:
        return f"a number of {value.bit_length()} bits"
    return value if isinstance(value, (bool, int, float, type(None))) else redact(repr(value))[:200]


def _typed(name: str, value: object, default: object) -> object:
    _check_finite(name, value)
    _check_plain(name, value)
    if default is None:
        return value
    if isinstance(default, float) and isinstance(value, (int, float)) and not isinstance(value, bool):
        return _float(name, value)
    if isinstance(default, float) and isinstance(value, str) and FLOAT.fullmatch(value):
        return _float(name, value)
    if isinstance(default, (list, tuple)) and isinstance(value, (list, tuple)):
        kinds = {type(item) for item in default}
        if kinds <= {int, float} and kinds:
            return [_typed(f"{name}[{i}]", item, 0.0 if float in kinds else 0) for i, item in enumerate(value)]
        return [_typed(f"{name}[{i}]", item, default[0]) if len(kinds) == 1 else item for i, item in enumerate(value)]
    if type(value) is type(default):
        return value
    short = len(str(shown(value))) <= 60 and not isinstance(value, (dict, type(None)))
    hint = f"; write '{name}=[{shown(value)}]'" if isinstance(default, list) and short else ""
    raise InputError(f"'{name}' takes {_kind(default)}, such as {default!r}; got {shown(value)!r} ({_kind(value)}){hint}")


def _float(name: str, value: object) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except OverflowError:
        number = math.inf
    _check_finite(name, number)
    return number


def _check_finite(name: str, value: object) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"'{name}' is {value!r}; it takes a finite number")
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ():
        _check_finite(name, item)


def _check_plain(name: str, value: object) -> None:
    """InputError for what a record cannot hold: a set, bytes or a date within a mapping, half a character in a text."""
    if isinstance(value, str) and _HALF.search(value):
        raise InputError(f"'{name}' holds half a character, {ascii(value)[:60]}, which no file can hold; write it anew")
    if isinstance(value, (dict, list, tuple)):
        for item in (part for pair in value.items() for part in pair) if isinstance(value, dict) else value:
            if not isinstance(item, (str, bool, int, float, list, tuple, dict, type(None))):
                raise InputError(f"'{name}' holds {shown(item)!r} ({_kind(item)}); it takes texts, numbers, lists and mappings of them")
            _check_plain(name, item)


def _kind(value: object) -> str:
    names = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "text",
        list: "a list",
        tuple: "a list",
        dict: "a mapping",
    }
    return names.get(type(value), "nothing" if value is None else type(value).__name__)
