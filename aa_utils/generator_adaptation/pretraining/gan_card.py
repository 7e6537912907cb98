"""What the cards of pretrained generators have in common: how large they are, how they were trained, and what that cost."""

import pandas as pd
import torch
from torch import nn

from aa_utils.generator_adaptation.pretraining.gan_training import Recipe
from aa_utils.runner.record import hardware


def shape(generator: nn.Module) -> str:
    """The rows of a Markdown table: how large `generator` is."""
    config, weights = generator.config, sum(p.numel() for p in generator.parameters()) / 1e6
    return f"""| weights | {weights:.2g} million |
| channels from 4 pixels up | {", ".join(map(str, config.channels))} |
| z, w, mapping layers | {config.z_dim}, {config.w_dim}, {config.mapping_layers} (at {config.lr_multiplier:g} of the learning rate) |"""


def training(recipe: Recipe, seed: int) -> str:
    """The rows of a Markdown table: what a reader needs of `recipe`, and the seed."""
    return f"""| steps, batch | {recipe.steps:,}, {recipe.batch} |
| Adam | {recipe.lr:g}{", half a cosine down to 2 %" if recipe.horizon else ""}, betas 0 and {recipe.beta2:g} |
| R1 | {recipe.r1:g} every {recipe.r1_every} steps |
| path length | {recipe.path:g} |
| style mixing | {recipe.mixing:g} |
| half-life of the averaged weights | {recipe.half_life:,.0f} images |
| seed | {seed} |"""


def cost(history: pd.DataFrame) -> str:
    """One sentence: the hours of a training by its `history` (steps, seconds_per_step), on which machine."""
    steps = history["step"].diff().fillna(history["step"])
    hours = float((steps * history["seconds_per_step"]).sum()) / 3600
    machine = hardware()
    where = ", ".join(machine["gpu"]) or f"{machine['cores']} cores of {machine['cpu']}"
    return f"Cost: {hours:.1f} hours on {where}; torch {torch.__version__}."
