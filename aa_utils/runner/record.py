"""What a run leaves for the next ones: its numbers (`metrics.json`) and its record (`record.json`: from what, with what, on what)."""

import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from aa_utils import files
from aa_utils.errors import InputError
from aa_utils.paths import ROOT, resolve
from aa_utils.redaction import redact_all
from aa_utils.runner import code_closure, finished_run

COMPUTES_NOTHING = "what a run leaves behind"
SCHEMA = 2
READABLE = (1, 2)  # records of schema 1 do not say of which code they are
PACKAGES = ("torch", "torchvision", "diffusers", "transformers", "timm", "numpy", "pandas", "papermill", "openai")
# What the runner and the clock write into a run's folder: never part of the folder's identity as an input.
BOOKKEEPING = {"record.json", finished_run.FAILED, "executed.ipynb", "progress.log", "metrics.json", "history.csv"}


def write_metrics(out: str | Path, rows: list[dict]) -> None:
    """Hand a run's numbers over, to `<out>/metrics.json`: `rows` are flat dicts, tidy (one row a seed, say), accuracies as fractions.

    NumPy and torch scalars become plain numbers. Errors: InputError for a row that is not flat or a number that is not finite.
    """
    plain = []
    for row in rows:
        plain.append({str(name): _scalar(name, value) for name, value in row.items()})
    files.write_json(resolve(out) / "metrics.json", redact_all(plain))


def read_metrics(out: str | Path) -> list[dict]:
    """The rows that a run handed over, from its folder or from a copy of its record; none if its notebook wrote no metrics.

    Errors: InputError for a file that is not whole, or not what the folder's record says.
    """
    if resolve(out).is_file():
        return read_copy(resolve(out))["metrics"]
    path = resolve(out) / "metrics.json"
    if not path.exists():
        return []
    rows = files.read_json(path, "the run's call, once more, writes it again")
    done = finished_run.read(resolve(out))
    if done is not None and done.get("metrics", rows) != rows:
        raise InputError(f"'{path}' is not what the run's record says: one of them was damaged or edited; run the call once more")
    return rows  # type: ignore[return-value]


def read(out: str | Path) -> dict:
    """The record of the run that wrote the folder `out`. Errors: InputError if there is none, a newer schema, or another copy."""
    path = next((resolve(out) / name for name in finished_run.RECORDS if (resolve(out) / name).exists()), resolve(out) / "record.json")
    if not path.exists():
        raise InputError(f"no record at '{path}': that run did not finish, or was not started by python -m aa_utils.run")
    found = _readable(path, "that run counts as not finished: run its call once more")
    copy = files.read_json_if_whole(resolve(out) / finished_run.RECORDS[1])
    if isinstance(copy, dict) and "run_id" in copy and copy != found:
        raise InputError(finished_run.differ(resolve(out)))
    return found


def read_copy(path: Path) -> dict:
    """The record that was copied to the file `path`, such as `results/<experiment>/runs/<name>.json`.

    Errors: InputError if it is no record, or one of a newer schema.
    """
    found = _readable(path, "take it from the repository again, or make the tables once more")
    lacking = [key for key in ("run_id", "notebook", "parameters", "inputs", "metrics") if key not in found]
    if lacking:
        raise InputError(f"'{path}' is no whole record: it lacks {', '.join(lacking)}; results/<experiment>/runs holds records")
    return found


def _readable(path: Path, way_out: str) -> dict:
    found = files.read_json(path, way_out)
    if not isinstance(found, dict) or found.get("schema") not in READABLE:
        schema = found.get("schema") if isinstance(found, dict) else None
        raise InputError(f"'{path}' has record schema {schema!r}; this code reads {' and '.join(map(str, READABLE))}")
    return found


def environment() -> dict[str, str | None]:
    """Versions of Python and of the packages that decide results; None for one that is not installed."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return versions


def hardware() -> dict:
    """CPU model, cores this process may use, threads one run uses, and GPU names (by nvidia-smi: no CUDA context is made)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return {"cpu": _cpu_name(), "cores": cores, "threads": int(threads) if threads.isdigit() else cores, "gpu": _gpu_names()}


