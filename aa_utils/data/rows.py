"""The rows of an image folder: `metadata.jsonl` (or `metadata.csv`) of this kit and of other tools, checked by row and column.

A row has `file_name`, relative to the folder and within it. Labelled rows name their class: `class_name`, with or without its number
`label`, or a `label` that is the name itself (as Hugging Face's image folders have it). Nothing is guessed: what does not fit is an
InputError that names row and column.

Whoever writes rows by `write` seals them: `.metadata.json` holds their number and a digest of files, labels and hashes, so that a file
which was cut, or has a row twice, is seen. Further columns, such as scores, may be added at any time.
"""

import csv
import hashlib
import io
import json
import os
from pathlib import Path, PurePosixPath

from aa_utils import files
from aa_utils.data import spelling
from aa_utils.errors import InputError
from aa_utils.files import text

METADATA, TABLE, SEAL = "metadata.jsonl", "metadata.csv", ".metadata.json"
MOST_CLASSES = 1_000_000
SEALED = ("file_name", "label", "class_name", "sha256")


def has_rows(folder: Path) -> bool:
    """Whether the folder says by rows which images it has."""
    return (folder / METADATA).exists() or (folder / TABLE).exists()


def write(folder: Path, rows: list[dict]) -> None:
    """Write `rows` as the folder's metadata.jsonl, and seal them."""
    seal = {"rows": len(rows), "sha256": [_digest(rows)]}
    before = _seal(folder)
    # A kill between the two writes leaves rows that one of the digests fits, whichever rows they are.
    files.write_json(folder / SEAL, seal | {"sha256": seal["sha256"] + before.get("sha256", [])})
    files.write_jsonl(folder / METADATA, rows)
    files.write_json(folder / SEAL, seal)


def read(folder: Path, made_by: str = "the notebook that made the folder") -> list[dict]:
    """The rows; labelled ones have `label` (int, from 0) and `class_name` (str), whatever they were given as.

    Errors: InputError for no rows, rows that do not fit, and rows that are not those that were sealed.
    """
    path = folder / METADATA
    if path.exists() and (folder / TABLE).exists():
        raise InputError(f"'{folder}' has both {METADATA} and {TABLE}: remove the one that does not count")
    numbered = text.json_rows(path) if path.exists() else _table(folder / TABLE)
    path = path if path.exists() else folder / TABLE
    if not numbered:
        raise InputError(f"'{path}' has no rows: it was cut, or never written; {made_by} writes it anew")
    _check_seal(folder, path, [row for _, row in numbered], made_by)
    seen: dict[str, int] = {}
    rows = []
    for number, row in numbered:
        where = f"row {number} of '{path}'"
        name = _file_name(row, where)
        if name in seen:
            raise InputError(f"{where} names the file '{name}' a second time, after row {seen[name]}; one of them is too many")
        seen[name] = number
        rows.append(_labelled(row | {"file_name": name}, where))
    return _numbered(rows, path)


def _file_name(row: dict, where: str) -> str:
    name = row.get("file_name")
    if not isinstance(name, str) or not name.strip():
        has = f"file_name={name!r}, no name of a file" if "file_name" in row else "no column 'file_name'"
        raise InputError(f"{where} has {has} (its columns: {', '.join(map(str, row))}); it is the image's path within the folder")
    parts = PurePosixPath(name).parts
    if not _can_be_a_path(name):
        raise InputError(f"{where} has file_name={name[:80]!r}{'…' if len(name) > 80 else ''}, which no file can be called")
    if PurePosixPath(name).is_absolute() or ".." in parts or "\0" in name or not parts:
        raise InputError(f"{where} has file_name={name!r}, which leads out of the folder; images lie within it")
    return PurePosixPath(name).as_posix()


def _can_be_a_path(name: str) -> bool:
    try:
        return len(os.fsencode(name)) < 4096 and all(len(os.fsencode(part)) < 256 for part in PurePosixPath(name).parts)
    except UnicodeEncodeError:  # half a character, as JSON can say it
        return False


