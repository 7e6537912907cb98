"""Benchmark tables as the adaptation literature prints them: a row a method, a column a task (`A->W`) and their mean, ours beside theirs.

Everything is a frame of cells, one a row: a number of a method in a column, with its seed. Real labelled sources have a column for each
pair of domains, synthetic images and CLIP one for each target; `from_real` and `by_target` bring them into one table. Published cells come
from `published/<family>.csv` and, as soon as somebody has filled it, `published/adapt_anything.csv`.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from itertools import permutations

import pandas as pd

from aa_utils import benchmarks
from aa_utils.benchmarks import _photos
from aa_utils.classifiers import inference
from aa_utils.evaluation import scoring
from aa_utils.paths import ROOT, resolve
from aa_utils.reporting import tables
from aa_utils.reporting.layout import DASH, Layout, percent, printed, rank
from aa_utils.reporting.provenance import UNRECORDED
from aa_utils.reporting.zero_shot import prediction

ROW = ["labelled", "method", "network", "protocol", "origin"]
CELLS = [*ROW, "column", "seed", "value", "derived", "run_ids"]  # derived: computed here from printed numbers
MEANS = [*ROW, "column", "mean", "sd", "n", "derived", "run_ids"]
OURS = "this kit"
REAL, PAIRS, NONE, SYNTHETIC = "real", "real, mean over sources", "none: web pairs", "synthetic"
OWN = "the target's own labels"
NO_IMAGES = "none: class names"  # and what the backbone learned them from
WITHOUT_SOURCE = ("zero_shot", "imagenet_head")  # methods of stage 3 that look at no image of a source
ZERO_SHOT = "CLIP zero-shot"
# Other names of a method in the published rows, which are printed as they are there.
ALSO = {
    "source only": ("erm", "source-only", "cdtrans source-only baseline"),
    "symnets": ("symnets v1", "symnets v2"),
}


def pairs(domains: Sequence[str]) -> list[str]:
    """Every pair of domains as a task: "A->D", "A->W", …"""
    return [f"{source}->{target}" for source, target in permutations(domains, 2)]


def short(name: str) -> str:
    """The short name of a domain: "A" for "office31:amazon-partial"; the printed name of a benchmark that has no domains.

    A benchmark may say it itself, by a function `short` of the domain.
    """
    module, _, domain = name.partition(":")
    found = import_module(f"{benchmarks.__name__}.{module}")
    if hasattr(found, "short"):
        return found.short(domain)
    photos = getattr(found, "PHOTOS", None)
    return _photos.request_of(photos, domain).domain.short if photos else printed(module)


def ours(
    per_seed: pd.DataFrame,
    column: Callable[[pd.Series], dict[str, float]] | None = None,
    labelled: Callable[[pd.Series], str] | None = None,
) -> pd.DataFrame:
    """CELLS of a frame of `benchmark_tables.per_seed`: accuracy in the column of the run's task, or what `column` says of its row.

    `labelled`: what the source of a row is called (`source_tables.labels`); by default REAL, or by prompts and generator.
    """
    rows = []
    for _, run in per_seed.iterrows():
        if run["system"] == "zero_shot":
            about = {"labelled": NONE, "method": ZERO_SHOT}
        elif run["system"] == "oracle":
            about = {"labelled": OWN, "method": printed("oracle")}
        else:
            refined = [] if run["intra_domain"] == tables.NO_REFINEMENT else [printed(run["intra_domain"])]
            drawn = f"{SYNTHETIC}: {', '.join(filter(None, [run['prompts'] + ' prompts', run['model']]))}"
            free = run["inter_domain"].partition("@")[0] in WITHOUT_SOURCE
            about = {"labelled": NO_IMAGES if free else labelled(run) if labelled else REAL if run["real_source"] else drawn}
            about["method"] = " + ".join([printed(run["inter_domain"]), *refined])
        about |= {"network": run["network"], "protocol": "no training" if run["system"] == "zero_shot" else "last step", "origin": OURS}
        source = f"{short(run['real_source'])}->" if run["real_source"] and about["labelled"].startswith(REAL) else ""
        values = column(run) if column else {f"{source}{short(run['test'])}": run["accuracy"]}
        known = {"seed": int(run["seed"]), "derived": False, "run_ids": run["run_id"]}
        rows += [about | known | {"column": name, "value": value} for name, value in values.items()]
    return pd.DataFrame(rows, columns=CELLS)


def by_class(entries: dict[str, dict], columns: Sequence[str], image_size: int, out: str) -> Callable[[pd.Series], dict[str, float]]:
    """What `ours` takes as `column` for tables by class: the accuracy on each class, named by `columns`, and the overall one.

    Read from the runs' predictions and the target's labels. `out`: where `zero_shot.records` put CLIP's. A class without an image is left
    out. A run without a record, or on other classes, has its overall accuracy alone.
    """
    known: dict[str, benchmarks.Target] = {}

    def values(run: pd.Series) -> dict[str, float]:
        about = entries[run["run"]]["parameters"]
        if run["test"] not in known:
            known[run["test"]] = benchmarks.load(run["test"], image_size)
        target = known[run["test"]]
        if len(target.class_names) != len(columns) or run["run_id"] == UNRECORDED:
            return {"overall": run["accuracy"]}
        name = "test.parquet" if run["test"] != run["target"] else "predictions.parquet"
        path = prediction(out, run["test"]) if run["system"] == "zero_shot" else resolve(about["out"]) / f"seed{run['seed']}" / name
        predicted = inference.read_predictions(path, target.ids).argmax(1)
        counts = scoring.confusion(predicted, target.labels, len(columns)).double()
        right = (counts.diagonal() / counts.sum(1)).tolist()
        return {name: value for name, value in zip(columns, right, strict=True) if value == value} | {"overall": run["accuracy"]}

    return values


def published(family: str, methods: Sequence[str], networks: Sequence[str], rename: dict[str, str] | None = None) -> pd.DataFrame:
    """CELLS of the rows that others printed, by these `methods` and `networks` (as printed there, case aside), and all of the paper itself.

    "source only" also finds "Source only (SHOT)", and what else ALSO knows. `rename`: a printed task -> column, where the two differ.
    `family`: "" where nothing that was published compares.
    """
    if not family:
        return pd.DataFrame(columns=CELLS)
    title = import_module(f"{benchmarks.__name__}.{family}").PHOTOS.title
    wanted, backbones = {method.lower() for method in methods}, {network.lower() for network in networks}
    wanted |= {name for method in wanted for name in ALSO.get(method, ())}
    theirs = pd.read_csv(ROOT / f"published/{family}.csv")
    chosen = theirs["method"].str.lower().str.partition(" (")[0].isin(wanted) & theirs["backbone"].str.lower().isin(backbones)
    paper = pd.read_csv(ROOT / "published/adapt_anything.csv")
    both = pd.concat([theirs[chosen], paper[paper["benchmark"] == title]], ignore_index=True)
    of = ["method", "backbone", "source_url_or_path"]
    kinds = {}
    for row in both[both["task"].str.contains("->")].itertuples():
        kinds[tuple(getattr(row, name) for name in of)] = {"any": NONE, "SD": SYNTHETIC}.get(row.task.partition("->")[0], REAL)
    rows = []
    for row in both.itertuples():
        # The task of a mean or a class does not say the source: other rows of the same line do.
        kind = kinds.get(tuple(getattr(row, name) for name in of), NONE if row.method == ZERO_SHOT else REAL)
        task = row.task if kind == REAL else row.task.rpartition("->")[2]
        where, _, protocol = row.source_url_or_path.partition(" [")
        about = {"labelled": kind, "method": row.method, "network": row.backbone, "protocol": protocol.rstrip("]"), "origin": where}
        known = {"seed": 0, "derived": False, "run_ids": ""}
        rows.append(about | known | {"column": (rename or {}).get(task, task), "value": round(row.accuracy / 100, 6)})
    return pd.DataFrame(rows, columns=CELLS)


def from_real(cells: pd.DataFrame, domains: Sequence[str]) -> pd.DataFrame:
    """MEANS of the rows from real sources and of CLIP, whose number on a target stands below each pair into it."""
    real, none = cells[cells["labelled"] == REAL], cells[cells["labelled"] == NONE]
    copies = [none[none["column"] == task.partition("->")[2]].assign(column=task) for task in pairs(domains)]
    return over_seeds(pd.concat([real, *copies], ignore_index=True), pairs(domains))


def by_target(cells: pd.DataFrame, domains: Sequence[str]) -> pd.DataFrame:
    """MEANS of all rows with a column a target: from real sources the mean of the pairs into it, where all of them are there."""
    into, rows = cells["column"].str.partition("->")[2], []
    for target in domains:
        wanted = {task for task in pairs(domains) if task.endswith(f"->{target}")}
        for key, group in cells[into == target].groupby([*ROW, "seed"], sort=False):
            if set(group["column"]) == wanted:
                values = {"column": target, "value": group["value"].mean(), "derived": bool(group["origin"].iloc[0] != OURS)}
                rows.append(dict(zip([*ROW, "seed"], key, strict=True)) | values | {"run_ids": " ".join(sorted(set(group["run_ids"])))})
    rest = cells[~cells["column"].str.contains("->")]
    both = pd.concat([pd.DataFrame(rows, columns=CELLS), rest], ignore_index=True)
    return over_seeds(both.assign(labelled=both["labelled"].replace(REAL, PAIRS)), domains)


def over_seeds(cells: pd.DataFrame, columns: Sequence[str], average: str = "avg") -> pd.DataFrame:
    """MEANS: mean and standard deviation over seeds in each of `columns`, in `average` (the mean of a seed's columns) and in any other.

    A mean that others printed is kept; a seed that lacks one of the columns has none.
    """
    rows = []
    for key, group in cells.groupby(ROW, sort=False):
        wide = group.pivot_table(index="seed", columns="column", values="value", aggfunc="first", sort=False)
        derived = set(group.loc[group["derived"].astype(bool), "column"])
        if average not in wide and set(columns) <= set(wide):
            wide[average] = wide[list(columns)].mean(axis=1, skipna=False)
            derived |= {average} if key[ROW.index("origin")] != OURS else set()
        ids = " ".join(sorted(set(" ".join(group["run_ids"]).split())))
        for column in [
            *(name for name in (*columns, average) if name in wide),
            *(name for name in wide if name not in (*columns, average)),
        ]:
            values = wide[column].dropna()
            if len(values):
                numbers = {"mean": values.mean(), "sd": values.std(ddof=1), "n": len(values), "derived": column in derived, "run_ids": ids}
                rows.append(dict(zip(ROW, key, strict=True)) | {"column": column} | numbers)
    return tables.rounded(pd.DataFrame(rows, columns=MEANS))


def layout(means: pd.DataFrame, columns: Sequence[str], title: str, notes: Sequence[str] = ()) -> Layout:
    """A printed table of a frame of `over_seeds`: by labelled source and method, ours before theirs; their sources are listed below."""
    shown = means[means["column"].isin(columns)]
    origins = [origin for origin in dict.fromkeys(shown["origin"]) if origin != OURS]
    rows = []
    for key, group in sorted(shown.groupby(ROW, sort=False), key=lambda item: _order(dict(zip(ROW, item[0], strict=True)))):
        about, cells = dict(zip(ROW, key, strict=True)), group.set_index("column")
        rows.append([about[name] for name in ("labelled", "method", "network", "protocol")])
        rows[-1] += [_number(cells.loc[column], about["origin"]) if column in cells.index else DASH for column in columns]
        seeds = sorted(set(cells["n"].astype(int)))
        mine = f"{OURS}, n = {' to '.join(map(str, dict.fromkeys([seeds[0], seeds[-1]])))}"
        rows[-1].append(mine if about["origin"] == OURS else f"[{origins.index(about['origin']) + 1}]")
    said = ["Accuracy in per cent; ours: mean ± standard deviation over n seeds, last step. Target labels score, they choose nothing."]
    said += ["Published rows are quoted; many codes report the best epoch by target labels, so compare rows of one protocol only."]
    if shown["derived"].astype(bool).any():
        said.append("*: mean of printed numbers, computed here.")
    if OURS not in set(shown["origin"]):
        said.append("No run of this kit is of this kind yet.")
    said += [*notes, *(f"[{i + 1}] {origin}" for i, origin in enumerate(origins))]
    header = ["labelled source", "method", "network", "protocol", *columns, "from"]
    return Layout(title, header, rows, said, "llll" + "r" * len(columns) + "l")


def _number(cell: pd.Series, origin: str) -> str:
    """Theirs with the digits that they printed, ours with one decimal."""
    if origin == OURS:
        return percent(cell["mean"], cell["sd"])
    return f"{percent(cell['mean'])}*" if cell["derived"] else f"{round(cell['mean'] * 100, 4):g}"


def place(method: str) -> tuple[int, str]:
    """The sorting key of a method as it is printed, by anybody: "DANN (rerun) + FixMatch" stands where DANN does."""
    first = method.lower().partition(" + ")[0].partition(" (")[0]
    if first == printed("source_only@features"):
        return (rank("source_only")[0], "")  # before source only
    return rank(next((name for name, others in ALSO.items() if first in others), first).replace(" ", "_"))


def _order(about: dict[str, str]) -> tuple:
    kinds = ("none", SYNTHETIC, REAL, PAIRS, OWN)
    kind = next(k for k in reversed(range(len(kinds))) if about["labelled"].startswith(kinds[k]))
    return (
        kind,
        place(about["method"]),
        about["network"].lower(),
        about["origin"] != OURS,
        about["method"],
        about["origin"],
        about["protocol"],
    )
