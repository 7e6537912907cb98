"""The JSON values in a text, nearly JSON and values broken off among them; what a language model takes for JSON."""

import ast
import json
import re
from collections.abc import Iterator

ATTEMPTS = 1000  # brackets that are looked at, and lines: more are no answer
LENIENT_ATTEMPTS = 20  # brackets that are tried as Python literals: single quotes, trailing commas
DEEPEST = 20  # lists within lists

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|[\[\]{}]', re.DOTALL)
_COMMENT = re.compile(r'("(?:[^"\\]|\\.)*")|//[^\n]*|/\*.*?\*/', re.DOTALL)  # a string, or what JSON has no place for


def json_values(content: str) -> Iterator[tuple[int, int, object, bool]]:
    """(start, end, value, whole) of each JSON list or object in a text, also of one that is nearly JSON, or breaks off with the text."""
    from pydantic_core import from_json

    bracket, position, failed = re.compile(r"[\[{]"), 0, 0
    for _ in range(ATTEMPTS):
        match = bracket.search(content, position)
        if not match:
            return
        start = match.start()
        try:
            value, position = json.JSONDecoder(strict=False).raw_decode(content, start)
            yield start, position, value, True
            continue
        except (ValueError, RecursionError):
            failed += 1
        end = _closing(content, start) if failed <= LENIENT_ATTEMPTS else None
        if end:
            try:
                value = ast.literal_eval(_with_commas(_COMMENT.sub(r"\1", content[start:end])))
            except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
                pass
            else:
                if isinstance(value, (list, dict)):
                    yield start, end, value, True
                    position = end
                    continue
        elif failed <= LENIENT_ATTEMPTS:
            try:
                yield start, len(content), from_json(content[start:], allow_partial=True), False
                return
            except ValueError:
                pass
        position = start + 1


def _with_commas(text: str) -> str:
    """`text` with a comma between two strings of a list that have none: Python would make one of them."""
    made, after, last = [], 0, None
    for token in _TOKEN.finditer(text):
        quoted = token.group()[0] in "\"'"
        if quoted and last is not None and not text[last : token.start()].strip():
            made += [text[after:last], ","]
            after = last
        last = token.end() if quoted else None
    return "".join([*made, text[after:]])


def _closing(content: str, start: int) -> int | None:
    """Behind the bracket that closes the one at `start`; None if none does."""
    depth = 0
    for token in _TOKEN.finditer(content, start):
        if token.group() in ("[", "{"):
            depth += 1
            if depth > DEEPEST:
                return None
        elif token.group() in ("]", "}"):
            depth -= 1
            if not depth:
                return token.end()
    return None
