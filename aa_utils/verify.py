"""Do results follow from their records, are they what a fresh run gives, and are they of the code of today?

    python -m aa_utils.verify                      every folder of results/; make verify does this
    python -m aa_utils.verify results/pocket       one, or several
    python -m aa_utils.verify --only fresh results/pocket

Three questions: `tables` (every per-seed row is one of a record, every mean, layout and figure is what its CSV gives), `fresh` (the
committed numbers against those of a run in artifacts/, if there is one) and `code` (which results are older than their code, and in
which files). Exit codes: 0; 1 if a table does not follow, or a number differs from that of a fresh run of the same code on a like machine;
2 for a wrong call.
"""

import argparse
import os
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

import pandas as pd

from aa_utils import files
from aa_utils.errors import InputError
from aa_utils.generator_adaptation.evaluation import new_word
from aa_utils.generator_adaptation.evaluation import results as generator_results
from aa_utils.paths import ROOT, existing, resolve
from aa_utils.redaction import mask_output
from aa_utils.reporting import (
    benchmark_tables,
    discarding,
    diversity_runs,
    estimate_runs,
    figures,
    fresh_run,
    freshness,
    generators,
    hard_shift_runs,
    image_sets,
    provenance,
    stop_signs,
    tables,
)
from aa_utils.reporting.code_notes import listed
from aa_utils.reporting.results import VARY, from_seeds


def families(results: str | Path) -> list[str]:
    """The tables of several tasks (notebooks 52 to 57), as experiments named them: those whose per-seed CSV says the task of each row."""
    seeds = sorted((resolve(results) / "tables").glob("*_seeds.csv"))
    return [path.stem.removesuffix("_seeds") for path in seeds if {*benchmark_tables.TASK, "network"} <= set(tables.read_csv(path))]


PARTS = ("tables", "fresh", "code")


