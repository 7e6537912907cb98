"""Text that people and other tools wrote: decoded, cut into lines, its keys counted. What cannot be read is one sentence."""

import codecs
import json
import re
from collections.abc import Hashable
from pathlib import Path

import yaml

from aa_utils.errors import InputError

# The longer mark first: that of UTF-32 begins as that of UTF-16 does.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Raw in a JSON file, the first three end a line for many readers; a lone surrogate (of a name that is not UTF-8) cannot be encoded.
_ESCAPED = re.compile("[\x85\u2028\u2029\ud800-\udfff]")


class _KeyTwice(ValueError):
    pass


class UniqueKeys(yaml.SafeLoader):
    """YAML whose mappings have each key once; PyYAML lets the last one win without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        """The mapping of a node. Errors: yaml.constructor.ConstructorError for a key that comes twice, with its line."""
        first: dict[Hashable, int] = {}
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key, line = self.construct_object(key_node), key_node.start_mark.line + 1
            if key in first:
                raise yaml.constructor.ConstructorError(
                    None, None, f"'{key}' is there twice (first in line {first[key]})", key_node.start_mark
                )
            first[key] = line
        return super().construct_mapping(node, deep)


def read(path: Path, what: str = "") -> str:
    """The text of the file at `path`. Errors: InputError as of `decode`, and for what is no file; `what` names it, by default the path."""
    if path.exists() and not path.is_file():  # a FIFO would keep its reader waiting
        raise InputError(f"{what or repr(str(path))} is no file")
    return decode(path.read_bytes(), what or f"'{path}'")


def decode(data: bytes, what: str) -> str:
    """`data` as text: UTF-8, or UTF-16 and UTF-32 where their mark says so; a mark is not part of the text.

    Other encodings say nothing of themselves: guessing would give other words. Errors: InputError naming `what`, line and byte.
    """
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\0" in data:
        raise InputError(f"{what} is no text, or UTF-16 without its mark: it holds NUL bytes; save it as UTF-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise InputError(f"{what} begins as {encoding.upper()} text and is none, or is cut off: save it as UTF-8") from error
        before = data[: error.start].decode()
        raise InputError(
            f"{what} is not UTF-8 text: byte 0x{data[error.start]:02x} in line {before.count(chr(10)) + 1}, after "
            f"{before.rpartition(chr(10))[2][-30:]!r}; save it as UTF-8"
        ) from error


def lines(text: str) -> list[str]:
    """The lines of a text, ended by LF, CR LF or CR and by nothing else: U+2028 and its like are characters within a line."""
    return re.split("\r\n|\n|\r", text)


def parse_json(text: str) -> object:
    """The value of a JSON text. Errors: ValueError with a sentence, also for a key that an object has twice."""
    try:
        return json.loads(text, object_pairs_hook=_object)
    except _KeyTwice:
        raise
    except ValueError as error:
        raise ValueError(f"is not JSON: {error}") from error
    except RecursionError:
        raise ValueError("is not JSON that can be read: it is nested too deeply") from None


def json_rows(path: Path) -> list[tuple[int, dict]]:
    """(line number, object) of each line of a JSON-lines file that is not blank; a line ends at LF alone.

    Errors: InputError naming the first line that is no JSON object, or has a key twice.
    """
    rows = []
    for number, line in enumerate(read(path).split("\n"), start=1):
        if not line.strip(" \t\r"):
            continue
        try:
            row = parse_json(line)
        except ValueError as error:
            raise InputError(f"line {number} of '{path}' {error}") from error
        if not isinstance(row, dict):
            raise InputError(f"line {number} of '{path}' is not a JSON object")
        rows.append((number, row))
    return rows


def to_json(value: object, indent: int | None = None) -> str:
    """`value` as JSON, readable (not ASCII alone), yet with escapes for what would break a line or cannot be encoded."""
    return _ESCAPED.sub(lambda found: f"\\u{ord(found.group()):04x}", json.dumps(value, indent=indent, ensure_ascii=False))


def _object(pairs: list[tuple[str, object]]) -> dict:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        raise _KeyTwice(f"has the key '{next(name for name in names if names.count(name) > 1)}' twice")
    return made
