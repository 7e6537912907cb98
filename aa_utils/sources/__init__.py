"""Images that exist already as a labelled source, wherever they came from: another generator, a web service, a colleague.

A folder is class sub-folders, or a Hugging Face imagefolder with metadata (`listing`). Its classes are matched with the class names that
are wanted (`class_names`), of which it may have more. `load` reads it where it lies; `write` makes a source of it as notebook 20 does: its
record says the folder, the matches, how many images of each class there were and how many are used. Only what is used is decoded.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from aa_utils import benchmarks
from aa_utils.benchmarks._check import Report, refuse, unreadable
from aa_utils.data import decode, filtering, images, spelling
from aa_utils.data.images import ImageSet
from aa_utils.data.rows import write as write_rows
from aa_utils.errors import InputError
from aa_utils.paths import is_half_made, resolve
from aa_utils.progress import progress
from aa_utils.runner import record
from aa_utils.seeds import stable_hash
from aa_utils.sources import class_names as names
from aa_utils.sources.listing import Listing, listing, place

LONGEST_NAME = 255  # bytes of a file's name on nearly every disk


@dataclass(frozen=True)
class Chosen:
    """The images of a folder that are used. `rows`: (picture, label, id), by label and id. `matches`: one for each class, in order."""

    listing: Listing
    rows: list[tuple[Path, int, str]]
    matches: list[names.Match]

    @property
    def table(self) -> list[dict]:
        """A row a class: class_name, the folder's own word, the rule that matched them, images there, and images used."""
        used = [label for _, label, _ in self.rows]
        there = self.listing.counts
        return [
            {"class_name": m.class_name, "in_folder": m.folder, "matched_by": m.rule, "there": there[m.folder], "used": used.count(k)}
            for k, m in enumerate(self.matches)
        ]

    @property
    def not_used(self) -> list[str]:
        """Classes of the folder that are none of the wanted ones."""
        return [name for name in self.listing.counts if name not in {match.folder for match in self.matches}]


def is_written(folder: str | Path) -> bool:
    """Whether `folder` is one that this package wrote (notebooks 20, 21, 74), which `images.load` reads."""
    path = resolve(folder) / "metadata.jsonl"
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        first = stream.readline(1 << 20)
    return b'"class_name"' in first and b'"label"' in first


def choose(
    folder: str | Path, class_names: Sequence[str], per_class: int = 0, seed: int = 0, rename: Mapping[str, str] | None = None
) -> Chosen:
    """At most `per_class` images (0 = all) of each of `class_names` (none = those of the folder), drawn by name and `seed`.

    A smaller draw is part of a larger one. Errors: InputError with all that is wrong with the folder, and for classes without a match.
    """
    if is_half_made(folder):
        raise InputError(f"the images in '{folder}' are not all made; run the call that makes them again")
    if per_class < 0:
        raise InputError(f"per_class is {per_class}; it is 0 (all images) or a positive number")
    found = listing(folder)
    refuse(f"folder:{folder}", found.root, found.problems)
    try:
        matches = names.matched(list(found.counts), list(class_names) or [_spoken(name) for name in found.counts], rename)
    except InputError as error:
        raise InputError(f"'{folder}': {error}") from None
    if len(matches) < 2:
        raise InputError(f"'{folder}' has one class, {matches[0].class_name!r}; a classifier needs two or more")
    label = {match.folder: k for k, match in enumerate(matches)}
    of: dict[int, list[tuple[str, Path]]] = {k: [] for k in range(len(matches))}
    for path, name in found.rows:
        if name in label:
            of[label[name]].append((found.name(path), path))
    rows = []
    for k, members in of.items():
        drawn = sorted(members, key=lambda row: stable_hash("source", seed, row[0]))[:per_class] if per_class else members
        rows += [(path, k, name) for name, path in sorted(drawn)]
    return Chosen(found, rows, matches)


def load(
    folder: str | Path,
    size: int,
    class_names: Sequence[str] = (),
    per_class: int = 0,
    seed: int = 0,
    rename: Mapping[str, str] | None = None,
) -> ImageSet:
    """`choose`'s images at `size` x `size` pixels with their labels; a folder that this package wrote is read by `images.load`.

    Errors: InputError as of `choose`, and for pictures that cannot be read, all of them named.
    """
    if is_written(folder) and not rename:
        return images.limit(images.load(folder, size, class_names or None), per_class, seed)
    return read(choose(folder, class_names, per_class, seed, rename), size)


def of_run(run: Mapping[str, Any], size: int, class_names: Sequence[str], seed: int) -> ImageSet:
    """The labelled images that seed `seed` of a run of notebook 30 learned from; `run` is its record.

    Errors: InputError as of `load`, and where the folder holds other images than then.
    """
    about, then = run["parameters"], next(row for row in run["inputs"] if row["name"] == "source")
    if record.describe_input("source", about["source"])["sha256"] != then["sha256"]:
        raise InputError(f"'{about['source']}' holds other images than those that stage 3 learned from; run notebook 30 once more")
    found = filtering.keep(load(about["source"], size, class_names), about["source"], **about["keep"])
    noise = about.get("label_noise", 0.0)  # records of before there was any do not name it
    return images.mislabelled(images.limit(found, about["limit_per_class"], seed), noise, seed)