def main(arguments: list[str] | None = None) -> int:
    """Print what holds of results folders; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m aa_utils.verify", description=str(__doc__).partition("\n")[0])
    parser.add_argument("results", nargs="*", help="results folders; all of results/ if none is named")
    parser.add_argument("--only", choices=PARTS, help="one of the three questions")
    options = parser.parse_args(arguments)
    if arguments is None:
        mask_output()
    asked, good = [options.only] if options.only else list(PARTS), True
    try:
        for folder in [_folder(name) for name in options.results] or _all_folders():
            for part in asked:
                lines, holds = {"tables": _tables, "fresh": _fresh, "code": _code}[part](folder)
                print("\n".join([f"{folder.name}: {lines[0]}", *(f"    {line}" for line in lines[1:])]), flush=True)
                good &= holds
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0 if good else 1


def _folder(name: str) -> Path:
    folder = Path(name).absolute() if Path(name).is_dir() else existing(name, "results folder", "make reproduce")
    if not (folder / "tables").is_dir() or not (folder / "runs").is_dir():
        raise InputError(f"'{name}' is no results folder: it has no tables/ and runs/; results/<experiment> is one")
    return folder


def _all_folders() -> list[Path]:
    found = sorted(path.parent for path in (ROOT / "results").glob("*/tables") if (path.parent / "runs").is_dir())
    if not found:
        raise InputError(f"no results in '{ROOT / 'results'}'; make reproduce makes some, or name a folder")
    return found


def _tables(folder: Path) -> tuple[list[str], bool]:
    """Lines on the tables, made again in a copy; True if all of them follow from the records."""
    with tempfile.TemporaryDirectory() as place:
        copy = copied(folder, place)
        for path in copy.rglob("*"):
            os.utime(path, (0, 0))  # what is made again gets the time of today
        try:
            wrong = untraced(copy)
        except InputError as error:  # records that belong in no one table
            return [f"tables do not follow from the records: {error}"], False
        frame = again(copy)
        made = [bool((copy / name).stat().st_mtime) for name in frame["file"]]
    is_table = frame["file"].str.startswith("tables/")
    changed, drawn = (list(frame[~frame["unchanged"] & kind]["file"]) for kind in (is_table, ~is_table))
    wrong += [f"{name} is not what its CSV gives" for name in changed]
    lines = [f"tables {'do not ' if wrong else ''}follow from the records ({int(is_table[made].sum())} files made again)", *wrong]
    kept = [name for name, new in zip(frame["file"], made, strict=True) if not new and name.startswith("tables/")]
    kept = [name for name in kept if not name.endswith("_seeds.csv")]
    if kept:
        lines.append(f"only their notebook makes these: {listed(kept)}")
    if drawn:
        lines.append(f"figures that are drawn with other bytes today: {listed(drawn)}")
    return lines, not wrong


def _fresh(folder: Path) -> tuple[list[str], bool]:
    """Lines on the numbers of a fresh run; False if one differs without an excuse."""
    found, files_now = fresh_run.compare(folder), fresh_run.changed_files(folder)
    lines = [f"no fresh run in artifacts/{folder.name} to compare with"]
    if found.runs:
        lines = [f"{found.equal} of {found.numbers} numbers of {found.runs} runs equal the committed ones"]
        if found.within:
            lines[0] += f", {len(found.within)} are within {fresh_run.TOLERANCE:g} of them"
        if found.different:
            lines[0] += f", {len(found.different)} differ"
        if found.machine:
            lines.append(f"other conditions than the committed ones: {', '.join(sorted(found.machine))}")
        if found.edits:
            lines.append(f"changed since the committed ones: {listed(sorted(found.edits))}")
        lines += found.different
        if files_now is not None:
            lines.append(f"tables and figures: {f'changed are {listed(files_now)}' if files_now else 'the same bytes as committed'}")
    if found.left_out:
        lines.append(f"left out, for their settings are not those of the committed ones: {listed(found.left_out)}")
    return lines, not found.alike


def _code(folder: Path) -> tuple[list[str], bool]:
    """Lines on which results are older than their code. That is news, and no fault."""
    found = freshness.of(folder)
    states = [f"{len(found.older)} of {found.records} results are older than their code"] if found.older else []
    if len(found.unknown) < found.records and not found.older:
        states.append("no result is older than its code")
    if found.unknown:
        states.append(f"{len(found.unknown)} results do not say their code: they are older than such records")
    lines = [f"{'; '.join(states) or 'no records'} (commits {found.commits or 'unknown'})"]
    for name, edited in found.older.items():
        lines.append(f"{name}: {listed(edited)}" + (f" (through {listed(found.through[name])})" if found.through[name] else ""))
    return [*lines, *([f"tables with such results: {', '.join(found.tables)}"] if found.tables else [])], True


def copied(results: str | Path, place: str | Path) -> Path:
    """A copy of a results folder as `<place>/<its name>`, whatever stood there before. Errors: InputError if there is no such folder."""
    folder = _folder(str(results))
    copy = resolve(place) / folder.name
    shutil.rmtree(copy, ignore_errors=True)
    return shutil.copytree(folder, copy)


def again(results: str | Path) -> pd.DataFrame:
    """Make every mean, layout and figure again from the CSV; a row a file: file, unchanged (True: the same bytes as before).

    Sheets of images are not drawn again: their CSV says which images they show, not what is on them.
    """
    folder = existing(results, "results folder", "notebooks/51_benchmark_uci_digits.ipynb")
    before = _hashes(folder)
    for name in VARY:
        if (folder / "tables" / f"{name}_seeds.csv").is_file():
            from_seeds(results, name)
    benchmark_tables.again(results)
    estimate_runs.again(results)
    diversity_runs.again(results)
    hard_shift_runs.again(results)
    discarding.again(results)
    generators.again(results)
    image_sets.again(results)
    stop_signs.again(results)
    generator_results.again(results)
    new_word.again(results)
    for path in sorted((folder / "figures").glob("*.csv")):
        if path.stem in figures.DRAWN:
            figures.redraw(path)
    after = _hashes(folder)
    return pd.DataFrame([{"file": name, "unchanged": before.get(name) == digest} for name, digest in after.items()])


def untraced(results: str | Path) -> list[str]:
    """One sentence for each row of the per-seed tables that the records in `runs/` do not give; empty if all is traced."""
    folder, copies = resolve(results), provenance.read_copies(results)
    said = []
    several = families(results)
    for name in (*VARY, *several):
        path = folder / "tables" / f"{name}_seeds.csv"
        if not path.is_file():
            continue
        per_seed = benchmark_tables.per_seed if name in several else partial(tables.per_seed, vary=VARY[name])
        written = tables.read_csv(path)
        # Other tables of this folder may be about images of other settings: only what these rows come from.
        used = {row: copies[row] for row in sorted(provenance.behind(copies, sorted(set(written["run"]) & set(copies))))}
        given = per_seed(used) if used else written.iloc[:0]
        known = set(given.astype(str).itertuples(index=False, name=None))
        for row in written.astype(str).itertuples(index=False, name=None):
            if row not in known or provenance.UNRECORDED in row:
                said.append(f"{path.name}: {', '.join(row)} does not follow from a record in runs/")
        there, runs = set(written.astype(str).itertuples(index=False, name=None)), set(written["run"])
        for row, run in zip(given.astype(str).itertuples(index=False, name=None), given["run"], strict=True):
            if run in runs and row not in there:
                said.append(f"{path.name}: {', '.join(row)} is missing, and its record in runs/ has it")
    said += estimate_runs.untraced(results) + diversity_runs.untraced(results) + hard_shift_runs.untraced(results)
    said += discarding.untraced(results) + generators.untraced(results)
    return said + generator_results.untraced(results) + new_word.untraced(results)


def _hashes(folder: Path) -> dict[str, str]:
    found = sorted(path for part in ("tables", "figures") for path in (folder / part).glob("*.*") if not path.name.startswith("."))
    return {path.relative_to(folder).as_posix(): files.sha256(path) for path in found}


if __name__ == "__main__":
    sys.exit(main())
