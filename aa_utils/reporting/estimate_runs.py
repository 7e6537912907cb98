"""What `estimate` says of finished runs, and how right it was: the target's labels come in here, to judge the estimates."""

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

from aa_utils import benchmarks, files, inter_domain
from aa_utils.classifiers import inference
from aa_utils.data import images
from aa_utils.errors import InputError
from aa_utils.evaluation import without_labels
from aa_utils.paths import existing, resolve
from aa_utils.reporting import layout, provenance, tables
from aa_utils.runner import record

ABOUT = ["benchmark", "prompts", "inter_domain", "intra_domain", "images", "run", "run_id", "seed"]
PER_SEED = [*ABOUT, "accuracy", *without_labels.SCORES, *without_labels.ACCURACIES, "low", "high", "held_out"]
JUDGED = ["estimator", "n", "spearman", "error", "bias", "picks", "regret", "run_ids"]
STAGE, NOTEBOOK = "without_labels", "notebooks/62_ablation_without_labels.ipynb"


def per_seed(runs: Sequence[str], benchmark: str, image_size: int, held_out: str) -> pd.DataFrame:
    """One row for each run and seed, columns PER_SEED: what the run is, its true accuracy, every estimate, and `low`, `high` of `range_of`.

    `runs`: folders of runs of notebooks 30 and 40, or folders of such folders. `held_out`: a labelled image folder from the same generator;
    its images that a run was trained on are left out for that run, and the column `held_out` counts the rest. It is 0 where the run saw
    them all, or left no record of what it saw: its estimates then come from images that it knows, and are too high.
    Errors: InputError for runs without a classifier or of other benchmarks, and for a folder that is not labelled.
    """
    target = benchmarks.load(benchmark, image_size)
    labelled, hashes = _labelled(held_out, image_size, target.class_names)
    about = tables.per_seed(provenance.records(list(runs), benchmark), vary=("limit_per_class",))
    folders = {provenance.run_name(folder): folder for given in runs for folder in _below(resolve(given))}
    rows = []
    for name, seeds in about[about["run"].isin(folders)].groupby("run", sort=False):
        here = {row.seed: folders[name] / f"seed{row.seed}" for row in seeds.itertuples()}
        p = {seed: inference.read_predictions(folder / "predictions.parquet", target.ids) for seed, folder in here.items()}
        agreed = dict(zip(p, without_labels.agreement([values.argmax(1) for values in p.values()]), strict=True))
        for row in seeds.to_dict("records"):
            seed = row["seed"]
            seen = _trained_on(folders[name], seed)
            free = torch.tensor([i for i, digest in enumerate(hashes) if seen is not None and digest not in seen], dtype=torch.int64)
            chosen = free if len(free) else torch.arange(len(hashes))
            p_s, _ = inter_domain.predict(here[seed], labelled.pixels[chosen])
            _, f = inter_domain.predict(here[seed], target.images.pixels)
            found = (
                without_labels.scores(p[seed], f)
                | without_labels.accuracies(p[seed], p_s, labelled.labels[chosen])
                | {"agreement": agreed[seed]}
            )
            low, high = without_labels.range_of(found, min(len(target.ids), len(chosen)))
            rows.append(row | found | {"low": low, "high": high, "held_out": len(free)})
    return tables.rounded(pd.DataFrame(rows, columns=PER_SEED))


def judged(frame: pd.DataFrame) -> pd.DataFrame:
    """One row an estimator, columns JUDGED, from a table of `per_seed`, over all its runs and seeds (n).

    `spearman`: rank correlation with the true accuracy. `error`, `bias`: mean of |estimate - accuracy| and of estimate - accuracy; empty
    for scores. `picks`: the run whose mean over seeds is best by this estimator; `regret`: what its true mean accuracy lacks to the best.
    """
    rows = []
    for name in [*without_labels.SCORES, *without_labels.ACCURACIES]:
        known = frame[frame[name].notna()]
        row = {"estimator": name, "n": len(known), "spearman": spearman(known[name], known["accuracy"])}
        row |= {"run_ids": " ".join(sorted(set(known["run_id"])))}
        if name in without_labels.ACCURACIES and len(known):
            off = known[name] - known["accuracy"]
            row |= {"error": off.abs().mean(), "bias": off.mean()}
        if len(known):
            means = known.groupby("run")[[name, "accuracy"]].mean()
            row |= {"picks": means[name].idxmax(), "regret": means["accuracy"].max() - means.loc[means[name].idxmax(), "accuracy"]}
        rows.append(row)
    return tables.rounded(pd.DataFrame(rows, columns=JUDGED))


