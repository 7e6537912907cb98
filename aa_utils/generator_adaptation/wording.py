"""Sentences that name the class of an image, for generators that have classes."""

from aa_utils.errors import InputError


def in_classes(text: str, class_names: tuple[str, ...]) -> list[str]:
    """`text` for each class, its name put where {} stands; `text` alone without a {}. Errors: InputError for a {} without names."""
    if "{}" not in text:
        return [text]
    if not class_names:
        raise InputError(f"{text!r} asks for the name of a class; give class_names, in the order of the generator's classes")
    return [text.replace("{}", name) for name in class_names]
