"""How a 3-D generator turns: one scene seen from the left to the right, whether it stays the same thing, and where its surface is.

A generator could learn to draw each view by itself. What tells it from one that knows space:

- `same`: a reader reads in a turned view what it reads in the frontal one. Turning alone costs some: renders say how much;
- `face`: how high over the origin's plane the ink stands, in units of what bodies have (1: right; 0: a flat picture; below: carved
  instead of raised);
- `off`: how far ink is from the plane of the faces, root mean square over all views, in the same units. A flat picture that always looks at
  the camera, a billboard, has its own row: that is what a cheat would score.
"""

from collections.abc import Sequence
from math import pi
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from aa_utils.generator_adaptation.evaluation.frechet_distance import frechet_distance, standardised
from aa_utils.generator_adaptation.evaluation.quality import draw, features, mosaic, to_uint8
from aa_utils.generator_adaptation.generators import cameras, latents
from aa_utils.generator_adaptation.pretraining import pocket_eg3d
from aa_utils.generator_adaptation.pretraining.pocket_eg3d import Renders
from aa_utils.pocket import reader, solids
from aa_utils.pocket.clip import normalised
from aa_utils.pocket.render import SIZE
from aa_utils.seeds import stable_hash, torch_generator

if TYPE_CHECKING:
    from PIL.Image import Image

YAWS = (-0.48, -0.32, -0.16, 0.0, 0.16, 0.32, 0.48)  # radians from the frontal view
SURE = 0.8  # of the reader's probability (it was trained with smoothed labels: 0.955 is certain)
DARK = 0.35  # of full lightness: ink, not the sides
AT_ONCE = 32


