"""What predictions are worth against labels: accuracy, mean per class, confusion. All accuracies are fractions."""

from pathlib import Path

import torch
from torch import Tensor

from aa_utils.benchmarks import Target
from aa_utils.classifiers.inference import read_predictions


def accuracy(prediction: Tensor, labels: Tensor) -> float:
    """The share of (N,) predictions that are right."""
    return float((prediction == labels).double().mean())


def confusion(prediction: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """(K, K) counts: row = true class, column = predicted class."""
    return torch.bincount(labels * num_classes + prediction, minlength=num_classes**2).view(num_classes, num_classes)


def mean_per_class(prediction: Tensor, labels: Tensor, num_classes: int) -> float:
    """The mean over classes of the share that is right within the class; classes without an image do not count (VisDA-17's measure)."""
    counts = confusion(prediction, labels, num_classes).double()
    present = counts.sum(1) > 0
    return float((counts.diagonal()[present] / counts.sum(1)[present]).mean())


def score(predictions: str | Path, target: Target) -> dict[str, float | None]:
    """{"accuracy", "mean_per_class"} of a predictions.parquet against the benchmark's labels, joined by id; None where it has no labels."""
    prediction = read_predictions(predictions, target.ids).argmax(1)
    if target.labels is None:
        return {"accuracy": None, "mean_per_class": None}
    k = len(target.class_names)
    return {"accuracy": accuracy(prediction, target.labels), "mean_per_class": mean_per_class(prediction, target.labels, k)}


def measure(folder: Path, trained: Target, scored: Target) -> dict[str, object]:
    """What a record says of a run's folder for one seed: `score`'s numbers and what they are of.

    `protocol`: inductive where `scored` is another target than the `trained` one, whose images were adapted to; its own accuracy is then
    `transductive_accuracy`. `variant`: which images were scored, where a benchmark has several.
    """
    inductive = scored is not trained
    row = score(folder / ("test.parquet" if inductive else "predictions.parquet"), scored)
    row |= {"protocol": "inductive" if inductive else "transductive"} | ({"variant": scored.variant} if scored.variant else {})  # type: ignore[arg-type]
    if inductive and trained.labels is not None:
        row["transductive_accuracy"] = score(folder / "predictions.parquet", trained)["accuracy"]
    return row  # type: ignore[return-value]
