"""YAML as people expect it: 1e-4 is a number; 010 is no 8, and 12:30 no 750."""

import re

import yaml

from aa_utils.errors import InputError
from aa_utils.files.text import UniqueKeys

FLOAT = re.compile(r"[-+]?([0-9][0-9_]*\.?[0-9_]*|\.[0-9]+)([eE][-+]?[0-9]+)|[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9]+)")
# As YAML 1.2 has it. YAML 1.1 reads a leading zero as octal, and colons as base 60, without a word.
WHOLE = re.compile(r"^(?:[-+]?(?:0|[1-9][0-9_]*)|0x[0-9a-fA-F_]+|0b[01_]+)$")
LARGEST, DEEPEST = 1_000_000, 100  # values, and levels


class _Yaml(UniqueKeys):
    """YAML 1.1 but for 1e-4, which it takes for text, and dates, 010 and 12:30, which stay text; a key twice is an error."""


_Yaml.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] not in ("float", "int", "timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Yaml.add_implicit_resolver("tag:yaml.org,2002:int", WHOLE, list("-+0123456789"))
_Yaml.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(rf"^(?:{FLOAT.pattern})$"), list("-+.0123456789"))


def read_yaml(text: str, what: str) -> object:
    """The value of a YAML text, with 1e-4 as a float. Errors: InputError naming `what` and the line, or what makes it endless."""
    try:
        value = yaml.load(text, Loader=_Yaml)
    except RecursionError:
        raise InputError(f"{what} is not YAML that can be read: it is nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"{what}{where} is not YAML: {str(getattr(error, 'problem', None) or error).splitlines()[0]}") from error
    _check_bounds(value, what)
    return value


def _check_bounds(value: object, what: str) -> None:
    """Aliases (`&a [*a]`) can make a few characters endless, or gigabytes."""
    todo: list[tuple[object, frozenset[int]]] = [(value, frozenset())]
    seen = 0
    while todo:
        item, above = todo.pop()
        if not isinstance(item, (dict, list, tuple, set)):
            continue
        if id(item) in above:
            raise InputError(f"{what} refers to itself (an alias '*' within what its '&' names); write the values out")
        seen += len(item) + 1
        if seen > LARGEST or len(above) > DEEPEST:
            raise InputError(f"{what} is nested too deeply, or grows beyond {LARGEST} values by its aliases; write less")
        inside = [part for pair in item.items() for part in pair] if isinstance(item, dict) else item
        todo += [(part, above | {id(item)}) for part in inside]
