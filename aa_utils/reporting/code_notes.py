"""What a table's caption must say of the code behind it: uncommitted changes, edits on the way, records that mix code.

Nothing is said of records that are clean and agree, whatever their commits are called: the same code at a later commit gives the same
table, byte for byte. `python -m aa_utils.verify` lists the commits.
"""

from collections import Counter
from pathlib import Path

import pandas as pd

from aa_utils.paths import resolve
from aa_utils.reporting import provenance

TRACES = ("run_ids", "run_id", "origin")  # columns that name the runs of a row


def behind(results: str | Path, name: str) -> dict[str, dict]:
    """name -> record, for the records in `<results>/runs` behind the table `name`: of its rows, and all that those were made from.

    All of them where no CSV of that name says which.
    """
    copies = provenance.read_copies(results)
    by_id = {entry.get("run_id"): key for key, entry in copies.items()}
    files = [resolve(results) / "tables" / f"{name}{end}.csv" for end in ("_seeds", "")]
    frames = [pd.read_csv(file, dtype=str, keep_default_na=False) for file in files if file.is_file()]
    traces = {word for frame in frames for column in TRACES if column in frame for text in frame[column] for word in text.split()}
    named = [by_id[trace] for trace in traces if trace in by_id] if frames else list(copies)
    return {name: copies[name] for name in sorted(provenance.behind(copies, named))}


def notes(entries: dict[str, dict]) -> list[str]:
    """Sentences for the caption of a table that rests on the records `entries`; none where nothing stands in the way of trust."""
    said = []
    dirty = [name for name, entry in entries.items() if (entry.get("git") or {}).get("dirty")]
    if dirty:
        said.append(f"Dirty: made from uncommitted changes, which no commit holds: {listed(dirty)}.")
    for name, entry in entries.items():
        if entry.get("edited"):
            said.append(f"Edited while run {name} was on its way: {listed(entry['edited'])}.")
    mixed = differing(entries)
    if mixed:
        said.append(f"Mixed code: these runs differ in {listed(mixed)} ({commits(entries)}).")
    elif len(_commits(entries)) > 1 and any(not entry.get("code") for entry in entries.values()):
        said.append(f"Of several commits ({commits(entries)}), and not every record says what its code was.")
    return said


def differing(entries: dict[str, dict]) -> list[str]:
    """The files that are not the same in all records that have them in their code, sorted."""
    digests: dict[str, set[str]] = {}
    for entry in entries.values():
        for file, digest in (entry.get("code") or {}).items():
            digests.setdefault(file, set()).add(digest)
    return sorted(file for file, seen in digests.items() if len(seen) > 1)


def commits(entries: dict[str, dict]) -> str:
    """The commits of records, with the number of records of each: "1736786: 13 records, bd107ba: 1"; empty where git knew none."""
    counts = [f"{commit[:7]}: {count}" for commit, count in _commits(entries).most_common()]
    return ", ".join([f"{counts[0]} record{'s' * (not counts[0].endswith(': 1'))}", *counts[1:]]) if counts else ""


def listed(names: list[str], most: int = 5) -> str:
    """ "a, b, c" or "a, b, c, d, e and 7 more"."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _commits(entries: dict[str, dict]) -> Counter:
    return Counter(entry["git"]["commit"] for entry in entries.values() if (entry.get("git") or {}).get("commit"))
