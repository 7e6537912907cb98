"""Our numbers beside published ones: a row a measurement, each with its labelled source, its protocol and where it comes from.

Published rows are `published/<family>.csv`, copied digit by digit (`published/README.md`); `published/<family>_protocols.csv` says which
images a source trained on, as far as it says so. A row of ours is a mean over seeds, of runs that share source, target and test images.
"""

from pathlib import Path

import pandas as pd

from aa_utils.errors import InputError
from aa_utils.paths import ROOT, resolve
from aa_utils.reporting import provenance, tables
from aa_utils.reporting.layout import DASH, Layout, percent, printed, rank
from aa_utils.reporting.layout import write as write_layout
from aa_utils.reporting.task_tables import NO_IMAGES, WITHOUT_SOURCE

# What tells tasks apart: labelled benchmark ("" for synthetic images), and the benchmarks that train unlabelled and test.
TASK = ["real_source", "target", "test"]
COLUMNS = ["target", "labelled", "method", "network", "protocol", "mean", "sd", "n", "origin"]
NAMES = {"mnist": "MNIST", "usps": "USPS", "usps_cogan": "USPS", "svhn": "SVHN", "pocket_renders": "synthetic: renders"}
RENDERED = "pocket_renders"  # a labelled source, and no real one
OURS = "this kit"
UNSAID = "not said"


def dataset(name: str) -> str:
    """How the benchmark `name` ("mnist:train-2000") is called in tables of other papers ("MNIST")."""
    module = name.partition(":")[0]
    return NAMES.get(module, printed(module))


def world(name: str) -> str:
    """How figures over several benchmarks call one: the data set where papers do so ("USPS"), else with its domain ("office31:webcam")."""
    return dataset(name) if name.partition(":")[0] in NAMES else printed(name)


def per_seed(entries: dict[str, dict]) -> pd.DataFrame:
    """One row a run and seed of any number of tasks and networks: `tables.per_seed` of each by itself, with the columns TASK and `network`.

    `entries`: what `provenance.records` gives; CLIP's zero-shot lines among them are rows of their target, their network is the CLIP model.
    Errors: InputError where the runs of one task and network do not belong in one table.
    """
    families: dict[tuple, set[str]] = {}
    for name, entry in entries.items():
        if provenance.stage(entry) in tables.SCORED:
            family = _family(name, entries)
            real = [entries[other]["parameters"]["benchmark"] for other in family if provenance.stage(entries[other]) == "real_source"]
            networks = [
                entries[other]["parameters"].get("backbone", "") for other in family if provenance.stage(entries[other]) == "inter_domain"
            ]
            own = entry["parameters"]
            alone = own.get("backbone") or Path(own.get("model", "")).name  # an oracle's network, CLIP
            key = (real[0] if real else "", own.get("target", ""), own.get("test") or own.get("target", ""), (networks or [alone])[0])
            families.setdefault(key, set()).update(family)
    if not families:
        raise InputError(f"none of the {len(entries)} records is a run of notebook 30 or 40")
    frames = []
    for key, family in sorted(families.items()):
        about = dict(zip([*TASK, "network"], key, strict=True))
        frames.append(tables.per_seed({name: entries[name] for name in sorted(family)}).assign(**about))
    return pd.concat(frames, ignore_index=True)


def over_seeds(per_seed: pd.DataFrame, metric: str = "accuracy") -> pd.DataFrame:
    """Columns COLUMNS: the mean of `metric` over the seeds of each run of a frame of `per_seed`, as a fraction."""
    rows = []
    for (real, target, test, network), group in per_seed.groupby([*TASK, "network"], sort=True):
        means = tables.over_seeds(group)
        for row in means[means["metric"] == metric].itertuples():
            refined = [] if row.intra_domain == tables.NO_REFINEMENT else [printed(row.intra_domain)]
            drawn = f"synthetic: {row.prompts} prompts" + (f", {row.model}" if row.model else "")
            labelled = dataset(real) if real else provenance.UNRECORDED if row.prompts == provenance.UNRECORDED else drawn
            free = row.inter_domain.partition("@")[0] in WITHOUT_SOURCE
            trained = f"{real}, {target}" if real else target
            protocol = f"trained on {trained}; tested on {'the same images' if test == target else test}"
            about = {"target": dataset(test), "labelled": NO_IMAGES if free else labelled, "network": network, "protocol": protocol}
            if free and not refined:
                about |= {"network": DASH, "protocol": f"no training; tested on {test}"}
            numbers = {"mean": row.mean, "sd": row.sd, "n": row.n, "origin": f"{OURS}: {row.run_ids}"}
            rows.append(about | {"method": " + ".join([printed(row.inter_domain), *refined])} | numbers)
    return tables.rounded(pd.DataFrame(rows, columns=COLUMNS))


