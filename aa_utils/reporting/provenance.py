"""Which runs a number comes from: the records of runs and of all runs they were made from, and copies of them beside the tables."""

import re
from collections.abc import Iterable
from pathlib import Path

from aa_utils import files
from aa_utils.errors import InputError
from aa_utils.paths import resolve
from aa_utils.runner import code_closure, finished_run, record

UNRECORDED = "unrecorded"  # the run id of what was made by hand


def stage(entry: dict) -> str:
    """The stage that a record belongs to: its notebook's name without the number ("inter_domain")."""
    return entry.get("stage") or re.sub(r"^\d+_", "", Path(entry["notebook"]).stem)


def records(folders: list[str], target: str) -> dict[str, dict]:
    """name -> record, for the runs in `folders` (a run's folder, or a folder of runs) and all runs they were made from.

    A run made by hand in Jupyter has numbers but no record: it comes with run id "unrecorded", as one on `target`, and every table says so.
    Errors: InputError for a folder without runs, and where a run's input was made again since.
    """
    found: dict[str, dict] = {}
    for folder in folders:
        runs = _runs_below(resolve(folder))
        if not runs:
            raise InputError(f"no run at '{folder}': neither record.json nor metrics.json there or below; notebooks 30 and 40 write them")
        for run in runs:
            _add(found, run, target)
    return dict(sorted(found.items()))


def run_name(folder: str | Path) -> str:
    """The name of the run in `folder`: inter_domain-offline-dann for …/inter_domain/offline/dann, inter_domain-a-b for …/a/b.

    Errors: InputError for a folder that is no run's own.
    """
    path = resolve(folder)
    if not any((path / name).is_file() for name in (*finished_run.RECORDS, "metrics.json")):
        raise InputError(f"'{folder}' is not the folder of one run: it has no record.json; notebooks 30 and 40 write such folders")
    own = stage(record.read(path) if (path / "record.json").is_file() else _by_hand(path, ""))
    below = path.parts[path.parts.index(own) + 1 :] if own in path.parts else path.parts[-2:]
    return "-".join([own, *below])


def ancestors(entry: dict, by_id: dict[str, dict]) -> dict[str, dict]:
    """stage -> record, for a record and its ancestors."""
    chain = {stage(entry): entry}
    for row in entry["inputs"]:
        if row["parent"] in by_id:
            for name, parent in ancestors(by_id[row["parent"]], by_id).items():
                if chain.setdefault(name, parent)["run_id"] != parent["run_id"]:
                    ids = f"{chain[name]['run_id']} and {parent['run_id']}"
                    raise InputError(f"run {entry['run_id']} descends from two runs of {name}: {ids}")
    return chain


def behind(entries: dict[str, dict], names: Iterable[str]) -> set[str]:
    """`names` and the names of all records among `entries` that those were made from."""
    by_id = {entry.get("run_id"): name for name, entry in entries.items()}
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        found.add(name)
        parents = (by_id.get(row["parent"]) for row in entries[name].get("inputs", []) if row["parent"])
        todo += [parent for parent in parents if parent and parent not in found]
    return found


def read_copies(results: str | Path) -> dict[str, dict]:
    """name -> record, from the copies in `<results>/runs`."""
    way_out = "take it from the repository again, or make the tables once more"
    return {path.stem: files.read_json(path, way_out) for path in sorted((resolve(results) / "runs").glob("*.json"))}  # type: ignore[misc]


def write_copies(results: str | Path, entries: dict[str, dict]) -> None:
    """Copy records to `<results>/runs/<name>.json`."""
    for name, entry in entries.items():
        files.write_json(resolve(results) / "runs" / f"{name}.json", entry)


def measurement(stage: str, notebook: str, parameters: dict, inputs: dict[str, str], metrics: list[dict], by: str = "") -> dict:
    """A record of numbers measured inside a table's own notebook (CLIP's zero-shot line, say), whose run has no record yet.

    `inputs` maps a name to a file or folder; one that is not on this disk (a hub id) is left to `parameters`. `by` is the module that
    measured, whose code it is; else it is that of the notebook. The same code, parameters and contents of inputs give the same run id.
    """
    described = [record.describe_input(name, path) for name, path in sorted(inputs.items()) if resolve(path).exists()]
    rows = [{key: value.item() if hasattr(value, "item") else value for key, value in row.items()} for row in metrics]
    if by:
        code = code_closure.of_modules(by, names=code_closure.texts(parameters))
    else:  # a notebook that is not at hand leaves the code unknown
        code = record.code_of(resolve(notebook), parameters, described) if resolve(notebook).is_file() else {}
    known = {"schema": record.SCHEMA, "run_id": record.run_id(code, {"stage": stage} | parameters, described), "stage": stage}
    about = {"git": record.git_state(code), "environment": record.environment(), "hardware": record.hardware()}
    return known | {"notebook": notebook, "code": code, "parameters": parameters, "inputs": described} | about | {"metrics": rows}


def _runs_below(folder: Path) -> list[Path]:
    if (folder / "record.json").is_file() or (folder / "metrics.json").is_file():
        return [folder]
    return sorted({path.parent for name in ("record.json", "metrics.json") for path in folder.rglob(name)})


def _add(found: dict[str, dict], folder: Path, target: str) -> None:
    """Put the run of `folder` and, through the paths of its inputs, its ancestors into `found`."""
    entry = record.read(folder) if (folder / "record.json").is_file() else _by_hand(folder, target)
    if entry["run_id"] != UNRECORDED and any(other["run_id"] == entry["run_id"] for other in found.values()):
        return
    name = run_name(folder)
    found[name if name not in found else f"{name}-{entry['run_id']}"] = entry
    for row in entry["inputs"]:
        if row["parent"] is None:
            continue
        path = resolve(row["path"])
        parent = path if path.is_dir() else path.parent
        if not any((parent / name).is_file() for name in finished_run.RECORDS) or record.read(parent)["run_id"] != row["parent"]:
            raise InputError(f"'{name}' was made from run {row['parent']} at '{row['path']}', which is gone or newer; run '{name}' again")
        _add(found, parent, target)


def _by_hand(folder: Path, target: str) -> dict:
    """What is known of a run without a record: its numbers, and its method from a classifier's config.json."""
    configs = sorted(folder.glob("*/config.json"))
    about = files.read_json(configs[0], "run the call that wrote it once more") if configs else {}
    stage_name, _, method = about.get("method", "").partition(".")  # type: ignore[attr-defined]
    parameters = {"method": method, "prompts": UNRECORDED, "inter_domain_method": UNRECORDED, "target": target}
    rows = record.read_metrics(folder)
    return {"schema": record.SCHEMA, "run_id": UNRECORDED, "stage": stage_name, "parameters": parameters, "inputs": [], "metrics": rows}
