"""The marks that a person saved from a report: read, checked against this run's photos, and put into its classes.

The file is JSON: of which photos (`photos`, their digest, and `number_of_photos`), which sample of them (`seed`, `size`), which classes,
how many times `per_class` images had taught each (`times`), which samples had a part in that (`decided_by`), and `marks`: a row a photo
with `id`, `file`, `prediction` and one of `is`, `is_not`, `none`, `unsure`.
"""

from collections.abc import Sequence
from pathlib import Path

from aa_utils import files
from aa_utils.errors import InputError, check_number
from aa_utils.files import text
from aa_utils.paths import resolve
from aa_utils.photos.audit import Sample
from aa_utils.photos.marks import KINDS, MOST, Mark, Marks

NAME, FORMAT, VERSION = "marks.json", "adapt_anything_marks", 1
LARGEST = 1 << 24  # bytes; a thousand marks take a quarter of a megabyte
WAY_OUT = "mark the photos in this run's report and save that, or move the file away"


def read(path: str, out: str | Path, sample: Sample, class_names: Sequence[str]) -> Marks:
    """The marks in the file `path`; where that is "", those of marks.json in the folder `out`, and none if there is no such file.

    A class that the run no longer has makes its photos show none; after a new class came, "none" only says that the old answer was wrong.
    Errors: InputError for a file that is missing, no file of marks, of other photos, or of a sample of another size.
    """
    where = resolve(path or Path(out) / NAME)
    if not where.exists() and not path:
        return Marks()
    if not where.is_file():
        raise InputError(f"marks='{path or where}' is no file; save it from the report ('Save marks'), or leave marks empty")
    if where.stat().st_size > LARGEST:
        raise InputError(f"'{where}' is no file of marks: it has {where.stat().st_size} bytes; {WAY_OUT}")
    try:
        found = text.parse_json(text.read(where))
    except ValueError as error:
        said = str(error) if isinstance(error, InputError) else f"'{where}' {error}"
        raise InputError(f"{said}; save it from the report again") from error
    if not isinstance(found, dict) or found.get(FORMAT) != VERSION:
        held = repr(found.get(FORMAT)) if isinstance(found, dict) else "nothing"
        raise InputError(f"'{where}' is no file of marks that this code reads ({FORMAT} is {held}, not {VERSION}); {WAY_OUT}")
    _check_origin(found, where, sample)
    return _marks(found, where, sample, list(class_names))


def _check_origin(found: dict, where: Path, sample: Sample) -> None:
    """Errors: InputError unless the file is of these photos and, by the same seed, of a sample of this size."""
    number, size, seed = (found.get(key) for key in ("number_of_photos", "size", "seed"))
    if found.get("photos") != sample.origin:
        raise InputError(
            f"'{where}' holds marks of other photos ({number!r} of them, and this run has {len(sample.photos)}): a sample drawn from those "
            f"measures nothing here; {WAY_OUT}"
        )
    if seed == sample.seed and size != len(sample.rows):
        raise InputError(
            f"'{where}' holds marks of a sample of {size!r} photos, and audit_size makes it {len(sample.rows)} now: its size is fixed "
            f"before one looks; set audit_size={size!r}, or another audit_seed for a sample of its own"
        )


def _marks(found: dict, where: Path, sample: Sample, class_names: list[str]) -> Marks:
    rows, then, times, decided = (found.get(key) for key in ("marks", "class_names", "times", "decided_by"))
    if not (
        isinstance(rows, list) and _all(str, then) and isinstance(times, dict) and _all(int, decided) and isinstance(found.get("seed"), int)
    ):
        raise InputError(f"'{where}' lacks 'marks', 'class_names', 'times' or 'decided_by'; save it from the report again")
    for name, value in times.items():
        check_number(f"times of '{name}' in '{where}'", value, above=0, at_most=MOST)
    measures = found.get("seed") == sample.seed
    drawn, marks, predictions, right = set(sample.ids if measures else sample.photos), {}, {}, set()
    for number, row in enumerate(rows, start=1):
        wrong = _wrong(row, drawn, set(marks), then)
        if wrong:
            raise InputError(f"mark {number} of '{where}' {wrong}; save it from the report again")
        kind = next(kind for kind in KINDS if kind in row)
        name = row[kind] if kind in ("is", "is_not") else ""
        if Mark(kind, name).verdict(row["prediction"]) == "right":
            right.add(row["id"])
        if kind == "is" and name not in class_names:
            kind, name = "none", ""
        if kind == "none" and set(class_names) - set(then):
            kind, name = "is_not", row["prediction"]
        marks[row["id"]], predictions[row["id"]] = Mark(kind, name), row["prediction"]
    decided = frozenset(decided)
    return Marks(marks, predictions, frozenset(right), times, decided, found["seed"], measures, files.sha256(where))


def _wrong(row: object, drawn: set[str], before: set[str], class_names: list[str]) -> str:
    """What is wrong with a row, or ""."""
    if not isinstance(row, dict) or not isinstance(row.get("id"), str):
        return "is no row with an id"
    if row["id"] not in drawn:
        return f"is of a photo that was not drawn (id {row['id'][:40]!r})"
    if row["id"] in before:
        return f"is of a photo that an earlier one is of, too (id {row['id']!r})"
    kinds = [kind for kind in KINDS if kind in row]
    if len(kinds) != 1:
        return f"says {' and '.join(kinds) or 'nothing'} of its photo; it says one of {', '.join(KINDS)}"
    if kinds[0] in ("is", "is_not"):
        if row[kinds[0]] not in class_names:
            return f"names the class {row[kinds[0]]!r}, which is none of {', '.join(class_names)}"
    elif row[kinds[0]] is not True:
        return f"has {kinds[0]}={row[kinds[0]]!r}; it is true, or not there"
    if row.get("prediction") not in class_names:
        return f"has the prediction {row.get('prediction')!r}, which is none of {', '.join(class_names)}"
    return ""


def _all(kind: type, value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, kind) for item in value)
