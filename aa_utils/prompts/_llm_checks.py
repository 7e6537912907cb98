"""Is a text that a language model gave a prompt for its category? Every text that is not gets one reason."""

import math
import re
import unicodedata
from dataclasses import dataclass, field

from aa_utils.prompts._naming import Names, plain

MIN_WORDS = 3
LONGEST_TEXT = 10_000  # letters from which nothing more is looked at
LONGEST = 77  # tokens of the CLIP text encoders of Stable Diffusion, start and end included (arXiv 2103.00020, section 2.4: 76 and one)
NEAR = 0.8  # Jaccard similarity of two texts' content words from which they are one picture

_MARKUP = re.compile(r"[<>{}\[\]|\\*`_~]|&\w+;|^\W*(#|[-•]|\d+[.):])\s|https?:|www\.|--\w|\(\w[^()]*:\s*\d")
_REFUSAL = re.compile(
    r"\bas an ai\b|language model|\bi(['’]m| am) (sorry|unable|not able)|\bi (cannot|can['’]?t|won['’]?t)\b|(cannot|can['’]?t|unable to) "
    r"(assist|help|fulfil|comply|provide|create|generate)|against my (guidelines|policy)|content policy"
)
_INSTRUCTION = re.compile(
    r"\b(ignore|disregard|forget|override|bypass)\b.{0,40}\b(instructions?|previous|above|prompts?|rules?|labels?|all|everything)\b|"
    r"\b(system|user|assistant|developer)( prompt| message|:)|\byou (must|should|are now|will now)\b|"
    r"\b(new|these|following) instructions?\b|\b(re)?label (this|it|them|the|as)\b|"
    r"jailbreak|api.?key|passw|\b(exec|eval|system)\(|rm -rf|drop table|<\||\bprompts?:"
    r"|^(sure|certainly|of course|here (are|is)|note|caption|output)\b[:,! ]"
)
_ENGLISH = frozenset(
    re.findall(
        r"\w+",
        "a an the of in on at with by from to and or under over near beside behind through for its is are as into onto "
        "against two three some",
    )
)
# Frequent words of other languages in Latin letters that are no English words.
_FOREIGN = frozenset(
    re.findall(
        r"\w+",
        "ein eine einen einem einer der das und auf mit im von zum zur dem den vor bei ist un une le la les des du et "
        "avec dans sur pour est una uno el los las y con en de del por sobre para il lo gli di da nel nella sul sulla e "
        "um uma os na nas nos em com ao het een op met te",
    )
)


@dataclass
class Checker:
    """Judges the texts of one class, one after the other; it remembers what was accepted, for a copy is none."""

    label: int
    names: Names
    letters: frozenset[str] = frozenset()  # beyond Latin ones, those that the class names have
    accepted: list[str] = field(default_factory=list)
    _seen: list[frozenset[str]] = field(default_factory=list)
    _texts: set[tuple[str, ...]] = field(default_factory=set)

    def judge(self, item: object) -> str:
        """ "" if `item` was accepted (then it is the last of `accepted`, its white space made plain), else the reason why not."""
        if not isinstance(item, str):
            return "not text"
        if len(item) > LONGEST_TEXT:
            return "too long"
        text = " ".join(unicodedata.normalize("NFC", item).split())
        reason = self._reason(text)
        if not reason:
            words = plain(text)
            self.accepted.append(text)
            self._texts.add(tuple(words))
            self._seen.append(_content(words))
        return reason

    def _reason(self, text: str) -> str:
        words, lower = plain(text), text.casefold()
        shown, there = self.names.named(text)
        rules = (
            ("refusal", lambda: is_refusal(text)),
            ("instruction", lambda: _INSTRUCTION.search(lower)),
            ("markup", lambda: _MARKUP.search(text) or not all(map(_printable, text))),
            ("other language", lambda: self._other_language(text, words)),
            ("too short", lambda: len(words) < MIN_WORDS),
            ("too long", lambda: tokens(text) > LONGEST),
            ("names another class", lambda: there - {self.label}),
            ("loses the category", lambda: self.label not in there),
            ("denies the category", lambda: self.label not in shown),
            ("duplicate", lambda: tuple(words) in self._texts),
            ("near-duplicate", lambda: self._near(_content(words))),
        )
        return next((reason for reason, applies in rules if applies()), "")

    def _other_language(self, text: str, words: list[str]) -> bool:
        if any(ch.isalpha() and ch not in self.letters and not unicodedata.name(ch, "").startswith("LATIN ") for ch in text):
            return True
        return sum(word in _FOREIGN for word in words) > sum(word in _ENGLISH for word in words)

    def _near(self, content: frozenset[str]) -> bool:
        return any(len(content & other) >= NEAR * len(content | other) for other in self._seen)


def is_refusal(text: str) -> bool:
    """The text says that the model will not write."""
    return bool(_REFUSAL.search(text.casefold()))


def tokens(text: str) -> int:
    """About how many tokens CLIP's byte-pair encoding makes of a text, rather too many: a token for 6 letters, a digit, a mark.

    20_generate counts exactly, with the tokenizer of the model that it runs.
    """
    pieces = re.findall(r"[^\W\d_]+|\d|[^\w\s]|_", text)
    return 2 + sum(math.ceil(len(piece) / 6) if piece.isascii() else len(piece.encode()) for piece in pieces)


def _content(words: list[str]) -> frozenset[str]:
    return frozenset(word for word in words if word not in _ENGLISH)


def _printable(ch: str) -> bool:
    # Letters, marks, digits, punctuation and the space; no control or formatting characters, no surrogates, no emoji.
    return unicodedata.category(ch)[0] in "LMNPZ" or ch in "°+=$€£×&%"
