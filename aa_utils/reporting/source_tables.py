"""Tables that compare sources: a row a labelled source and method, a column a target, inductive and transductive numbers told apart.

Inductive: scored on test images that no training saw, the headline where a benchmark has them. Transductive: scored on the very images that
train without their labels, as Office-31's literature does. What a number rests on stands in its row: who labelled, which network, whether
it was pretrained, what BatchNorm normalised by.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from aa_utils.paths import ROOT
from aa_utils.reporting import provenance, tables
from aa_utils.reporting.layout import printed
from aa_utils.reporting.task_tables import CELLS, NO_IMAGES, NONE, OURS, OWN, REAL, SYNTHETIC, WITHOUT_SOURCE, ZERO_SHOT, place, short

INDUCTIVE, TRANSDUCTIVE = "inductive", "transductive"
NOTES = [
    "Inductive: test images that no training saw; transductive: the images that trained without their labels are scored.",
    "BatchNorm normalises by training batches, in AdaBN by all target images, where (frozen BN) or frozen features are said as it came.",
    "A pretrained backbone brings ImageNet's labels: its rows are none without labels, even where no source has any.",
]
POINTS = ["panel", "labelled", "method", "seed", "accuracy", "reference"]


def cells(per_seed: pd.DataFrame, entries: dict[str, dict], column: Callable[[pd.Series], str]) -> pd.DataFrame:
    """CELLS of a frame of `benchmark_tables.per_seed` and the records it comes from, in the column that `column` says of a row.

    A run that was scored on test images has two rows: theirs, and the images that trained without labels, where these are labelled.
    """
    by_id = {entry["run_id"]: entry for entry in entries.values()}
    rows = []
    for _, run in per_seed.iterrows():
        entry = entries[run["run"]]
        about = _about(run, provenance.ancestors(entry, by_id))
        known = {"column": column(run), "seed": int(run["seed"]), "derived": False, "run_ids": run["run_id"], "origin": OURS}
        apart = run["test"] != run["target"]
        cross = run["system"] == "oracle" and not apart
        protocol = "cross-validated" if cross else "no training" if run["system"] == "zero_shot" else INDUCTIVE if apart else TRANSDUCTIVE
        rows.append(about | known | {"protocol": protocol, "value": run["accuracy"]})
        metrics = [row for row in entry["metrics"] if int(row.get("seed", 0)) == run["seed"]]
        if apart and metrics and metrics[0].get("transductive_accuracy") is not None:
            rows.append(about | known | {"protocol": TRANSDUCTIVE, "value": metrics[0]["transductive_accuracy"]})
    return pd.DataFrame(rows, columns=CELLS)


def variants(entries: dict[str, dict]) -> list[str]:
    """Which images were scored, in the words of their benchmark ("JPEG copies, 10,000 of …"), as the records have it."""
    return sorted({row["variant"] for entry in entries.values() for row in entry["metrics"] if row.get("variant")})


def published(path: str | Path, column: str, source: str) -> pd.DataFrame:
    """CELLS of a CSV of numbers that others printed from the real labelled source `source`, all of them in one column."""
    rows = []
    for row in pd.read_csv(ROOT / path).itertuples():
        where, _, kind = row.source_url_or_path.partition(" [")
        about = {"labelled": f"{REAL}: {source}", "method": row.method, "network": row.backbone, "protocol": kind.rstrip("]")}
        known = {"origin": where, "column": column, "seed": 0, "derived": False, "run_ids": ""}
        rows.append(about | known | {"value": round(row.accuracy / 100, 6)})
    return pd.DataFrame(rows, columns=CELLS)


def points(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """POINTS for the figure `by_source`: a row a seed of the kit's headline numbers, a panel a column and network.

    `columns` come first, any other after them. `reference` is what a vertical line is called (an oracle, class names alone, the best
    published number), empty for a point.
    """
    ours = frame[frame["origin"] == OURS]
    both = ours.groupby(["column", "network"])["protocol"].transform(lambda kinds: INDUCTIVE in set(kinds))
    ours = ours[~(both & (ours["protocol"] == TRANSDUCTIVE))]
    clip = ours[ours["method"] == ZERO_SHOT]  # of another network than any panel's: a line in each
    ours = ours[ours["method"] != ZERO_SHOT]
    network = ours["network"].str.replace(r", [^)]*", "", regex=True)
    shown = ours["labelled"].str.startswith((REAL, SYNTHETIC))
    ours = ours.assign(panel=ours["column"] + "\n" + network, reference=ours["method"].where(~shown, ""))
    made = [ours]
    for column, panels in ours.groupby("column")["panel"].unique().items():
        theirs = frame[(frame["origin"] != OURS) & (frame["column"] == column)]
        best = theirs.loc[theirs["value"].idxmax() : theirs["value"].idxmax()] if len(theirs) else theirs
        best = best.assign(reference="best published, " + best["labelled"])
        own = clip[clip["column"] == column].assign(reference=ZERO_SHOT)
        made += [lines.assign(panel=panel) for panel in panels for lines in (best, own)]
    made = pd.concat(made, ignore_index=True).rename(columns={"value": "accuracy"})
    order = {name: k for k, name in enumerate(dict.fromkeys([*columns, *made["column"]]))}
    made = made.assign(place=made["column"].map(order), row=[place(method) for method in made["method"]])
    return tables.rounded(made.sort_values(["place", "panel", "row", "method", "labelled", "seed"])[POINTS].reset_index(drop=True))


def labels(entries: dict[str, dict]) -> Callable[[pd.Series], str]:
    """What a row's labelled source is called, for `task_tables.ours`: the generator that made a folder's images, "real" for a benchmark's.

    A draw of some images a class says so.
    """
    by_id = {entry["run_id"]: entry for entry in entries.values()}

    def label(run: pd.Series) -> str:
        chain = provenance.ancestors(entries[run["run"]], by_id)
        return f"{REAL}{_draw(chain)}" if run["real_source"] else _labelled(run, chain)

    return label


def target_of(run: pd.Series) -> str:
    """The column of a row in tables with a column a target: its short name ("W")."""
    return short(run["test"])


def _about(run: pd.Series, chain: dict[str, dict]) -> dict[str, str]:
    """labelled, method and network of a row, from its record and those that it was made from."""
    if run["system"] == "zero_shot":
        return {"labelled": NONE, "method": ZERO_SHOT, "network": run["network"]}
    own = chain.get("inter_domain") or chain.get("oracle")
    network = _network(own["parameters"]) if own and own["parameters"].get("backbone") else provenance.UNRECORDED
    if run["system"] == "oracle":
        how = "@features" if own["parameters"].get("freeze_backbone") else ""
        return {"labelled": OWN, "method": printed(f"oracle{how}"), "network": network}
    refined = [] if run["intra_domain"] == tables.NO_REFINEMENT else [printed(run["intra_domain"])]
    method = " + ".join([printed(run["inter_domain"]), *refined])
    if run["inter_domain"].partition("@")[0] in WITHOUT_SOURCE:
        return {"labelled": NO_IMAGES, "method": method, "network": network}
    return {"labelled": _labelled(run, chain), "method": method, "network": network}


def _labelled(run: pd.Series, chain: dict[str, dict]) -> str:
    source = chain.get("real_source", {"parameters": {}})["parameters"]
    if source.get("folder"):
        made_by = (source.get("made_by") or "").removesuffix(_draw(chain))
        return (f"{SYNTHETIC}: {made_by}" if made_by else f"{REAL}: {Path(source['folder']).name}") + _draw(chain)
    if run["real_source"]:
        return f"{REAL}: {run['real_source'].partition('[')[0].partition(':')[2] or printed(run['real_source'])}{_draw(chain)}"
    if run["prompts"] == provenance.UNRECORDED:
        return f"{SYNTHETIC}: {provenance.UNRECORDED}"
    return f"{SYNTHETIC}: {', '.join(filter(None, [run['prompts'] + ' prompts', run['model']]))}"


def _draw(chain: dict[str, dict]) -> str:
    """ ", 10 a class" where a source that exists already is a draw of that many images of each class."""
    number = chain.get("real_source", {"parameters": {}})["parameters"].get("per_class", 0)
    return f", {number:,} a class" if number else ""


def _network(parameters: dict) -> str:
    """The backbone without timm's tag of the weights, and where its weights come from."""
    weights = parameters.get("pretrained")
    taught = "from scratch" if not weights else "pretrained" if weights is True else f"pretrained, {str(weights).removeprefix('package:')}"
    return f"{parameters['backbone'].partition('.')[0]} ({taught})"
