"""`results/<experiment>/` of adapted generators: tables and figures from the per-seed table, at once or again, and its records."""

from pathlib import Path

import pandas as pd

from aa_utils.generator_adaptation.evaluation import ablation, comparison, figures, printing
from aa_utils.paths import resolve
from aa_utils.reporting import layout, provenance, style, tables
from aa_utils.reporting.layout import Layout

STAGE = "evaluate_generator"
MANY = 8  # variants, above which a figure has a line for each instead of a colour
TEXTS = ("prompt", "variant", "objective", "t_range", "other", "space", "distance", "run_id")


def write(results: str | Path, name: str, frame: pd.DataFrame, setting: str = "") -> Layout:
    """Write `<results>/tables/<name>_seeds.csv`, its means as `<name>.csv`, the printed table, and the figure `name`; returns the table.

    `frame`: the rows of `comparison.per_seed`, or those of `ablation.one_setting` with the `setting` that they differ in.
    """
    folder, means = resolve(results), comparison.over_seeds(frame)
    shown = ablation.printed(frame, setting) if setting else printing.printed(frame)
    tables.write_csv(folder / "tables" / f"{name}_seeds.csv", frame)
    tables.write_csv(folder / "tables" / f"{name}.csv", means)
    shown = layout.write(results, name, shown)
    if setting:
        style.save(figures.against_setting(frame, setting), name, folder / "figures", frame)
    else:
        many = means["variant"].nunique() > MANY
        style.save(figures.by_variant(means) if many else figures.trade_off(means), name, folder / "figures", means)
    return shown


def again(results: str | Path) -> None:
    """`write` for every per-seed table of adapted generators in `results`, from the CSV alone."""
    for path in _tables(results):
        name = path.stem.removesuffix("_seeds")
        setting = next((s for s in (*comparison.SETTINGS, "t_range") if name.endswith(f"_{s}")), "")
        write(results, name, _read(path), setting)


def write_records(results: str | Path, name: str, runs: list[str], parameters: dict, inputs: dict[str, str], rows: list[dict]) -> None:
    """Put beside the tables the records of the adaptations in `runs`, and one of the measurement `name` itself with its `rows`.

    A run made by hand has none: its rows are unrecorded, and the table says so.
    """
    recorded = [run for run in runs if (resolve(run) / "record.json").is_file()]
    made = provenance.records(recorded, "") if recorded else {}
    measured = provenance.measurement(STAGE, "notebooks/72_evaluate_generator.ipynb", parameters, inputs, rows, comparison.__name__)
    provenance.write_copies(results, made | {f"{STAGE}-{name}": measured})


def untraced(results: str | Path) -> list[str]:
    """One sentence for each row of the per-seed tables that no record of a measurement in `runs/` has, or whose run is unrecorded."""
    copies = provenance.read_copies(results)
    known = [row for entry in copies.values() if provenance.stage(entry) == STAGE for row in entry["metrics"]]
    ids = {entry["run_id"] for entry in copies.values()}
    said = []
    for path in _tables(results):
        frame = _read(path)
        there = {_key(row, frame.columns) for row in known}
        for row in tables.rows(frame):
            made = row.get("run_id")
            if _key(row, frame.columns) not in there or (made and made not in ids):
                said.append(
                    f"{path.name}: {row['prompt']}, {row['variant']}, seed {row.get('seed')} does not follow from a record in runs/"
                )
    return said


def _tables(results: str | Path) -> list[Path]:
    found = sorted((resolve(results) / "tables").glob("*_seeds.csv"))
    return [path for path in found if {"prompt", "variant", "diversity_kept"} <= set(pd.read_csv(path, nrows=0).columns)]


def _read(path: Path) -> pd.DataFrame:
    frame = pd.read_csv(path, dtype=dict.fromkeys(TEXTS, str))
    return frame.astype({column: kind for column, kind in comparison.WHOLE.items() if column in frame})


def _key(row: dict, columns: pd.Index) -> tuple:
    return tuple(str(row.get(column)) for column in columns)