def spearman(a: pd.Series, b: pd.Series) -> float:
    """The rank correlation, ties sharing their mean rank; nan for fewer than three pairs or a constant side."""
    if len(a) < 3 or a.nunique() < 2 or b.nunique() < 2:
        return math.nan
    return float(a.rank().corr(b.rank()))


def statement(frame: pd.DataFrame, run: str | Path) -> str:
    """What a practitioner may say of the run in the folder `run`: a line for each seed, and how often such ranges held in `frame`."""
    rows = frame[frame["run"] == provenance.run_name(run)]
    if rows.empty:
        raise InputError(f"'{run}' is not among the runs: {', '.join(frame['run'].unique())}")
    lines = []
    for row in rows.to_dict("records"):
        parts = [
            f"{without_labels.ACCURACIES[name]} {100 * row[name]:.0f}" for name in without_labels.IN_RANGE if not math.isnan(row[name])
        ]
        basis = f"{row['held_out']} held-out images" if row["held_out"] else "no held-out images: too high"
        lines.append(
            f"Seed {row['seed']}: {100 * row['low']:.0f} to {100 * row['high']:.0f} % right, without a label ({', '.join(parts)}; {basis})."
        )
    inside = (frame["low"] <= frame["accuracy"]) & (frame["accuracy"] <= frame["high"])
    width = 100 * (frame["high"] - frame["low"]).mean()
    lines.append(f"Of {len(frame)} such ranges here, {width:.0f} points wide in the mean, {int(inside.sum())} held the true accuracy.")
    return "  \n".join(lines)


def table(summary: pd.DataFrame, frame: pd.DataFrame) -> layout.Layout:
    """The table of `judged` as it is printed, with notes on `frame`, the table that it was made from."""
    names = without_labels.SCORES | without_labels.ACCURACIES
    rows = []
    for row in summary.to_dict("records"):
        rank = layout.DASH if math.isnan(row["spearman"]) else f"{row['spearman']:.2f}"
        rows.append([names[row["estimator"]], str(row["n"]), rank, layout.percent(row["error"]), layout.percent(row["bias"], sign=True)])
        rows[-1] += [row["picks"] if isinstance(row["picks"], str) else layout.DASH, layout.percent(row["regret"])]
    notes = ["Rank correlation with the true accuracy over runs and seeds; error, bias and regret in points of accuracy."]
    notes += ["Target labels judge the estimates here; no estimate reads one."]
    seen = int((frame["held_out"] == 0).sum())
    if seen:
        why = "calibrated on images that they were trained on, or without a record that says otherwise"
        notes.append(f"{seen} of {len(frame)} were {why}: their estimates are too high.")
    header = ["estimator", "n", "rank correlation", "error", "bias", "picks", "regret"]
    return layout.Layout(f"{layout.printed(frame['benchmark'].iloc[0])}: accuracy without labels", header, rows, notes, "lrrrrlr")


def write(results: str | Path, runs: Sequence[str], frame: pd.DataFrame, held_out: str, about: dict) -> pd.DataFrame:
    """Write `<results>/tables/estimates_seeds.csv` and what `from_seeds` makes of it; returns the summary. `frame`: that of `per_seed`.

    Beside the tables go the records of the runs, of the labelled images `held_out` where they have one, and one of the estimates
    themselves, made with the parameters `about`.
    """
    folders = [*runs, *([held_out] if (resolve(held_out) / "record.json").is_file() else [])]
    measured = provenance.measurement(STAGE, NOTEBOOK, about, {"held_out": held_out}, tables.rows(frame), __name__)
    provenance.write_copies(results, provenance.records(folders, frame["benchmark"].iloc[0]) | {STAGE: measured})
    tables.write_csv(_seeds(results), frame)
    return from_seeds(results)


