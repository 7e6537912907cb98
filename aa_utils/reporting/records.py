"""The runs behind a table, from where they lie: folders of runs, or records without their runs, as results/<experiment>/runs holds them."""

from pathlib import Path

from aa_utils.errors import InputError
from aa_utils.paths import resolve
from aa_utils.reporting import provenance
from aa_utils.runner import record


def of(places: list[str], target: str) -> dict[str, dict]:
    """name -> record, for the runs at `places` and all runs they were made from, sorted by name.

    A place is a run's folder, a folder of runs (`provenance.records`, whose `target` is for runs made by hand), the file of a record, such
    as `results/<experiment>/runs/<name>.json`, or a folder of such files.
    Errors: InputError for a place with neither, a file that is no record, and a record without those of the runs that it was made from.
    """
    files = {place: paths for place in places if (paths := _files(resolve(place)))}
    folders = [place for place in places if place not in files]
    found = provenance.records(folders, target) if folders else {}
    for paths in files.values():
        for name, entry in _with_ancestors(paths).items():
            if all(other["run_id"] != entry["run_id"] for other in found.values()):
                found[name if name not in found else f"{name}-{entry['run_id']}"] = entry
    return dict(sorted(found.items()))


def of_target(places: list[str], target: str) -> dict[str, dict]:
    """The same for a table about one benchmark. Errors: InputError, too, for a record that was adapted to another one than `target`."""
    found = of(places, target)
    for name, entry in found.items():
        its = entry["parameters"].get("target", target)
        if its != target:
            raise InputError(f"target is '{target}', and '{name}' was adapted to '{its}'; set target={its}, or leave that run out")
    return found


def _files(path: Path) -> list[Path]:
    """The files of records at `path`; none where runs lie, or nothing."""
    if path.is_file():
        return [path]
    if not path.is_dir() or any(next(path.rglob(name), None) for name in ("record.json", "metrics.json")):
        return []
    return sorted(path.glob("*.json"))


def _with_ancestors(paths: list[Path]) -> dict[str, dict]:
    """name -> record of the files `paths` in one folder, and of those beside them that they were made from."""
    folder = paths[0].parent
    beside = {path.stem: record.read_copy(path) for path in sorted({*paths, *folder.glob("*.json")})}
    ids = {entry["run_id"] for entry in beside.values()}
    found = {name: beside[name] for name in sorted(provenance.behind(beside, [path.stem for path in paths]))}
    for name, entry in found.items():
        lost = next((row["parent"] for row in entry["inputs"] if row["parent"] and row["parent"] not in ids), "")
        if lost:
            raise InputError(f"'{name}' was made from run {lost}, whose record is not in '{folder}'; keep the records of a table together")
    return found
