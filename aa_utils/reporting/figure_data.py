"""Points of the figures that look into a run: which classes it confuses, where its features lie."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from aa_utils import benchmarks, inter_domain
from aa_utils.benchmarks import Target
from aa_utils.classifiers import inference
from aa_utils.data.images import ImageSet
from aa_utils.evaluation import scoring
from aa_utils.paths import resolve
from aa_utils.reporting import confusion_figure
from aa_utils.reporting.figures import CLASS_COLOURS
from aa_utils.reporting.tables import rounded
from aa_utils.runner import record

Features = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def confusion(run: str | Path, seed: int, target: Target, caption: str, name: str = "predictions.parquet") -> pd.DataFrame:
    """Points of `figures.confusion` from the predictions of one seed of a run: a row for each of the `confusion_figure.cells`."""
    prediction = inference.read_predictions(resolve(run) / f"seed{seed}" / name, target.ids).argmax(1)
    names = target.class_names
    counts = scoring.confusion(prediction, target.labels, len(names)).numpy()
    made = pd.DataFrame(confusion_figure.cells(counts), columns=["true", "predicted", "count"])
    for kind in ("true", "predicted"):
        made[f"{kind}_name"] = [names[k] for k in made[kind]]
    return made[["true", "predicted", "true_name", "predicted_name", "count"]].assign(caption=f"{caption}, seed {seed}")


def confusion_of(run: str | Path, image_size: int) -> pd.DataFrame:
    """`confusion` of the first seed of the recorded run in `run`, on the images that it was scored on."""
    about = record.read(run)["parameters"]
    scored = benchmarks.load(about.get("test") or about["target"], image_size)
    seed, name = about["seeds"][0], "test.parquet" if about.get("test") else "predictions.parquet"
    return confusion(run, seed, scored, f"{scored.name}, {Path(run).name} after {Path(run).parent.name}", name)


def source_of(run: str | Path, images: Sequence[str]) -> str:
    """The one of the image folders `images` that the run in `run` was adapted from, by its record; the last one if nothing says so."""
    path = resolve(run) / "record.json"
    inputs = record.read(run)["inputs"] if path.is_file() else []
    return next((row["path"] for row in inputs if row["path"] in images), images[-1])


def embedding(runs: dict[str, str], seed: int, source: ImageSet, target: Target, caption: str, per_domain: int = 400) -> pd.DataFrame:
    """Points of `figures.embedding` from one seed of the `runs` (panel title -> run folder): features of `source` and `target` images.

    At most `per_domain` images of each domain, the same ones in every panel. Of more classes than the figure has colours only images of
    the first ones are drawn, and the caption says so.
    """
    drawn, k = len(CLASS_COLOURS), len(target.class_names)
    picks = []
    for labels in (source.labels, target.labels):
        rows = np.flatnonzero(labels.numpy() < drawn)
        picks.append(np.sort(rows[np.random.default_rng(0).permutation(len(rows))[:per_domain]]))
    features = {}
    for name, run in runs.items():
        f_s, f_t = (
            inter_domain.predict(resolve(run) / f"seed{seed}", images.pixels[pick])[1].numpy()
            for images, pick in zip((source, target.images), picks, strict=True)
        )
        features[name] = (f_s, source.labels[picks[0]].numpy(), f_t, target.labels[picks[1]].numpy())
    counts = f"{len(picks[0])} synthetic and {len(picks[1])} target images"
    counts += f" of the first {drawn} of {k:,} classes" if k > drawn else ""
    about = f"{caption}, seed {seed}: t-SNE of the features of {counts}, each panel for itself; names stand at the target's clusters."
    return plane(features, target.class_names, about)


def plane(features: dict[str, Features], class_names: Sequence[str], caption: str) -> pd.DataFrame:
    """Features in two dimensions: panel title -> (f_s (N, D), y_s (N,), f_t (M, D), y_t (M,)), each panel by itself.

    PCA to 50 dimensions, then t-SNE (van der Maaten and Hinton 2008) of both domains together, with a fixed seed. The target's labels
    colour the points and do nothing else.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    frames = []
    for name, (f_s, y_s, f_t, y_t) in features.items():
        f = np.concatenate([f_s, f_t]).astype(np.float64)
        f = PCA(min(50, *f.shape), svd_solver="full").fit_transform(f)
        xy = TSNE(2, perplexity=min(30, (len(f) - 1) / 3), init="pca", random_state=0).fit_transform(f)
        domains = ["source"] * len(f_s) + ["target"] * len(f_t)
        named = [class_names[label] for label in np.concatenate([y_s, y_t])]
        frames.append(pd.DataFrame({"stage": name, "domain": domains, "class_name": named, "x": xy[:, 0], "y": xy[:, 1]}))
    # By panel, then by class: the order of the rows is the order of the panels and of the colours.
    places = {name: number for names in (features, class_names) for number, name in enumerate(names)}
    joined = pd.concat(frames).assign(caption=caption)
    joined = joined.sort_values(["stage", "class_name"], key=lambda names: names.map(places), kind="stable", ignore_index=True)
    return rounded(joined.astype({"x": float, "y": float}))
