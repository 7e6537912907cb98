"""Lists of captions in whatever form a model writes them: JSON, nearly JSON, an object a line, a Markdown list.

Why no library for broken JSON: json-repair (0.64.4) closes a text that was cut in the middle, so half a caption would count as a whole one,
and it takes brackets in prose for the answer. Here a text counts only where its end was written.
"""

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

ATTEMPTS = 1000  # brackets that are looked at, and lines: more are no answer
LENIENT_ATTEMPTS = 20  # brackets that are tried as Python literals: single quotes, trailing commas
DEEPEST = 20  # lists within lists
LONGEST_TEXT = 2000  # letters; a longer one is no caption, and is left as it is
MIN_WORDS = 3  # a caption has more words than "first caption"

_NAMES = ("prompts", "captions", "texts", "descriptions", "sentences", "answers", "results", "items", "answer", "result", "output", "data")
_NAMES_OF_ONE = ("caption", "prompt", "text", "description", "sentence", "content", "value")
_QUOTES = str.maketrans({"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'"})
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|[\[\]{}]', re.DOTALL)
_NO_GAP = re.compile(r"[\s,;\d.):*•-]*")  # between the objects of one list
_LINE = re.compile(
    r"^[ \t]*(?:(?:[-*+•–]|[*_]{0,2}\(?#?\d{1,3}\s*[.):][*_]{0,2})[ \t]+(\S.*)|(\"[^\n]+\"|“[^\n]+”)[ \t]*,?)[ \t]*$", re.MULTILINE
)
_LABEL = re.compile(
    r"^\s*(?:[-*+•–]\s+"
    r"|[*_]{0,2}(?:(?:caption|prompt|image|picture|text|no)\.?\s*)?\(?#?\d{1,3}\s*[.):][*_]{0,2}\s+"
    r"|[*_]{0,2}(?:caption|prompt)[*_]{0,2}:[*_]{0,2}\s+)",
    re.IGNORECASE,
)
_EMPHASIS = (
    re.compile(r"(\*{1,3}|__|`)(?=\S)([^*`]{1,400}?)(?<=\S)\1"),
    re.compile(r"(?<!\w)(_)(?=\S)([^_]{1,400}?)(?<=\S)_(?!\w)"),
)
_ANSWER_TAGS = re.compile(r"answer|output|response|result|json|final|solution|captions?|prompts?|code", re.IGNORECASE)


@dataclass(frozen=True)
class Captions:
    """A list found in a text: where it stands, its items (those that are texts, without numbers and emphasis), is it whole?"""

    start: int
    end: int
    items: list
    whole: bool = True

    @property
    def score(self) -> int:
        """How many items may be captions."""
        return sum(isinstance(item, str) and len(item.split()) >= MIN_WORDS for item in self.items)


def captions(content: str) -> tuple[Captions | None, bool]:
    """(the list that counts, is there any JSON): the last of the long ones. A list echoed or drafted before it is none, nor is a bracket.

    None where there is no list, or none that can be told from another. A list that breaks off holds the items that were whole.
    """
    found, values = _lists(content)
    if not any(one.score for one in found) and content.translate(_QUOTES) != content:
        found, values = _lists(content.translate(_QUOTES))
    found = _after_tags(content, found)
    best = max((one.score for one in found), default=0)
    if best:
        return next(one for one in reversed(found) if 2 * one.score >= best), True
    return max(found, key=lambda one: (len(one.items), one.start), default=None), bool(values)


def plain(text: str) -> str:
    """A caption without the number, bullet, quotation marks and emphasis that a model gives it."""
    if len(text) > LONGEST_TEXT:
        return text
    before = None
    while before != text:
        before, text = text, _LABEL.sub("", text, count=1).strip()
        for pattern in _EMPHASIS:
            text = pattern.sub(r"\2", text)
        for opening, closing in ('""', "“”", "''", "«»"):
            if len(text) > 2 and text[0] == opening and text[-1] == closing and not {opening, closing} & set(text[1:-1]):
                text = text[1:-1].strip()
    return text


