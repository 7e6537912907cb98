"""Any folder of images: `image_folder:<path>`, labelled by sub-folder, or not at all.

What the classes are called stands in `classes.txt` in the folder, one a line, in the order of the labels: `mug`, or `coffee_mug: mug` where
the sub-folder is called otherwise; a line that starts with # is a comment. Without it:
- pictures in sub-folders have the class of their sub-folder (`mug/…`, whatever lies deeper), named as it is with _ and - as spaces;
- pictures that lie side by side have no labels, and `class_names` is empty until `benchmarks.named` gives names (those of the source).
With a `classes.txt` of which no sub-folder has a name, all pictures are unlabelled, at any depth: photos sorted by year, say.

An unlabelled target trains as any other, for labels only score. Its `labels` are None. Links to folders are followed. Hidden files, what
systems make for themselves (thumbnails of a NAS, bins) and files that are no pictures do not count; pictures in a format that is not read
here are an error, for nobody would miss them.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from aa_utils.benchmarks import Target
from aa_utils.benchmarks._check import Report, refuse, unreadable
from aa_utils.benchmarks._photos import plain
from aa_utils.data import decode, formats, spelling, walk
from aa_utils.data.images import ImageSet
from aa_utils.errors import InputError
from aa_utils.paths import as_text, existing
from aa_utils.progress import note

CLASSES = "classes.txt"


@dataclass(frozen=True)
class Listing:
    """`rows`: (path, label or None) of each picture; `problems`: (kind, what exactly); `left_out`: sentences on what does not count."""

    root: Path
    class_names: list[str]
    rows: list[tuple[Path, int | None]]
    problems: list[tuple[str, str]]
    left_out: list[str]


def load(domain: str = "", size: int = 224, class_names: Sequence[str] | None = None) -> Target:
    """The images below the folder `domain` (relative paths start at the repository), with labels where sub-folders say them, else None.

    `class_names` takes the place of `classes.txt`. Errors: InputError with all that is wrong with the folder.
    """
    found = _listing(domain, class_names)
    paths = [path for path, _ in found.rows]
    for sentence in found.left_out:
        note(f"image_folder:{domain}: {sentence}")
    pixels, bad = (None, decode.unreadable(paths, found.root.name)) if found.problems else decode.pixels(paths, size, found.root.name)
    refuse(f"image_folder:{domain}", found.root, found.problems + unreadable(bad, paths, found.root))
    labels = torch.tensor([label for _, label in found.rows]) if found.rows[0][1] is not None else None
    ids = [as_text(path.relative_to(found.root)) for path in paths]
    return Target(f"image_folder:{domain}", ImageSet(pixels, None, ids, found.class_names), labels)


def report(domain: str) -> Report:
    """Counts of each class (one row for an unlabelled folder), what was left out, and all that is wrong with the folder."""
    found = _listing(domain, None)
    labels, paths = [label for _, label in found.rows], [path for path, _ in found.rows]
    classes = [(name, name, labels.count(k), None) for k, name in enumerate(found.class_names)]
    if None in labels:
        classes = [("unlabelled", ", ".join(found.class_names) or "no class names", len(paths), None)]
    bad = unreadable(decode.unreadable(paths, found.root.name), paths, found.root)
    return Report(f"image_folder:{domain}", found.root, classes, found.problems + bad, "; ".join(found.left_out))  # type: ignore[arg-type]


def _listing(domain: str, class_names: Sequence[str] | None) -> Listing:
    root = existing(domain, "image folder") if domain else None
    if root is None or not root.is_dir():
        raise InputError(f"'image_folder:{domain}' names no folder; ask for 'image_folder:<path of a folder of images>'")
    given = _class_folders(root) if class_names is None else [(name, name) for name in class_names]
    spelling.check([name for _, name in given], f"'{domain}'", f"each line of {CLASSES}, or each of class_names, is another class")
    if len({folder for folder, _ in given}) < len(given):
        raise InputError(f"'{domain}' has classes of one name: {', '.join(folder for folder, _ in given)}")
    found = walk.pictures(root)
    foreign = {path for path in found.files if formats.is_foreign(path)}
    problems = [("pictures to convert to JPEG or PNG", as_text(path.relative_to(root))) for path in found.files if path in foreign]
    problems += [("links that lead nowhere", as_text(path.relative_to(root))) for path in found.dead]
    inside: dict[str, list[Path]] = {name: [] for name in sorted(os.listdir(root)) if (root / name).is_dir() and not walk.of_system(name)}
    side_by_side: list[Path] = []
    for path in found.files:
        if path not in foreign:
            first, *deeper = path.relative_to(root).parts
            (inside[first] if deeper else side_by_side).append(path)
    if not (any(_label(name, given) is not None for name in inside) if given else any(inside.values())):
        rows = [(path, None) for path in found.files if path not in foreign]
    else:
        if not given:
            given = [(as_text(name), as_text(name).replace("_", " ").replace("-", " ")) for name, paths in inside.items() if paths]
            given = [(folder, spelling.plain(name, f"'{domain}'")) for folder, name in given]
            _check_parts([name for _, name in given], domain)
            spelling.check([name for _, name in given], f"'{domain}'", "put their pictures into one folder")
        labels = {name: _label(name, given) for name, paths in inside.items() if paths}
        rows = [(path, labels[name]) for name in labels for path in inside[name]]  # type: ignore[misc]
        problems += [("folders that are no class", as_text(name)) for name, label in labels.items() if label is None]
        problems += [("pictures outside of the class folders", as_text(path.name)) for path in side_by_side]
        # A class that is a link to another class's folder would be empty without a word.
        problems += [("links to folders that are read already", as_text(link.relative_to(root))) for link in found.twice(root)]
        rows = [(path, label) for path, label in rows if label is not None]
    if not rows and not problems:
        raise InputError(f"no images in '{root}': no {', '.join(sorted(formats.ENDINGS))} files")
    return Listing(root, [name for _, name in given], rows, problems, found.notes(root))  # type: ignore[arg-type]


def _check_parts(names: list[str], domain: str) -> None:
    """Errors: InputError for parts of a set as classes."""
    if {name.lower() for name in names} <= walk.SPLITS:
        raise InputError(
            f"the sub-folders of '{domain}' are parts of a set of images ({', '.join(names)}), not classes; ask for one of them, "
            f"'image_folder:{domain}/{names[0]}', or say what the classes are by a {CLASSES} in '{domain}', one name a line"
        )


def _label(folder: str, given: list[tuple[str, str]]) -> int | None:
    """The class of a sub-folder: the one that is spelled as it is, else the only one that differs in letter case and punctuation alone."""
    spelled = [name for name, _ in given]
    if as_text(folder) in spelled:
        return spelled.index(as_text(folder))
    alike = [k for k, name in enumerate(spelled) if plain(name) == plain(as_text(folder))]
    return alike[0] if len(alike) == 1 else None


def _class_folders(root: Path) -> list[tuple[str, str]]:
    """(sub-folder, name) of each line of `classes.txt`; none where there is no such file."""
    if not (root / CLASSES).exists():
        return []
    lines, where = (line.partition(":") for line in spelling.lines(root / CLASSES)), f"'{root / CLASSES}'"
    pairs = [(folder.strip(), spelling.plain(name.strip() or folder.strip(), where)) for folder, _, name in lines]
    if len(pairs) < 2:
        raise InputError(
            f"'{root / CLASSES}' has {len(pairs)} names: {', '.join(name for _, name in pairs)}; it takes two or more, one a line"
        )
    return pairs
