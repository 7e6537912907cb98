"""Many adaptations of one generator: every prompt by every variant of the settings, with several seeds; checked before the first begins."""

import re
from dataclasses import dataclass
from pathlib import Path

from aa_utils.errors import InputError, check_number
from aa_utils.generator_adaptation import adapt, clip_direction, fusion, perceptual
from aa_utils.generator_adaptation import guide as guides
from aa_utils.generator_adaptation.recipe import PRESETS, Recipe, recipe
from aa_utils.paths import resolve

RESERVED = ("before", "renders", "guide", "oracle")  # rows of the tables and sheets that no variant makes
EXAMPLES = {"prompts": '{"night": ["a digit {} in white ink"]}', "variants": '{"sds": {}, "slow": {"lr": 0.002}}'}


@dataclass(frozen=True)
class Run:
    """One adaptation: what to, how, and where below the folder of all of them."""

    prompt: str
    variant: str
    seed: int
    recipe: Recipe

    def folder(self, out: str | Path) -> Path:
        """Where it writes: <out>/<prompt>/<variant>/seed<k>."""
        return resolve(out) / self.prompt / self.variant / f"seed{self.seed}"


def plan(preset: str, settings: dict, variants: dict[str, dict], prompts: dict[str, object], seeds: list[int]) -> list[Run]:
    """The runs, variant by variant within a prompt. A variant is changes to `preset` with `settings`; with a `preset` of its own it starts
    from that, of which `settings` then only fill in what it leaves open.

    Errors: InputError for a wrong setting, names that cannot name folders, prompts without a text, and seeds that are no whole numbers.
    """
    for what, names in (("prompts", prompts), ("variants", variants)):
        if not isinstance(names, dict):
            raise InputError(f"{what} is {repr(names)[:80]}; it takes a name for each, such as {EXAMPLES[what]}")
        wrong = [name for name in names if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", str(name))]
        if wrong or not names:
            raise InputError(f"{what} are named {list(names)}; give at least one, in letters, digits, _ . and -, for they name folders")
    for name, texts in prompts.items():
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text.strip() for text in texts):
            raise InputError(f"prompts.{name} is {repr(texts)[:80]}; it takes a list of texts, such as {EXAMPLES['prompts']}")
    for name, changes in variants.items():
        if name in RESERVED:
            raise InputError(f"a variant is named '{name}', as what the tables compare it with; call it otherwise")
        if not isinstance(changes, dict):
            raise InputError(f"variants.{name} is {repr(changes)[:80]}; it takes what differs, such as {EXAMPLES['variants']}")
    if not isinstance(seeds, list) or not seeds or len(set(map(repr, seeds))) < len(seeds):
        raise InputError(f"seeds are {repr(seeds)[:80]}; give a list of at least one, each once")
    for seed in seeds:
        check_number("a seed", seed, at_least=0, at_most=2**63 - 1, whole=True)
    recipes = {}
    for name, changes in variants.items():
        own = dict(changes)
        other = own.pop("preset", preset)
        recipes[name] = recipe(other, settings, PRESETS.get(other, {}) if "preset" in changes else {}, own)
    return [Run(prompt, name, seed, recipes[name]) for prompt in prompts for name in variants for seed in seeds]


def objectives(
    runs: list[Run],
    prompts: dict[str, list[str]],
    guide: str,
    clips: list[str],
    source: str,
    templates: list[str],
    distance: str,
    class_names: list[str],
    *,
    revision: str = "",
    dtype: str = "float32",
    device: str = "cpu",
) -> dict[tuple[str, str], adapt.Objective]:
    """The objective of each (prompt, variant). `prompts` has the wordings of each; the CLIP direction goes from `source` to the first,
    and delta denoising takes the score of `source` off.

    Only what some run needs is loaded, once: the `guide`, the `clips`, the perceptual `distance`.
    """
    recipes = [run.recipe for run in runs]
    guided = any(r.objective == "score_distillation" for r in recipes)
    known = guides.load(guide, revision, device, dtype) if guided else None
    towers = [clip_direction.load(model, device) for model in clips] if any(r.objective == "clip_direction" for r in recipes) else []
    near = perceptual.load(distance, device) if any(r.perceptual for r in recipes) else None
    found: dict[tuple[str, str], adapt.Objective] = {}
    for run in runs:
        words, names = prompts[run.prompt], tuple(class_names)
        if (run.prompt, run.variant) in found:
            continue
        if run.recipe.objective == "score_distillation":
            made = fusion.objective(known, words, run.recipe, near, names, source)
        else:
            made = clip_direction.objective(towers, source, words[0], run.recipe, templates, names)  # type: ignore[assignment]
        found[run.prompt, run.variant] = made  # type: ignore[assignment]
    return found
