"""Training with a frozen backbone: the streams draw its features, computed once, in place of images.

Source-only is then a linear probe. DANN, MCD and SymNets need a bottleneck, the only part of the features that they can still change.
Methods that change images, or use the backbone's inner layers, would be different methods on features, and are refused.
"""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from aa_utils.classifiers import features
from aa_utils.classifiers.backbones import Classifier
from aa_utils.errors import InputError
from aa_utils.runner import code_closure
from aa_utils.training import augment
from aa_utils.training.method import Method

if TYPE_CHECKING:
    from aa_utils.training.loop import Recipe, Stream


def check(method: Method, bottleneck: int, batchnorm: str) -> None:
    """InputError if the method cannot be trained on the features of a frozen backbone, or would be another one there."""
    name = method.__name__.rpartition(".")[2]  # type: ignore[attr-defined]
    if method.training_free:
        raise InputError(f"{name} trains nothing, so there is nothing to freeze; leave freeze_backbone=false")
    if method.needs_images:
        raise InputError(
            f"{name} works on images, and with freeze_backbone there are only features of them: it would be another method. "
            "Train source_only, dann, mcd or symnets so, and let the whole network go on from there (initial, or stage 4)"
        )
    if method.uses_target and not bottleneck:
        raise InputError(f"{name} moves features, and with freeze_backbone only a bottleneck can: set bottleneck=256, or take source_only")
    if batchnorm == "target":
        raise InputError("batchnorm is 'target', but with freeze_backbone the backbone keeps its statistics; it is train or frozen")


def of_features(method: Method, classifier: Classifier, streams: "list[Stream]", recipe: "Recipe") -> "list[Stream]":
    """Each stream with features (N, 1 + V, D) of its images in place of their pixels: of the image itself, and of V views.

    V is `recipe.feature_views`, of the kind that the stream draws; of "none" there is no other view, and V is 0. Errors: as `check`.
    """
    check(method, classifier.config["bottleneck"], recipe.batchnorm)
    made = []
    for stream in streams:
        (kind,) = set(stream.views.values())
        views = 0 if kind == "none" else recipe.feature_views
        view, code = partial(augment.view, name=kind, flip=recipe.flip), code_closure.digest(code_closure.of_modules(augment.__name__))
        stored = features.stored(classifier, stream.pixels, recipe.device, views, view, (kind, recipe.flip, code))
        made.append(replace(stream, pixels=stored))
    return made
