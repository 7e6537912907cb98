"""Captions that stand in no list: lines, headings, tables, tags, numbers within one line. Each form is rewritten as a Markdown list."""

import csv
import re
from collections.abc import Iterator

MIN_WORDS = 3  # a caption has more words than "first caption"

_COLUMNS = ("caption", "prompt", "text", "description", "sentence")  # of a table, where captions stand
_QUOTES = str.maketrans({"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'"})
_TAGGED = re.compile(
    r"<((?:li|item|prompt|caption|text|description|sentence|s)[_-]?\d{0,3})\b[^<>\n]{0,80}>\s*(?:<!\[CDATA\[)?([^<>]{1,2000}?)(?:\]\]>)?\s*</\1\s*>",
    re.IGNORECASE,
)
_CELLS = re.compile(r"^[ \t]*\|(.+)\|[ \t]*$", re.MULTILINE)
_RULE = re.compile(r"[\s|:-]+")
_INLINE = re.compile(r"^[ \t]*1([.)])[ \t]", re.MULTILINE)
_COUNTED = re.compile(r"^\d{1,3}[ \t]*[,;\t][ \t]*")  # of a table without bars
_ASSIGNED = re.compile(r"^\w{1,30}\s*=\s*(\".*\")[;,]?$")


def forms(content: str, count: int) -> Iterator[str]:
    """`content` in other forms, the likeliest first: straight quotation marks, and what is no list as one.

    `count`: how many captions were asked for, 0 if unknown.
    """
    yield content.translate(_QUOTES)
    table = _comma_separated(content)
    if table:
        yield table
    yield _tables(_TAGGED.sub(r"\n- \2\n", content))
    lines = _lines(content)
    # Prose has lines too: only where there are as many as were asked for are they captions.
    if count > 1 and len(lines) == count and not re.search(r"[\[{<]", content):
        yield "\n".join(f"- {line}" for line in lines)


def _tables(content: str) -> str:
    """`content` with each row of a Markdown table as a bullet: the cell below a telling heading, else the one with the most words."""
    rows = [match for match in _CELLS.finditer(content) if not _RULE.fullmatch(match.group())]
    column = next((k for match in rows[:1] if (k := _telling(match[1].split("|"))) is not None), None)
    for match in reversed(rows):
        cells = match[1].split("|")
        cell = cells[column] if column is not None and column < len(cells) else max(cells, key=lambda text: len(text.split()))
        if len(cell.split()) >= MIN_WORDS:
            content = f"{content[: match.start()]}- {cell.strip()}{content[match.end() :]}"
    return content


def _telling(header: list[str]) -> int | None:
    """The column of a table whose heading says that captions stand in it."""
    return next((k for k, name in enumerate(header) if name.strip(' \t"*_').lower().removesuffix("s") in _COLUMNS), None)


def _comma_separated(content: str) -> str | None:
    """The captions of a CSV table as bullets; None for a text that does not begin as one with a telling heading."""
    lines = [line for line in content.split("\n") if line.strip() and not line.lstrip().startswith("```")]
    for delimiter in ",;\t":
        try:
            header, *rows = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
        except (ValueError, csv.Error):
            return None
        column = _telling(header) if len(header) > 1 else None
        if column is not None and rows and all(len(row) == len(header) for row in rows):
            return "\n".join(f"- {' '.join(row[column].split())}" for row in rows)
    return None


def numbers_apart(content: str) -> str:
    """`content` with a line end before 2., 3., … of a line that begins with 1."""
    made = []
    for line in content.split("\n"):
        start = _INLINE.match(line)
        position, number = (start.end(), 2) if start else (0, 0)
        while number and (found := re.compile(rf"(?<=\s){number}\{start[1]}(?=\s)").search(line, position)):
            line = f"{line[: found.start()].rstrip()}\n{line[found.start() :]}"
            position, number = found.end() + 1, number + 1
        made.append(line)
    return "\n".join(made)


def _lines(content: str) -> list[str]:
    """The lines that may be captions: no headings, no introductions that end in a colon, no short ones."""
    lines = [line.strip() for line in content.split("\n")]
    lines = [line for line in lines if len(line.split()) >= MIN_WORDS and not line.startswith("#") and not line.rstrip("*_ ").endswith(":")]
    return [_bare(line) for line in lines]


def _bare(line: str) -> str:
    """A line without the number of its row, or the name that is given to its text."""
    bare = _COUNTED.sub("", line)
    if bare != line and bare[0] == bare[-1] == '"':  # CSV
        return bare[1:-1].replace('""', '"')
    return _ASSIGNED.sub(r"\1", bare)
