"""Where a photo benchmark's images lie below `AA_DATA`, and which class each has: by class folders, or by a list file.

Archives nest differently (`domain_adaptation_images/amazon/images/…`, `amazon/…`); the domain's folder is found up to three levels down.
What is not as it should be becomes a problem, (kind, what exactly); reading goes on, so that all of them are known at once.
"""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from aa_utils.benchmarks._lists import entries, resolved
from aa_utils.benchmarks._photos import Domain, Photos, plain
from aa_utils.data import formats, walk
from aa_utils.errors import InputError
from aa_utils.paths import as_text, data_root

DEPTH = 3


@dataclass
class Listing:
    """`rows`: (path, label, id) of each image, by label and then by name; `problems`: (kind, what exactly)."""

    folder: Path
    rows: list[tuple[Path, int, str]] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)


def listing(photos: Photos, domain: Domain) -> Listing:
    """The images of `domain` with their labels. Errors: InputError where the benchmark or the domain has no folder at all."""
    base = data_root() / photos.name
    if not base.is_dir():
        raise InputError(
            f"no {photos.title} at '{base}'. Get it from {photos.source}; unpack it to '{base}' ({photos.layout}), or set AA_DATA to the "
            f"folder that has '{photos.name}'"
        )
    found = Listing(_domain_folder(base, photos, domain))
    lists = [found.folder.parent / name.format(folder=found.folder.name, name=domain.name) for name in photos.lists]
    lists = [path for path in lists if path.is_file()]
    if photos.listed and lists:
        _by_list(found, photos, lists)
    else:
        _by_folder(found, photos, lists)
    found.rows.sort(key=lambda row: (row[1], row[0].as_posix()))
    times = Counter(image_id for _, _, image_id in found.rows)
    found.problems += [("pictures of one name", image_id) for image_id, n in times.items() if n > 1 and not photos.listed]
    return found


def visible(folder: Path) -> tuple[list[Path], list[Path]]:
    """The folders and the files in `folder`, by name, but for hidden ones and those that systems make for themselves."""
    with os.scandir(folder) as entries_:
        kept = [entry for entry in entries_ if not walk.of_system(entry.name)]
        folders, rest = [e.name for e in kept if e.is_dir()], [e.name for e in kept if not e.is_dir()]
    return [folder / name for name in sorted(folders)], [folder / name for name in sorted(rest)]


def pictures(folder: Path, problems: list[tuple[str, str]], below: Path) -> list[Path]:
    """The picture files of one class folder; anything else in it is a problem, named from `below`."""
    folders, files = visible(folder)
    problems += [("folders within a class", as_text(path.relative_to(below))) for path in folders]
    is_picture = {path: formats.is_picture(path) for path in files}
    problems += [("files that are no pictures", as_text(path.relative_to(below))) for path in files if not is_picture[path]]
    return [path for path in files if is_picture[path]]


def _domain_folder(base: Path, photos: Photos, domain: Domain) -> Path:
    names = {plain(name) for name in (domain.name, *domain.folders)}
    others = {plain(name) for other in photos.domains for name in (other.name, *other.folders)} - names
    level = [base]
    for _ in range(DEPTH):
        inside = [path for folder in level for path in visible(folder)[0]]
        found = [path for path in inside if plain(path.name) in names]
        if len(found) > 1:
            raise InputError(f"{photos.title} has several folders for '{domain.name}': {', '.join(map(str, found))}; keep one of them")
        if found:
            return found[0]
        level = [path for path in inside if plain(path.name) not in others]  # a class may be called as a domain is: VisDA's train
    spellings = " or ".join(f"'{name}'" for name in (domain.name, *domain.folders))
    there = ", ".join(path.name for path in visible(base)[0]) or "no folder"
    raise InputError(
        f"no folder {spellings} under '{base}', which holds {there}; {photos.title} is laid out as {photos.layout}. "
        f"Get it from {photos.source}"
    )


