"""What the ablations draw, from results that are committed: a row a run and seed with its accuracy, its cost, and where it started.

Nothing is trained here. Accuracies are those of the per-seed tables, seconds and pseudo-labels those of the records beside them
(`<results>/runs`), so a figure is as true as the tables that it was made from, and `make verify` checks those.
"""

from collections.abc import Iterable

import pandas as pd

from aa_utils.errors import InputError
from aa_utils.paths import existing
from aa_utils.reporting import provenance, tables
from aa_utils.reporting.tables import NO_REFINEMENT

COLUMNS = ["results", "world", "prompts", "inter_domain", "intra_domain", "seed", "accuracy", "seconds", "run", "run_id"]
CONDITION = ["results", "world", "prompts", "inter_domain"]
GAIN = [*CONDITION, "intra_domain", "seed", "before", "gain", "pseudo_label_accuracy", "run", "run_id"]


def of_results(folders: Iterable[str]) -> pd.DataFrame:
    """Every run of a pipeline in the results `folders`, columns COLUMNS: a row a run and seed; accuracy as a fraction.

    `world` is the benchmark on which the run was scored. `seconds` is the time of training
    of this seed, with that of the run which it goes on from; NaN where a record has none.
    Errors: InputError for a folder without a per-seed table of runs.
    """
    rows = pd.concat([_of_folder(folder) for folder in folders], ignore_index=True)
    return rows[COLUMNS].sort_values(COLUMNS[:6], ignore_index=True)


def gains(rows: pd.DataFrame, folders: Iterable[str]) -> pd.DataFrame:
    """What refinement added to each run and seed, columns GAIN: `before` is the accuracy that it started from, `gain` the difference.

    `rows`: those of `of_results(folders)`. `pseudo_label_accuracy` is that of the confident half; labels score here and choose nothing.
    """
    scores = {str(folder): _scores(str(folder)) for folder in folders}
    before = rows[rows["intra_domain"] == NO_REFINEMENT].set_index([*CONDITION, "seed"])["accuracy"]
    refined = rows[rows["intra_domain"] != NO_REFINEMENT].copy()
    keys = refined[[*CONDITION, "seed"]].itertuples(index=False, name=None)
    refined["before"] = [before.get(key, float("nan")) for key in keys]
    of_run = [scores[row.results].get((row.run, row.seed), {}) for row in refined.itertuples()]
    refined["before"] = refined["before"].fillna(pd.Series([row.get("accuracy_before") for row in of_run], refined.index, dtype=float))
    refined["pseudo_label_accuracy"] = [row.get("pseudo_label_accuracy", float("nan")) for row in of_run]
    refined["gain"] = refined["accuracy"] - refined["before"]
    return tables.rounded(refined.dropna(subset=["gain"])[GAIN].reset_index(drop=True))


def stages(rows: pd.DataFrame, adapted: str, refined: str) -> pd.DataFrame:
    """The path of the paper through `rows`, with the `stage` of each: source only, AdaBN, adapted, refined.

    `adapted` and `refined` are the methods of stages 3 and 4. Worlds and prompts without both of the last two are left out.
    Errors: InputError where none is left.
    """
    path = {("source_only", NO_REFINEMENT): "source only", ("adabn", NO_REFINEMENT): "AdaBN"}
    path |= {(adapted, NO_REFINEMENT): "adapted", (adapted, refined): "refined"}
    named = [path.get(pair) for pair in rows[["inter_domain", "intra_domain"]].itertuples(index=False, name=None)]
    found = rows.assign(stage=named).dropna(subset=["stage"])
    whole = found.groupby(["results", "world", "prompts"])["stage"].transform(lambda stage: {"adapted", "refined"} <= set(stage))
    found = found[whole]
    if found.empty:
        raise InputError(f"no run of {adapted} is refined by {refined} in these results; adapted and refined name two that were run")
    return found.reset_index(drop=True)


def _of_folder(folder: str) -> pd.DataFrame:
    path = existing(folder, "results folder", "make reproduce")
    found = [tables.read_csv(file) for file in sorted((path / "tables").glob("*_seeds.csv")) if file.stem != "number_of_images_seeds"]
    found = [frame for frame in found if {"system", "prompts", "inter_domain", "intra_domain", "accuracy", "run"} <= set(frame)]
    if not found:
        raise InputError(f"'{folder}' has no per-seed table of runs of 30 and 40; results/pocket_full has one")
    frame = pd.concat(found, ignore_index=True)
    frame = frame[frame["system"] == "pipeline"].assign(results=str(folder))
    frame["world"] = _worlds(frame)
    seconds = _seconds(str(folder))
    started = {(row.results, row.world, row.prompts, row.inter_domain): row.run for row in frame.itertuples() if row.intra_domain == "none"}
    cost = []
    for row in frame.itertuples():
        own = seconds.get((row.run, row.seed), float("nan"))
        first = started.get((row.results, row.world, row.prompts, row.inter_domain))
        cost.append(own if row.intra_domain == NO_REFINEMENT or first is None else own + seconds.get((first, row.seed), float("nan")))
    return frame.assign(seconds=cost)


def _worlds(frame: pd.DataFrame) -> pd.Series:
    """The benchmark of each row; with the network where the same methods were run on it with several."""
    condition = ["benchmark", "prompts", "inter_domain", "intra_domain"]
    names = frame["benchmark"].str.partition("[")[0]  # a choice of classes is long
    if "network" not in frame or frame.groupby(condition)["network"].nunique().max() < 2:
        return names
    return names + ", " + frame["network"].str.partition(".")[0]


def _scores(folder: str) -> dict[tuple[str, int], dict]:
    """{(run, seed): what its record says} of every run whose record stands in `<folder>/runs`."""
    copies = provenance.read_copies(folder)
    return {(name, row["seed"]): row for name, entry in copies.items() for row in entry.get("metrics", []) if "seed" in row}


def _seconds(folder: str) -> dict[tuple[str, int], float]:
    return {key: row["seconds_train"] for key, row in _scores(folder).items() if "seconds_train" in row}
