"""What a class is called: one spelling for what looks the same on every screen, and no two classes that look alike.

Folders, rows, `classes.txt` and parameters name classes; all of them come through here.
"""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from aa_utils.errors import InputError
from aa_utils.files import text

LONGEST = 500  # characters of a class name; what is longer is a caption in the wrong column
# Of no width: spaces, hyphens, marks of direction, fillers. Joiners (U+200C, U+200D) and variants (U+FE0F) are part of words and emoji.
_UNSEEN = re.compile("[\u00ad\u034f\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0]")
_JOINERS = re.compile("[\u200c\u200d\ufe00-\ufe0f]")


def plain(name: str, where: str) -> str:
    """The name in one spelling: é as one character, white space as single spaces, nothing that no screen shows.

    Errors: InputError, which begins with `where`, for a name that is empty then or too long, for control characters and halves of
    characters.
    """
    spelled = " ".join(unicodedata.normalize("NFC", _UNSEEN.sub("", name)).split())
    if name.strip() and not spelled:
        raise InputError(f"{where} has a class whose name shows nothing, {name[:40]!a}; a class needs a name")
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in spelled):
        raise InputError(f"{where} has a class whose name holds control characters or half a character, {name[:40]!a}")
    if len(spelled) > LONGEST:
        raise InputError(f"{where} has a class of {len(spelled):,} characters, {name[:40]!r}…; the name of a class has at most {LONGEST}")
    return spelled


def twins(names: Sequence[str], any_case: bool = False) -> tuple[int, int] | None:
    """The positions of the first two of `names` that look alike, or None. `any_case`: those that differ in case or underscores too."""
    seen: dict[str, int] = {}
    for position, name in enumerate(names):
        shown = " ".join(unicodedata.normalize("NFC", _JOINERS.sub("", _UNSEEN.sub("", name))).split())
        shown = " ".join(shown.replace("_", " ").split()).casefold() if any_case else shown
        if shown in seen:
            return seen[shown], position
        seen[shown] = position
    return None


def check(names: Sequence[str], where: str, way_out: str) -> None:
    """Errors: InputError, with the two names and the `way_out`, where two of `names` look alike."""
    pair = twins(names)
    if pair:
        one, other = (names[k] for k in pair)
        raise InputError(f"{where} has two classes of one name, {one!a} and {other!a}; {way_out}")


def lines(path: Path) -> list[str]:
    """The lines of a `classes.txt`, one a class, in the order of the labels; blank ones and those that start with # do not count."""
    return [line.strip() for line in text.lines(text.read(path)) if line.strip() and not line.startswith("#")]