def published(family: str, targets: list[str], methods: list[str]) -> pd.DataFrame:
    """Columns COLUMNS: the rows of `published/<family>.csv` on these `targets`, by these `methods` (as printed there, case aside).

    "DANN" also finds "DANN (rerun)", not "BSP+DANN". `sd` and `n` are empty. Errors: InputError for a family that is not there.
    """
    path = ROOT / "published" / f"{family}.csv"
    if not path.is_file():
        there = sorted(file.stem for file in path.parent.glob("*.csv") if not file.stem.endswith("_protocols"))
        raise InputError(f"nothing published on '{family}'; there are: {', '.join(there)}")
    notes = path.with_name(f"{family}_protocols.csv")
    known = list(pd.read_csv(notes, dtype=str).itertuples(index=False)) if notes.is_file() else []
    wanted, rows = [method.lower() for method in methods], []
    for row in pd.read_csv(path).itertuples():
        labelled, arrow, rest = row.task.partition("->")
        target, _, variant = rest.partition(" (")
        if not arrow or target not in targets or row.method.lower().partition(" (")[0] not in wanted:
            continue
        said = [note.protocol for note in known if row.source_url_or_path.startswith(note.source) and note.task == row.task]
        about = {"target": target, "labelled": labelled, "method": row.method, "network": row.backbone}
        about |= {"protocol": (said or [variant.rstrip(")") or UNSAID])[0], "origin": row.source_url_or_path}
        rows.append(about | {"mean": row.accuracy / 100, "sd": float("nan"), "n": float("nan")})
    return tables.rounded(pd.DataFrame(rows, columns=COLUMNS))


def write(results: str | Path, seeds: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """Write `<results>/tables/digits.csv` and its two printed tables, from frames of `per_seed` and `published`; returns our means."""
    ours = over_seeds(seeds)
    tables.write_csv(resolve(results) / "tables" / "digits.csv", pd.concat([ours, theirs], ignore_index=True))
    photographed = (seeds["real_source"] != "") & ~seeds["real_source"].str.startswith(RENDERED)
    real, synthetic = (over_seeds(seeds[photographed == labelled]) for labelled in (True, False))
    write_layout(results, "digits_real", layout(real, theirs, "Digits from a real labelled source"))
    title = "Digits from synthetic images, beside published numbers from real labelled sources"
    write_layout(results, "digits_synthetic", layout(synthetic, theirs, title))
    return ours


def again(results: str | Path) -> None:
    """`write`, from the per-seed CSV and the published rows that `results` shows, where it has them."""
    folder = resolve(results) / "tables"
    if not (folder / "digits_seeds.csv").is_file() or not (folder / "digits.csv").is_file():
        return
    shown = tables.read_csv(folder / "digits.csv")
    shown = shown[~shown["origin"].str.startswith(OURS)]
    methods = [method.partition(" (")[0] for method in shown["method"]]
    theirs = published("digits", sorted(set(shown["target"])), methods)
    write(results, tables.read_csv(folder / "digits_seeds.csv"), theirs)


def layout(ours: pd.DataFrame, theirs: pd.DataFrame, title: str) -> Layout:
    """A printed table of frames of `over_seeds` and `published`: by target, then source and method, ours before theirs.

    Sources are numbered, and listed in full below.
    """
    shown = pd.concat([ours.assign(ours=True), theirs.assign(ours=False)], ignore_index=True)
    origins = list(dict.fromkeys(theirs["origin"]))
    rows = []
    for row in sorted(shown.itertuples(), key=_order):
        number = percent(row.mean, row.sd) if row.ours else f"{round(row.mean * 100, 4):g}"  # theirs with the digits they printed
        where = f"{OURS}, n = {int(row.n)}" if row.ours else f"[{origins.index(row.origin) + 1}]"
        rows.append([row.target, row.labelled, row.method, row.network, row.protocol, number, where])
    header = ["target", "labelled source", "method", "network", "protocol", "accuracy", "from"]
    said = ["Accuracy in per cent; ours: mean ± standard deviation over n seeds, last step. Target labels score, they choose nothing."]
    said += ["Published rows are quoted; many codes report the best epoch by target labels, so compare rows of one protocol only."]
    if ours.empty:
        said.append("No run of this kit is of this kind yet.")
    return Layout(title, header, rows, said + [f"[{i + 1}] {origin}" for i, origin in enumerate(origins)], "lllllrl")


def _family(name: str, entries: dict[str, dict]) -> set[str]:
    """The names of a record and of all that it was made from."""
    by_id = {entry["run_id"]: other for other, entry in entries.items()}
    found, todo = set(), [name]
    while todo:
        found.add(todo[-1])
        inputs = entries[todo.pop()]["inputs"]
        todo += [by_id[row["parent"]] for row in inputs if row["parent"] in by_id and by_id[row["parent"]] not in found]
    return found


def _order(row) -> tuple:
    """Sources and methods in the papers' order; one task's rows stay together."""
    method = row.method.lower().replace("source only", "source_only").partition(" ")[0]
    return (
        row.target,
        row.labelled.startswith(("synthetic", provenance.UNRECORDED)),
        row.labelled,
        rank(method),
        not row.ours,
        row.method,
        row.protocol,
        row.mean,
    )
