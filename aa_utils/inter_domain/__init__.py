"""Stage 3: from the labelled synthetic images to the unlabelled target. One method is one module of this folder, found by its name.

A method module has
- `Config`: a frozen dataclass of its options, each default with where it comes from. Where a Config has them, `lr_factors` (network name ->
  learning rate in multiples of the backbone's) and `ema` (decay of averaged weights; 0 = none) are read by the training loop, and `mu`
  (target images for each source image; else 1) here;
- `networks(classifier, config) -> dict[str, nn.Module]`: the networks it trains besides the classifier;
- `losses(nets, batch, progress, config) -> dict[str, Tensor]`: weighted loss terms, which the loop adds up. `batch` holds `x_s` and `x_t`
  (float (B, 3, S, S) in [0, 1]) and `y_s` (int64); `progress` is p in [0, 1). A name that starts with `share_` is only recorded.
- `uses_target` = False, if it never looks at the target;
- `target_views`, if it needs other views of the target than one `x_t`: tensor's name in the batch -> view (`augment.VIEWS`), all of them of
  the same images. They take the place of the target's view that the caller names;
- `step(nets, batch, progress, config, update) -> dict[str, Tensor]` instead of `losses`, if one sum of losses for all weights is not the
  method: it calls `update((loss, weights), ...)`, once or several times a batch; each loss trains its weights and no others;
- `result(nets, config) -> Classifier`, if what is kept is not the classifier as trained (or its average): two heads joined, say;
- `refresh(nets, streams, step, steps, config) -> list[Stream]`, if what is drawn changes on the way (pairs, pseudo-labels). It is called
  before every batch. What it must remember lies in buffers of its `networks`, so that a checkpoint holds it.
"""

import sys
from pathlib import Path

import torch

from aa_utils.classifiers import backbones
from aa_utils.data.images import ImageSet
from aa_utils.seeds import stable_hash
from aa_utils.training import loop, registry

NOT_METHODS = ("pseudo_labels",)  # the module of this folder that methods build on
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
    if getattr(module, "uses_target", True):
        views = getattr(module, "target_views", {"x_t": augment[1]})
        streams.append(loop.Stream("t", target.pixels, None, getattr(config, "mu", 1) * recipe.batch_size, views))
    return loop.fit(module, config, classifier, streams, recipe, seed, folder, source.class_names)