def _lists(content: str) -> tuple[list[Captions], list]:
    """(the lists of a text in their order, the JSON values in it)"""
    values = list(_values(content))
    found, alone = [], False
    for start, end, value, whole in values:
        items = _items(value)
        if items is None and whole:
            continue
        items = items or []
        one = Captions(start, end, items, whole)
        if len(items) == 1 and alone and _NO_GAP.fullmatch(content, found[-1].end, start):  # an object a line
            found[-1] = Captions(found[-1].start, end, [*found[-1].items, *items], whole)
            continue
        alone = len(items) == 1
        found.append(one)
    return sorted([*found, *_bulleted(content, [value[:2] for value in values])], key=lambda one: one.start), values


def _values(content: str) -> Iterator[tuple[int, int, object, bool]]:
    """(start, end, value, whole) of each JSON list or object in a text, also of one that is nearly JSON, or breaks off with the text."""
    from pydantic_core import from_json

    bracket, position, failed = re.compile(r"[\[{]"), 0, 0
    for _ in range(ATTEMPTS):
        match = bracket.search(content, position)
        if not match:
            return
        start = match.start()
        try:
            value, position = json.JSONDecoder().raw_decode(content, start)
            yield start, position, value, True
            continue
        except (ValueError, RecursionError):
            failed += 1
        end = _closing(content, start) if failed <= LENIENT_ATTEMPTS else None
        if end:
            try:
                value = ast.literal_eval(content[start:end])
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


def _items(value: object, depth: int = 0) -> list | None:
    """The items of the list that a JSON value is, or holds under a telling name or alone; None where that cannot be told."""
    if isinstance(value, list):
        if len(value) == 1 and isinstance(value[0], list) and depth < 4:
            return _items(value[0], depth + 1)
        return [_text(item) for item in value]
    if not isinstance(value, dict) or depth == 4:
        return None
    names = {str(name).strip().lower(): name for name in value}
    named = next((value[names[name]] for name in _NAMES if name in names and isinstance(value[names[name]], (list, dict))), None)
    if named is not None:
        return _items(named, depth + 1)
    inside = [own for own in value.values() if isinstance(own, list)]
    if len(inside) > 1:  # beside a list of numbers or words, say
        inside = [own for own in inside if Captions(0, 0, [_text(item) for item in own]).score]
    if inside:
        return _items(inside[0], depth + 1) if len(inside) == 1 else None
    if value and all(re.search(r"\d", str(name)) for name in value):  # {"caption_1": …, "caption_2": …}
        return [_text(own) for own in value.values()]
    one = _text(value)
    if isinstance(one, str):
        return [one]
    objects = [own for own in value.values() if isinstance(own, dict)]
    return _items(objects[0], depth + 1) if len(objects) == 1 else None


def _text(item: object) -> object:
    """The caption of an item: itself, or what an object holds under a telling name, or as its only text; else the item as it is."""
    if isinstance(item, str):
        return plain(item)
    if isinstance(item, dict):
        texts = {str(name).strip().lower(): own for name, own in item.items() if isinstance(own, str)}
        telling = [own for name, own in texts.items() if name in _NAMES_OF_ONE or name.rstrip("s") in _NAMES_OF_ONE]
        for choice in (telling, list(texts.values())):
            if len(choice) == 1:
                return plain(choice[0])
    return item


def _bulleted(content: str, spans: list[tuple[int, int]]) -> list[Captions]:
    """Runs of lines that begin with a bullet or a number, or are quoted, outside of `spans`; blank lines may stand between them."""
    outside = list(content)
    for start, end in spans:
        outside[start:end] = "\0" * (end - start)
    text = "".join(outside)
    runs: list[Captions] = []
    for line in islice(_LINE.finditer(text), ATTEMPTS):
        if "\0" in line.group():
            continue
        item = plain(line[1] or line[2])
        if runs and not text[runs[-1].end : line.start()].strip():
            runs[-1].items.append(item)
            runs[-1] = Captions(runs[-1].start, line.end(), runs[-1].items)
        else:
            runs.append(Captions(line.start(), line.end(), [item]))
    return [run for run in runs if run.score]


def _after_tags(content: str, found: list[Captions]) -> list[Captions]:
    """`found` without what stands before a closing tag of any name, <draft>…</draft> say, if captions stand behind it too."""
    last = max((one.start for one in found if one.score), default=0)
    closings = [
        tag.end()
        for tag in re.finditer(r"</\s*([\w:-]{1,40})\s*>", content[:last])
        if not _ANSWER_TAGS.search(tag[1]) and not any(one.start <= tag.start() < one.end for one in found)
    ]
    return [one for one in found if one.start >= closings[-1]] if closings else found
