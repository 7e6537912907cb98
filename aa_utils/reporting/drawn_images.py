"""What the records behind a table say of its images: by which settings they were made, and what one of them cost."""

import pandas as pd

from aa_utils.reporting import provenance

TEXT = ["sampler", "steps", "guidance"]
NUMBERS = ["classes", "seconds_per_image"]


def joined(frame: pd.DataFrame, entries: dict[str, dict]) -> pd.DataFrame:
    """The per-seed table `frame` with TEXT and NUMBERS of the images behind each row; empty where no record of `entries` says it.

    `seconds_per_image` is the time of making, loading left out, over the images that were made in it: a run that found its images
    standing says nothing. One process on the hardware of the record.
    """
    by_id = {entry["run_id"]: entry for entry in entries.values()}
    about = {run_id: _of(by_id[run_id], by_id) for run_id in set(frame["run_id"]) & set(by_id)}
    columns = {name: [about.get(run_id, {}).get(name) for run_id in frame["run_id"]] for name in [*TEXT, *NUMBERS]}
    texts = {name: ["" if value is None else f"{value:g}" if name != "sampler" else value for value in columns[name]] for name in TEXT}
    return frame.assign(**texts, **{name: pd.Series(columns[name], frame.index, dtype=float) for name in NUMBERS})


def _of(entry: dict, by_id: dict[str, dict]) -> dict:
    chain = provenance.ancestors(entry, by_id)
    generate = chain.get("generate", {"parameters": {}, "metrics": []})
    made = generate["parameters"] | next(iter(generate["metrics"]), {})  # the metrics say what a preset filled in
    names = chain.get("prompts", {"parameters": {}})["parameters"].get("class_names", [])
    about = {"sampler": made.get("scheduler"), "steps": made.get("steps"), "guidance": made.get("guidance")}
    rate = made.get("images_per_second")
    return about | {"classes": len(names) or None, "seconds_per_image": 1 / rate if rate else None}
