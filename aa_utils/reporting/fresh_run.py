"""The numbers of committed records against those of a fresh run: the same, within a tolerance on another machine, or different.

Committed is what git's last commit holds of a results folder; without git, what lies in the folder. A fresh run lies in
`artifacts/<name of the folder>`; what a table's own notebook measured (CLIP's line, say) it left in the results folder.
"""

import json
import math
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from aa_utils.paths import resolve
from aa_utils.reporting import provenance
from aa_utils.runner import code_closure, record

# On other hardware, threads or packages numbers round differently, and a training takes another course: points of accuracy, or 3 %.
TOLERANCE = 0.03
# What a clock or an interruption says: how long it took, and what of it stood already.
COUNTS_OF_RESUME = {"made", "kept", "scored", "truncated"}
PLACES = {"out", "results", "device"}


@dataclass
class Comparison:
    """`runs` compared, their `numbers`, how many are `equal`; sentences on those `within` the tolerance and `different`; and why numbers
    may differ: what is other on the `machine`, and the `edits` of code and inputs, of a run or of one that it was made from; `alike` are
    the numbers that differ without such a reason; `left_out` are runs with other settings."""

    runs: int = 0
    numbers: int = 0
    equal: int = 0
    within: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    alike: list[str] = field(default_factory=list)
    machine: set[str] = field(default_factory=set)
    edits: set[str] = field(default_factory=set)
    left_out: list[str] = field(default_factory=list)


def compare(results: str | Path) -> Comparison:
    """The numbers of the fresh run of the experiment in `results`, if there is one, against the committed ones."""
    committed, fresh, found = _committed(resolve(results)), _fresh(resolve(results)), Comparison()
    for name, before in committed.items():
        now = fresh.get(name)
        if now is None or _is_same_run(before, now):
            continue
        if _settings(before) != _settings(now):
            found.left_out.append(name)
            continue
        pairs = [(committed[other], fresh[other]) for other in provenance.behind(committed, [name]) if other in fresh]
        _compare_run(found, name, before, now, pairs)
    return found


def _compare_run(found: Comparison, name: str, before: dict, now: dict, pairs: list[tuple[dict, dict]]) -> None:
    """`pairs` are the run before and now, and those that it was made from."""
    machine = set().union(*(_machine(*pair) for pair in pairs))
    edits = {why for pair in pairs for why in _edits(*pair)}
    found.runs += 1
    found.machine |= machine
    found.edits |= edits
    numbers, others = dict(_numbers(before)), dict(_numbers(now))
    for place in sorted(numbers.keys() | others.keys()):
        found.numbers += 1
        one, other = numbers.get(place, math.nan), others.get(place, math.nan)
        if one == other:
            found.equal += 1
            continue
        row, key = place
        said = f"{name}, row {row}, {key}: {one:g} committed, {other:g} now ({other - one:+g})"
        near = abs(other - one) <= TOLERANCE * max(1.0, abs(one))
        if near and machine:
            found.within.append(said)
        else:
            found.different.append(said)
            found.alike += [] if machine or edits else [said]


def _numbers(entry: dict) -> Iterator[tuple[tuple[int, str], float]]:
    """((row, metric), number) of a record: what came out, not what was set, and no clock."""
    for place, row in enumerate(entry["metrics"]):
        told = {"seed", *entry["parameters"], *(COUNTS_OF_RESUME if "made" in row else ())}
        for key, value in row.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool) and key not in told and "second" not in key:
                yield (place, key), value


def _edits(before: dict, now: dict) -> list[str]:
    """What is other by somebody's hand: files of the code, inputs that no run made, settings."""
    files = code_closure.changes(before["code"], now["code"]) if before.get("code") and now.get("code") else []
    inputs = [{row["name"]: row["sha256"] for row in entry["inputs"] if row["parent"] is None} for entry in (before, now)]
    settings = code_closure.changes(_settings(before), _settings(now))
    return [*files, *(f"input '{name}'" for name in code_closure.changes(*inputs)), *(f"setting '{name}'" for name in settings)]


def _machine(before: dict, now: dict) -> set[str]:
    """What is other: packages by name, processor, threads or GPU."""
    packages = [entry.get("environment") or {} for entry in (before, now)]
    parts = [entry.get("hardware") or {} for entry in (before, now)]
    other = {name for name in packages[0].keys() | packages[1].keys() if packages[0].get(name) != packages[1].get(name)}
    words = {"cpu": "processor", "threads": "threads", "gpu": "GPU"}
    return other | {word for key, word in words.items() if parts[0].get(key) != parts[1].get(key)}


def _settings(entry: dict) -> dict:
    """The parameters of a run, without places: inputs may lie elsewhere."""
    places = PLACES | {row["name"] for row in entry["inputs"]}
    return {name: value for name, value in entry["parameters"].items() if name not in places}


def _is_same_run(before: dict, now: dict) -> bool:
    """True for one run and its copy: nothing was done again."""
    return now["started"] == before.get("started") if "started" in now else now == before


def _fresh(results: Path) -> dict[str, dict]:
    """name -> record, of the runs in the folder's artifacts; measurements, which have no run of their own, as they lie in `results`."""
    found = {name: entry for name, entry in provenance.read_copies(results).items() if "started" not in entry}
    artifacts = resolve(f"artifacts/{results.name}")
    for path in sorted(artifacts.rglob("record.json")):
        if not any(part.startswith(".") for part in path.relative_to(artifacts).parts):
            found[provenance.run_name(path.parent)] = record.read(path.parent)
    return found


def _committed(results: Path) -> dict[str, dict]:
    """name -> record, of the last commit; of the folder itself where git holds none of it."""
    names = _git(results, "ls-tree", "--name-only", "HEAD", "runs/").splitlines()
    if not names:
        return provenance.read_copies(results)
    return {Path(name).stem: json.loads(_git(results, "show", f"HEAD:./{name}")) for name in names if name.endswith(".json")}


def changed_files(results: str | Path) -> list[str] | None:
    """The tables and figures in `results` whose bytes are not those of the last commit; None where git holds none of them."""
    folder = resolve(results)
    if not _git(folder, "ls-tree", "--name-only", "HEAD", "tables/"):
        return None
    found = _git(folder, "diff", "--name-only", "--relative", "HEAD", "--", "tables", "figures").splitlines()
    return [*found, *_git(folder, "ls-files", "--others", "--exclude-standard", "--", "tables", "figures").splitlines()]


def _git(folder: Path, *command: str) -> str:
    options = {"capture_output": True, "text": True, "encoding": "utf-8", "timeout": 60, "check": True}
    try:
        return subprocess.run(["git", "-C", str(folder), *command], **options).stdout  # type: ignore[call-overload]
    except (OSError, subprocess.SubprocessError):
        return ""