@torch.inference_mode()
def turned(
    net: nn.Module, z: Tensor, yaws: Sequence[float] = YAWS, psi: float = 1.0, classes: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Images (n, k, 3, R, R) uint8 and depths (n, k, H, H) of latents `z` (n, z_dim) at k yaws; w is told the frontal camera, so that each
    row is one scene. `classes` (n,): of a generator that has some; one after the other if they are not given."""
    classes = latents.in_turn(net, len(z)) if classes is None else classes
    told = net.labels(net.camera(pi / 2).expand(len(z), -1), classes).to(z)
    pictures, depths = [], []
    for some, labels in zip(z.split(AT_ONCE), told.split(AT_ONCE), strict=True):
        ws = net.mapping(some, labels, psi)
        planes = net.planes(ws, "fixed")
        views = [net.view(planes, ws, net.camera(pi / 2 + yaw).to(some).expand(len(some), -1), "fixed") for yaw in yaws]
        pictures.append(torch.stack([to_uint8(view.image) for view in views], 1).cpu())
        depths.append(torch.stack([view.depth[:, 0] for view in views], 1).cpu())
    return torch.cat(pictures), torch.cat(depths)


def rendered(n: int, seed: int, yaws: Sequence[float] = YAWS) -> tuple[Tensor, Tensor]:
    """What `turned` gives, of `n` solid bodies of the plain domain instead of a generator's scenes."""
    rng = np.random.default_rng(stable_hash("turned", seed))
    bodies = solids.bodies(pocket_eg3d.digits(n, rng), rng)
    views = [solids.render(bodies, *(x.expand(n, *x.shape[1:]) for x in _rays(yaw, SIZE))) for yaw in yaws]
    return torch.stack([pixels for pixels, _ in views], 1), torch.stack([depths for _, depths in views], 1)


def heights(depths: Tensor, yaws: Sequence[float] = YAWS) -> Tensor:
    """World z of what was seen at `depths` (n, k, H, H) by the cameras of `turned`: THICKNESS/2 is a face, -THICKNESS/2 the paper."""
    found = []
    for k, yaw in enumerate(yaws):
        start, ways = _rays(yaw, depths.shape[-1])
        found.append(start[0, 2] + depths[:, k] * ways[0, 2].reshape(depths.shape[2:]))
    return torch.stack(found, 1)


def sheet(pixels: Tensor, depths: Tensor, scale: int = 2) -> "Image":
    """Each scene of `turned` as a row, and below it where its surface is: the brighter, the nearer to us in the world."""
    reach = 1.5 * solids.THICKNESS
    grey = (255 * (heights(depths) / (2 * reach) + 0.5)).clamp(0, 255).byte()
    return mosaic(torch.stack([pixels, grey[:, :, None].expand_as(pixels)], 1).flatten(0, 2), pixels.shape[1], scale)


def agreement(net: nn.Module, pixels: Tensor, yaws: Sequence[float] = YAWS) -> float:
    """The share of turned views (n, k, 3, 32, 32) in which the reader `net` reads what it reads in the frontal one."""
    seen = reader.read(net, pixels.flatten(0, 1).permute(0, 2, 3, 1)).reshape(pixels.shape[:2])
    front = int(np.abs(yaws).argmin())
    return float((np.delete(seen, front, 1) == seen[:, [front]]).mean())


def relief(pixels: Tensor, depths: Tensor, yaws: Sequence[float] = YAWS) -> dict[str, float]:
    """`face` and `off` (see above) of ink in the views of `turned`; nan where there is no ink."""
    z = heights(depths, yaws)[(pixels.float().mean(2) < 255 * DARK)] / (solids.THICKNESS / 2)
    return {"face": z.mean().item(), "off": (z - 1).square().mean().sqrt().item()}


def quality(net: nn.Module, judge: nn.Sequential, truth: Renders, others: Renders, scenes: int, seed: int) -> pd.DataFrame:
    """A table with the rows generator, renders and billboard. Columns: images; frechet, the distance to `truth` in the features of `judge`;
    read, the share of images that it reads as the digit asked for; sure, the share that it reads with a probability above SURE; digits, how
    many digits it reads, as the exponent of the entropy (10: each as often); same, face, off (see above) of `scenes` scenes that turn.

    The generator is asked for the cameras and digits of `others`, whose own row is the floor.
    """
    drawn = draw(net, net.labels(others.cameras, others.labels), seed)
    f_truth, f_drawn, f_others = standardised(*(features(judge, pixels) for pixels in (truth.pixels, drawn, others.pixels)))
    own = turned(net, torch.randn(scenes, net.z_dim, generator=torch_generator("turned", seed)))
    real = rendered(scenes, seed)
    rows = []
    for name, pixels, f, (views, depths) in (("generator", drawn, f_drawn, own), ("renders", others.pixels, f_others, real)):
        known = {"images": name, "frechet": frechet_distance(f_truth, f), **_readable(judge, pixels, others.labels)}
        rows.append(known | {"same": agreement(judge, views)} | relief(views, depths))
    flat = torch.stack([solids.RADIUS / _rays(yaw, SIZE)[1][0].mT.matmul(_forward(yaw)).reshape(SIZE, SIZE) for yaw in YAWS])
    return pd.DataFrame([*rows, {"images": "billboard", **relief(real[0], flat.expand(scenes, -1, -1, -1))}])


@torch.inference_mode()
def _readable(judge: nn.Sequential, pixels: Tensor, labels: Tensor) -> dict[str, float]:
    said = torch.cat([judge(normalised(part)).softmax(1) for part in pixels.permute(0, 2, 3, 1).split(1024)])
    share = said.argmax(1).bincount(minlength=said.shape[1]) / len(said)
    right = (said.argmax(1) == labels).double().mean().item()
    return {"read": right, "sure": (said.amax(1) > SURE).double().mean().item(), "digits": torch.special.entr(share).sum().exp().item()}


def _rays(yaw: float, size: int) -> tuple[Tensor, Tensor]:
    return cameras.rays(cameras.camera(pi / 2 + yaw, radius=solids.RADIUS, focal=solids.FOCAL), size)


def _forward(yaw: float) -> Tensor:
    return cameras.camera(pi / 2 + yaw)[0, :16].reshape(4, 4)[:3, 2]
