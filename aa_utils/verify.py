"""What is committed in `results/`: made again from its CSV, and traced to the records beside it."""

from functools import partial
from pathlib import Path

import pandas as pd

from aa_utils import files
from aa_utils.generator_adaptation.evaluation import results as generator_results
from aa_utils.paths import existing, resolve
from aa_utils.reporting import benchmark_tables, estimate_runs, figures, provenance, tables
from aa_utils.reporting.results import VARY, from_seeds

FAMILIES = ("digits", "office31", "office_home", "imageclef_da", "visda17")  # benchmarks of several tasks: notebooks 52 to 56


def again(results: str | Path) -> pd.DataFrame:
    """Make every mean, layout and figure again from the CSV; a row a file: file, unchanged (True: the same bytes as before).

    Sheets of images are not drawn again: their CSV says which images they show, not what is on them.
    """
    folder = existing(results, "results folder", "notebooks/51_benchmark_uci_digits.ipynb")
    before = _hashes(folder)
    for name in VARY:
        if (folder / "tables" / f"{name}_seeds.csv").is_file():
            from_seeds(results, name)
    estimate_runs.again(results)
    generator_results.again(results)
    for path in sorted((folder / "figures").glob("*.csv")):
        if path.stem in figures.DRAWN:
            figures.redraw(path)
    after = _hashes(folder)
    return pd.DataFrame([{"file": name, "unchanged": before.get(name) == digest} for name, digest in after.items()])


def untraced(results: str | Path) -> list[str]:
    """One sentence for each row of the per-seed tables that the records in `runs/` do not give; empty if all is traced."""
    folder, copies = resolve(results), provenance.read_copies(results)
    said = []
    for name in (*VARY, *FAMILIES):
        path = folder / "tables" / f"{name}_seeds.csv"
        if not path.is_file():
            continue
        per_seed = benchmark_tables.per_seed if name in FAMILIES else partial(tables.per_seed, vary=VARY[name])
        written = tables.read_csv(path)
        used = {row: entry for row, entry in copies.items() if provenance.stage(entry) not in tables.SCORED or row in set(written["run"])}
        given = per_seed(used) if used else written.iloc[:0]
        known = set(given.astype(str).itertuples(index=False, name=None))
        for row in written.astype(str).itertuples(index=False, name=None):
            if row not in known or provenance.UNRECORDED in row:
                said.append(f"{path.name}: {', '.join(row)} does not follow from a record in runs/")
    return said + estimate_runs.untraced(results) + generator_results.untraced(results)


def _hashes(folder: Path) -> dict[str, str]:
    found = sorted(path for part in ("tables", "figures") for path in (folder / part).glob("*.*") if not path.name.startswith("."))
    return {path.relative_to(folder).as_posix(): files.sha256(path) for path in found}
