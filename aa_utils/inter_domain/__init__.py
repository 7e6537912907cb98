"""Stage 3: from the labelled synthetic images to the unlabelled target. One method is one module of this folder, found by its name;
`aa_utils.training.method` says what it defines.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor

from aa_utils import files
from aa_utils.classifiers import backbones, inference, networks
from aa_utils.data.images import ImageSet
from aa_utils.errors import InputError
from aa_utils.seeds import stable_hash
from aa_utils.training import batchnorm, feature_streams, loop, registry
from aa_utils.training.augment import check as check_views
from aa_utils.training.method import Method

STAGE = sys.modules[__name__]


def check(
    method: str,
    options: dict,
    architecture: dict,
    recipe: loop.Recipe,
    image_size: int,
    augment: Sequence[str] = ("weak", "weak"),
) -> None:
    """Raises, before an image is read, the InputError of `adapt`: for names, options, weights, views, or a network for other images."""
    check_views(augment)
    module, recipe = registry.load(STAGE, method), with_batchnorm(recipe, method)
    registry.configure(STAGE, method, options)
    if recipe.freeze_backbone:
        feature_streams.check(module, architecture.get("bottleneck", 0), recipe.batchnorm)
    batchnorm.check(backbones.check(architecture, image_size, batch_size=recipe.batch_size), recipe.batchnorm)


def adapt(
    source: ImageSet,
    target: ImageSet,
    method: str,
    options: dict,
    architecture: dict,
    recipe: loop.Recipe,
    seed: int,
    folder: Path,
    augment: tuple[str, str] = ("weak", "weak"),
    initial: Path | None = None,
) -> backbones.Classifier:
    """Train a classifier on the labelled `source` and the pixels of `target`; writes model.safetensors, config.json, history.csv and
    predictions.parquet (over `target`) to `folder`. Returns the classifier.

    A method without training writes its own predictions, an empty history, and the network as it was built, from which stage 4 starts.
    That network's own predictions mean nothing: use `predict`.
    `options` go to the method's `Config`, `architecture` to `backbones.build`; `augment` names the views of source and target
    (`augment.VIEWS`). `initial`: the folder of a classifier of this kind whose weights it starts from, a linear probe (Kumar et al. 2022,
    arXiv 2202.10054), say. Errors: InputError for unknown names, a `recipe.batchnorm` that does not go with method or backbone, and for a
    loss that is not finite.
    """
    module, recipe = registry.load(STAGE, method), with_batchnorm(recipe, method)
    config = registry.configure(STAGE, method, options)
    if recipe.freeze_backbone:
        feature_streams.check(module, architecture.get("bottleneck", 0), recipe.batchnorm)
    if initial is not None:
        classifier = _loaded(initial, architecture, source.class_names)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stable_hash("classifier", seed))
            classifier = backbones.build(num_classes=len(source.class_names), **architecture)
    backbones.check_fit(classifier, target.pixels.shape[-1], recipe.batch_size)
    if module.training_free:
        _write_untrained(classifier, module, config, recipe, seed, folder, source.class_names)
        p, _ = module.predict(classifier, target.pixels, source.class_names, config, recipe.device)
    else:
        streams = _streams(module, config, source, target, recipe, augment)
        classifier = loop.fit(module, config, classifier, streams, recipe, seed, folder, source.class_names, target.pixels)
        p, _ = inference.predict(classifier, target.pixels, device=recipe.device)
    inference.write_predictions(folder / "predictions.parquet", target.names, p, target.pixels)
    return classifier


def predict(folder: Path, pixels: Tensor, device: str = "cpu") -> tuple[Tensor, Tensor]:
    """(p (N, K), f (N, D)): probabilities and features of uint8 `pixels` (N, 3, S, S) by the run in `folder`, of stage 3 or 4.

    They come from its classifier, or from the method itself if it has no training.
    """
    classifier, about = backbones.load(folder)
    stage, _, name = str(about.get("method", "")).rpartition(".")
    if stage == "inter_domain" and registry.load(STAGE, name).training_free:
        module, config = registry.load(STAGE, name), registry.configure(STAGE, name, about["method_config"])
        return module.predict(classifier, pixels, about["class_names"], config, device)
    return inference.predict(classifier, pixels, device=device)


def _loaded(initial: Path, architecture: dict, class_names: list[str]) -> backbones.Classifier:
    """The classifier in `initial`. Errors: InputError if it is of other classes, or of another architecture."""
    classifier, about = backbones.load(initial)
    if about["class_names"] != class_names:
        raise InputError(f"the classifier in '{initial}' knows other classes than the source: {', '.join(about['class_names'][:5])} …")
    backbone, _ = networks.identify(architecture["backbone"])
    for name, value in {"backbone": backbone, "bottleneck": architecture.get("bottleneck", 0)}.items():
        if about[name] != value:
            raise InputError(f"{name} is {value!r}, but the classifier in '{initial}' has {about[name]!r}; set {name}={about[name]}")
    return classifier


def with_batchnorm(recipe: loop.Recipe, name: str) -> loop.Recipe:
    """The recipe with the BatchNorm that the method `name` requires, if it requires one. Errors: InputError if the recipe has another."""
    module = registry.load(STAGE, name)
    if recipe.batchnorm not in ("train", module.batchnorm) and (module.batchnorm or module.training_free):
        own = f"part of it is batchnorm={module.batchnorm}" if module.batchnorm else "it trains nothing"
        raise InputError(f"batchnorm is '{recipe.batchnorm}', but the method is {name}, and {own}; leave batchnorm=train")
    return replace(recipe, batchnorm=module.batchnorm) if module.batchnorm else recipe


def _streams(
    module: Method, config: object, source: ImageSet, target: ImageSet, recipe: loop.Recipe, augment: tuple[str, str]
) -> list[loop.Stream]:
    streams = []
    if module.uses_source:
        streams.append(loop.Stream("s", source.pixels, source.labels, recipe.batch_size, {"x_s": augment[0]}))
    if module.uses_target:
        views = dict(module.target_views) or {"x_t": augment[1]}
        streams.append(loop.Stream("t", target.pixels, None, getattr(config, "mu", 1) * recipe.batch_size, views))
    return streams


def _write_untrained(
    classifier: backbones.Classifier, module: Method, config: object, recipe: loop.Recipe, seed: int, folder: Path, class_names: list[str]
) -> None:
    name = module.__name__.removeprefix("aa_utils.")  # type: ignore[attr-defined]
    files.write_text(folder / "history.csv", "step,lr,images_per_second\n")
    about = {
        "method": name,
        "method_config": asdict(config),  # type: ignore[call-overload]
        "recipe": asdict(recipe),
        "seed": seed,
        "seconds_train": 0.0,
    }
    backbones.save(classifier, folder, class_names, **about)
