"""From records to tidy tables: which run gave which number, and means over seeds. Accuracies are fractions here; `layout` prints per cent.

A table is built from records alone: `records` (from run folders, with the runs they were made from) -> `per_seed` (one row a run and seed)
-> `over_seeds` (mean, standard deviation, n). The records used are copied beside the tables, so that every number can be traced to its run.
"""

import json
import re
from pathlib import Path

import pandas as pd

from aa_utils import files, record
from aa_utils.errors import InputError
from aa_utils.paths import resolve

# What tells one row of a table from another; `model` is the generator (the CLIP model for zero_shot).
FACTORS = ["benchmark", "system", "prompts", "model", "inter_domain", "intra_domain", "images"]
METRICS = ["accuracy", "mean_per_class"]
PER_SEED = [*FACTORS, "seed", *METRICS, "run", "run_id"]
OVER_SEEDS = [*FACTORS, "metric", "mean", "sd", "n", "seeds", "run_ids"]
NO_REFINEMENT = "none"
UNRECORDED = "unrecorded"
# Stages whose metrics are accuracies on the target. `system` is "pipeline" for the first two, the stage's name for the references.
PIPELINE = ("inter_domain", "intra_domain")
REFERENCES = ("zero_shot", "oracle")
# Parameters that may differ between runs of one table: where things lie, which seeds, and how many copies of a prompt were drawn.
FREE = {"out", "seed", "seeds", "images_per_prompt", "device", "shard", "num_shards", "batch_size_predict"}


def stage(entry: dict) -> str:
    """The stage that a record belongs to: its notebook's name without the number ("inter_domain")."""
    return entry.get("stage") or re.sub(r"^\d+_", "", Path(entry["notebook"]).stem)


def records(folders: list[str]) -> dict[str, dict]:
    """name -> record, for the runs in `folders` (a run's folder, or a folder of runs) and all runs they were made from.

    A run made by hand in Jupyter has numbers but no record: it comes with run id "unrecorded", and every table says so.
    Errors: InputError for a folder without runs, and where a run's input was made again since.
    """
    found: dict[str, dict] = {}
    for folder in folders:
        runs = _runs_below(resolve(folder))
        if not runs:
            raise InputError(f"no run at '{folder}': neither record.json nor metrics.json there or below; notebooks 30 and 40 write them")
        for run in runs:
            _add(found, run)
    return dict(sorted(found.items()))


