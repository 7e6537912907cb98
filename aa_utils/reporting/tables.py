"""From records to tidy tables: which run gave which number, and means over seeds. Accuracies are fractions here; `layout` prints per cent.

A table is built from records alone: `provenance.records` (runs, with those they were made from) -> `per_seed` (one row a run and seed)
-> `over_seeds` (mean, standard deviation, n). The records are copied beside the tables, so that every number can be traced to its run.
"""

from pathlib import Path

import pandas as pd

from aa_utils import files
from aa_utils.errors import InputError
from aa_utils.paths import resolve
from aa_utils.reporting.provenance import UNRECORDED, ancestors, stage

# What tells one row of a table from another; `model` is the generator (the CLIP model for zero_shot).
FACTORS = ["benchmark", "system", "prompts", "model", "inter_domain", "intra_domain", "images"]
METRICS = ["accuracy", "mean_per_class"]
PER_SEED = [*FACTORS, "seed", *METRICS, "run", "run_id"]
OVER_SEEDS = [*FACTORS, "metric", "mean", "sd", "n", "seeds", "run_ids"]
# Columns that hold numbers, in tables and in the points of figures; all others are text.
NUMBERS = {
    "images",
    "seed",
    *METRICS,
    "seconds",
    "before",
    "gain",
    "pseudo_label_accuracy",
    "mean",
    "sd",
    "n",
    "low",
    "high",
    "p",
    "x",
    "y",
    "true",
    "predicted",
    "count",
    *("classes", "seconds_per_image"),  # of drawn_images
    "severity",  # of hard_shift_tables
    *("label_noise", "coverage"),  # of discarding
    *(f"{sign}_{when}" for sign in ("agreement", "information", "confidence", "balance") for when in ("before", "change")),  # of stop_signs
    *("drawn", "pairwise", "vendi", "target_pairwise", "target_vendi"),  # of diversity_tables
    *("frechet", "kernel", "floor_frechet", "read"),  # of generators
    *("top", "half", "slope", "floor", "rmse", "knee", "rate_before", "rate_after"),  # of saturation
}
NO_REFINEMENT = "none"
# Stages whose metrics are accuracies on the target. `system` is "pipeline" for the first two, the stage's name for the references.
PIPELINE = ("inter_domain", "intra_domain")
REFERENCES = ("zero_shot", "oracle")
SCORED = PIPELINE + REFERENCES
# Parameters that may differ between runs of one table: where things lie, which seeds, and how many copies of a prompt were drawn.
FREE = {"out", "seed", "seeds", "images_per_prompt", "device", "shard", "num_shards", "batch_size_predict"}


def per_seed(entries: dict[str, dict], vary: tuple[str, ...] = ()) -> pd.DataFrame:
    """One row a scored run and seed, columns PER_SEED, in a fixed order. `vary` names parameters that the table is about.

    Errors: InputError where the runs do not belong in one table: another benchmark, other settings of the same method, or the same cell
    twice. Runs of different code may: the table's caption says so (`code_notes`).
    """
    _check_alike(entries, vary)
    by_id = {entry["run_id"]: entry for entry in entries.values()}
    rows = [row for name, entry in entries.items() if stage(entry) in SCORED for row in _rows(name, entry, by_id)]
    if not rows:
        raise InputError(f"none of the {len(entries)} records has an accuracy: {', '.join(entries) or 'no records'}")
    frame = pd.DataFrame(rows, columns=PER_SEED).sort_values([*FACTORS, "seed"], kind="stable", ignore_index=True)
    if frame["benchmark"].nunique() > 1:
        raise InputError(f"runs of several benchmarks in one table: {', '.join(sorted(frame['benchmark'].unique()))}")
    twice = frame[frame.duplicated([*FACTORS, "seed"], keep=False)]
    if len(twice):
        first = twice.iloc[0]
        what = " + ".join(str(first[key]) for key in ("prompts", "inter_domain", "intra_domain") if first[key]) or first["system"]
        raise InputError(f"{what}, seed {first['seed']} has two runs: {', '.join(twice['run'].unique()[:2])}; a table takes one of them")
    return rounded(frame)


