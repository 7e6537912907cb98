"""`results/<experiment>/`: `tables/` (CSV, Markdown, LaTeX), `figures/`, and `runs/`, the records behind every number.

The per-seed CSV is the source: means, layouts and figures are made from it, at once or again (`again`), and every row of it names its run.
"""

from functools import partial
from pathlib import Path

import pandas as pd

from aa_utils import benchmark_tables, claims, figures, files, layout, lineage, tables
from aa_utils.paths import existing, resolve

FAMILIES = ("digits", "office31", "office_home", "imageclef_da", "visda17")  # benchmarks of several tasks: notebooks 52 to 56
# Per-seed CSV -> parameters of notebook 30 that this table is about.
VARY = {"accuracy": (), "number_of_images": ("limit_per_class",)}


def write(results: str | Path, name: str, entries: dict[str, dict]) -> pd.DataFrame:
    """Write the tables called `name` ("accuracy", "number_of_images"), their figure and the records used; returns the per-seed table."""
    frame = tables.per_seed(entries, VARY[name])
    lineage.write_copies(results, entries)
    tables.write_csv(resolve(results) / "tables" / f"{name}_seeds.csv", frame)
    _from_seeds(results, name)
    return frame


def again(results: str | Path) -> pd.DataFrame:
    """Make every mean, layout and figure again from the CSV; a row a file: file, unchanged (True: the same bytes as before).

    Sheets of images are not drawn again: their CSV says which images they show, not what is on them.
    """
    folder = existing(results, "results folder", "notebooks/51_benchmark_uci_digits.ipynb")
    before = _hashes(folder)
    for name in VARY:
        if (folder / "tables" / f"{name}_seeds.csv").is_file():
            _from_seeds(results, name)
    for path in sorted((folder / "figures").glob("*.csv")):
        if path.stem in figures.DRAWN:
            figures.redraw(path)
    after = _hashes(folder)
    return pd.DataFrame([{"file": name, "unchanged": before.get(name) == digest} for name, digest in after.items()])


def untraced(results: str | Path) -> list[str]:
    """One sentence for each row of the per-seed tables that the records in `runs/` do not give; empty if all is traced."""
    folder, copies = resolve(results), lineage.read_copies(results)
    said = []
    for name in (*VARY, *FAMILIES):
        path = folder / "tables" / f"{name}_seeds.csv"
        if not path.is_file():
            continue
        per_seed = benchmark_tables.per_seed if name in FAMILIES else partial(tables.per_seed, vary=VARY[name])
        written = tables.read_csv(path)
        used = {row: entry for row, entry in copies.items() if lineage.stage(entry) not in tables.SCORED or row in set(written["run"])}
        given = per_seed(used) if used else written.iloc[:0]
        known = set(given.astype(str).itertuples(index=False, name=None))
        for row in written.astype(str).itertuples(index=False, name=None):
            if row not in known or lineage.UNRECORDED in row:
                said.append(f"{path.name}: {', '.join(row)} does not follow from a record in runs/")
    return said


def _from_seeds(results: str | Path, name: str) -> None:
    folder = resolve(results) / "tables"
    frame = tables.read_csv(folder / f"{name}_seeds.csv")
    means = tables.over_seeds(frame)
    tables.write_csv(folder / f"{name}.csv", means)
    if name == "number_of_images":
        layout.write(results, name, layout.number_of_images(means, frame))
        figures.draw(name, frame, resolve(results) / "figures")
        return
    layout.write(results, name, layout.accuracy(means, frame))
    compared = claims.compared(frame)
    tables.write_csv(folder / "claims.csv", compared)
    layout.write(results, "claims", claims.layout(compared))
    figures.draw("accuracy_by_stage", frame, resolve(results) / "figures")


def _hashes(folder: Path) -> dict[str, str]:
    found = sorted(path for part in ("tables", "figures") for path in (folder / part).glob("*.*") if not path.name.startswith("."))
    return {path.relative_to(folder).as_posix(): files.sha256(path) for path in found}
