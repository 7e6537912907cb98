"""Are images of some prompts, or of some classes, too much alike (mode collapse), and does it cost accuracy? Class by class.

The diversity of a class is that of the features of its images (`evaluation.image_diversity`): of as many images for each class and source,
so that numbers compare. That of the target's own images stands beside it. Accuracy is the share of the class's target images that a run
names rightly; labels of the target describe and score here, they choose nothing.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from aa_utils import benchmarks
from aa_utils.classifiers import backbones, inference, zero_shot
from aa_utils.data import images
from aa_utils.data.images import ImageSet
from aa_utils.errors import InputError
from aa_utils.evaluation import image_diversity, scoring
from aa_utils.paths import resolve
from aa_utils.reporting import benchmark_tables, diversity_tables, figures, layout, provenance, tables
from aa_utils.runner import record

STAGE, NOTEBOOK, NAME = "prompt_diversity", "notebooks/63_ablation_prompts.ipynb", "diversity"
Features = Callable[[Tensor, Sequence[str]], Tensor]


def extractor(clip: str, backbone: str = "", pretrained: bool | str = False) -> Features:
    """A function from uint8 pixels (N, 3, S, S) and class names to features (N, D): of a CLIP, else of a timm `backbone` with its weights.

    Errors: InputError for neither of the two, or for both.
    """
    if bool(clip) == bool(backbone):
        raise InputError(f"clip is {clip!r} and backbone {backbone!r}; features come from one of the two, the other is ''")
    if clip:
        return lambda pixels, names: zero_shot.predict_with_features(clip, list(names), pixels)[1]
    return lambda pixels, names: inference.predict(backbones.build(backbone, len(names), pretrained=pretrained), pixels)[1]


def per_class(runs: Sequence[str], target: str, features: Features, feature_size: int = 0) -> pd.DataFrame:
    """A row a run, seed and class, columns `diversity_tables.PER_CLASS`: the diversity of the class's images and its accuracy.

    `runs`: folders of runs of notebooks 30 and 40; `target`: the benchmark of those made by hand. `feature_size`: pixels a side at which
    features are taken, 0 for that of the runs.
    Errors: InputError for a run without a record or predictions, and for a target without labels.
    """
    entries = provenance.records(list(runs), target)
    seeds = benchmark_tables.per_seed(entries)
    folders = {provenance.run_name(run): resolve(run) for run in runs}
    sources = {name: _source(folder) for name, folder in folders.items()}
    scored = {name: _scored(folder, feature_size) for name, folder in folders.items()}
    sets = {(sources[name], about.name): _labelled(sources[name], about) for name, about in scored.items()}
    least = min(int(torch.bincount(one.labels).min()) for pair in sets.values() for one in pair)
    measured = {key: [_diversity(one, least, features) for one in pair] for key, pair in sets.items()}
    rows = []
    for row in seeds[seeds["run"].isin(folders)].to_dict("records"):
        about, folder = scored[row["run"]], folders[row["run"]] / f"seed{row['seed']}"
        name = "test.parquet" if record.read(folders[row["run"]])["parameters"].get("test") else "predictions.parquet"
        right = _right(inference.read_predictions(folder / name, about.ids).argmax(1), about)
        made, real = measured[sources[row["run"]], about.name]
        for k, class_name in enumerate(about.class_names):
            own = {"class_name": class_name, "drawn": least, "accuracy": right[k]}
            own |= {"pairwise": made[k][0], "vendi": made[k][1], "target_pairwise": real[k][0], "target_vendi": real[k][1]}
            rows.append({key: row[key] for key in diversity_tables.ABOUT} | own)
    return tables.rounded(pd.DataFrame(rows, columns=diversity_tables.PER_CLASS))


def write(results: str | Path, runs: Sequence[str], target: str, frame: pd.DataFrame, about: dict) -> pd.DataFrame:
    """Write `<results>/tables/diversity_classes.csv`, what `from_classes` makes of it, and the records behind; returns the summary.

    `frame`: that of `per_class`; `about`: the parameters that it was measured with.
    """
    entries = provenance.records(list(runs), target)
    inputs = {f"images_{Path(source).name}": source for source in dict.fromkeys(_source(resolve(run)) for run in runs)}
    measured = provenance.measurement(STAGE, NOTEBOOK, about, inputs, tables.rows(frame), __name__)
    provenance.write_copies(results, entries | {STAGE: measured})
    tables.write_csv(_classes(results), frame)
    return from_classes(results)


def again(results: str | Path) -> None:
    """`from_classes`, where `results` has the CSV of the classes."""
    if _classes(results).is_file():
        from_classes(results)


def from_classes(results: str | Path) -> pd.DataFrame:
    """Make `<results>/tables/diversity` (CSV, Markdown, LaTeX) and the figure from the CSV of the classes; returns the summary."""
    frame = tables.read_csv(_classes(results))
    summary = diversity_tables.summary(frame)
    tables.write_csv(resolve(results) / "tables" / f"{NAME}.csv", summary)
    layout.write(results, NAME, diversity_tables.layout(summary, frame))
    figures.draw(NAME, frame, resolve(results) / "figures")
    return summary


def untraced(results: str | Path) -> list[str]:
    """One sentence for each row of the CSV of the classes that no record in `runs/` has, and for runs whose classes do not give their
    recorded mean; empty where there is no such CSV."""
    if not _classes(results).is_file():
        return []
    frame = tables.read_csv(_classes(results))
    copies = provenance.read_copies(results).values()
    known = {str(row) for entry in copies if provenance.stage(entry) == STAGE for row in entry["metrics"]}
    of_runs = [(entry["run_id"], row) for entry in copies if provenance.stage(entry) in tables.PIPELINE for row in entry["metrics"]]
    means = {(run_id, row["seed"]): row["mean_per_class"] for run_id, row in of_runs}
    said = [
        f"{NAME}_classes.csv: {row['run']}, seed {row['seed']}, {row['class_name']} does not follow from a record in runs/"
        for row in tables.rows(frame)
        if str(row) not in known
    ]
    for (run_id, seed), group in frame.groupby(["run_id", "seed"]):
        if abs(means.get((run_id, seed), -1.0) - group["accuracy"].mean()) > 1e-5:
            said.append(f"{NAME}_classes.csv: the classes of {group['run'].iloc[0]}, seed {seed} do not give its recorded mean")
    return said


def _classes(results: str | Path) -> Path:
    return resolve(results) / "tables" / f"{NAME}_classes.csv"


def _source(run: Path) -> str:
    """The image folder that a run, or the one it goes on from, was trained on."""
    parameters = record.read(run)["parameters"]
    return _source(resolve(parameters["initial"])) if "source" not in parameters else parameters["source"]


def _scored(run: Path, size: int) -> benchmarks.Target:
    """The target images that a run was scored on. Errors: InputError for one without labels."""
    parameters = record.read(run)["parameters"]
    found = benchmarks.load(parameters.get("test") or parameters["target"], size or parameters["image_size"])
    if found.labels is None:
        raise InputError(f"'{run}' was adapted to '{found.name}', which has no labels: nothing says which classes it gets right")
    return found


def _labelled(source: str, about: benchmarks.Target) -> tuple[ImageSet, ImageSet]:
    """The images of `source`, and those of the target with their labels: classes in one order, all of one size."""
    made = images.load(source, about.images.pixels.shape[-1], about.class_names)
    if made.labels is None:
        raise InputError(f"'{source}' has no labels; a folder of notebook 20 or 21 has")
    return made, ImageSet(about.images.pixels, about.labels, about.ids, about.class_names)


def _diversity(one: ImageSet, least: int, features: Features) -> list[tuple[float, float]]:
    """(mean distance, Vendi score) of `least` images of each class."""
    drawn = images.limit(one, least)
    f = features(drawn.pixels, drawn.class_names)
    here = [f[drawn.labels == k] for k in range(len(drawn.class_names))]
    return [(image_diversity.mean_distance(part), image_diversity.vendi(part)) for part in here]


def _right(prediction: Tensor, about: benchmarks.Target) -> list[float]:
    """The share of each class that is named rightly."""
    counts = scoring.confusion(prediction, about.labels, len(about.class_names)).double()
    return (counts.diagonal() / counts.sum(1)).tolist()
