"""Is a photo benchmark's folder whole? All that is wrong with it, at once and before anything runs; and the target, if nothing is."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from aa_utils import files
from aa_utils.benchmarks import Target
from aa_utils.benchmarks._layout import Listing, listing
from aa_utils.benchmarks._photos import PARTIAL, Photos, asked
from aa_utils.data import decode
from aa_utils.data.images import ImageSet
from aa_utils.errors import InputError

SHOWN = 20  # of one kind of problem, in a message


@dataclass(frozen=True)
class Report:
    """What `python -m aa_utils.benchmarks` prints of one domain: (class, name in prompts, images, known or None) and the problems."""

    name: str
    folder: Path
    classes: list[tuple[str, str, int, int | None]]
    problems: list[tuple[str, str]]


def report(photos: Photos, domain: str) -> Report:
    """Everything there is to say about a domain; every image is decoded, none is kept. Errors: InputError where there is no folder."""
    name, known, found, problems = _examined(photos, domain)
    counts = Counter(label for _, label, _ in found.rows)
    rows = [(*pair, counts[k], known[k] if known else None) for k, pair in enumerate(photos.classes.items())]
    paths = [path for path, _, _ in found.rows]
    return Report(name, found.folder, rows, problems + unreadable(decode.unreadable(paths, name), paths, found.folder))


def target(photos: Photos, domain: str, size: int) -> Target:
    """The target `<benchmark>:<domain>` at `size` x `size` pixels. Errors: InputError with all that is wrong with its folder."""
    name, known, found, problems = _examined(photos, domain)
    paths = [path for path, _, _ in found.rows]
    pixels, bad = decode.pixels(paths, size, name) if not problems else (None, decode.unreadable(paths, name))
    refuse(name, found.folder, problems + unreadable(bad, paths, found.folder), f"{name}{PARTIAL}" if known else "")
    labels = torch.tensor([label for _, label, _ in found.rows])
    return Target(name, ImageSet(pixels, None, [image_id for _, _, image_id in found.rows], photos.class_names), labels)


def _examined(photos: Photos, domain: str) -> tuple[str, Sequence[int] | None, Listing, list[tuple[str, str]]]:
    """(name, counts to compare with or None, listing, problems but for those of decoding)."""
    known, partial = asked(photos, domain)
    found, counts = listing(photos, known), None if partial else known.counts
    return f"{photos.name}:{known.name}{PARTIAL if partial else ''}", counts, found, found.problems + _counted(found, photos, counts)


def unreadable(bad: decode.Bad, paths: Sequence[Path], below: Path) -> list[tuple[str, str]]:
    """The files that cannot be decoded, as problems."""
    return [("unreadable pictures", f"{paths[i].relative_to(below).as_posix()} ({reason})") for i, reason in bad]


def refuse(name: str, folder: Path, problems: list[tuple[str, str]], partial: str = "") -> None:
    """Errors: InputError that names all `problems` by kind; nothing happens where there are none."""
    if not problems:
        return
    lines = [f"'{name}' is not as it should be, in '{folder}':", *grouped(problems, SHOWN)]
    lines.append(f"python -m aa_utils.benchmarks '{name}' lists everything.")
    if partial and any(kind == "wrong counts" for kind, _ in problems):
        lines.append(f"If another number of images is intended, ask for '{partial}': counts are then not compared.")
    raise InputError("\n".join(lines))


def grouped(problems: list[tuple[str, str]], shown: int) -> list[str]:
    """One line a kind of problem, with its number and at most `shown` of them."""
    kinds: dict[str, list[str]] = {}
    for kind, what in problems:
        kinds.setdefault(kind, []).append(what)
    return [
        f"- {kind} ({len(what)}): {', '.join(what[:shown])}" + (f" and {len(what) - shown} more" if len(what) > shown else "")
        for kind, what in kinds.items()
    ]


def _counted(found: Listing, photos: Photos, counts: Sequence[int] | None) -> list[tuple[str, str]]:
    there = Counter(label for _, label, _ in found.rows)
    problems = []
    for label, name in enumerate(photos.classes):
        if not there[label]:
            problems.append(("missing classes", name))
        elif counts and there[label] != counts[label]:
            problems.append(("wrong counts", f"{name} {there[label]} instead of {counts[label]}"))
            if there[label] > counts[label]:  # originals may be alike too, so copies are looked for only where there are too many
                problems += [("copies", pair) for pair in _copies([path for path, k, _ in found.rows if k == label])]
    return problems


def _copies(paths: list[Path]) -> list[str]:
    """Pairs of files with the same bytes."""
    sizes = Counter(path.stat().st_size for path in paths)
    seen: dict[str, Path] = {}
    pairs = []
    for path in paths:
        if sizes[path.stat().st_size] > 1:
            first = seen.setdefault(files.sha256(path), path)
            if first != path:
                pairs.append(f"{path.parent.name}/{path.name} is {first.name}")
    return pairs