def read(chosen: Chosen, size: int) -> ImageSet:
    """The pixels of `chosen`, and of a large set a memory map. Errors: InputError that names all pictures that cannot be read."""
    root, paths = chosen.listing.root, [path for path, _, _ in chosen.rows]
    pixels, bad = decode.pixels(paths, size, root.name)
    refuse(f"folder:{root}", root, unreadable(bad, paths, root))
    labels = torch.tensor([label for _, label, _ in chosen.rows])
    return ImageSet(pixels, labels, [name for _, _, name in chosen.rows], [match.class_name for match in chosen.matches])


def write(chosen: Chosen, out: str | Path, **about: object) -> list[dict]:
    """Copy the images to `<out>/<label>/`, their bytes as they are, and last of all write `metadata.jsonl`; returns its rows.

    A run's images are its own: whoever tidies the folder up changes no run. `about` is said of every image. Errors: InputError that names
    all pictures that cannot be read.
    """
    root, paths = chosen.listing.root, [path for path, _, _ in chosen.rows]
    refuse(f"folder:{root}", root, unreadable(decode.unreadable(paths, root.name), paths, root))
    target, rows, taken = resolve(out), [], set()
    for path, label, name in progress(chosen.rows, f"copy {root.name}", len(chosen.rows), "image"):
        match, data = chosen.matches[label], path.read_bytes()
        stem = _stem(name, taken)
        taken.add(stem)
        file_name = f"{label}/{stem}{path.suffix.lower()}"
        (target / str(label)).mkdir(parents=True, exist_ok=True)
        (target / file_name).write_bytes(data)  # metadata.jsonl, which comes last, says that all of them are whole
        known = {"label": label, "class_name": match.class_name, "in_folder": match.folder, "source_file": name}
        rows.append({"file_name": file_name, **known, **about, "sha256": hashlib.sha256(data).hexdigest()})
    write_rows(target, rows)
    return rows


def _stem(name: str, taken: set[str]) -> str:
    """What the copy of the picture `name` is called, without ending: its whole path, and a hash of that where it is `taken` or long."""
    path = PurePosixPath(name)
    stem, number = "-".join(path.with_suffix("").parts), f"-{stable_hash('name', name):016x}"
    most = LONGEST_NAME - len(os.fsencode(path.suffix.lower()))
    if len(os.fsencode(stem)) > most:
        return os.fsencode(stem)[: most - len(number)].decode("utf-8", "ignore") + number
    return stem + number if stem in taken else stem  # a/b.jpg and a-b.jpg, 1.jpg and 1.png


def prepare(
    out: str | Path,
    benchmark: str = "",
    image_size: int = 32,
    folder: str = "",
    class_names: Sequence[str] = (),
    per_class: int = 0,
    seed: int = 0,
    rename: Mapping[str, str] | None = None,
    made_by: str = "",
) -> tuple[list[dict], list[str]]:
    """Make the source that notebook 21 makes in `out`, of a `benchmark` (enlarged or shrunk to `image_size`) or of a `folder` (as it is).

    Returns (a row a class, as `Chosen.table`; classes of the folder that are not used). Errors: InputError for both or neither of the two.
    """
    if bool(benchmark) == bool(folder):
        given = f"benchmark is '{benchmark}' and folder is '{folder}'" if benchmark else "neither benchmark nor folder is given"
        raise InputError(f"{given}; a source is one of the two, and the other is '' (benchmark='' for a folder)")
    if folder:
        chosen = choose(folder, class_names, per_class, seed, rename)
        write(chosen, out, **({"made_by": made_by} if made_by else {}))
        return chosen.table, chosen.not_used
    if class_names or rename or made_by:
        raise InputError("class_names, rename and made_by are for a folder; a benchmark has its own names, and [a,b] after them takes some")
    written = benchmarks.write_source(benchmark, image_size, out, per_class, seed)
    counts = torch.bincount(written.labels, minlength=len(written.class_names)).tolist()
    there = counts if not per_class else [None] * len(counts)
    about = zip(written.class_names, counts, there, strict=True)
    return [{"class_name": name, "in_folder": name, "matched_by": "benchmark", "there": n, "used": k} for name, k, n in about], []


def report(folder: str | Path, class_names: Sequence[str] = (), rename: Mapping[str, str] | None = None) -> Report:
    """What `python -m aa_utils.benchmarks folder:<path>` prints: classes, matches, counts and problems; every image is decoded."""
    found = listing(folder)
    problems, paths = list(found.problems), [path for path, _ in found.rows]
    try:
        matches = names.matched(list(found.counts), list(class_names) or [_spoken(name) for name in found.counts], rename)
    except InputError as error:
        matches, problems = [], [*problems, ("class names", str(error))]
    meant = {match.folder: f"{match.class_name} ({match.rule})" for match in matches}
    rows = [(name, meant.get(name, "not used"), count, None) for name, count in found.counts.items()]
    bad = unreadable(decode.unreadable(paths, found.root.name), paths, found.root)
    return Report(f"folder:{folder}", found.root, rows, problems + bad, f"classes by {found.labels}")  # type: ignore[arg-type]


def _spoken(name: str) -> str:
    """A folder's name as people say it."""
    return spelling.plain(name.replace("_", " ").replace("-", " "), f"'{name}'")


__all__ = ["Chosen", "Listing", "choose", "is_written", "listing", "load", "place", "prepare", "read", "report", "write"]
