"""pocket-stylegan2: the domain that it learns, its shape, and its card.

The domain is the plainest of the pocket world, in the place of FFHQ's photographs: single digits in black pen on white paper, sharp. Shapes
vary (hand, slant, size, proportion, weight), looks do not: they are what an adaptation by prompt is to change.
"""

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from aa_utils.errors import InputError
from aa_utils.files import atomic, write_text
from aa_utils.generator_adaptation.generators.discriminator import Discriminator
from aa_utils.generator_adaptation.generators.stylegan2 import Config, Generator
from aa_utils.generator_adaptation.pretraining import gan_card
from aa_utils.generator_adaptation.pretraining.gan_training import Recipe
from aa_utils.pocket.world import DIGIT_NAMES
from aa_utils.progress import progress
from aa_utils.runner import code_closure
from aa_utils.seeds import stable_hash

PLAIN = {"style": "handwritten", "tool": "pen", "ink": "black", "paper": "white", "background": "plain", "quality": "sharp"}
CLASSES = len(DIGIT_NAMES)
PART = 1024  # renders of one digit that are drawn and kept together


def networks(
    channels: list[int], z_dim: int, w_dim: int, mapping_layers: int, seed: int, mapping_lr: float = 0.01
) -> tuple[Generator, Discriminator]:
    """An untrained conditional generator of digits and its discriminator; `channels` count from 4 pixels up.

    `mapping_lr` is the learning rate of the mapping network in multiples of the others'.
    """
    config = Config(tuple(channels), z_dim, w_dim, CLASSES, mapping_layers, mapping_lr)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stable_hash("pocket gan", seed))
        return Generator(config), Discriminator(config.channels, CLASSES)


def renders(folder: Path, per_digit: int, seed: int | str, workers: int = 1, domain: dict[str, str] = PLAIN) -> tuple[Tensor, Tensor]:
    """Pixels (n, 3, 32, 32) uint8 and labels (n,) of `per_digit` renders of each digit in `domain`, digit by digit.

    They are kept in `folder`; parts that are missing there are rendered first, by `workers` processes.
    """
    if per_digit < 1:
        raise InputError(f"{per_digit} renders of each digit; take at least one")
    jobs = [(digit, k) for digit in range(CLASSES) for k in range(-(-per_digit // PART))]
    name = f"{stable_hash(seed, code_closure.fingerprint(__name__), *sorted(domain.items())):x}"
    files = {(digit, k): folder / f"{name}-{digit}-{k:03d}-{_size(k, per_digit)}.npy" for digit, k in jobs}
    missing = [(job, file) for job, file in files.items() if not file.exists()]
    if missing:
        with ProcessPoolExecutor(workers, initializer=_one_thread) as processes:
            done = processes.map(partial(_write, seed, domain, per_digit), missing)
            list(progress(done, what="render", total=len(missing), unit="part"))
    pixels = np.concatenate([np.load(file) for file in files.values()])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), torch.arange(CLASSES).repeat_interleave(per_digit)


def _size(part: int, per_digit: int) -> int:
    return min(PART, per_digit - part * PART)


def _one_thread() -> None:
    torch.set_num_threads(1)


def _write(seed: int | str, domain: dict[str, str], per_digit: int, job: tuple[tuple[int, int], Path]) -> None:
    from aa_utils.pocket.render import render

    (digit, part), file = job
    pictures = render(_size(part, per_digit), stable_hash("plain", seed, part), character=str(digit), **domain)[0]
    with atomic(file) as temporary, temporary.open("wb") as stream:
        np.save(stream, pictures)


def write_card(
    folder: Path, generator: Generator, recipe: Recipe, renders: int, seed: int, history: pd.DataFrame, measured: pd.DataFrame
) -> None:
    """Write `<folder>/README.md`: what the generator is, from what it was made, how, at what cost, and how good it was measured to be.

    `history` is the training's, `measured` the table of `evaluation.quality`.
    """
    config = generator.config
    floor, drawn = (measured.set_index("images").loc[name] for name in ("renders", "generator"))
    text = f"""---
license: mit
tags: [adapt-anything, pocket-world]
---
# pocket-stylegan2

A StyleGAN2 (arXiv 1912.04958) of pocket size: it draws digits in black pen on white paper, {config.resolution} pixels a side,
which of the ten is its label. StyleGAN-Fusion moves it to other domains by prompt.

Loads with `aa_utils.generator_adaptation.generators.checkpoints.load`; weights in safetensors, fp16.

## Data
{renders:,} renders of `aa_utils.pocket.render`, as many of each digit, with these factors fixed:
{", ".join(f"{factor} {value}" for factor, value in PLAIN.items())}. No photograph, scan or dataset was used.

## Recipe
From scratch by `notebooks/70_pretrain_gan.ipynb` with the parameters in `experiments/pocket_gan.yaml`.

| | |
|---|---|
{gan_card.shape(generator)}
{gan_card.training(recipe, seed)}

{gan_card.cost(history)}

## Measured quality
Fréchet distance to renders in the standardised features of pocket-reader: {drawn["frechet"]:.2f}; other renders are at
{floor["frechet"]:.2f}. pocket-reader reads {drawn["read"]:.1%} of its images as the digit asked for, and {floor["read"]:.1%} of renders.

## Limits
It knows the ten digits of that one domain and nothing else. Truncation draws towards the mean of all digits: a strong one
blurs which it is.

## Licence
MIT, as the rest of the repository.
"""
    write_text(folder / "README.md", text)
