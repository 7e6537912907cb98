"""The marks that a model puts before and around a caption: bullets, numbers of many dresses, labels, emphasis."""

import html
import re

LONGEST_TEXT = 2000  # letters; a longer one is no caption, and is left as it is

# What a list puts before an item: a bullet, a box to tick, a number or letter in one of many dresses.
# A bullet is any sign that no caption begins with, so that the next model's sign is one too: no letter, digit, quotation mark, opening
# bracket, nor what Markdown and JSON use for other things. Of signs that may stand in a sentence (- and the like) a space must follow.
_SIGN = r"(?:[^\w\s!-~\x00-\x1f“”„‘’«(（［【「『…]\ufe0f?)"
_COUNT = r"(?:\d{1,3}(?:\.\d{1,3})*(?:st|nd|rd|th)?|[〇一二三四五六七八九十百]{1,4}|[①-⓿❶-➓⒈-⒛⑴-⒇Ⅰ-ⅿ])"
_STOP = r"[.．):：）、,，]"
BULLET = (
    rf"(?:[-*+–—>»]\s+(?:\[[ xX]?\]\s+)?|{_SIGN}\s*|[①-⓿❶-➓⒈-⒛⑴-⒇]\s*{_STOP}?\s*|\d{{1,2}}\ufe0f?\u20e3\s*{_STOP}?\s*"
    rf"|[（(]?第?{_COUNT}\s*[．、）]\s*|第{_COUNT}\s*{_STOP}?\s*|#\d{{1,3}}[:.]?\s+|№?\s?N[º°]\s?\d{{1,3}}\s*[-–—.):、]?\s*)"
)
NUMBER = (
    r"[*_#]{0,4}[ \t]*(?:(?:caption|prompt|image|picture|text|no|scene|option|example|variant|item|step|version|idea)\.?[ \t]*)?"
    rf"(?:\(?#?{_COUNT}\s*\\?[.):](?:[*_]{{0,2}}\s+|(?=[A-Z]))|\[\d{{1,3}}\]\s+|\(?{_COUNT}\s*[-–—]\s+|\(?[a-zA-Z]\)\s+"
    r"|[ivx]{1,5}(?:[.):]|\s[-–—])\s+"
    r"|(?:one|two|three|four|five|six|seven|eight|nine|ten|first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth)"
    r"(?:[.):、]|\s[-–—])\s+)"
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
