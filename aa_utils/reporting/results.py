"""`results/<experiment>/`: `tables/` (CSV, Markdown, LaTeX), `figures/`, and `runs/`, the records behind every number.

The per-seed CSV is the source: means, layouts and figures are made from it, at once or again (`aa_utils.verify`), and every row of it
names its run.
"""

from pathlib import Path

import pandas as pd

from aa_utils.paths import resolve
from aa_utils.reporting import claims, drawn_images, figures, layout, provenance, sampling, saturation, tables

# Per-seed CSV -> parameters that this table is about, of notebook 30 or of the images.
VARY = {"accuracy": (), "number_of_images": ("limit_per_class",), "sampling": ("scheduler", "steps", "guidance", "preset")}


def write(results: str | Path, name: str, entries: dict[str, dict]) -> pd.DataFrame:
    """Write the tables called `name` (a key of VARY), their figure and the records used; returns the per-seed table."""
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
        points = _with_returns(results, frame)
        figures.draw(name, points, resolve(results) / "figures")
        return
    if name == "sampling":
        points = tables.rounded(drawn_images.joined(frame, provenance.read_copies(results)))
        layout.write(results, name, sampling.layout(sampling.table(points)))
        figures.draw(name, points, resolve(results) / "figures")
        return
    layout.write(results, name, layout.accuracy(means, frame))
    compared = claims.compared(frame)
    tables.write_csv(folder / "claims.csv", compared)
    layout.write(results, "claims", claims.layout(compared))
    figures.draw("accuracy_by_stage", frame, resolve(results) / "figures")


def _with_returns(results: str | Path, frame: pd.DataFrame) -> pd.DataFrame:
    """The points of the curve. Where it has several lines, with what an image cost, and tables of its diminishing returns beside it."""
    if len(frame.groupby(saturation.SERIES)) < 2:
        return frame
    points = tables.rounded(drawn_images.joined(frame, provenance.read_copies(results)).drop(columns=drawn_images.TEXT))
    curves = saturation.table(points)
    tables.write_csv(resolve(results) / "tables" / "saturation.csv", curves)
    layout.write(results, "saturation", saturation.layout(curves))
    return points
