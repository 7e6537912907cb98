"""The four stages on one's own photos, by the functions of notebooks 10 to 40; a run that was killed resumes.

The settings of a stage and their defaults are in settings.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch

from aa_utils import files, inter_domain, intra_domain, prompts
from aa_utils.classifiers import backbones, inference
from aa_utils.data import images
from aa_utils.data.images import ImageSet
from aa_utils.errors import InputError
from aa_utils.generate import any_model, presets
from aa_utils.intra_domain.split import missing, split
from aa_utils.paths import resolve
from aa_utils.photos import export
from aa_utils.photos.settings import SHARED, STAGES, defaults
from aa_utils.runner import parameters
from aa_utils.seeds import stable_hash
from aa_utils.training import batchnorm, loop, registry


@dataclass(frozen=True)
class Plan:
    """All settings of a run, complete and checked: one mapping for each stage, and what they share."""

    class_names: list[str]
    seeds: list[int]
    image_size: int
    architecture: dict
    device: str
    flip: bool
    writer: dict
    generator: dict
    inter_domain: dict
    intra_domain: dict

    def recipe(self, stage: str) -> loop.Recipe:
        """How long and how a network is trained in "inter_domain" or "intra_domain"."""
        known = {field.name for field in fields(loop.Recipe)}
        own = {name: value for name, value in getattr(self, stage).items() if name in known}
        return loop.Recipe(**own, flip=self.flip, device=self.device)


def plan(
    class_names: list[str],
    seeds: list[int],
    image_size: int,
    model: str,
    backbone: str,
    pretrained: bool,
    flip: bool,
    device: str,
    **given: dict,
) -> Plan:
    """The settings of a run; `given` holds for each of STAGES what differs from its defaults.

    `model`: a text-to-image model as in notebook 20, "" for that of the preset in `given["generator"]`.

    Errors: InputError, before a photo is read, for names and types that do not fit, unknown methods, seeds that are missing or twice, a
    backbone that is unknown, cannot be had (its weights are fetched here), does not take this image size, or cannot be exported.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise InputError(f"seeds is {seeds}; it is a list of different whole numbers, at least two for an estimate by their agreement")
    complete = {stage: settings(stage, given[stage]) for stage in STAGES}
    architecture = {"backbone": backbone, "pretrained": pretrained}
    complete["generator"] = presets.expand(complete["generator"] | {"model": model})
    made = Plan(class_names, seeds, image_size, architecture, device, flip, **complete)
    for stage, module in (("inter_domain", inter_domain), ("intra_domain", intra_domain)):
        registry.configure(module, complete[stage]["method"], complete[stage]["method_config"])
        made.recipe(stage)
    intra_domain.check_batchnorm(made.recipe("intra_domain"))
    prompts.write(class_names, "simple", per_class=1, seed=0)  # the names alone: another writer may cost money
    smallest = min(made.recipe(stage).batch_size for stage in ("inter_domain", "intra_domain"))
    with torch.random.fork_rng(devices=[]):
        classifier = backbones.build(num_classes=len(class_names), **architecture)  # type: ignore[arg-type]
    export.check(classifier, image_size, smallest)
    first = complete["inter_domain"]
    inter_domain.check(first["method"], first["method_config"], architecture, made.recipe("inter_domain"), image_size)
    batchnorm.check(classifier, made.recipe("intra_domain").batchnorm)
    export.check_onnx(classifier, image_size)
    return made


def settings(stage: str, given: dict) -> dict:
    """`given` put into the defaults of the stage. Errors: InputError for what the stage does not have, or what notebook 90 sets."""
    twice = sorted(set(given) & SHARED)
    if twice:
        raise InputError(f"{stage}: '{twice[0]}' does not belong here; 90_adapt_your_images.ipynb sets it for all stages, or makes it")
    try:
        return parameters.merged(defaults(stage), given, "this stage")
    except InputError as error:
        raise InputError(f"{stage}: {error}") from None


