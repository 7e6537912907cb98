"""Are two folders of artifacts the same experiment? What may differ is only what a clock or a machine says.

    python tests/slurm/compare.py artifacts/smoke /elsewhere/artifacts/smoke

Images, prompts, models, predictions, figures and tables are compared byte by byte. Records, metrics and training histories are compared
without the values that say how long something took, where, and whether it was begun anew.
"""

import csv
import io
import json
import sys
from pathlib import Path

# The runner's own papers, which hold times from end to end.
PAPERS = {"executed.ipynb", "progress.log"}
# Of a record and its metrics: when, where and how fast; and how many images stood already when a killed run went on.
CLOCKS = {
    "started",
    "seconds",
    "peak_memory_mb",
    "git",
    "environment",
    "hardware",
    "seconds_train",
    "images_per_second",
    "made",
    "kept",
    "truncated",
}


def differences(one: Path, other: Path) -> tuple[list[str], dict[str, int]]:
    """Sentences that say what differs between the folders, and how many files of each kind (by suffix) were compared."""
    here, there = files(one), files(other)
    found = [f"only in {one}: {name}" for name in sorted(here - there)] + [f"only in {other}: {name}" for name in sorted(there - here)]
    compared: dict[str, int] = {}
    for name in sorted(here & there):
        compared[Path(name).suffix] = compared.get(Path(name).suffix, 0) + 1
        if content(one / name) != content(other / name):
            found.append(f"differs: {name}")
    return found, compared


def files(folder: Path) -> set[str]:
    """Names of the files below `folder` that count: not the runner's papers, nothing hidden (locks, checkpoints, shards)."""
    names = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    return {name.as_posix() for name in names if name.name not in PAPERS and not any(part.startswith(".") for part in name.parts)}


def content(path: Path) -> object:
    """What counts of a file: its bytes; of JSON and CSV, where clocks speak, what they say without them."""
    data = path.read_bytes()
    if path.suffix == ".json":
        return without_clocks(json.loads(data))
    if path.suffix == ".csv":
        rows = list(csv.DictReader(io.StringIO(data.decode())))
        return data if not rows or not CLOCKS & set(rows[0]) else [without_clocks(row) for row in rows]
    return data


def without_clocks(value: object) -> object:
    """`value` without the keys of `CLOCKS`, at any depth. An input counts by the run that made it, as in a run's id (`record.run_id`)."""
    if isinstance(value, dict):
        hidden = CLOCKS | {"sha256"} if value.get("parent") else CLOCKS
        return {key: without_clocks(item) for key, item in value.items() if key not in hidden}
    return [without_clocks(item) for item in value] if isinstance(value, list) else value


def main() -> int:
    """0 if the two folders hold the same experiment, 1 if not."""
    one, other = map(Path, sys.argv[1:])
    found, compared = differences(one, other)
    print(
        "\n".join(found)
        or f"the same: {', '.join(f'{count} {suffix or name}' for suffix, count in sorted(compared.items()) for name in ['files'])}"
    )
    return 1 if found or not compared else 0


if __name__ == "__main__":
    sys.exit(main())
