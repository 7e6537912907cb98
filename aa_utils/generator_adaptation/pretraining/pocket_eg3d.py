"""pocket-eg3d: the domain that it learns, its shape, and its card.

The domain is pocket-stylegan2's in space, in the place of EG3D's portraits: single digits, black solid bodies on white paper, and a camera
that goes around them. Its label is EG3D's, the camera, and behind it the digit: without, many images lay between two digits.
"""

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from aa_utils.errors import InputError
from aa_utils.files import atomic, write_text
from aa_utils.generator_adaptation.generators import cameras
from aa_utils.generator_adaptation.generators.discriminator import Discriminator
from aa_utils.generator_adaptation.generators.eg3d import Config, Generator
from aa_utils.generator_adaptation.generators.triplane import Decoder
from aa_utils.generator_adaptation.pretraining import gan_card
from aa_utils.generator_adaptation.pretraining.camera_training import Views
from aa_utils.generator_adaptation.pretraining.gan_training import Recipe
from aa_utils.generator_adaptation.pretraining.pocket_gan import CLASSES, PLAIN
from aa_utils.pocket import solids
from aa_utils.pocket.render import SIZE
from aa_utils.pocket.world import Factors, sample
from aa_utils.progress import progress
from aa_utils.runner import code_closure
from aa_utils.seeds import stable_hash, torch_generator

YAW, PITCH = 0.5, 0.25  # how far a camera goes to the sides, and up and down (`cameras.angles`)
SLAB = (solids.THICKNESS, -1.5 * solids.THICKNESS)  # heights between which rays run: from above all faces to below the paper,
# where what is drawn flat moves the wrong way as the camera turns: from a slab that ended at the paper no body rose
BOX = 0.9  # side of the cube that the planes span: what the cameras see of it, and little more
MAPPING_LAYERS = 2
FIXED = {"background": "plain", "quality": "sharp"}  # what bodies do not vary
DENSE, EMPTY, LIGHT = 5.0, -1.0, 1.5  # of first weights: density by darkness; density of nothing, before softplus; colour, before sigmoid
PART = 1024  # renders that are drawn and kept together


class Renders(NamedTuple):
    """Solid bodies as seen: `pixels` (n, 3, 32, 32) uint8 by `cameras` (n, 25), `labels` (n,): the digits, `depths` (n, 32, 32)."""

    pixels: Tensor
    cameras: Tensor
    labels: Tensor
    depths: Tensor


def networks(
    channels: list[int], z_dim: int, w_dim: int, plane_features: int, decoder_width: int, samples: list[int], seed: int,
    mapping_lr: float = 0.01,
) -> tuple[Generator, Discriminator]:  # fmt: skip
    """An untrained generator of solid digits, without super-resolution, and its discriminator; both are told digit and camera.

    `channels` are those at 4, 8, 16 and 32 pixels, in the backbone and in the discriminator; `samples` on a ray: evenly, and fine. The
    mapping network is told the digit alone: what is drawn does not depend on the camera. Rays end in a backdrop that is painted like all
    else: before black, ink was a hole in white fog, and of a white nothing an adaptation could not make yellow paper.

    Errors: InputError for another number of channels.
    """
    if len(channels) != 4:
        raise InputError(f"channels is {channels}; give four numbers, for 4, 8, 16 and {SIZE} pixels")
    config = Config(
        channels=tuple(channels),
        z_dim=z_dim,
        w_dim=w_dim,
        mapping_layers=MAPPING_LAYERS,
        lr_multiplier=mapping_lr,
        clamp=None,
        camera_scale=0.0,
        classes=CLASSES,
        plane_features=plane_features,
        plane_axes="fixed",
        decoder_width=decoder_width,
        decoder_features=3,
        neural_resolution=SIZE,
        samples=samples[0],
        fine_samples=samples[1],
        slab=SLAB,
        box=BOX,
        back="field",
        resolution=SIZE,
        superresolution=(),
        radius=solids.RADIUS,
        pivot=(0.0, 0.0, 0.0),
        focal=solids.FOCAL,
        yaw_range=YAW,
        pitch_range=PITCH,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stable_hash("pocket eg3d", seed))
        generator, discriminator = Generator(config), Discriminator(channels, cameras.NUMBERS, classes=CLASSES)
    _dark_is_dense(generator.decoder)
    return generator, discriminator


def _dark_is_dense(decoder: Decoder) -> None:
    """A beginning in which what is dark is dense and what is light next to nothing, as sphere initialisations are one for signed distances
    (arXiv 1911.10414). Without it white is learned first, as a block, and ink as a hole in it: from the front that looks the same."""
    layer = decoder.net[2]
    with torch.no_grad():
        layer.weight[0] = -DENSE * layer.weight[1:4].mean(0)
        layer.bias[0], layer.bias[1:4] = EMPTY, LIGHT


def render(factors: Factors, hand: int) -> Renders:
    """The bodies of rows of `factors`, each by a random camera; all else that they leave open is seeded by `hand`, cameras too."""
    n = len(factors["style"])
    places = cameras.camera(*cameras.angles(n, torch_generator("cameras", hand), YAW, PITCH, "uniform"), radius=solids.RADIUS)
    pixels, depths = solids.render(solids.bodies(factors, np.random.default_rng(hand)), *cameras.rays(places, SIZE))
    return Renders(pixels, places, torch.from_numpy(factors["character"].astype(int)), depths)


