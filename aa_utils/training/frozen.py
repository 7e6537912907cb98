"""Training with a frozen backbone: the streams draw its features, computed once, instead of images.

Source-only is then a linear probe. DANN, MCD and SymNets need a bottleneck: of the features, it is all that they can move. Methods that
change images, or look into the backbone, are not themselves on features, and are refused.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

from aa_utils import files
from aa_utils.classifiers import features
from aa_utils.classifiers.backbones import Classifier
from aa_utils.errors import InputError
from aa_utils.training import augment
from aa_utils.training.method import Method


def check(method: Method, name: str, bottleneck: int) -> None:
    """InputError if the method `name` cannot work, or is another one, where only features of images are to be had."""
    if method.needs_images:
        raise InputError(
            f"{name} works on images, and with freeze_backbone there are only their features: that would be another method; "
            f"train source_only, dann, mcd or symnets so, and let {name} go on from there with the whole network"
        )
    if method.uses_target and not bottleneck:
        raise InputError(f"{name} moves features, and with freeze_backbone only a bottleneck can: set bottleneck=256, or take source_only")


def streams(classifier: Classifier, streams: list, views: int, flip: bool, device: str) -> list:
    """Each stream with the features of its images, (N, 1 + V, D), in place of their pixels: V = `views` of the kind that it draws.

    Where it draws the images as they are ("none"), V is 0.
    """
    made = []
    for stream in streams:
        (kind,) = set(stream.views.values())
        number = 0 if kind == "none" else views
        view, key = partial(augment.view, name=kind, flip=flip), (kind, flip, files.sha256(Path(augment.__file__)))
        made.append(replace(stream, pixels=features.stored(classifier, stream.pixels, device, number, view, key)))
    return made
