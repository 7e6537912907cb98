"""What a photo benchmark knows of itself before any file is opened: classes, domains, counts, layout, and where to get it."""

import re
from dataclasses import dataclass, field

from aa_utils.errors import InputError

PARTIAL = "-partial"  # office31:amazon-partial: another number of images is intended


@dataclass(frozen=True)
class Domain:
    """One domain: `name` in `office31:<name>`, `short` as tables of the literature write it, further spellings, images of each class."""

    name: str
    short: str
    what: str
    counts: tuple[int, ...]
    aliases: tuple[str, ...] = ()  # of the argument; letter case and punctuation do not count
    folders: tuple[str, ...] = ()  # names of its folder besides `name`


@dataclass(frozen=True)
class Photos:
    """A benchmark of photo folders. `classes`: folder name -> name in prompts, in the order of the labels."""

    name: str  # the module, and the folder below AA_DATA
    title: str
    source: str  # where to get it, on which terms
    layout: str  # one file as it lies below AA_DATA/<name>
    classes: dict[str, str]
    domains: tuple[Domain, ...]
    lists: tuple[str, ...] = ()  # list files, from the folder that holds the domain's: {folder} and {name} are the domain's
    listed: bool = False  # labels come from a list file where there is one; else class folders say them, and a list must agree
    signs: dict[str, str] = field(default_factory=dict)  # a folder's or file's name up to its first . or _ -> its class
    twice: frozenset[str] = frozenset()  # files that the list has under two labels, each of them an image of the benchmark

    @property
    def class_names(self) -> list[str]:
        """Readable names for prompts, in the order of the labels."""
        return list(self.classes.values())


def plain(name: str) -> str:
    """`name` without letter case and punctuation: "Real World", "Real_World" and "realworld" are one."""
    return re.sub(r"[\W_]", "", name).lower()


def asked(photos: Photos, domain: str) -> tuple[Domain, bool]:
    """The domain that is asked for, and whether other counts are intended (`amazon-partial`). Errors: InputError for an unknown one."""
    name, partial = domain.removesuffix(PARTIAL), domain.endswith(PARTIAL)
    for known in photos.domains:
        if plain(name) in {plain(spelling) for spelling in (known.name, known.short, *known.aliases)}:
            return known, partial
    there = ", ".join(f"'{photos.name}:{known.name}' ({known.what})" for known in photos.domains)
    said = f"'{photos.name}:{domain}'" if domain else f"'{photos.name}' alone"
    raise InputError(f"{said} is no domain; {photos.title} has {there}")
