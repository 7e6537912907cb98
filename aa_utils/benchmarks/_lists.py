"""List files: a line is a picture's path and its label. Paths are those of the authors' disks, so a file is known by the path's end."""

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from aa_utils.files import text

Problems = list[tuple[str, str]]


def entries(path: Path, classes: int, problems: Problems) -> Iterator[tuple[str, str, int]]:
    """(where it stands, picture, label) of each line; lines that cannot be read, or have a label of no class, are problems."""
    for number, line in enumerate(text.lines(text.read(path)), 1):
        where = f"{path.name}:{number}"
        name, _, label = line.strip().rpartition(" ")
        if not line.strip():
            continue
        if not name or not label.isdecimal():
            problems.append(("list lines that cannot be read", f"{where} '{line.strip()[:80]}'"))
        elif int(label) >= classes:
            problems.append(("list labels of no class", f"{where} has {label}; labels are 0 to {classes - 1}"))
        else:
            yield where, name.strip(), int(label)


def resolved(listed: Iterable[tuple[str, str, int]], root: Path, files: list[Path], problems: Problems) -> Iterator[tuple[str, Path, int]]:
    """The same with the file below `root` that is meant: `<folder>/<file>` where there is one, else `<file>` of whichever folder."""
    ends: dict[str, list[Path]] = {}
    for file in files:
        for end in {file.relative_to(root).as_posix(), file.name}:
            ends.setdefault(end, []).append(file)
    for where, name, label in listed:
        parts = PurePosixPath(name.replace("\\", "/")).parts
        meant = ends.get("/".join(parts[-2:])) or ends.get(parts[-1], [])
        if len(meant) == 1:
            yield f"{where} {'/'.join(parts[-2:])}", meant[0], label
        else:
            kind = "listed pictures that are missing" if not meant else "listed pictures of which there are several"
            problems.append((kind, f"{where} {'/'.join(parts[-2:])}"))