def read_copies(results: str | Path) -> dict[str, dict]:
    """name -> record, from the copies in `<results>/runs`."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((resolve(results) / "runs").glob("*.json"))}


def write_copies(results: str | Path, entries: dict[str, dict]) -> None:
    """Copy records to `<results>/runs/<name>.json`."""
    for name, entry in entries.items():
        files.write_json(resolve(results) / "runs" / f"{name}.json", entry)


def measurement(stage: str, notebook: str, parameters: dict, inputs: dict[str, str], metrics: list[dict]) -> dict:
    """A record of numbers measured inside a table's own notebook (CLIP's zero-shot line, say), whose run has no record yet.

    `inputs` maps a name to a file or folder; one that is not on this disk (a hub id) is left to `parameters`. `run_id` says what was measured: the
    same parameters and input contents give the same.
    """
    described = [record.describe_input(name, path) for name, path in sorted(inputs.items()) if resolve(path).exists()]
    rows = [{key: value.item() if hasattr(value, "item") else value for key, value in row.items()} for row in metrics]
    known = {"schema": record.SCHEMA, "run_id": record.run_id(stage, parameters, described), "stage": stage, "notebook": notebook}
    about = {"git": record.git_state(), "environment": record.environment(), "hardware": record.hardware()}
    return known | {"parameters": parameters, "inputs": described} | about | {"metrics": rows}


def per_seed(entries: dict[str, dict], vary: tuple[str, ...] = ()) -> pd.DataFrame:
    """One row a scored run and seed, columns PER_SEED, in a fixed order. `vary` names parameters that the table is about (limit_per_class, say).

    Errors: InputError where the runs do not belong in one table: another benchmark, other settings of the same method, other code of a
    notebook, or the same cell twice.
    """
    _check_alike(entries, vary)
    by_id = {entry["run_id"]: entry for entry in entries.values()}
    rows = [row for name, entry in entries.items() if stage(entry) in PIPELINE + REFERENCES for row in _rows(name, entry, by_id)]
    if not rows:
        raise InputError(f"none of the {len(entries)} records has an accuracy: {', '.join(entries) or 'no records'}")
    frame = pd.DataFrame(rows, columns=PER_SEED).sort_values([*FACTORS, "seed"], kind="stable", ignore_index=True)
    if frame["benchmark"].nunique() > 1:
        raise InputError(f"runs of {frame['benchmark'].nunique()} benchmarks in one table: {', '.join(sorted(frame['benchmark'].unique()))}")
    twice = frame[frame.duplicated([*FACTORS, "seed"], keep=False)]
    if len(twice):
        first = twice.iloc[0]
        what = " + ".join(str(first[key]) for key in ("prompts", "inter_domain", "intra_domain") if first[key]) or first["system"]
        raise InputError(f"{what}, seed {first['seed']} has two runs: {', '.join(twice['run'].unique()[:2])}; a table takes one of them")
    return rounded(frame)


def over_seeds(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns OVER_SEEDS: mean and sample standard deviation (n - 1; empty for one seed) of each metric over the seeds of a per-seed table."""
    rows = []
    for key, group in frame.groupby(FACTORS, sort=True, dropna=False):
        for metric in METRICS:
            values = group[metric].dropna()
            about = {"seeds": " ".join(str(seed) for seed in group["seed"]), "run_ids": " ".join(sorted(set(group["run_id"])))}
            spread = {"mean": values.mean(), "sd": values.std(ddof=1), "n": len(values)}
            rows.append(dict(zip(FACTORS, key, strict=True)) | {"metric": metric} | spread | about)
    return rounded(pd.DataFrame(rows, columns=OVER_SEEDS))


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
    """`frame` as it comes back from its CSV: floats of 6 decimals. Everything computed or drawn starts from this, so a CSV is all it takes."""
    return frame.assign(**{name: frame[name].astype(float).round(6) for name in frame.select_dtypes("number") if frame[name].dtype != int})


def write_csv(path: str | Path, frame: pd.DataFrame) -> None:
    """Write `frame` as CSV, atomically; the same frame gives the same bytes."""
    files.write_text(resolve(path), frame.to_csv(index=False, float_format="%.6f", lineterminator="\n"))


def read_csv(path: str | Path) -> pd.DataFrame:
    """A CSV written by `write_csv`; empty text stays text. Errors: InputError if there is none."""
    path = resolve(path)
    if not path.is_file():
        raise InputError(f"no table at '{path}'; notebooks 51 and 60 write the tables")
    text = {"benchmark", "system", "prompts", "model", "inter_domain", "intra_domain", "run", "run_id", "run_ids", "seeds", "metric"}
    text |= {"claim", "better", "worse", "verdict", "differences", "title", "id", "domain", "stage", "class_name", "true_name", "predicted_name"}
    text |= {"series", "caption"}
    frame = pd.read_csv(path, dtype={name: str for name in text})
    return frame.assign(**{name: frame[name].fillna("") for name in text & set(frame.columns)})


def _runs_below(folder: Path) -> list[Path]:
    if (folder / "record.json").is_file() or (folder / "metrics.json").is_file():
        return [folder]
    return sorted({path.parent for name in ("record.json", "metrics.json") for path in folder.rglob(name)})


def _add(found: dict[str, dict], folder: Path) -> None:
    """Put the run of `folder` and, through the paths of its inputs, its ancestors into `found`."""
    entry = record.read(folder) if (folder / "record.json").is_file() else _by_hand(folder)
    if entry["run_id"] != UNRECORDED and any(other["run_id"] == entry["run_id"] for other in found.values()):
        return
    name = _name(entry, folder)
    found[name if name not in found else f"{name}-{entry['run_id']}"] = entry
    for row in entry["inputs"]:
        if row["parent"] is None:
            continue
        path = resolve(row["path"])
        parent = path if path.is_dir() else path.parent
        if not (parent / "record.json").is_file() or record.read(parent)["run_id"] != row["parent"]:
            raise InputError(f"run '{name}' was made from run {row['parent']} at '{row['path']}', which is gone or was made again; run '{name}' again")
        _add(found, parent)


