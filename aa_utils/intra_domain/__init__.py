"""Stage 4: the synthetic images are discarded, and the classifier is trained on the target alone, with pseudo-labels on its confident part.
They can be kept too, to see what discarding is worth.
One method is one module of this folder, found by its name; `aa_utils.training.method` says what it defines.
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch

from aa_utils.classifiers import backbones
from aa_utils.data import images
from aa_utils.data.images import ImageSet
from aa_utils.errors import InputError
from aa_utils.intra_domain.split import Split
from aa_utils.seeds import stable_hash
from aa_utils.training import loop, registry

STAGE = sys.modules[__name__]
NO_LABEL = -1
STARTS = ("head", "adapted", "scratch")


def refine(
    initial: Path,
    target: ImageSet,
    parts: Split,
    method: str,
    options: dict,
    recipe: loop.Recipe,
    seed: int,
    folder: Path,
    start: str = "head",
    source: ImageSet | None = None,
) -> backbones.Classifier:
    """Train the classifier in `initial` further on `target` alone; writes model.safetensors, config.json, history.csv to `folder`.

    `parts` says which target images are confident, with their pseudo-labels; the unlabelled set is all target images. `start`: "head"
    keeps the adapted features and initialises a new head (SHOT++, Liang et al. 2021, arXiv 2012.07297), "adapted" keeps all weights,
    "scratch" none. `source`: labelled images that stay beside the confident ones, instead of being discarded.
    Errors: InputError for unknown names, classes that differ from the target's, no confident image, and a loss that is not finite.
    """
    if start not in STARTS:
        raise InputError(f"start is '{start}'; there are: {', '.join(STARTS)}")
    check_batchnorm(recipe)
    module = registry.load(STAGE, method)
    config = registry.configure(STAGE, method, options)
    classifier, about = backbones.load(initial)
    if about["class_names"] != target.class_names:
        raise InputError(f"the classifier in '{initial}' knows other classes than the target: {', '.join(about['class_names'][:5])} …")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stable_hash("refine", seed))
        if start == "head":
            classifier.reset_head()
        if start == "scratch":
            classifier = backbones.renewed(about)
    # The pixels stay where they are, maybe a memory map larger than memory: rows say which of them are confident.
    labels = torch.full((len(target),), NO_LABEL)
    labels[parts.labelled] = parts.pseudo
    labelled, rows = replace(target, labels=labels), parts.labelled
    if source is not None:
        labelled, rows = images.joined(labelled, source), torch.cat([rows, torch.arange(len(target), len(target) + len(source))])
    drawn = module.streams(labelled, replace(target, labels=None), config, recipe.batch_size)  # type: ignore[arg-type]
    streams = [stream if stream.labels is None else replace(stream, rows=rows) for stream in drawn]
    return loop.fit(module, config, classifier, streams, recipe, seed, folder, target.class_names)


def check_batchnorm(recipe: loop.Recipe) -> None:
    """Errors: InputError for batchnorm=target: stage 4 sees no other images anyway."""
    if recipe.batchnorm == "target":
        raise InputError("batchnorm is 'target', but stage 4 sees no other images than the target's; it is train or frozen")