def from_seeds(results: str | Path) -> pd.DataFrame:
    """Make `<results>/tables/estimates` (CSV, Markdown, LaTeX) from its per-seed CSV; returns the summary."""
    frame = read(results)
    summary = judged(frame)
    tables.write_csv(resolve(results) / "tables" / "estimates.csv", summary)
    layout.write(results, "estimates", table(summary, frame))
    return summary


def again(results: str | Path) -> None:
    """`from_seeds`, where `results` has estimates."""
    if _seeds(results).is_file():
        from_seeds(results)


def untraced(results: str | Path) -> list[str]:
    """One sentence for each row of `estimates_seeds.csv` that the record of the estimates in `runs/` has not; empty where there is none."""
    if not _seeds(results).is_file():
        return []
    known, scored = set(), set()
    for entry in provenance.read_copies(results).values():
        if provenance.stage(entry) == STAGE:
            known |= {str(row) for row in entry["metrics"]}
        elif provenance.stage(entry) in tables.PIPELINE:
            scored |= {(entry["run_id"], row["seed"], round(row["accuracy"], 6)) for row in entry["metrics"]}
    return [
        f"estimates_seeds.csv: {row['run']}, seed {row['seed']} does not follow from a record in runs/"
        for row in tables.rows(read(results))
        if str(row) not in known or (row["run_id"], row["seed"], row["accuracy"]) not in scored
    ]


def _seeds(results: str | Path) -> Path:
    return resolve(results) / "tables" / "estimates_seeds.csv"


def read(results: str | Path) -> pd.DataFrame:
    """The per-seed table of estimates in `results`, as `write` was given it. Errors: InputError if there is none."""
    frame = tables.read_csv(_seeds(results))
    return frame.assign(**{name: pd.to_numeric(frame[name]) for name in PER_SEED if name not in ABOUT})


def _below(folder: Path) -> list[Path]:
    """The run folders at or below `folder`: those with classifiers and predictions of seeds."""
    found = {path.parent.parent for path in folder.rglob("seed*/predictions.parquet") if path.with_name("model.safetensors").is_file()}
    return sorted(found)


def _labelled(folder: str, size: int, class_names: list[str]) -> tuple[images.ImageSet, list[str]]:
    """The images of a labelled folder and the hash of each."""
    labelled = images.load(folder, size, class_names)
    if labelled.labels is None:
        raise InputError(f"'{folder}' has no labels; estimates of accuracy need labelled synthetic images, such as 20_generate makes")
    return labelled, [row["sha256"] for row in files.read_jsonl(resolve(folder) / "metadata.jsonl")]


def _trained_on(folder: Path, seed: int) -> frozenset[str] | None:
    """The hashes of the synthetic images that the run in `folder`, and the one it starts from, were trained on; None without a record."""
    if not (folder / "record.json").is_file():
        return None
    parameters, seen = record.read(folder)["parameters"], frozenset[str]()
    if parameters.get("initial"):
        before = _trained_on(resolve(parameters["initial"]), seed)
        if before is None:
            return None
        seen = before
    if not parameters.get("source"):  # stage 4, and methods that take no image
        return seen
    rows = files.read_jsonl(existing(parameters["source"], "image folder", "notebooks/20_generate.ipynb") / "metadata.jsonl")
    names = [Path(row["file_name"]).with_suffix("").name for row in rows]
    # Which images a limit leaves is decided by their names and labels; their pixels are not needed.
    known = images.ImageSet(torch.empty(len(rows), 0), torch.tensor([row["label"] for row in rows]), names, [])
    drawn = set(images.limit(known, parameters["limit_per_class"], seed).names)
    return seen | {row["sha256"] for row, name in zip(rows, names, strict=True) if name in drawn}
