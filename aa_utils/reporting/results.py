"""`results/<experiment>/`: `tables/` (CSV, Markdown, LaTeX), `figures/`, and `runs/`, the records behind every number.

The per-seed CSV is the source: means, layouts and figures are made from it, at once or again (`aa_utils.verify`), and every row of it
names its run.
"""

from pathlib import Path

import pandas as pd

from aa_utils.paths import resolve
from aa_utils.reporting import claims, figures, layout, provenance, tables

# Per-seed CSV -> parameters of notebook 30 that this table is about.
VARY = {"accuracy": (), "number_of_images": ("limit_per_class",)}


def write(results: str | Path, name: str, entries: dict[str, dict]) -> pd.DataFrame:
    """Write the tables called `name` ("accuracy", "number_of_images"), their figure and the records used; returns the per-seed table."""
    frame = tables.per_seed(entries, VARY[name])
    provenance.write_copies(results, entries)
    tables.write_csv(resolve(results) / "tables" / f"{name}_seeds.csv", frame)
    from_seeds(results, name)
    return frame


def from_seeds(results: str | Path, name: str) -> None:
    """Make the means, layouts and the figure of `name` from its per-seed CSV."""
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
