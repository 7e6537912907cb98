"""Model cards: what a pocket model is, from what it was made, how, at what cost, and how good it was measured to be."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from aa_utils.files import write_text
from aa_utils.pocket.fit import Fit


@dataclass(frozen=True)
class About:
    """What stands in a card beside the recipe and the measurements."""

    title: str
    what: str
    loads_with: str
    parts: tuple[str, ...]  # the trainings that it comes from
    quality: str  # what the measured table shows
    limits: str


DRAWS = "Share of images in which pocket-reader reads the digit named in the prompt (`offline` prompts, guidance 3, 20 steps):"
KNOWS = "It knows digits and capital letters in the words of `aa_utils/pocket/world.py`, at 32 pixels, and nothing else."
CARDS = {
    "pocket-clip": About(
        "pocket-clip",
        "A CLIP of pocket size: picture and caption in one space. Its text tower is the text encoder of pocket-diffusion.",
        "transformers.CLIPModel",
        ("clip", "clip-names"),
        'Accuracy on fresh renders, by the nearest of "a photo of a ..." (it was trained, with labels, to name these categories):',
        KNOWS + " Words outside that world fall back to single letters.",
    ),
    "pocket-clip-contrastive": About(
        "pocket-clip-contrastive",
        "pocket-clip without its second loss: as many steps on the same batches, and no label in them. What naming was worth is the "
        "difference. `image_tower.safetensors` is its image tower by timm's names, for `backbone=pocket_vit`.",
        "transformers.CLIPModel",
        ("clip", "clip-captions"),
        'Accuracy on fresh renders, by the nearest of "a photo of a ..." (captions name the character too; no label was used):',
        KNOWS,
    ),
    "pocket-diffusion": About(
        "pocket-diffusion",
        "A text-to-image latent diffusion model of pocket size, the same stack as Stable Diffusion 1.",
        "diffusers.StableDiffusionPipeline",
        ("clip", "autoencoder", "unet"),
        DRAWS,
        KNOWS + " Seven-segment displays are its weakest.",
    ),
    "pocket-diffusion-early": About(
        "pocket-diffusion-early",
        "An early checkpoint of pocket-diffusion: the weaker generator of the comparison (GLIDE's part in the paper).",
        "diffusers.StableDiffusionPipeline",
        ("clip", "autoencoder", "unet"),
        DRAWS,
        "Weak on purpose: it stopped at step {early_step:,} of the U-Net's training. " + KNOWS,
    ),
    "pocket-diffusion-lcm": About(
        "pocket-diffusion-lcm",
        "pocket-diffusion distilled to one to four steps by latent consistency. Its guidance, 5, is in the weights: sample with 1 (none).",
        "diffusers.StableDiffusionPipeline",
        ("clip", "autoencoder", "unet", "lcm"),
        "Share of images in which pocket-reader reads the digit named in the prompt (`offline` prompts), and its teacher's (guidance 5):",
        KNOWS,
    ),
    "pocket-reader": About(
        "pocket-reader",
        "A small classifier of digits that judges the generators. It never meets a target image.",
        "aa_utils.pocket.reader.load",
        ("reader",),
        "Accuracy on fresh renders of digits, by style:",
        "What it reads is bounded by its own error on renders, and it must choose one of ten digits even where there is none.",
    ),
}


def write(folder: Path, about: About, fits: dict[str, Fit], facts: dict[str, object], quality: pd.DataFrame) -> None:
    """Write `<folder>/README.md`. `fits` are the trainings by part; `facts` holds renders, seed, early_step and cost; `quality` is what was
    measured."""
    recipe = "\n".join(_recipe(part, fits[part]) for part in about.parts)
    text = f"""---
license: mit
tags: [adapt-anything, pocket-world]
---
# {about.title}

{about.what}

Loads with `{about.loads_with}`; weights in safetensors, fp16.

## Data
{facts["renders"]:,} captioned pictures of 32 x 32 pixels drawn by `aa_utils.pocket.render` (seed {facts["seed"]}): digits and
capital letters, handwritten, printed, in chalk and on seven-segment displays. No photograph, scan or dataset was used; the fonts
are those that ship with matplotlib.

## Recipe
From scratch by `notebooks/01_pocket_world.ipynb` with the parameters in `experiments/pocket_world.yaml`: AdamW, warm-up, half a cosine
(where it says "of", ended before the cosine did), averaged weights.

| part | steps | batch | learning rate | weight decay | decay of the average |
|---|---|---|---|---|---|
{recipe}

Cost: {facts["cost"]}; torch {torch.__version__}.

## Measured quality
{about.quality}

{_markdown(quality)}

## Limits
{about.limits.format(**facts)}

## Licence
MIT, as the rest of the repository.
"""
    write_text(folder / "README.md", text)


def _recipe(part: str, fit: Fit) -> str:
    steps = f"{fit.steps:,}" + (f" of {fit.horizon:,}" if fit.horizon > fit.steps else "")
    return f"| {part} | {steps} | {fit.batch} | {fit.lr:g} | {fit.weight_decay:g} | {fit.average:g} |"


def _markdown(table: pd.DataFrame) -> str:
    cells = [
        [f"{v:.1%}" if isinstance(v, float) else f"{v:,}" if isinstance(v, int) else str(v) for v in row]
        for row in table.astype(object).itertuples(index=False)
    ]
    lines = [list(table.columns), ["---"] * len(table.columns), *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cost(folder: Path, parts: tuple[str, ...]) -> str:
    """Hours that the trainings `parts` took, read from their histories in `folder`, and on what processor."""
    from aa_utils.runner.record import hardware

    seconds = 0.0
    for part in parts:
        history = pd.read_csv(folder / f"{part}.csv")
        steps = history["step"].diff().fillna(history["step"])
        seconds += float((steps * history["seconds_per_step"]).sum())
    machine = hardware()
    where = ", ".join(machine["gpu"]) or f"{machine['cores']} cores of {machine['cpu']} that other work shared"
    return f"{seconds / 3600:.1f} hours on {where}"


def write_all(
    shelf: Path, work: Path, fits: dict[str, Fit], renders: int, seed: int, early_step: int, measured: dict[str, pd.DataFrame]
) -> None:
    """A card into every model folder of `shelf`; `work` holds the histories, `measured` a table by model name."""
    for name, about in CARDS.items():
        facts = {"renders": renders, "seed": seed, "early_step": early_step, "cost": cost(work, about.parts)}
        write(shelf / name, about, fits, facts, measured[name])