def _by_folder(found: Listing, photos: Photos, lists: list[Path]) -> None:
    labels = {name: k for k, name in enumerate(photos.classes)}
    spelled = {plain(name): name for name in photos.classes}
    root, seen = _class_level(found.folder, spelled), {}
    folders, files = visible(root)  # lists and read-me files are nobody's image
    found.problems += [("pictures outside of the class folders", as_text(path.name)) for path in files if formats.is_picture(path)]
    for path in folders:
        name = spelled.get(plain(path.name)) or sign(photos, path.name)
        if name is None:
            found.problems.append(("folders that are no class", as_text(path.name)))
            continue
        if plain(path.name) in spelled:
            if path.name != name:
                found.problems.append(("class folders spelled otherwise", f"'{path.name}' is '{name}'"))
            if name in seen:
                found.problems.append(("two folders of one class", f"'{seen[name]}' and '{path.name}'"))
            seen[name] = path.name
        for file in pictures(path, found.problems, root):
            found.rows.append((file, labels[name], f"{name}-{as_text(file.stem)}"))
    if photos.listed and not found.rows:
        found.problems.append(("list file missing", f"'{found.folder.name}' has no class folders, so a list has to say the labels"))
    for path in lists:
        _compare(found, photos, root, path)


def _class_level(folder: Path, spelled: dict[str, str]) -> Path:
    inside = folder / "images"  # Office-31: amazon/images/back_pack
    return inside if inside.is_dir() and not any(plain(path.name) in spelled for path in visible(folder)[0]) else folder


def sign(photos: Photos, name: str) -> str | None:
    """The class that a folder's or file's name betrays by its first part ("n02691156_7563.JPEG", "251.airplanes-101"), or None."""
    return photos.signs.get(name.partition(".")[0].partition("_")[0])


def _compare(found: Listing, photos: Photos, root: Path, path: Path) -> None:
    """Class folders are right; a list that comes with them must say the same."""
    by_path = {file: label for file, label, _ in found.rows}
    left = set(by_path)
    for where, file, label in _listed(found, photos, root, list(by_path), path):
        left.discard(file)
        if label != by_path[file]:
            found.problems.append(("wrong labels in lists", f"{where} has {label}, its folder {by_path[file]}"))
    found.problems += [("pictures that the list lacks", as_text(file.relative_to(root))) for file in sorted(left)]


def _by_list(found: Listing, photos: Photos, lists: list[Path]) -> None:
    names, root = list(photos.classes), found.folder
    folders, files = visible(root)
    files = [path for path in files if formats.is_picture(path)]
    for folder in folders:
        files += pictures(folder, found.problems, root)
    left, said = set(files), []
    for path in lists:
        said.append(set())
        for where, file, label in _listed(found, photos, root, files, path):
            said[-1].add((file, label))
            shown = sign(photos, file.name) or (sign(photos, file.parent.name) if file.parent != root else None)
            if shown is not None and shown != names[label]:
                found.problems.append(("wrong labels in lists", f"{where} has {label} ({names[label]}), by its name it is {shown}"))
            if path == lists[0]:
                left.discard(file)
                found.rows.append((file, label, f"{names[label]}-{as_text(file.stem)}"))
    for path, other in zip(lists[1:], said[1:], strict=True):
        differ = sorted({file.name for file, _ in said[0] ^ other})
        found.problems += [("lists that disagree", f"{name} in '{lists[0].name}' and '{path.name}'") for name in differ]
    found.problems += [("pictures that the list lacks", as_text(file.relative_to(root))) for file in sorted(left)]


def _listed(found: Listing, photos: Photos, root: Path, files: list[Path], path: Path) -> Iterator[tuple[str, Path, int]]:
    """(where it stands, file, label) of each line of a list that names a file and one of its classes; the others are problems."""
    seen: dict[Path, set[int]] = {}
    for where, file, label in resolved(entries(path, len(photos.classes), found.problems), root, files, found.problems):
        before = seen.setdefault(file, set())
        if label in before or (before and file.name not in photos.twice):
            found.problems.append(("pictures listed twice", where))
        before.add(label)
        yield where, file, label
