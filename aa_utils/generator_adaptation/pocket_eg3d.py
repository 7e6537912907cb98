"""pocket-eg3d: the domain that it learns, its shape, and its card.

The domain is pocket-stylegan2's in space, in the place of EG3D's portraits: single digits, black solid bodies on white paper, and a camera
that goes around them. Which digit it is, is no label: EG3D's label is the camera, as it is in all that adapts and evaluates it.
"""

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from aa_utils.errors import InputError
from aa_utils.files import atomic
from aa_utils.generator_adaptation import cameras
from aa_utils.generator_adaptation.discriminator import Discriminator
from aa_utils.generator_adaptation.eg3d import Config, Generator
from aa_utils.generator_adaptation.pocket_gan import CLASSES, PLAIN
from aa_utils.pocket import solids
from aa_utils.pocket.render import SIZE
from aa_utils.pocket.world import Factors, sample
from aa_utils.progress import progress
from aa_utils.seeds import stable_hash, torch_generator

YAW, PITCH = 0.5, 0.25  # how far a camera goes to the sides, and up and down (`cameras.angles`)
NEAR, FAR = 2.45, 3.05  # from all these cameras body and paper lie between
FIXED = {"background": "plain", "quality": "sharp"}  # what bodies do not vary
PART = 1024  # renders that are drawn and kept together


class Renders(NamedTuple):
    """Solid bodies as seen: `pixels` (n, 3, 32, 32) uint8 by `cameras` (n, 25), `labels` (n,): the digits, `depths` (n, 32, 32)."""

    pixels: Tensor
    cameras: Tensor
    labels: Tensor
    depths: Tensor


def networks(
    channels: list[int], z_dim: int, w_dim: int, mapping_layers: int, plane_features: int, decoder_width: int, samples: list[int],
    seed: int, mapping_lr: float = 0.01, camera_scale: float = 0.0,
) -> tuple[Generator, Discriminator]:  # fmt: skip
    """An untrained generator of solid digits, without super-resolution, and its discriminator, which sees the camera.

    `channels` count from 4 pixels up, in the backbone to the planes' resolution and in the discriminator to the image's, its last ones;
    `samples` on a ray: evenly, and fine. `camera_scale` is 0 unless what is drawn depends on the camera: the mapping network sees none.
    """
    config = Config(
        channels=tuple(channels),
        z_dim=z_dim,
        w_dim=w_dim,
        mapping_layers=mapping_layers,
        lr_multiplier=mapping_lr,
        clamp=None,
        camera_scale=camera_scale,
        plane_features=plane_features,
        plane_axes="fixed",
        decoder_width=decoder_width,
        decoder_features=3,
        neural_resolution=SIZE,
        samples=samples[0],
        fine_samples=samples[1],
        near=NEAR,
        far=FAR,
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
        return Generator(config), Discriminator(channels[:4], cameras.NUMBERS)


def seen(factors: Factors, hand: int) -> Renders:
    """The bodies of rows of `factors`, each by a random camera; all else that they leave open is seeded by `hand`, cameras too."""
    n = len(factors["style"])
    places = cameras.camera(*cameras.angles(n, torch_generator("cameras", hand), YAW, PITCH, "uniform"), radius=solids.RADIUS)
    pixels, depths = solids.seen(solids.bodies(factors, np.random.default_rng(hand)), *cameras.rays(places, SIZE))
    return Renders(pixels, places, torch.from_numpy(factors["character"].astype(int)), depths)


def digits(n: int, rng: np.random.Generator, domain: dict[str, str] = PLAIN) -> Factors:
    """`n` rows of factors of digits, each as often, in `domain`. Errors: InputError for one that bodies do not have."""
    wrong = {factor: domain[factor] for factor, value in FIXED.items() if domain.get(factor, value) != value}
    if wrong:
        raise InputError(f"{wrong}: solid bodies lie on plain paper and are seen sharply")
    factors = sample(n, rng, **domain | FIXED | {"character": "0"})
    factors["character"] = rng.permutation(np.arange(n) % CLASSES).astype(factors["character"].dtype)
    return factors


def renders(folder: Path, n: int, seed: int | str, workers: int = 1, domain: dict[str, str] = PLAIN) -> Renders:
    """`n` renders of digits in `domain`, kept in `folder`; parts that are missing there are rendered first, by `workers` processes."""
    if n < 1:
        raise InputError(f"{n} renders; take at least one")
    name = f"{stable_hash(seed, *sorted(domain.items())):x}"
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
    found = seen(digits(n, np.random.default_rng(stable_hash("factors", hand)), domain), hand)
    with atomic(file) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **{name: value.numpy() for name, value in found._asdict().items()})
