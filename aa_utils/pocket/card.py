"""Model cards: what a pocket model is, from what it was made, how, at what cost, and how good it was measured to be."""

from pathlib import Path

import pandas as pd
import torch

from aa_utils.files import write_text
from aa_utils.pocket.fit import Fit

DATA = (
    "{renders:,} pictures of 32 x 32 pixels with captions, rendered by `aa_utils.pocket.render` (seed {seed}): digits and capital letters, handwritten, printed, in chalk "
    "and on seven-segment displays. No photograph, scan or dataset was used; the fonts are those that ship with matplotlib."
)


def write(folder: Path, title: str, what: str, loads_with: str, fits: dict[str, Fit], renders: int, seed: int, cost: str, quality: dict[str, pd.DataFrame], limits: str) -> None:
    """Write `<folder>/README.md`. `fits` are the trainings by part, `quality` the measured tables by heading."""
    recipe = "\n".join(
        f"| {part} | {fit.steps:,} | {fit.batch} | {fit.lr:g} | AdamW, weight decay {fit.weight_decay:g}, warm-up {fit.warmup}, cosine; average of weights {fit.average:g} |"
        for part, fit in fits.items()
    )
    measured = "\n\n".join(f"{heading}\n\n{_markdown(table)}" for heading, table in quality.items())
    text = f"""---
license: mit
library_name: {loads_with.split(".")[0]}
tags: [adapt-anything, pocket-world]
---
# {title}

{what}

Loads with `{loads_with}`. Weights in fp16 safetensors.

## Data
{DATA.format(renders=renders, seed=seed)}

## Recipe
Made from scratch by `notebooks/01_pocket_world.ipynb` with the parameters of `experiments/pocket_world.yaml`.

| part | steps | batch | learning rate | optimiser |
|---|---|---|---|---|
{recipe}

Cost: {cost}, torch {torch.__version__}.

## Measured quality
{measured}

## Limits
{limits}

## Licence
MIT, as the rest of this repository.
"""
    write_text(folder / "README.md", text)


def _markdown(table: pd.DataFrame) -> str:
    cells = [[f"{v:.1%}" if isinstance(v, float) else f"{v:,}" if isinstance(v, int) else str(v) for v in row] for row in table.astype(object).itertuples(index=False)]
    lines = [list(table.columns), ["---"] * len(table.columns), *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
