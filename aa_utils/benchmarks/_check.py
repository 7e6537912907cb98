"""Is a photo benchmark's folder whole? All that is wrong with it, at once and before anything runs; and the target, if nothing is."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from aa_utils import files
from aa_utils.benchmarks import Target
from aa_utils.benchmarks._layout import Listing, listing
from aa_utils.benchmarks._photos import PARTIAL, Photos, Request, request_of
from aa_utils.data import decode
from aa_utils.data.images import ImageSet
from aa_utils.errors import InputError
from aa_utils.paths import as_text

SHOWN = 20  # of one kind of problem, in a message


@dataclass(frozen=True)
class Report:
    """What `python -m aa_utils.benchmarks` prints of one domain: (class, name in prompts, images, known or None) and the problems."""

    name: str
    folder: Path
    classes: list[tuple[str, str, int, int | None]]
    problems: list[tuple[str, str]]
    variant: str = ""


Row = tuple[Path, int, str]  # path, label, id
Choice = Callable[[list[Row]], list[Row]]


def report(photos: Photos, domain: str) -> Report:
    """Everything there is to say about a domain; every image is decoded, none is kept. Errors: InputError where there is no folder."""
    return report_of(request_of(photos, domain))


def report_of(wanted: Request, variant: Callable[[list[Path]], str] | None = None) -> Report:
    """`report` of a domain that has been asked for already; `variant` says which one its files are."""
    listed, known, problems = _examined(wanted)
    counts = Counter(label for _, label, _ in listed.rows)
    pairs = zip(wanted.folders, wanted.class_names, strict=True)
    rows = [(*pair, counts[k], known[k] if known else None) for k, pair in enumerate(pairs)]
    paths = [path for path, _, _ in listed.rows]
    said, bad = variant(paths) if variant else "", unreadable(decode.unreadable(paths, wanted.name), paths, listed.folder)
    return Report(wanted.name, listed.folder, rows, problems + bad, said)


def target(photos: Photos, domain: str, size: int) -> Target:
    """The target `<benchmark>:<domain>` at `size` x `size` pixels. Errors: InputError with all that is wrong with its folder."""
    return target_of(request_of(photos, domain), size)


def target_of(wanted: Request, size: int, choose: Choice | None = None) -> Target:
    """`target` of a domain that has been asked for already; `choose` takes some of its images, before they are decoded."""
    listed, known, problems = _examined(wanted)
    rows = choose(listed.rows) if choose and not problems else listed.rows
    paths = [path for path, _, _ in rows]
    pixels, bad = decode.pixels(paths, size, wanted.name) if not problems else (None, decode.unreadable(paths, wanted.name))
    refuse(wanted.name, listed.folder, problems + unreadable(bad, paths, listed.folder), _partial(wanted) if known else "")
    images = ImageSet(pixels, None, [image_id for _, _, image_id in rows], wanted.class_names)
    return Target(wanted.name, images, torch.tensor([label for _, label, _ in rows]))


def _partial(wanted: Request) -> str:
    name, bracket, some = wanted.name.partition("[")
    return f"{name}{PARTIAL}{bracket}{some}"


def _examined(wanted: Request) -> tuple[Listing, Sequence[int] | None, list[tuple[str, str]]]:
    """(listing of the wanted classes, counts to compare with or None, problems but for those of decoding)."""
    listed = listing(wanted.photos, wanted.domain)
    place = {k: i for i, k in enumerate(wanted.rows)}
    listed.rows = [(path, place[k], image_id) for path, k, image_id in listed.rows if k in place]
    there = Counter(label for _, label, _ in listed.rows)
    known = None if wanted.partial else wanted.counts(wanted.domain.counts)
    for part in wanted.domain.parts:
        if known and [there[k] for k in range(len(place))] == wanted.counts(part):
            known = wanted.counts(part)
    return listed, known, listed.problems + _counted(listed, wanted.folders, known)


def unreadable(bad: decode.Bad, paths: Sequence[Path], below: Path) -> list[tuple[str, str]]:
    """The files that cannot be decoded, as problems."""
    return [("unreadable pictures", f"{as_text(paths[i].relative_to(below))} ({reason})") for i, reason in bad]


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


def _counted(listed: Listing, folders: Sequence[str], counts: Sequence[int] | None) -> list[tuple[str, str]]:
    there = Counter(label for _, label, _ in listed.rows)
    problems = []
    for label, name in enumerate(folders):
        if not there[label]:
            problems.append(("missing classes", name))
        elif counts and there[label] != counts[label]:
            problems.append(("wrong counts", f"{name} {there[label]} instead of {counts[label]}"))
            if there[label] > counts[label]:  # originals may be alike too, so copies are looked for only where there are too many
                problems += [("copies", pair) for pair in _copies([path for path, k, _ in listed.rows if k == label])]
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
