"""Ablations whose tables and figure follow from one CSV with a row a run and seed, `<results>/tables/<name>_runs.csv`."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from aa_utils.paths import resolve
from aa_utils.reporting import layout, provenance, tables
from aa_utils.reporting.style import save


def write(results: str | Path, name: str, frame: pd.DataFrame, entries: dict[str, dict]) -> None:
    """Write `frame` as the CSV of the runs, and the records `entries` behind it."""
    provenance.write_copies(results, entries)
    tables.write_csv(_path(results, name), frame)


def again(
    results: str | Path,
    name: str,
    means: Callable[[pd.DataFrame], pd.DataFrame],
    printed: Callable[[pd.DataFrame], layout.Layout],
    figure: Callable[[pd.DataFrame], Figure],
) -> None:
    """Make `<results>/tables/<name>` (CSV, Markdown, LaTeX) and the figure from the CSV of the runs, where there is one."""
    if not _path(results, name).is_file():
        return
    frame = tables.read_csv(_path(results, name))
    tables.write_csv(resolve(results) / "tables" / f"{name}.csv", means(frame))
    layout.write(results, name, printed(frame))
    save(figure(frame), name, resolve(results) / "figures", frame)


def untraced(results: str | Path, name: str, recorded: Callable[[pd.DataFrame, dict[str, dict]], Iterable[dict]]) -> list[str]:
    """One sentence for each row of the CSV of the runs that the records in `runs/` do not give; empty where there is no such CSV.

    `recorded`: from the CSV and the records by name, the rows that these give.
    """
    if not _path(results, name).is_file():
        return []
    frame = tables.read_csv(_path(results, name))
    known = {str(row) for row in recorded(frame, provenance.read_copies(results))}
    wrong = [row for row in tables.rows(frame) if str(row) not in known]
    return [f"{name}_runs.csv: {row['run']}, seed {row['seed']} does not follow from a record in runs/" for row in wrong]


def _path(results: str | Path, name: str) -> Path:
    return resolve(results) / "tables" / f"{name}_runs.csv"
