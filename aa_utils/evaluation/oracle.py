"""The oracle line of a table: the same network, taught with the target's own labels. Not a method, and marked as such."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from aa_utils import inter_domain
from aa_utils.benchmarks import Target
from aa_utils.classifiers import inference
from aa_utils.errors import InputError
from aa_utils.seeds import torch_generator
from aa_utils.training import loop


def cross_validated(
    target: Target, architecture: dict, recipe: loop.Recipe, seed: int, folder: Path, folds: int = 5, view: str = "weak"
) -> Tensor:
    """p (N, K) for the N target images, each by a network trained (`source_only`) on the labelled images of the other folds.

    Writes each network to `folder/fold<k>` and all predictions to `folder/predictions.parquet`; `scoring.score` scores them as any other.
    Errors: InputError for fewer than 2 folds or more folds than images.
    """
    n, k = len(target.images), len(target.class_names)
    if not 2 <= folds <= n:
        raise InputError(f"folds is {folds}; it is between 2 and the number of images, {n}")
    fold = torch.empty(n, dtype=torch.int64)
    fold[torch.randperm(n, generator=torch_generator("oracle", seed))] = torch.arange(n) % folds
    p = torch.empty(n, k)
    for held_out in range(folds):
        taught, asked = (fold != held_out).nonzero()[:, 0], (fold == held_out).nonzero()[:, 0]
        names = [target.ids[i] for i in taught.tolist()]
        labelled = replace(target.images, pixels=target.images.pixels[taught], labels=target.labels[taught], names=names)
        unused = replace(target.images, pixels=target.images.pixels[asked], names=[target.ids[i] for i in asked.tolist()])
        where = folder / f"fold{held_out}"
        classifier = inter_domain.adapt(labelled, unused, "source_only", {}, architecture, recipe, seed, where, (view, view))
        p[asked] = inference.predict(classifier, unused.pixels, device=recipe.device)[0]
    inference.write_predictions(folder / "predictions.parquet", target.ids, p)
    return p