def _labelled(row: dict, where: str) -> dict:
    """The row with `label` as a number or absent, and `class_name` as text or absent."""
    label, name = row.get("label"), row.get("class_name")
    name = spelling.plain(name, where) if isinstance(name, str) else name
    label = spelling.plain(label, where) if isinstance(label, str) and not label.strip().isdecimal() else label
    label = label.strip() if isinstance(label, str) else label
    if name is not None and not (isinstance(name, str) and name):
        raise InputError(f"{where} has class_name={name!r}, no text")
    if isinstance(label, str) and label.isdecimal():
        label = int(label) if len(label) < 10 else MOST_CLASSES
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    if isinstance(label, str) and label:  # the class itself; beside a class_name it is a code of the tool that wrote it
        name, label = name or label, None
    label = None if label == "" else label
    if isinstance(label, bool) or not isinstance(label, int | None):
        raise InputError(f"{where} has label={label!r}; it is a class's number, or its name")
    if label is not None and not 0 <= label < MOST_CLASSES:
        raise InputError(f"{where} has label={label}; labels count the classes from 0, and there are fewer than {MOST_CLASSES:,}")
    if label is not None and name is None:
        raise InputError(f"{where} has label={label} and no class_name: a number does not say which class; add the column 'class_name'")
    told = {"label": label, "class_name": name}
    return {key: told.get(key, value) for key, value in (row | told).items() if told.get(key, value) is not None}


def _numbered(rows: list[dict], path: Path) -> list[dict]:
    """Rows of which all or none have a class; where the classes have no numbers, they are counted in the order of their names."""
    without = [k for k, row in enumerate(rows) if "class_name" not in row]
    if len(without) == len(rows):
        return rows
    if without:
        raise InputError(f"'{path}' has a class for {len(rows) - len(without)} of {len(rows)} rows; row {without[0] + 1} has none")
    spelling.check(sorted({row["class_name"] for row in rows}), f"'{path}'", "give both the same name")
    with_label = sum("label" in row for row in rows)
    if with_label == len(rows):
        return rows
    if with_label:
        raise InputError(f"'{path}' has a label for {with_label} of {len(rows)} rows; give all of them one, or class_name alone")
    place = {name: k for k, name in enumerate(sorted({row["class_name"] for row in rows}))}
    return [row | {"label": place[row["class_name"]]} for row in rows]


def _table(path: Path) -> list[tuple[int, dict]]:
    """(row number, row) of a CSV file whose first line names the columns; an empty cell is none."""
    reader = csv.reader(io.StringIO(text.read(path)), strict=True, skipinitialspace=True)
    try:
        header, *lines = [line for line in reader if line]
    except ValueError:
        return []
    except csv.Error as error:
        raise InputError(f"'{path}' is not CSV: {error}") from error
    header = [name.strip() for name in header]
    if len(set(header)) < len(header):
        raise InputError(f"'{path}' has two columns of one name: {', '.join(header)}")
    for number, line in enumerate(lines, start=1):
        if len(line) != len(header):
            raise InputError(f"row {number} of '{path}' has {len(line)} cells and the header {len(header)}: {', '.join(header)}")
    return [(k, {name: cell for name, cell in zip(header, line, strict=True) if cell != ""}) for k, line in enumerate(lines, start=1)]


def _digest(rows: list[dict]) -> str:
    told = sorted(json.dumps([row.get(name) for name in SEALED]) for row in rows)
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def _seal(folder: Path) -> dict:
    """The folder's seal; {} where there is none that can be read."""
    found = files.read_json_if_whole(folder / SEAL)
    return found if isinstance(found, dict) and isinstance(found.get("sha256"), list) else {}


def _check_seal(folder: Path, path: Path, rows: list[dict], made_by: str) -> None:
    seal = _seal(folder) if path.name == METADATA else {}
    if seal and _digest(rows) not in seal["sha256"]:
        raise InputError(
            f"'{path}' has {len(rows)} rows, and {seal.get('rows')} others were written to it: rows are missing, twice or changed. "
            f"{made_by} writes it anew; if the change is yours, delete '{folder / SEAL}'"
        )
