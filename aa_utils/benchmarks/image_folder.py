"""Any folder of images: `image_folder:<path>`, labelled by sub-folder, or not at all.

What the classes are called stands in `classes.txt` in the folder, one a line, in the order of the labels: `mug`, or `coffee_mug: mug` where
the sub-folder is called otherwise. Without it:
- pictures in sub-folders have the class of their sub-folder (`mug/…`, whatever lies deeper), named as it is with _ and - as spaces;
- pictures that lie side by side have no labels, and `class_names` is empty until `benchmarks.named` gives names (those of the source).
With a `classes.txt` of which no sub-folder has a name, all pictures are unlabelled, at any depth: photos sorted by year, say.

An unlabelled target trains as any other, for labels only score. Its `labels` are None. Hidden files and files that are no pictures do not
count; pictures in a format that is not read here are an error, for nobody would miss them.
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from aa_utils import text
from aa_utils.benchmarks import Target
from aa_utils.benchmarks._check import Report, refuse, unreadable
from aa_utils.benchmarks._layout import visible
from aa_utils.benchmarks._photos import plain
from aa_utils.data import decode
from aa_utils.data.images import SUFFIXES, ImageSet
from aa_utils.errors import InputError
from aa_utils.paths import existing

CLASSES = "classes.txt"
FOREIGN = {".heic", ".heif", ".avif", ".gif", ".jp2", ".jxl", ".psd", ".svg", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raw"}
Problems = list[tuple[str, str]]


def load(domain: str = "", size: int = 224, class_names: Sequence[str] | None = None) -> Target:
    """The images below the folder `domain` (relative paths start at the repository), with labels where sub-folders say them, else None.

    `class_names` takes the place of `classes.txt`. Errors: InputError with all that is wrong with the folder.
    """
    root, names, rows, problems = _listing(domain, class_names)
    paths = [path for path, _ in rows]
    pixels, bad = decode.pixels(paths, size, root.name) if not problems else (None, decode.unreadable(paths, root.name))
    refuse(f"image_folder:{domain}", root, problems + unreadable(bad, paths, root))
    labels = torch.tensor([label for _, label in rows]) if rows[0][1] is not None else None
    ids = [path.relative_to(root).as_posix() for path in paths]
    return Target(f"image_folder:{domain}", ImageSet(pixels, None, ids, names), labels)


def report(domain: str) -> Report:
    """Counts of each class (one row for an unlabelled folder), and all that is wrong with the folder."""
    root, names, rows, problems = _listing(domain, None)
    labels, paths = [label for _, label in rows], [path for path, _ in rows]
    classes = [(name, name, labels.count(k), None) for k, name in enumerate(names)]
    if None in labels:
        classes = [("unlabelled", ", ".join(names) or "no class names", len(rows), None)]
    return Report(f"image_folder:{domain}", root, classes, problems + unreadable(decode.unreadable(paths, root.name), paths, root))


def _listing(domain: str, class_names: Sequence[str] | None) -> tuple[Path, list[str], list[tuple[Path, int | None]], Problems]:
    """(folder, class names, (path, label or None) of each picture, problems)."""
    root = existing(domain, "image folder") if domain else None
    if root is None or not root.is_dir():
        raise InputError(f"'image_folder:{domain}' names no folder; ask for 'image_folder:<path of a folder of images>'")
    given = _given(root) if class_names is None else [(name, name) for name in class_names]
    folders, loose = visible(root)
    problems: Problems = []
    by_spelling = {plain(folder): k for k, (folder, _) in enumerate(given)}
    if len(by_spelling) < len(given):
        raise InputError(f"'{domain}' has classes of one name: {', '.join(folder for folder, _ in given)}")
    inside = {folder: _pictures([folder], problems) for folder in folders}
    side_by_side = _pictures(loose, problems)
    labelled = any(plain(folder.name) in by_spelling for folder in folders) if given else any(inside.values())
    if not labelled:
        rows = [(path, None) for path in sorted([*side_by_side, *(path for paths in inside.values() for path in paths)])]
    else:
        given = given or [(folder.name, folder.name.replace("_", " ").replace("-", " ")) for folder in folders if inside[folder]]
        by_spelling = by_spelling or {plain(folder): k for k, (folder, _) in enumerate(given)}
        rows = []
        for folder, paths in inside.items():
            if plain(folder.name) in by_spelling:
                rows += [(path, by_spelling[plain(folder.name)]) for path in paths]
            elif paths:
                problems.append(("folders that are no class", folder.name))
        problems += [("pictures outside of the class folders", path.name) for path in side_by_side]
    if not rows and not problems:
        raise InputError(f"no images in '{root}': no {', '.join(sorted(SUFFIXES))} files")
    return root, [name for _, name in given], rows, problems


def _pictures(paths: list[Path], problems: Problems) -> list[Path]:
    """The pictures among `paths` and below those that are folders."""
    found = []
    for path in paths:
        if path.is_dir():
            folders, files = visible(path)
            found += _pictures([*files, *folders], problems)
        elif path.suffix.lower() in SUFFIXES:
            found.append(path)
        elif path.suffix.lower() in FOREIGN:
            problems.append(("pictures to convert to JPEG or PNG", f"{path.parent.name}/{path.name}"))
    return found


def _given(root: Path) -> list[tuple[str, str]]:
    """(sub-folder, name) of each line of `classes.txt`; none where there is no such file."""
    if not (root / CLASSES).is_file():
        return []
    lines = [line.strip() for line in text.lines(text.read(root / CLASSES)) if line.strip()]
    pairs = [(folder.strip(), name.strip() or folder.strip()) for folder, _, name in (line.partition(":") for line in lines)]
    if len(pairs) < 2 or len({name for _, name in pairs}) < len(pairs):
        raise InputError(
            f"'{root / CLASSES}' has {len(pairs)} names: {', '.join(name for _, name in pairs)}; it takes two or more, no two alike"
        )
    return pairs
