"""Which categories of a list a sentence names: "two alarm-clocks" names alarm clock, not clock; "no mug" and "a mug rack" name no mug."""

import re
import unicodedata
from dataclasses import dataclass

from aa_utils.errors import InputError

_WORD = re.compile(r"[^\W_]+")
# Dropping the s makes another thing of these.
_OWN_MEANING = {
    "binoculars", "clothes", "glasses", "goggles", "goods", "jeans", "leggings", "pants", "pliers", "scales", "scissors", "shorts",
    "sunglasses", "tights", "tongs", "trousers", "woods",
}  # fmt: skip
_IRREGULAR = {
    "mice": "mouse", "people": "person", "children": "child", "feet": "foot", "teeth": "tooth",
    "geese": "goose", "oxen": "ox", "dice": "die",
}  # fmt: skip
_DETERMINERS = ("a", "an", "the")
# Before the category, in the same clause: then the picture is without it, or of something else that looks so.
_DENIES = re.compile(
    r"\b(no|not|without|never|minus|sans|lack|lacks|lacking|missing|except|excluding|like|resembles|resembling|imitating"
    r"|instead of|rather than|devoid of|free of|absence of|in place of)( \w+){0,2}$"
)
_HYPHENATED = {"like", "shaped", "free", "less", "themed", "inspired", "sized", "style", "styled"}  # "a mug-shaped vase"
# After the category: then the picture is of that. Not complete, and cannot be: the CLIP scores of the images find the rest.
_OTHER_HEAD = {
    "booth", "booths", "club", "commercial", "dealer", "driver", "drivers", "factory", "holder", "holders", "lane", "lanes", "logo",
    "lover", "maker", "museum", "opener", "pad", "pads", "park", "path", "player", "players", "race", "rack", "racks", "repairman",
    "sharpener", "shop", "shops", "station", "stations", "stop", "stops", "store", "stores", "thief", "ticket", "tickets", "track",
    "tracks", "trail", "trap", "traps",
}  # fmt: skip


@dataclass(frozen=True)
class Names:
    """The categories as a sentence may name them: form (words, the last one singular) -> label."""

    forms: dict[tuple[str, ...], int]
    longest: int  # words

    def named(self, text: str) -> tuple[set[int], set[int]]:
        """(labels the sentence shows, labels whose words are there at all) by the longest match: "alarm clock" is no "clock".

        The second holds the first, and those only denied or hinted at ("no mug", "a mug-shaped vase", "a mug rack").
        """
        words, gaps = _words(text)
        found = []
        for start in range(len(words)):
            for end in range(start + 1, min(start + self.longest, len(words)) + 1):
                label = self._label(words[start:end], gaps[start + 1 : end])
                if label is not None:
                    found.append((start, end, label))
        whole = [a for a in found if not any(b[0] <= a[0] and a[1] <= b[1] and b[1] - b[0] > a[1] - a[0] for b in found)]
        return {label for start, end, label in whole if _shown(words, gaps, start, end)}, {label for _, _, label in whole}

    def _label(self, words: list[str], gaps: list[str]) -> int | None:
        if any(gap.strip(" -_/") for gap in gaps):  # "pen, knife" is no pen knife
            return None
        candidates = [words]
        if len(words) > 1 and all(gap == "-" for gap in gaps):  # "back-pack" is a backpack
            candidates.append(["".join(words)])
        for own in candidates:
            for last in _singulars(own[-1]):
                label = self.forms.get((*own[:-1], last))
                if label is not None:
                    return label
        return None


def names(class_names: list[str], synonyms: dict[str, list[str]]) -> Names:
    """`Names` of the classes, each by its name and its `synonyms`. Underscores, hyphens, case, accents and the plural make no difference.

    Errors: InputError for a name without letters or digits, and for two classes that a sentence cannot tell apart.
    """
    forms: dict[tuple[str, ...], int] = {}
    for label, name in enumerate(class_names):
        for form in (name, *synonyms.get(name, ())):
            words = _words(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", form))[0]
            words = words[1:] if words[:1] and words[0] in _DETERMINERS and len(words) > 1 else words
            if not words:
                raise InputError(f"'{form}' of class '{name}' has no letters: no sentence could be seen to name it; give it a synonym")
            for spelled in (words, ["".join(words)]):  # "back pack", "backpack"
                for last in _singulars(spelled[-1]):
                    other = forms.setdefault((*spelled[:-1], last), label)
                    if other != label:
                        raise InputError(
                            f"'{form}' names class '{name}' and class '{class_names[other]}'; rename one, or change the synonyms"
                        )
    return Names(forms, max(max(len(form) for form in forms), 3))


def plain(text: str) -> list[str]:
    """The words of a text without case, accents and punctuation."""
    return _words(text)[0]


def _words(text: str) -> tuple[list[str], list[str]]:
    """Words without case and accents, and what stands before each of them."""
    folded = unicodedata.normalize("NFKD", re.sub(r"['’]s\b", "", text)).casefold()
    folded = "".join(ch for ch in folded if not unicodedata.combining(ch))
    words, gaps, end = [], [], 0
    for match in _WORD.finditer(folded):
        words.append(match.group())
        gaps.append(folded[end : match.start()])
        end = match.end()
    return words, gaps


def _shown(words: list[str], gaps: list[str], start: int, end: int) -> bool:
    """The words start:end name what the picture shows."""
    after = gaps[end] if end < len(words) else None
    if after == "-" and words[end] in _HYPHENATED:
        return False
    if after in (" ", "-") and words[end] in _OTHER_HEAD:
        return False
    clause = start
    while clause > 0 and not gaps[clause].strip(" -"):
        clause -= 1
    return not _DENIES.search(" ".join(words[clause:start]))


def _singulars(word: str) -> list[str]:
    """`word`, and what it may be the plural of."""
    if word in _OWN_MEANING or len(word) < 3:
        return [word]
    found = [word]
    if word in _IRREGULAR:
        found.append(_IRREGULAR[word])
    elif word.endswith("men"):
        found.append(word[:-3] + "man")
    elif word.endswith("ies"):
        found += [word[:-3] + "y", word[:-1]]
    elif word.endswith("ves"):
        found += [word[:-3] + "f", word[:-3] + "fe", word[:-1]]
    elif word.endswith(("ses", "xes", "zes", "ches", "shes", "oes")):
        found += [word[:-2], word[:-1]]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        found.append(word[:-1])
    return found