def synthesise(made: Plan, per_class: int, held_out_per_class: int, out: str | Path) -> tuple[ImageSet, ImageSet]:
    """(source, held out): labelled synthetic images by prompts, `per_class` to train on, and others that only calibrate.

    Written to `<out>/prompts`, `images` and `held_out`; other prompts (by their seed) make the held-out ones, and other noise.
    """
    sets = []
    for name, number, seed in (("images", per_class, 0), ("held_out", held_out_per_class, 1000)):
        writer = made.writer | {"seed": made.writer["seed"] + seed}
        rows = prompts.write(made.class_names, per_class=number, **_options(writer), seed=writer["seed"])
        folder = _draw(made, rows, name, seed, out)
        sets.append(images.load(folder, made.image_size, made.class_names))
    return sets[0], sets[1]


def synthesise_more(made: Plan, more: Mapping[str, int], out: str | Path) -> ImageSet:
    """`more` images (class -> number) by prompts and noise of their own, of these classes alone and with labels by their order.

    They lie in `<out>/more/<digest of the prompts>`: what was drawn before stays as it is.
    """
    writer = made.writer | {"seed": made.writer["seed"] + 2000}
    rows = prompts.write(list(more), per_class=max(more.values()), **_options(writer), seed=writer["seed"])
    of: dict[str, list[dict]] = {}
    for row in rows:
        of.setdefault(row["class_name"], []).append(row)
    rows = [row for name, number in more.items() for row in of[name][:number]]
    return images.load(_draw(made, rows, f"more/{stable_hash(rows):016x}", 2000, out), made.image_size)


def _draw(made: Plan, rows: list[dict], name: str, seed: int, out: str | Path) -> Path:
    """The folder `<out>/<name>` with an image for each prompt, of the noise that the plan's seed and `seed` give."""
    written = resolve(out) / "prompts" / f"{name}.jsonl"
    files.write_jsonl(written, rows)
    options = {key: value for key, value in made.generator.items() if key in any_model.OPTIONS | {"model"}}
    options |= {"out": resolve(out) / name, "seed": made.generator["seed"] + seed, "device": made.device}
    any_model.generate(written, **options)
    return resolve(out) / name


def transfer(made: Plan, source: ImageSet, target: ImageSet, out: str | Path) -> None:
    """Stage 3 for each seed, as notebook 30 does it: `<out>/inter_domain/seed<k>/` with classifier and predictions over the photos."""
    s = made.inter_domain
    for seed in made.seeds:
        folder = resolve(out) / "inter_domain" / f"seed{seed}"
        views = (s["augment"][0], s["augment"][1])
        inter_domain.adapt(
            source, target, s["method"], s["method_config"], made.architecture, made.recipe("inter_domain"), seed, folder, views
        )


def refine(made: Plan, target: ImageSet, out: str | Path) -> dict[int, list[str]]:
    """Stage 4 for each seed, as notebook 40 does it, into `<out>/intra_domain/seed<k>/`; returns the classes without a confident photo."""
    s, lost = made.intra_domain, {}
    for seed in made.seeds:
        before, folder = (resolve(out) / stage / f"seed{seed}" for stage in ("inter_domain", "intra_domain"))
        p = inference.read_predictions(before / "predictions.parquet", target.names, target.pixels)
        parts = split(p, target.class_names, s["score"], s["fraction"], s["threshold"])
        lost[seed] = missing(parts.counts)
        recipe = made.recipe("intra_domain")
        classifier = intra_domain.refine(before, target, parts, s["method"], s["method_config"], recipe, seed, folder, s["start"])
        p, _ = inference.predict(classifier, target.pixels, device=recipe.device)
        inference.write_predictions(folder / "predictions.parquet", target.names, p, target.pixels)
    return lost


def without_labels(target: ImageSet) -> ImageSet:
    """`target` as training code is given it."""
    return replace(target, labels=None)


def _options(writer: dict) -> dict:
    return {name: value for name, value in writer.items() if name != "seed"}