def over_seeds(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns OVER_SEEDS: mean and sample standard deviation (n - 1; empty for one seed) of each metric over the seeds."""
    rows = []
    for key, group in frame.groupby(FACTORS, sort=True, dropna=False):
        for metric in METRICS:
            values = group[metric].dropna()
            about = {"seeds": " ".join(str(seed) for seed in group["seed"]), "run_ids": " ".join(sorted(set(group["run_id"])))}
            spread = {"mean": values.mean(), "sd": values.std(ddof=1), "n": len(values)}
            rows.append(dict(zip(FACTORS, key, strict=True)) | {"metric": metric} | spread | about)
    return rounded(pd.DataFrame(rows, columns=OVER_SEEDS))


def rows(frame: pd.DataFrame) -> list[dict]:
    """The rows of a table as `record.write_metrics` takes them: None where there is no number."""
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def notes(frame: pd.DataFrame) -> list[str]:
    """Sentences that a reader of this per-seed table must know: seeds that are missing, unequal numbers of images, unrecorded runs."""
    pipeline = frame[frame["system"] == "pipeline"]
    seeds = sorted(pipeline["seed"].unique())
    said = []
    for key, group in pipeline.groupby(["prompts", "model", "inter_domain", "intra_domain", "images"], sort=True):
        missing = [str(seed) for seed in seeds if seed not in set(group["seed"])]
        if missing:
            said.append(f"Missing: {' + '.join(key[i] for i in (0, 2, 3))} has no seed {', '.join(missing)}.")
    by_prompts = pipeline.groupby("prompts")["images"].unique()
    if len({int(count) for counts in by_prompts for count in counts}) > 1:
        counts = ", ".join(f"{name} {'/'.join(str(c) for c in sorted(values))}" for name, values in by_prompts.items())
        said.append(f"The numbers of synthetic images differ: {counts}.")
    if (frame["run_id"] == UNRECORDED).any():
        said.append("Unrecorded: some of these runs were made by hand, not by python -m aa_utils.run; their numbers cannot be traced.")
    return said


def rounded(frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` as it comes back from its CSV: floats of 6 decimals. What is computed or drawn starts from this, so a CSV is all it takes."""
    return frame.assign(**{name: frame[name].round(6) for name in frame.select_dtypes("float")})


def write_csv(path: str | Path, frame: pd.DataFrame) -> None:
    """Write `frame` as CSV, atomically; the same frame gives the same bytes."""
    files.write_text(resolve(path), frame.to_csv(index=False, float_format="%.6f", lineterminator="\n"))


def read_csv(path: str | Path) -> pd.DataFrame:
    """A CSV written by `write_csv`. Errors: InputError if there is none."""
    path = resolve(path)
    if not path.is_file():
        raise InputError(f"no table at '{path}'; notebooks 51 and 60 write the tables")
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    return frame.assign(**{name: pd.to_numeric(frame[name]) for name in frame.columns if name in NUMBERS})


def _rows(name: str, entry: dict, by_id: dict[str, dict]) -> list[dict]:
    chain, own, parameters = ancestors(entry, by_id), stage(entry), entry["parameters"]
    about = {"benchmark": parameters.get("target", ""), "system": "pipeline", "run": name, "run_id": entry["run_id"]}
    if own in REFERENCES:
        about |= {"system": own, "prompts": "", "model": Path(parameters.get("model", "")).name, "inter_domain": "", "intra_domain": ""}
    else:
        inter = chain.get("inter_domain", {"parameters": {}})["parameters"]
        drawn = _drawn(chain)["parameters"]
        written = chain.get("prompts", {"parameters": {}})["parameters"]
        # Prompts go by the name of their images' run: the same prompts may have been drawn with several settings.
        prompts = drawn.get("out") or written.get("out") or inter.get("source") or parameters.get("prompts", "")
        about |= {"prompts": Path(prompts).name, "model": Path(drawn.get("model") or drawn.get("preset", "")).name}
        about |= {"inter_domain": method_of(inter) or parameters["inter_domain_method"]}
        about |= {"intra_domain": method_of(parameters) if own == "intra_domain" else NO_REFINEMENT}
    rows = []
    for row in entry["metrics"]:
        if row.get("accuracy") is not None:
            known = {"images": _images(row, chain), "seed": int(row.get("seed", 0))}
            rows.append(about | known | {metric: row.get(metric) for metric in METRICS})
    return rows


def method_of(parameters: dict) -> str:
    """The method in a run's parameters, with what a run may choose beside it: "dann", "dann@frozen" (what BatchNorm normalises by).

    "dann@features": trained on the features of a frozen backbone; "source_only@features" is the linear probe. "fixmatch@apart": a pass for
    each domain. "zero_shot@<model>": by the CLIP that it names; "cdtrans@<folder>": from weights in a file of that folder.
    """
    method, options, pretrained = (parameters.get(key) for key in ("method", "method_config", "pretrained"))
    choice, options = "features" if parameters.get("freeze_backbone") else parameters.get("batchnorm", "train"), options or {}
    choices = [] if choice == "train" else [choice]
    if method == "fixmatch" and options.get("together") is False:
        choices.append("apart")
    if method == "zero_shot" and options.get("clip"):
        choices.append(Path(options["clip"]).name)
    elif isinstance(pretrained, str) and pretrained.endswith(".safetensors"):
        choices.append(Path(pretrained).parent.name)
    return "@".join([method or "", *choices])


def _drawn(chain: dict[str, dict]) -> dict:
    """The record of the images behind a run: of 20_generate, or of 74_bridge."""
    return chain.get("generate") or chain.get("bridge") or {"parameters": {}, "metrics": []}


def _images(row: dict, chain: dict[str, dict]) -> int:
    """The number of synthetic images behind a metrics row: as the row says, or those generated, cut by `limit_per_class`; 0 if unknown."""
    if row.get("source_images"):
        return int(row["source_images"])
    made = sum(drawn.get("images", 0) for drawn in _drawn(chain)["metrics"])
    limit = chain.get("inter_domain", {"parameters": {}})["parameters"].get("limit_per_class", 0)
    classes = len(chain.get("prompts", {"parameters": {}})["parameters"].get("class_names", []))
    return min(made, limit * classes) if limit and classes else made


def _check_alike(entries: dict[str, dict], vary: tuple[str, ...]) -> None:
    """Runs of one method differ in their inputs, seeds and what the table is about, no more."""
    first: dict[tuple, tuple[str, dict]] = {}
    for name, entry in entries.items():
        own, parameters = stage(entry), entry["parameters"]
        if entry["run_id"] == UNRECORDED:
            continue
        if own in ("prompts", "real_source"):  # what a source is made of is what a table compares, by the name of its run
            continue
        method = method_of(parameters) or parameters.get("model") or ""
        other_name, other = first.setdefault((own, method), (name, entry))
        free = FREE | set(vary) | {row["name"] for row in entry["inputs"]}
        for key in sorted((set(parameters) | set(other["parameters"])) - free):
            mine, its = parameters.get(key), other["parameters"].get(key)
            if mine != its:
                raise InputError(f"'{name}' and '{other_name}' differ in {key}: {mine!r} and {its!r}; a table takes runs of one experiment")
