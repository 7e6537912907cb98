"""The labelled pictures of a folder that somebody else filled: class sub-folders, or a Hugging Face imagefolder with metadata.

The class of a picture is what `metadata.csv`, `metadata.jsonl` or `metadata.parquet` in the folder says of its `file_name` (column
`class_name`, else `label`, `class` or `category`); without such a column it is the sub-folder that the picture lies in, at any depth.
Labels that are numbers take their names from `classes.txt`, one a line in the order of the labels. One walk reads the folder.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from aa_utils.data import formats, spelling, walk
from aa_utils.errors import InputError
from aa_utils.files import text
from aa_utils.paths import as_text, data_root, resolve

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
COLUMNS = ("class_name", "label", "class", "category")
CLASSES = "classes.txt"
Problems = list[tuple[str, str]]


@dataclass
class Listing:
    """`rows`: (picture, its class in the folder's words), by class and path. `labels`: where classes stand. `others`: other files."""

    root: Path
    rows: list[tuple[Path, str]] = field(default_factory=list)
    labels: str = "sub-folders"
    others: int = 0
    problems: Problems = field(default_factory=list)

    def name(self, path: Path) -> str:
        """The path of a picture below the folder, with / on every system: "cat/1.jpg"."""
        name = path.as_posix()[len(self.root.as_posix().rstrip("/")) + 1 :]  # as path.relative_to, which takes seconds for 50,000
        return name if name.isascii() else as_text(name)

    @property
    def counts(self) -> dict[str, int]:
        """class -> number of pictures, by name."""
        return dict(sorted(Counter(name for _, name in self.rows).items()))


def place(folder: str | Path) -> Path:
    """Where `folder` lies: as it is said, from the repository on, or below AA_DATA. Errors: InputError for none of them, or several."""
    if not str(folder).strip():
        raise InputError("folder is empty; give a folder of labelled images")
    candidates = dict.fromkeys(path.resolve() for path in (resolve(folder), data_root() / Path(folder).expanduser()) if path.is_dir())
    if not candidates:
        looked = dict.fromkeys(str(path) for path in (resolve(folder), data_root() / Path(folder).expanduser()))
        raise InputError(f"no folder '{folder}': looked at {' and '.join(looked)}. AA_DATA names the folder that holds image sets")
    if len(candidates) > 1:
        raise InputError(f"'{folder}' is two folders: {' and '.join(map(str, candidates))}; give the whole path of one")
    return next(iter(candidates))


def listing(folder: str | Path) -> Listing:
    """The labelled pictures of `folder`. Errors: InputError where it is missing, has no picture, or nothing that says the classes."""
    root = place(folder)
    found = Listing(root)
    there = walk.pictures(root)
    pictures = there.files
    tables = [root / name for name in METADATA if (root / name) in there.others]
    found.others = len(there.others) - len(tables) - ((root / CLASSES) in there.others)
    found.problems += [("links that lead nowhere", found.name(path)) for path in there.dead]
    found.problems += [("links to folders that are read already", found.name(link)) for link in there.twice(root)]
    if not pictures:
        raise InputError(f"no images in '{root}': no {', '.join(sorted(formats.ENDINGS))} files, at any depth")
    if len(tables) > 1:
        raise InputError(f"'{root}' has {' and '.join(path.name for path in tables)}; keep the one that is right")
    named = _by_table(found, tables[0], pictures) if tables else None
    if named is None:
        names = [(path, found.name(path)) for path in pictures]
        named = [(path, name.partition("/")[0]) for path, name in names if "/" in name]
        loose = [name for _, name in names if "/" not in name]
        found.problems += [("pictures outside of the class folders", name) for name in loose]
        if not named:
            raise InputError(
                f"nothing says what the {len(pictures)} images in '{root}' show: put them into a sub-folder for each class, or write "
                f"metadata.csv with the columns file_name and label"
            )
    found.rows = sorted(named, key=lambda row: (row[1], row[0]))
    spelling.check(list(found.counts), f"'{root}'", "put their pictures into one folder, or give them one name")
    if not tables and (len(found.counts) == 1 or {name.lower() for name in found.counts} <= walk.SPLITS):
        inside = sorted({found.name(path).rpartition("/")[0].partition("/")[2] for path, _ in found.rows} - {""})
        first = next(iter(found.counts))
        way = f"it has sub-folders itself, such as '{inside[0]}': ask for '{folder}/{first}'" if inside else "a source has two or more"
        what = f"one sub-folder, '{first}'" if len(found.counts) == 1 else f"sub-folders that name splits, {', '.join(found.counts)}"
        raise InputError(f"the images of '{root}' lie in {what}; {way}")
    return found


def _by_table(found: Listing, path: Path, pictures: list[Path]) -> list[tuple[Path, str]] | None:
    """(picture, class) of each row of the table; None for a table without classes (captions, say), whose pictures lie in sub-folders."""
    rows, left, named = _rows(path), set(pictures), []
    column = next((name for name in COLUMNS if any(row.get(name) not in (None, "") for _, row in rows)), None)
    meant = sorted({name for _, row in rows for name in row if name not in COLUMNS and str(name).strip().lower() in COLUMNS})
    if column is None and meant:
        raise InputError(f"'{path}' has the column '{meant[0]}'; classes are read from {', '.join(COLUMNS)}, spelled so")
    if column is None and any(file.parent != found.root for file in pictures):
        return None
    if column is None:
        raise InputError(f"'{path}' has none of the columns {', '.join(COLUMNS)}, and no sub-folder says what its images show")
    names, found.labels = _names(found.root, rows, column), f"{path.name}, column {column}"
    for where, row in rows:
        file_name, value = str(row.get("file_name") or ""), row.get(column)
        file = found.root / file_name
        if not file_name or Path(file_name).is_absolute() or ".." in Path(file_name).parts:
            found.problems.append(("rows without a file of the folder", f"{where} {file_name[:80]!r}"))
        elif file not in left:
            kind = "pictures named twice" if file in pictures else "files that metadata names and that are no pictures here"
            found.problems.append((kind, f"{where} '{file_name[:80]}'"))
        elif value in (None, ""):
            found.problems.append(("rows without a class", f"{where} '{file_name[:80]}'"))
            left.discard(file)
        else:
            left.discard(file)
            named.append((file, names[value] if names else spelling.plain(str(value), where)))
    found.problems += [("pictures that the metadata lacks", found.name(file)) for file in sorted(left)]
    return named


def _rows(path: Path) -> list[tuple[str, dict]]:
    """(where it stands, row) of a table. Errors: InputError for one that cannot be read or that names no files."""
    if path.suffix == ".jsonl":
        rows = [(f"{path.name}:{number}", row) for number, row in text.json_rows(path)]
    else:
        rows = [(f"{path.name}:{number}", row) for number, row in enumerate(_frame(path), 2 if path.suffix == ".csv" else 1)]
    if not any("file_name" in row for _, row in rows):
        raise InputError(f"'{path}' has no column file_name; a Hugging Face imagefolder names its images there")
    return rows


def _frame(path: Path) -> list[dict]:
    import io
    import warnings

    import pandas as pd

    try:
        if path.suffix == ".csv":
            # index_col: without it a cell more in each row than in the header would move all columns by one.
            given = {"dtype": str, "keep_default_na": False, "skipinitialspace": True, "index_col": False}
            written = text.read(path)
            heads = list(pd.read_csv(io.StringIO(written), **given, nrows=1, header=None).iloc[0])
            twice = next((name for name in heads if name in COLUMNS and heads.count(name) > 1), None)
            if twice:
                raise InputError(f"'{path}' has the column '{twice}' twice; keep the one that is right")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", pd.errors.ParserWarning)  # cells without a column, such as behind a comma at the end
                frame = pd.read_csv(io.StringIO(written), **given)
            numbers = {name: pd.to_numeric(frame[name]) for name in ("label",) if name in frame and frame[name].str.fullmatch(r"\d+").all()}
            frame = frame.assign(**numbers)
        else:
            frame = pd.read_parquet(path)
    except InputError:
        raise
    except Exception as error:  # pandas raises whatever its parsers raise
        raise InputError(f"'{path}' cannot be read ({type(error).__name__}: {str(error)[:150]})") from error
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def _names(root: Path, rows: list[tuple[str, dict]], column: str) -> dict[object, str] | None:
    """label -> name where labels are numbers, from classes.txt. Errors: InputError where nothing says what the numbers mean."""
    odd = next(((where, row[column]) for where, row in rows if not isinstance(row.get(column), str | int | float | None)), None)
    if odd:
        raise InputError(f"{odd[0]} has {column}={str(odd[1])[:80]}; a class is its name or its number")
    values = {row.get(column) for _, row in rows if row.get(column) not in (None, "")}
    if not any(isinstance(value, int) for value in values):
        return None
    path = root / CLASSES
    if not path.is_file():
        raise InputError(
            f"labels of '{root}' are numbers ({', '.join(map(str, sorted(values, key=str)[:5]))}, …); write '{path}' with the class names, "
            "one a line in the order of the labels, or put the names into the column class_name"
        )
    names = [spelling.plain(line, f"'{path}'") for line in spelling.lines(path)]
    spelling.check(names, f"'{path}'", "each line is another class")
    beyond = sorted((value for value in values if not isinstance(value, int) or not 0 <= value < len(names)), key=str)
    if beyond:
        raise InputError(f"'{path}' has {len(names)} names, and there are labels such as {beyond[0]!r}; labels are 0 to {len(names) - 1}")
    return dict(enumerate(names))
