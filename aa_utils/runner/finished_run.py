"""A finished run in a folder that another call enters: it stays where that call writes nothing, and is found where one like it just ended.

`record.json` says that a run is whole. `.record.json` is its copy: Snakemake removes a job's outputs before it starts the job, also
where a second Snakemake has made them meanwhile.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aa_utils import files
from aa_utils.errors import InputError
from aa_utils.progress import warn

COMPUTES_NOTHING = "which run has ended in a folder"
RECORDS = ("record.json", ".record.json")
FAILED = "failed.ipynb"  # the executed notebook of a call that failed beside a finished run
_MOVED = (*RECORDS, "metrics.json", "executed.ipynb", "progress.log")
TABLES, CHANGING = (".jsonl", ".csv"), ("metadata.jsonl", "metadata.csv")  # scores may be added to the latter
ASIDE, _STATE = ".before", "folder"
_SELF = {".lock", FAILED, *_MOVED}


def read(out: Path) -> dict | None:
    """The record of the finished run in `out`, or its copy; None if there is none that can be read, or the two differ, which is said."""
    found = [files.read_json_if_whole(out / name) for name in RECORDS]
    whole = [one for one in found if isinstance(one, dict) and "run_id" in one]
    if whole and whole[0] != whole[-1]:
        warn(f"{differ(out)}. Until then the run counts as not finished")
        return None
    return whole[0] if whole else None


def outputs(out: Path) -> dict[str, str]:
    """{name: SHA-256} of the tables that a run wrote at the top of its folder, for its record; rows of images are sealed by themselves."""
    tables = sorted(path for path in out.iterdir() if path.suffix in TABLES and path.name not in CHANGING and path.is_file())
    return {path.name: files.sha256(path) for path in tables if not path.name.startswith(".")}


def check_output(path: Path) -> None:
    """InputError if the file at `path` is not what the run in its folder wrote: it was cut, at a line end say, or changed."""
    wrote = (read(path.parent) or {}).get("outputs", {})
    if path.name in wrote and path.is_file() and files.sha256(path) != wrote[path.name]:
        raise InputError(
            f"'{path}' is not what its run wrote, by the SHA-256 in its record: it was cut, damaged or edited. Its call, once more, writes "
            "it again; if the change is yours, keep the changed file in a folder of its own"
        )


def differ(out: Path) -> str:
    """The sentence for a record that is not what its copy says: a bit of one flipped, or somebody edited it."""
    return (
        f"'{out / RECORDS[0]}' is not what its copy '{RECORDS[1]}' says: one of them was damaged or edited; delete the wrong one, or both, "
        "and run the call once more"
    )


def write(out: Path, record: dict) -> None:
    """Write `record.json` and its copy. They come last of all: they say that the run is whole."""
    for name in reversed(RECORDS):
        files.write_json(out / name, record)


def since(out: Path, begun: float, run_id: str, parameters: dict) -> dict | None:
    """The record of the same call, if another process has written it after `begun` (seconds since 1970); `record.json` then stands."""
    written = [(out / name).stat().st_mtime for name in RECORDS if (out / name).is_file()]
    found = read(out) if written and max(written) >= begun else None
    if found is None or found["run_id"] != run_id or found.get("parameters") != parameters:
        return None
    if not (out / RECORDS[0]).is_file():
        files.write_json(out / RECORDS[0], found)
    return found


@contextmanager
def set_aside(out: Path) -> Iterator[None]:
    """While a call works in `out`, the finished run there has no record. It comes back if that call fails before it wrote anything."""
    aside = out / ASIDE
    _come_back(out)  # from a call that was killed
    if read(out) is not None:
        aside.mkdir()
        files.write_text(aside / _STATE, _state(out))
        for name in _MOVED:
            if (out / name).exists():
                os.replace(out / name, aside / name)
    for stale in (*RECORDS, "metrics.json", FAILED):
        (out / stale).unlink(missing_ok=True)
    try:
        yield
    except BaseException:
        _come_back(out)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _come_back(out: Path) -> None:
    aside = out / ASIDE
    if not aside.is_dir():
        return
    state = aside / _STATE
    if not any((out / name).exists() for name in RECORDS) and state.is_file() and state.read_text(encoding="utf-8") == _state(out):
        if (out / "executed.ipynb").exists():
            os.replace(out / "executed.ipynb", out / FAILED)
        for name in reversed(_MOVED):  # the record last
            if (aside / name).exists():
                os.replace(aside / name, out / name)
    shutil.rmtree(aside, ignore_errors=True)


def _state(out: Path) -> str:
    """A digest of what lies in the folder but for the runner's own files: names, sizes, times."""
    digest = hashlib.sha256()
    for folder, folders, names in os.walk(out):
        folders[:] = sorted(name for name in folders if not (name == ASIDE and Path(folder) == out))
        for name in sorted(names):
            if (name in _SELF and Path(folder) == out) or (name.startswith(".") and name.endswith(".tmp")):
                continue
            about = os.lstat(os.path.join(folder, name))
            digest.update(os.fsencode(f"{os.path.relpath(folder, out)}/{name}\0{about.st_size} {about.st_mtime_ns} {about.st_ino}\n"))
    return digest.hexdigest()
