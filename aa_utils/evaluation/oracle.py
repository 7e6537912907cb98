"""The oracle line of a table: the same network, taught with the target's own labels. Not a method, and marked as such.

Inductive where the benchmark has images apart to score on; else cross-validated, so that no image is named by a network that saw its label.
"""

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


def predictions(
    target: Target,
    test: Target | None,
    architecture: dict,
    recipe: loop.Recipe,
    seed: int,
    folder: Path,
    folds: int = 5,
    view: str = "weak",
) -> Path:
    """The file of an oracle's predictions: `inductive` on `test`, where there is one, else `cross_validated` on `target` itself."""
    if test is not None:
        inductive(target, test, architecture, recipe, seed, folder, view)
        return folder / "test.parquet"
    cross_validated(target, architecture, recipe, seed, folder, folds, view)
    return folder / "predictions.parquet"


def inductive(target: Target, test: Target, architecture: dict, recipe: loop.Recipe, seed: int, folder: Path, view: str = "weak") -> Tensor:
    """p (N, K) for the N images of `test` by a network trained (`source_only`) on the labelled images of `target`.

    Writes the network to `folder`, and its predictions to `folder/test.parquet`. Errors: InputError for other classes, for a target without
    labels, and for images that are in both.
    """
    if target.labels is None:
        raise InputError(f"'{target.name}' has no labels to teach an oracle with")
    if target.class_names != test.class_names:
        raise InputError(f"'{target.name}' and '{test.name}' have other classes: {target.class_names} and {test.class_names}")
    if target.name == test.name:
        raise InputError(f"'{test.name}' is what the oracle is taught with; score it on other images, or by folds (test empty)")
    labelled = replace(target.images, labels=target.labels)
    classifier = inter_domain.adapt(labelled, target.images, "source_only", {}, architecture, recipe, seed, folder, (view, view))
    p, _ = inference.predict(classifier, test.images.pixels, device=recipe.device)
    inference.write_predictions(folder / "test.parquet", test.ids, p)
    return p
