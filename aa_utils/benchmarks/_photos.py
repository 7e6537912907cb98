"""What a photo benchmark knows of itself before any file is opened: classes, domains, counts, layout, and where to get it.

A domain is asked for as `office31:amazon`; as `office31:amazon-partial` where another number of images is intended; and as
`office31:amazon[mouse,pen]` for some of its classes, by folder name or by name in prompts.
"""

import re
from dataclasses import dataclass, field, replace

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
    parts: tuple[tuple[int, ...], ...] = ()  # counts of parts that are published as such, as right as `counts`


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


@dataclass(frozen=True)
class Request:
    """A domain as it is asked for. `rows`: the positions of the wanted classes among the benchmark's, ascending; `name` says all of it."""

    photos: Photos
    domain: Domain
    partial: bool
    rows: tuple[int, ...]

    @property
    def name(self) -> str:
        """The one spelling of the request: `office31:webcam-partial[mouse,pen]`, folder names in the order of the labels."""
        some = f"[{','.join(self.folders)}]" if len(self.rows) < len(self.photos.classes) else ""
        return f"{self.photos.name}:{self.domain.name}{PARTIAL * self.partial}{some}"

    @property
    def folders(self) -> list[str]:
        """Folder names of the wanted classes, in the order of the labels."""
        return [name for k, name in enumerate(self.photos.classes) if k in self.rows]

    @property
    def class_names(self) -> list[str]:
        """Names in prompts of the wanted classes, in the order of the labels."""
        return [self.photos.classes[name] for name in self.folders]

    def counts(self, of: tuple[int, ...]) -> list[int]:
        """What `of`, a count for each class of the benchmark, says of the wanted classes."""
        return [of[k] for k in self.rows]

    def only(self, classes: list[str]) -> "Request":
        """The same request for the folders `classes` alone."""
        return replace(self, rows=tuple(k for k, name in enumerate(self.photos.classes) if name in classes))


def request_of(photos: Photos, domain: str) -> Request:
    """What `domain` asks for. Errors: InputError for an unknown domain or class, or for fewer than two classes."""
    whole, bracket, listed = domain.partition("[")
    name, partial = whole.removesuffix(PARTIAL), whole.endswith(PARTIAL)
    for known in photos.domains:
        if plain(name) in {plain(spelling) for spelling in (known.name, known.short, *known.aliases)}:
            return Request(photos, known, partial, _classes(photos, domain, listed) if bracket else tuple(range(len(photos.classes))))
    there = ", ".join(f"'{photos.name}:{known.name}' ({known.what})" for known in photos.domains)
    said = f"'{photos.name}:{domain}'" if domain else f"'{photos.name}' alone"
    raise InputError(f"{said} is no domain; {photos.title} has {there}")


def _classes(photos: Photos, domain: str, listed: str) -> tuple[int, ...]:
    """Positions of the classes in "mouse,pen]". A folder's name comes before a name in prompts, where both are there."""
    said, names = f"'{photos.name}:{domain}'", [name.strip() for name in listed.removesuffix("]").split(",") if name.strip()]
    spelled = {plain(name): k for k, name in enumerate(photos.class_names)} | {plain(name): k for k, name in enumerate(photos.classes)}
    unknown = [name for name in names if plain(name) not in spelled]
    if unknown:
        raise InputError(f"{said}: {photos.title} has no class {', '.join(map(repr, unknown))}; it has {', '.join(photos.classes)}")
    rows = [spelled[plain(name)] for name in names]
    if not listed.endswith("]") or len(rows) < 2 or len(set(rows)) < len(rows):
        raise InputError(f"{said}: give two classes or more, none of them twice, as '{photos.name}:{photos.domains[0].name}[mouse,pen]'")
    return tuple(sorted(rows))