def _by_hand(folder: Path) -> dict:
    """What can be known of a run without a record: its numbers, its methods from the classifiers' config.json, the rest from its folder's name."""
    configs = sorted(folder.glob("*/config.json"))
    about = json.loads(configs[0].read_text(encoding="utf-8")) if configs else {}
    stage_name, _, method = about.get("method", "").partition(".")
    parts = folder.parts[folder.parts.index(stage_name) + 1 :] if stage_name in folder.parts else folder.parts[-1:]
    parameters = {"method": method, "prompts": parts[0], "inter_domain_method": parts[1] if len(parts) > 2 else "", "out": "/".join(parts)}
    rows = record.read_metrics(folder)
    return {"schema": record.SCHEMA, "run_id": UNRECORDED, "stage": stage_name, "parameters": parameters, "inputs": [], "metrics": rows}


def _name(entry: dict, folder: Path) -> str:
    """inter_domain-offline-dann for …/inter_domain/offline/dann."""
    own = stage(entry)
    parts = list(folder.parts[folder.parts.index(own) + 1 :]) if own in folder.parts else [folder.name]
    return "-".join([own, *parts])


def _lineage(entry: dict, by_id: dict[str, dict]) -> dict[str, dict]:
    """stage -> record, for a record and its ancestors."""
    chain = {stage(entry): entry}
    for row in entry["inputs"]:
        if row["parent"] in by_id:
            for name, parent in _lineage(by_id[row["parent"]], by_id).items():
                if chain.setdefault(name, parent)["run_id"] != parent["run_id"]:
                    raise InputError(f"run {entry['run_id']} descends from two runs of {name}: {chain[name]['run_id']} and {parent['run_id']}")
    return chain


def _rows(name: str, entry: dict, by_id: dict[str, dict]) -> list[dict]:
    chain, own = _lineage(entry, by_id), stage(entry)
    parameters = entry["parameters"]
    about = {"benchmark": parameters.get("target", ""), "run": name, "run_id": entry["run_id"]}
    if own in REFERENCES:
        about |= {"system": own, "prompts": "", "model": Path(parameters.get("model", "")).name, "inter_domain": "", "intra_domain": ""}
    else:
        adapted = chain.get("inter_domain", {"parameters": {"method": parameters.get("inter_domain_method", "")}})
        source = chain.get("generate", adapted)["parameters"]
        written = chain["prompts"]["parameters"]["out"] if "prompts" in chain else parameters.get("prompts") or source.get("source", source.get("out", ""))
        about |= {"system": "pipeline", "prompts": Path(written).name, "model": Path(source.get("model", "")).name}
        about |= {"inter_domain": adapted["parameters"]["method"], "intra_domain": parameters["method"] if own == "intra_domain" else NO_REFINEMENT}
    counts = [row["images"] for part in ("inter_domain", "generate") for row in chain.get(part, {}).get("metrics", []) if row.get("images")]
    rows = []
    for row in entry["metrics"]:
        if row.get("accuracy") is not None:
            scores = {metric: row.get(metric) for metric in METRICS}
            rows.append(about | {"images": int(row.get("images") or (counts[0] if counts else 0)), "seed": int(row.get("seed", 0)), **scores})
    return rows


def _check_alike(entries: dict[str, dict], vary: tuple[str, ...]) -> None:
    """Runs of one method differ in nothing but their inputs, their seeds and what the table is about; runs of one notebook share its code."""
    first: dict[tuple, tuple[str, dict]] = {}
    for name, entry in entries.items():
        own, parameters = stage(entry), entry["parameters"]
        if entry["run_id"] == UNRECORDED:
            continue
        if own == "prompts":  # what prompts are made of is what a table compares, by the name of their run
            continue
        method = parameters.get("method") or parameters.get("model") or ""
        other_name, other = first.setdefault((own, method), (name, entry))
        free = FREE | set(vary) | {row["name"] for row in entry["inputs"]}
        for key in sorted((set(parameters) | set(other["parameters"])) - free):
            mine, its = parameters.get(key), other["parameters"].get(key)
            if mine != its:
                raise InputError(f"'{name}' and '{other_name}' differ in {key}: {mine!r} and {its!r}; one table takes runs of one experiment")
        other_name, other = first.setdefault((own, None), (name, entry))
        if entry.get("code_sha256") != other.get("code_sha256"):
            raise InputError(f"'{name}' and '{other_name}' were made by different code of {entry['notebook']}; run the older one again")
