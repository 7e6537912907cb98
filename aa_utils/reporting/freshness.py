"""Which committed results are older than their code, and in which files; a result made from such a one is as old."""

from dataclasses import dataclass, field
from pathlib import Path

from aa_utils.paths import resolve
from aa_utils.reporting import code_notes, provenance
from aa_utils.runner import code_closure


@dataclass
class Freshness:
    """`older`: name of a result -> the files edited since, of its own code or of that of a run that it was made from; `through`: such runs
    where its own code is as it was; `unknown`: names of records that do not say their code; `tables` that rest on older results."""

    records: int = 0
    commits: str = ""
    older: dict[str, list[str]] = field(default_factory=dict)
    through: dict[str, list[str]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)


def of(results: str | Path) -> Freshness:
    """How the records in `<results>/runs` stand to the code of today."""
    copies = provenance.read_copies(results)
    found = Freshness(len(copies), code_notes.commits(copies))
    own = {name: code_closure.edited(entry["code"]) if entry.get("code") else [] for name, entry in copies.items()}
    for name, entry in copies.items():
        behind = provenance.behind(copies, [name]) - {name}
        files = sorted({*own[name], *(file for other in behind for file in own[other])})
        if files:
            found.older[name] = files
            found.through[name] = [] if own[name] else sorted(other for other in behind if own[other])
        elif not entry.get("code"):
            found.unknown.append(name)
    names = sorted(path.stem for path in (resolve(results) / "tables").glob("*.md"))
    found.tables = [name for name in names if code_notes.behind(results, name).keys() & found.older.keys()]
    return found
