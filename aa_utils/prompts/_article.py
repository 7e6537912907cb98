"""A category name as a noun phrase: "an hourglass", "a unicorn", "an MRI scan", "scissors"."""

import re
import unicodedata

# Heard, not spelled: a consonant sound behind a vowel letter, and a vowel sound behind a silent h.
_CONSONANT_SOUND = re.compile(r"uni(?!n|m)|us[aeiu]|ut[aei]|eu|ew|ubiq|ukulele|urani|urin|urolog|uv[ae]|one\b|once\b", re.IGNORECASE)
_VOWEL_SOUND = re.compile(r"hour|honest|honou?r|heir", re.IGNORECASE)
_LETTERS_HEARD_WITH_VOWEL = "AEFHILMNORSX"
# Names that are plural in form, by their last word: "a scissors" is no English.
_PLURAL = {
    "binoculars", "boots", "chopsticks", "clothes", "earphones", "earrings", "flipflops", "flip-flops", "glasses", "gloves", "goggles",
    "headphones", "jeans", "leggings", "noodles", "pajamas", "pants", "pliers", "scales", "scissors", "shoes", "shorts", "slippers",
    "sneakers", "socks", "stairs", "sunglasses", "tights", "tongs", "trousers", "tweezers",
}  # fmt: skip
_DETERMINERS = ("a", "an", "the", "some", "many", "several", "two", "three")


def with_article(name: str) -> str:
    """`name` with "a" or "an" before it; plural names and names with their own article stay bare. Underscores become spaces."""
    phrase = " ".join(name.replace("_", " ").split())
    words = phrase.split(" ")
    has_own = words[0].lower() in _DETERMINERS and len(words) > 1
    if has_own or words[-1].lower() in _PLURAL:
        return phrase
    return f"{'an' if _starts_with_vowel_sound(words[0]) else 'a'} {phrase}"


def _starts_with_vowel_sound(word: str) -> bool:
    first = unicodedata.normalize("NFD", word)[0]  # É counts as E
    if len(word) == 1 or (word.isupper() and not re.search("[AEIOU]", word[:2])):  # spelled out: "an F", "an MRI", "a TV"
        return first.upper() in _LETTERS_HEARD_WITH_VOWEL
    if word[:2].isupper() and first == "U":  # "a USB stick"
        return False
    return bool(_VOWEL_SOUND.match(word)) or (first.lower() in "aeiou" and not _CONSONANT_SOUND.match(word))
