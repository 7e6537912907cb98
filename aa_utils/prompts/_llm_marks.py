"""The marks that a model puts before and around a caption: bullets, numbers of many dresses, labels, emphasis."""

import html
import re

LONGEST_TEXT = 2000  # letters; a longer one is no caption, and is left as it is

# What a list puts before an item: a bullet, a box to tick, a number or letter in one of many dresses.
BULLET = (
    r"(?:[-*+•–→➤►▶▪◦‣★☆✓✔✅>]\s+(?:\[[ xX]?\]\s+)?|[①-⑳]\s*|[（(]?[０-９0-9]{1,3}[．、）]\s*|\d{1,2}\ufe0f?\u20e3\s*|#\d{1,3}[:.]?\s+)"
)
NUMBER = (
    r"[*_#]{0,4}[ \t]*(?:(?:caption|prompt|image|picture|text|no)\.?[ \t]*)?"
    r"(?:\(?#?\d{1,3}\s*\\?[.):](?:[*_]{0,2}\s+|(?=[A-Z]))|\[\d{1,3}\]\s+|\d{1,3}\s*[-–—]\s+|\(?[a-zA-Z]\)\s+|[ivx]{1,5}[.)]\s+)"
)
_LABEL = re.compile(rf"^\s*(?:{BULLET}|{NUMBER}|[*_]{{0,2}}(?:caption|prompt|text|description)[*_]{{0,2}}:[*_]{{0,2}}\s+)", re.IGNORECASE)
_EMPHASIS = (
    re.compile(r"(\*{1,3}|__|`)(?=\S)([^*`]{1,400}?)(?<=\S)\1"),
    re.compile(r"(?<!\w)(_)(?=\S)([^_]{1,400}?)(?<=\S)_(?!\w)"),
)


def plain(text: str) -> str:
    """A caption without the number, bullet, quotation marks and emphasis that a model gives it."""
    if len(text) > LONGEST_TEXT:
        return text
    text = html.unescape(text)
    before = None
    while before != text:
        before, text = text, _LABEL.sub("", text, count=1).strip()
        for pattern in _EMPHASIS:
            text = pattern.sub(r"\2", text)
        for opening, closing in ('""', "“”", "''", "«»"):
            if len(text) > 2 and text[0] == opening and text[-1] == closing and not {opening, closing} & set(text[1:-1]):
                text = text[1:-1].strip()
    return text
