"""Runs on harder and harder domains of one target, beside a classifier that was never adapted to them: what notebook 68 reads and measures.

The classifier is scored here, on every domain that a run was adapted to: it is the same one each time, so nothing is trained for it.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from aa_utils import benchmarks, inter_domain
from aa_utils.errors import InputError
from aa_utils.evaluation import scoring
from aa_utils.paths import resolve
from aa_utils.reporting import benchmark_tables, figures, hard_shift_tables, layout, provenance, tables
from aa_utils.reporting.hard_shift_tables import CLEAN, RUNS

STAGE, NOTEBOOK, NAME = "hard_shift", "notebooks/68_hard_shift.ipynb", "hard_shift"


def of_records(entries: dict[str, dict]) -> pd.DataFrame:
    """Rows of RUNS: what the records say of runs on any domains, severity 0 for a target without one."""
    seeds = benchmark_tables.per_seed(entries)
    where = [_domain(name) for name in seeds["benchmark"]]
    return seeds.assign(kind=[kind for kind, _ in where], severity=[severity for _, severity in where])[RUNS]


def unadapted(run: str, target: str, domains: Sequence[str], entries: dict[str, dict]) -> pd.DataFrame:
    """Rows of RUNS: every seed of the inter-domain `run`, scored on each of the `domains` of the benchmark `target`.

    `entries`: records, that of `run` among them. Errors: InputError for a domain that has no labels.
    """
    own = of_records({name: entry for name, entry in entries.items() if name in provenance.behind(entries, [provenance.run_name(run)])})
    rows, size = [], entries[provenance.run_name(run)]["parameters"]["image_size"]
    for domain in domains:
        scored = benchmarks.load(f"{target}:{domain}", size)
        if scored.labels is None:
            raise InputError(f"'{target}:{domain}' has no labels, so nothing can be scored on it")
        kind, severity = _domain(scored.name)
        for row in own[own["run"] == provenance.run_name(run)].to_dict("records"):
            prediction = inter_domain.predict(resolve(run) / f"seed{row['seed']}", scored.images.pixels)[0].argmax(1)
            k = len(scored.class_names)
            numbers = {"accuracy": scoring.accuracy(prediction, scored.labels)}
            numbers |= {"mean_per_class": scoring.mean_per_class(prediction, scored.labels, k)}
            rows.append(row | numbers | {"kind": kind, "severity": severity, "benchmark": scored.name})
    return tables.rounded(pd.DataFrame(rows, columns=RUNS))


def measure(run: str, runs: Sequence[str], target: str, domains: Sequence[str], results: str | Path) -> pd.DataFrame:
    """Rows of RUNS, of the `runs` and of the unadapted `run` on all their domains and on `domains`; written with what follows from them.

    Errors: InputError where there is no domain at all.
    """
    entries = provenance.records([run, *runs], target)
    known = of_records(entries)
    adapted = {name.partition(":")[2] for name in known["benchmark"] if name.startswith(f"{target}:")}
    wanted = sorted(adapted | set(domains))
    if not wanted:
        raise InputError(f"no run was adapted to a domain of '{target}', and domains is empty; name one at least, such as noise-3")
    scored = unadapted(run, target, wanted, entries)
    about = {"unadapted": run, "target": target, "domains": wanted}
    measured = provenance.measurement(STAGE, NOTEBOOK, about, {"classifier": run}, tables.rows(scored), __name__)
    provenance.write_copies(results, entries | {STAGE: measured})
    frame = pd.concat([known, scored], ignore_index=True).sort_values(["kind", "severity", "inter_domain", "intra_domain", "seed"])
    tables.write_csv(_runs(results), tables.rounded(frame))
    return from_runs(results)


def from_runs(results: str | Path) -> pd.DataFrame:
    """Make `<results>/tables/hard_shift` (CSV, Markdown, LaTeX) and the figure from the CSV of the runs; returns its rows."""
    frame = tables.read_csv(_runs(results))
    tables.write_csv(resolve(results) / "tables" / f"{NAME}.csv", hard_shift_tables.means(frame))
    layout.write(results, NAME, hard_shift_tables.layout(frame))
    figures.draw(NAME, frame, resolve(results) / "figures")
    return frame


def again(results: str | Path) -> None:
    """`from_runs`, where `results` has the CSV of the runs."""
    if _runs(results).is_file():
        from_runs(results)


def untraced(results: str | Path) -> list[str]:
    """One sentence for each row of the CSV of the runs that no record in `runs/` gives; empty where there is no such CSV."""
    if not _runs(results).is_file():
        return []
    frame, copies = tables.read_csv(_runs(results)), provenance.read_copies(results)
    measured = [row for entry in copies.values() if provenance.stage(entry) == STAGE for row in entry["metrics"]]
    named = {name: entry for name, entry in copies.items() if name in provenance.behind(copies, sorted(set(frame["run"]) & set(copies)))}
    known = {str(row) for row in [*measured, *tables.rows(of_records(named))]}
    return [
        f"{NAME}_runs.csv: {row['run']}, seed {row['seed']} on {row['benchmark']} does not follow from a record in runs/"
        for row in tables.rows(frame)
        if str(row) not in known
    ]


def _domain(benchmark: str) -> tuple[str, int]:
    """(kind, severity) of "corrupted_digits:noise-3"; (CLEAN, 0) of a benchmark without a severity."""
    kind, _, severity = benchmark.partition(":")[2].rpartition("-")
    return (kind, int(severity)) if severity.isdigit() and kind else (CLEAN, 0)


def _runs(results: str | Path) -> Path:
    return resolve(results) / "tables" / f"{NAME}_runs.csv"
