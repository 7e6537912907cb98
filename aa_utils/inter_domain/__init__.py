"""Stage 3: from the labelled synthetic images to the unlabelled target. One method is one module of this folder, found by its name;
`aa_utils.training.method` says what it defines.
"""

import sys
from pathlib import Path

import torch

from aa_utils.classifiers import backbones
from aa_utils.data.images import ImageSet
from aa_utils.seeds import stable_hash
from aa_utils.training import loop, registry

STAGE = sys.modules[__name__]


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
) -> backbones.Classifier:
    """Train a classifier on the labelled `source` and the pixels of `target`; writes model.safetensors, config.json, history.csv to
    `folder`.

    `options` go to the method's `Config`, `architecture` to `backbones.build`; `augment` names the views of source and target
    (`augment.VIEWS`). Errors: InputError for unknown names, and for a loss that is not finite.
    """
    module = registry.load(STAGE, method)
    config = registry.configure(STAGE, method, options)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stable_hash("classifier", seed))
        classifier = backbones.build(num_classes=len(source.class_names), **architecture)
    streams = [loop.Stream("s", source.pixels, source.labels, recipe.batch_size, {"x_s": augment[0]})]
    if module.uses_target:
        views = dict(module.target_views) or {"x_t": augment[1]}
        streams.append(loop.Stream("t", target.pixels, None, getattr(config, "mu", 1) * recipe.batch_size, views))
    return loop.fit(module, config, classifier, streams, recipe, seed, folder, source.class_names)