def digits(n: int, rng: np.random.Generator, domain: dict[str, str] = PLAIN) -> Factors:
    """`n` rows of factors of digits, each as often, in `domain`. Errors: InputError for one that bodies do not have."""
    check(domain)
    factors = sample(n, rng, **domain | FIXED | {"character": "0"})
    factors["character"] = rng.permutation(np.arange(n) % CLASSES).astype(factors["character"].dtype)
    return factors


def check(domain: dict[str, str]) -> None:
    """Errors: InputError for a domain that bodies do not have."""
    wrong = {factor: domain[factor] for factor, value in FIXED.items() if domain.get(factor, value) != value}
    if wrong:
        raise InputError(f"{wrong}: solid bodies lie on plain paper and are seen sharply")


def renders(folder: Path, n: int, seed: int | str, workers: int = 1, domain: dict[str, str] = PLAIN) -> Renders:
    """`n` renders of digits in `domain`, kept in `folder`; parts that are missing there are rendered first, by `workers` processes."""
    if n < 1:
        raise InputError(f"{n} renders; take at least one")
    name = f"{stable_hash(seed, code_closure.fingerprint(__name__), *sorted(domain.items())):x}"
    jobs = [(k, min(PART, n - k * PART), folder / f"solids-{name}-{k:03d}-{min(PART, n - k * PART)}.npz") for k in range(-(-n // PART))]
    missing = [job for job in jobs if not job[2].exists()]
    if missing:
        with ProcessPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as processes:
            list(progress(processes.map(partial(_write, seed, domain), missing), what="render", total=len(missing), unit="part"))
    parts = []
    for _, _, file in jobs:
        with np.load(file) as found:
            parts.append([torch.from_numpy(found[field]) for field in Renders._fields])
    return Renders(*(torch.cat(part) for part in zip(*parts, strict=True)))


def _write(seed: int | str, domain: dict[str, str], job: tuple[int, int, Path]) -> None:
    part, n, file = job
    hand = stable_hash("solids", seed, part)
    found = render(digits(n, np.random.default_rng(stable_hash("factors", hand)), domain), hand)
    with atomic(file) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **{name: value.numpy() for name, value in found._asdict().items()})


def write_card(
    folder: Path, generator: Generator, recipe: Recipe, views: Views, count: int, seed: int, history: pd.DataFrame, measured: pd.DataFrame
) -> None:
    """Write `<folder>/README.md`: what the generator is, from what it was made, how, at what cost, and how good it was measured to be.

    `count` are the renders it learned from, `history` is the training's, `measured` the table of `turntable.quality`.
    """
    config = generator.config
    drawn, floor, flat = (measured.set_index("images").loc[name] for name in ("generator", "renders", "billboard"))
    text = f"""---
license: mit
tags: [adapt-anything, pocket-world]
---
# pocket-eg3d

An EG3D (arXiv 2112.07945) of pocket size: it draws digits as black solid bodies on white paper, {config.resolution} pixels a side, seen
by a camera. Camera and digit are its label. StyleGAN-Fusion moves it to other domains by prompt.

Loads with `aa_utils.generator_adaptation.generators.checkpoints.load`; weights in safetensors, fp16.
`generator.camera(yaw, pitch)` makes cameras, `generator.labels(cameras, digits)` labels.

## Data
{count:,} renders of `aa_utils.pocket.solids`: the glyphs of `aa_utils.pocket.render`, {solids.THICKNESS:g} thick in a world that the
camera sees from {config.radius:g}, with these factors fixed:
{", ".join(f"{factor} {value}" for factor, value in PLAIN.items())}. Cameras lie within {YAW:g} to the sides and {PITCH:g} up and down
(`cameras.angles`). No photograph, scan or dataset was used.

## Recipe
From scratch by `notebooks/75_pretrain_eg3d.ipynb` with the parameters in `experiments/pocket_eg3d.yaml`.

| | |
|---|---|
{gan_card.shape(generator)}
| planes | 3 of {config.plane_resolution} x {config.plane_resolution} with {config.plane_features} features |
| hidden layer of the decoder | {config.decoder_width} |
| samples on a ray | {config.samples} and {config.fine_samples} fine, between the heights {SLAB[0]:g} and {SLAB[1]:g}; no super-resolution |
| total variation of density | {views.density:g} every {views.density_every} steps |
| behind all that a ray meets | a backdrop, which the scene paints (as in NeRF's code the last samples stop what light is left) |
| first weights | random, but what is dark is dense, what is light next to nothing |
{gan_card.training(recipe, seed)}

{gan_card.cost(history)}

## Measured quality
| | this generator | other renders |
|---|---|---|
| Fréchet distance to renders, in the standardised features of pocket-reader | {drawn["frechet"]:.2f} | {floor["frechet"]:.2f} |
| images that pocket-reader reads as the digit asked for | {drawn["read"]:.1%} | {floor["read"]:.1%} |
| images that pocket-reader is sure of | {drawn["sure"]:.1%} | {floor["sure"]:.1%} |
| how many digits it draws (10: each as often) | {drawn["digits"]:.1f} | {floor["digits"]:.1f} |
| turned views that are read as the frontal one | {drawn["same"]:.1%} | {floor["same"]:.1%} |
| height of the ink (1: the faces') | {drawn["face"]:.2f} | {floor["face"]:.2f} |
| its root mean square distance from the faces' plane (a billboard: {flat["off"]:.2f}) | {drawn["off"]:.2f} | {floor["off"]:.2f} |

## Limits
It knows the digits of that one domain, from the front and to both sides, and nothing else. Where paper is, its depth is a guess: all of it
has one colour, so that no image says where it lies.

## Licence
MIT, as the rest of the repository.
"""
    write_text(folder / "README.md", text)
