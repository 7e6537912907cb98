"""Lists of captions in whatever form a model writes them: JSON, nearly JSON, an object a line, a Markdown list.

Why no library for broken JSON: json-repair (0.64.4) closes a text that was cut in the middle, so half a caption would count as a whole one,
and it takes brackets in prose for the answer. Here a text counts only where its end was written.
"""

import json
import re
from dataclasses import dataclass
from itertools import islice

from aa_utils.prompts._llm_lines import MIN_WORDS, forms, numbers_apart
from aa_utils.prompts._llm_marks import BULLET, NUMBER, plain
from aa_utils.prompts._llm_values import ATTEMPTS, json_values

_NAMES = (
    "final",
    "prompts",
    "captions",
    "texts",
    "descriptions",
    "sentences",
    "answers",
    "results",
    "items",
    "answer",
    "result",
    "output",
    "data",
)
_CALLS = ("arguments", "parameters", "args", "input")  # of a function that the model would like to call
_NAMES_OF_ONE = ("caption", "prompt", "text", "description", "sentence", "content", "value")
_FIELDS = re.compile(r"(?:[ \t]+\w[\w ]{0,30}:[^\n]*|[ \t]*)(?:\n|\Z)")  # further fields of an item in YAML
_LINE_ENDS = re.compile("\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_NO_GAP = re.compile(r"[\s,;\d.):*•-]*")  # between the objects of one list
_LINE = re.compile(rf"^[ \t]*(?:(?:{BULLET}|(?i:{NUMBER}))(\S.*)|(\"[^\n]+\"|“[^\n]+”|`[^\n`]+`)[ \t]*,?)[ \t]*$", re.MULTILINE)
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


def captions(content: str, count: int = 0) -> tuple[Captions | None, bool]:
    """(the list that counts, is there any JSON): the last of the long ones. A list echoed or drafted before it is none, nor is a bracket.

    `count`, where known, is how many captions were asked for: a list of so many is long. Notes in Markdown behind JSON are no captions.
    None where there is no list, or none that can be told from another. A list that breaks off holds the items that were whole.
    """
    content = numbers_apart(_LINE_ENDS.sub("\n", content))
    found, values = _lists(content)
    for other in forms(content, count):
        if not any(one.score for one in found) and other != content:
            found, values = _lists(other)
            content = other if any(one.score for one in found) else content
    found = _after_tags(content, found)
    best = max((one.score for one in found), default=0)
    if best:
        enough = count if 0 < count <= best else best / 2
        long = [one for one in found if one.score >= enough]
        return ([one for one in long if content[one.start] in "[{"] or long)[-1], True
    return max(found, key=lambda one: (len(one.items), one.start), default=None), bool(values)


def _lists(content: str) -> tuple[list[Captions], list]:
    """(the lists of a text in their order, the JSON values in it)"""
    values = list(json_values(content))
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
    spans = [(start, end) for start, end, value, _ in values if value and not (isinstance(value, list) and isinstance(value[0], int))]
    return sorted([*found, *_bulleted(content, spans)], key=lambda one: one.start), values


def _items(value: object, depth: int = 0) -> list | None:
    """The items of the list that a JSON value is, or holds under a telling name or alone; None where that cannot be told."""
    if isinstance(value, list):
        if len(value) == 1 and isinstance(value[0], list) and depth < 4:
            return _items(value[0], depth + 1)
        items = [_text(item) for item in value]
        return _lines(items[0]) or items if len(items) == 1 and isinstance(items[0], str) else items
    if not isinstance(value, dict) or depth == 4:
        return None
    names = {str(name).strip().lower(): name for name in value}
    named = next((value[names[name]] for name in _NAMES if name in names and isinstance(value[names[name]], (list, dict))), None)
    if named is not None:
        return _items(named, depth + 1)
    inside = [own for own in value.values() if isinstance(own, list)]
    if len(inside) > 1:  # beside a list of numbers or words, say
        inside = [own for own in inside if Captions(0, 0, [_text(item) for item in own]).score]
    call = next((value[names[name]] for name in _CALLS if name in names and "name" in names), None)
    if call is not None:
        return _lines(call) if isinstance(call, str) else _items(call, depth + 1)
    if inside:
        return _items(inside[0], depth + 1) if len(inside) == 1 else None
    if value and all(re.search(r"\d", str(name)) for name in value):  # {"caption_1": …, "caption_2": …}
        return [_text(own) for own in value.values()]
    one = _text(value)
    if isinstance(one, str):
        return _lines(one) or [one]
    objects = [own for own in value.values() if isinstance(own, dict)]
    return _items(objects[0], depth + 1) if len(objects) == 1 else None


def _lines(text: str) -> list | None:
    """The captions that one text holds, as JSON or one a line; None for a single one."""
    if text[:1] in ("[", "{"):
        try:
            return _items(json.loads(text), 1)
        except (ValueError, RecursionError):
            return None
    lines = [plain(line) for line in text.split("\n") if line.strip()]
    return lines if len(lines) > 1 and all(len(line.split()) >= MIN_WORDS for line in lines) else None


def _text(item: object) -> object:
    """The caption of an item: itself, or what an object holds under a telling name, or as its only text; else the item as it is."""
    if isinstance(item, str):
        return plain(item)
    if isinstance(item, list):  # [1, "a caption"]
        inside = [own for own in item if isinstance(own, str)]
        return plain(inside[0]) if len(inside) == 1 else item
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
        item = plain(_unescaped(line[1] or line[2]))
        if runs and not _FIELDS.sub("", text[runs[-1].end : line.start()].lstrip("\n")).strip():
            runs[-1].items.append(item)
            runs[-1] = Captions(runs[-1].start, line.end(), runs[-1].items)
        else:
            runs.append(Captions(line.start(), line.end(), [item]))
    return [run for run in runs if run.score]


def _unescaped(text: str) -> str:
    """A text that is written as JSON has it, `"a \\"B\\""`, as it reads."""
    try:
        value = json.loads(text.rstrip(", "))
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, str) else text


def _after_tags(content: str, found: list[Captions]) -> list[Captions]:
    """`found` without what stands before a closing tag of any name, <draft>…</draft> say, if captions stand behind it too."""
    last = max((one.start for one in found if one.score), default=0)
    closings = [
        tag.end()
        for tag in re.finditer(r"</\s*([\w:-]{1,40})\s*>", content[:last])
        if not _ANSWER_TAGS.search(tag[1]) and not any(one.start <= tag.start() < one.end for one in found)
    ]
    return [one for one in found if one.start >= closings[-1]] if closings else found