def git_state(code: Iterable[str] = ()) -> dict:
    """{"commit", "dirty"} of the repository; dirty means that the files of `code`, or all of the kit's code, are not what the commit holds.

    Tables that a run writes, tests and texts make nothing dirty: what decides a result is its code. Both are None outside git.
    """
    commit = _output("git", "-C", str(ROOT), "rev-parse", "HEAD")
    if not commit:
        return {"commit": None, "dirty": None}
    names = sorted({name.partition(":")[0] for name in code if "/" in name})
    which = ["--untracked-files=all", "--", *names] if names else ["--untracked-files=no", "--", "aa_utils", "notebooks"]
    return {"commit": commit, "dirty": bool(_output("git", "-C", str(ROOT), "status", "--porcelain", *which))}


def describe_input(name: str, value: str) -> dict:
    """One row of a record's `inputs`: {"name", "path", "sha256", "parent"} for the file or folder at `value`.

    An image folder is known by its `metadata.jsonl`, which holds every image's hash. A run's folder is known by what its notebook wrote.
    `parent` is the run id of the run that wrote it, or None.
    """
    path = resolve(value)
    finished_run.check_output(path)
    if (path / "metadata.jsonl").is_file():
        digest = files.sha256(path / "metadata.jsonl")
    elif path.is_dir():
        digest = _folder_hash(path)
    else:
        digest = files.sha256(path)
    folder = path if path.is_dir() else path.parent
    parent = (finished_run.read(folder) or {}).get("run_id")
    return {"name": name, "path": str(value), "sha256": digest, "parent": parent}


def code_of(notebook: Path, parameters: dict, inputs: list[dict]) -> dict[str, str]:
    """The code of a run of `notebook` (`code_closure.of_notebook`); `inputs` are rows of `describe_input`.

    Modules are named by the run's parameters, and by those of the runs that it reads where it has none of that name: a table of several
    tasks loads the benchmarks that its runs were adapted to.
    """
    name = notebook.relative_to(ROOT).as_posix() if notebook.is_relative_to(ROOT) else notebook.name
    given: list[object] = [parameters]
    for row in inputs:
        path = resolve(row["path"])
        made = (finished_run.read(path if path.is_dir() else path.parent) or {}).get("parameters", {})
        given += [value for key, value in made.items() if key not in parameters]
    return code_closure.of_notebook(code_closure.cells(notebook), name, given)


def run_id(code: dict[str, str], parameters: dict, inputs: list[dict]) -> str:
    """12 hex digits that say what a run computes: the same code, parameters and inputs give the same, wherever and whenever.

    An input counts by the run that made it, or by its content where no run did: what a run wrote also holds how long it took.
    """
    what = {name: value for name, value in parameters.items() if name != "out"}
    by_name: dict[str, list[str]] = {}
    for row in inputs:
        by_name.setdefault(row["name"], []).append(row["parent"] or row["sha256"])
    what.update(by_name)
    text = json.dumps([SCHEMA, code, what], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:12]


def write(out: str | Path, record: dict) -> None:
    """Write `<out>/record.json` atomically. It comes last of all: its presence says that the run is whole."""
    finished_run.write(resolve(out), redact_all(record))  # type: ignore[arg-type]


def _scalar(name: str, value: object) -> object:
    if hasattr(value, "item"):  # NumPy and torch scalars
        value = value.item()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float) and value == value and abs(value) != float("inf"):
        return value
    raise InputError(f"metric '{name}' is {value!r}; metrics are finite numbers, text, true/false or None, one per name")


def _folder_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in files.tree(folder).files:
        name = file.relative_to(folder)
        if file.name not in BOOKKEEPING and files.is_regular(file):
            digest.update(os.fsencode(f"{name.as_posix()}\0{files.sha256(file)}\n"))  # a name may not be UTF-8
    return digest.hexdigest()


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _cpu_name() -> str:
    if sys.platform.startswith("linux"):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _gpu_names() -> list[str]:
    return _output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").splitlines()
