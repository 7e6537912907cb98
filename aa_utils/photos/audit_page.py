"""The part of the report in which a person marks the audit sample: its data, its program, and what the page's policy lets run."""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from aa_utils.data import picture
from aa_utils.errors import InputError
from aa_utils.files import text
from aa_utils.paths import as_text
from aa_utils.photos.audit import Measured
from aa_utils.photos.intake import Photos
from aa_utils.photos.mark_file import FORMAT, VERSION
from aa_utils.photos.marks import KINDS, Marks, Taught
from aa_utils.photos.thumbnails import data_uri
from aa_utils.seeds import stable_hash

SIDE = 400  # pixels of a photo that is marked, at most


def section(measured: Measured, photos: Photos, predictions: Sequence[str], taught: Taught) -> dict:
    """What the template needs: {"size", "seed", "data", "program", "style", "policy"}. All but the numbers are safe as they are;
    `policy` is the source in the page's Content-Security-Policy that lets this one program run.

    `predictions`: N class names. Errors: InputError for a photo that can no longer be read.
    """
    sample, names = measured.sample, photos.images.class_names
    file = {
        FORMAT: VERSION,
        "photos": sample.origin,
        "number_of_photos": len(sample.photos),
        "seed": sample.seed,
        "size": len(sample.rows),
        "class_names": names,
        "times": taught.times,
        "decided_by": sorted(taught.decided_by(measured.marks)),
    }
    rows = [_photo(i, photos, predictions[i]) for i in sample.rows]
    key = f"adapt-anything marks {stable_hash(sample.origin, sample.seed, len(sample.rows), *names):016x}"
    data = {"key": key, "names": names, "population": len(sample.photos), "file": file, "marks": _marks(measured.marks, sample.ids)}
    data |= {"fewest": [line[: t + 1].tolist() for t, line in enumerate(measured.fewest)], "photos": rows}
    program = _beside("audit.js")
    policy = f"'sha256-{base64.b64encode(hashlib.sha256(program.encode()).digest()).decode()}'"
    style = _beside("audit.css")
    about = {"size": len(sample.rows), "seed": sample.seed, "style": style, "policy": policy}
    return about | {"data": _in_html(data), "program": program}


def _photo(i: int, photos: Photos, prediction: str) -> dict:
    path, row = photos.paths[i], photos.rows[i]
    try:
        found = picture.read(path, SIDE)
    except picture.Unreadable as error:
        raise InputError(f"'{as_text(path)}' was read when the run began and cannot be read now: {error}; bring it back") from error
    return {"id": photos.images.names[i], "file": row["file"], "prediction": prediction} | data_uri(found.image, SIDE)


def _marks(marks: Marks, ids: Sequence[str]) -> dict[str, dict]:
    """The marks of the file as the page keeps them."""
    kept = {one: marks.of[one] for one in ids if one in marks.of and marks.measures}
    return {one: {mark.kind: mark.name if mark.kind in KINDS[:2] else True} for one, mark in kept.items()}


def _beside(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _in_html(value: object) -> str:
    """`value` as JSON within a script element: no text of it can end the element."""
    return text.to_json(value).replace("<", "\\u003c")
