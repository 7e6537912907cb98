"""The pocket world in 3-D: handwritten glyphs as solid bodies on paper, seen by a camera that goes around them.

A body is its glyph's signed distance field (`render.pen_distances`) between the paper, z = -THICKNESS/2, and the face, z = THICKNESS/2: y
up, the face towards +z, the origin in the middle of the picture. A ray runs through that slab over a straight piece of the glyph's plane;
where the smallest distance on it is negative it meets the body: on the face if that holds at its first point, else on a side. So a picture
needs no marching in space, and edges are smooth as in `render`: an edge covers a pixel by its distance in pixels.

Faces have the colour of the ink. Sides mirror some of the paper, more of it where they look to the light at the upper left, which is what
shows the depth. Everything is fixed to the body: turning it changes no colour, only what is seen.
"""

from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from aa_utils.errors import InputError
from aa_utils.pocket.render import SIZE, colour, pen_distances
from aa_utils.pocket.world import Factors

THICKNESS = 0.1  # of a body, in units of a world in which cameras are RADIUS away
RADIUS, FOCAL = 2.7, 4.2647  # of the camera before which a face is seen as the picture of `render`; EG3D's, for faces
PIXEL = (RADIUS - THICKNESS / 2) / (FOCAL * SIZE)  # the side of one of that picture's pixels
REACH = 4  # pixels beyond the picture's edges where distances are known; bodies end within
STEP = 0.5  # pixels between two known distances
PIECE = 12  # points on a ray's way through the slab; a pixel apart at most
MIRRORED, LIT = 0.4, 0.2  # share of the paper's colour in a side; how much more or less of it by the light
LIGHT = (-0.6, -0.8)  # from where it comes, in the picture's plane (x to the right, y down)
AT_ONCE = 32  # pictures


@dataclass(frozen=True)
class Bodies:
    """n bodies. `distances` (n, m, m) to the outline in pixels, every STEP from -REACH to SIZE + REACH; `ink`, `paper` (n, 3) in 0..1;
    `slope` (n, 2): how the paper's lightness changes over the picture; `grain` (n, k, k): how much ink sticks, for each pixel."""

    distances: Tensor
    ink: Tensor
    paper: Tensor
    slope: Tensor
    grain: Tensor

    def __len__(self) -> int:
        return len(self.ink)

    def __getitem__(self, rows) -> "Bodies":
        return Bodies(*(getattr(self, field.name)[rows] for field in fields(self)))


def bodies(factors: Factors, rng: np.random.Generator) -> Bodies:
    """The bodies of rows of `factors` (`aa_utils.pocket.world.sample`); what they leave open comes from `rng`.

    The hand comes first: the same `rng` gives the same glyph in another ink, paper or style. Errors: InputError for another style than
    handwritten and chalk.
    """
    other = set(factors["style"]) - {"handwritten", "chalk"}
    if other:
        raise InputError(f"no solid bodies of style {sorted(other)[0]!r}; there are handwritten and chalk")
    n = len(factors["style"])
    axis = torch.arange(-REACH, SIZE + REACH + STEP / 2, STEP)
    at = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(-1, 2)
    distances = pen_distances(factors, rng, at).reshape(n, len(axis), len(axis))
    ink, paper = (colour(factors[name], rng)[:, :, 0, 0] for name in ("ink", "paper"))
    slope = torch.from_numpy(rng.normal(0, 0.035, (n, 2)).astype(np.float32))
    grain = torch.from_numpy(rng.random((n, SIZE + 2 * REACH, SIZE + 2 * REACH), np.float32))
    chalk = torch.from_numpy(factors["style"] == "chalk")[:, None, None]
    return Bodies(distances, ink, paper, slope, torch.where(chalk, (0.35 + 1.1 * grain).clamp(0, 1), torch.ones(())))


def render(body: Bodies, start: Tensor, ways: Tensor) -> tuple[Tensor, Tensor]:
    """What rays from `start` (n, 3) in the directions `ways` (n, 3, size²), unit vectors, see of each body, row by row of a picture.

    Returns pictures (n, 3, size, size) uint8 and depths (n, size, size), the way to body or paper. Errors: InputError for other shapes, or
    rays that do not come from before the faces.
    """
    size = round(ways.shape[-1] ** 0.5)
    if start.shape != (len(body), 3) or ways.shape != (len(body), 3, size**2):
        raise InputError(f"{len(body)} bodies, rays {tuple(start.shape)} and {tuple(ways.shape)}; give (n, 3) and (n, 3, size²)")
    if not ((ways[:, 2] < 0).all() and (start[:, 2] > THICKNESS / 2).all()):
        raise InputError("a camera does not look at the faces of the bodies: it must stand before them, at z > 0, and look towards -z")
    parts = [_render(body[k : k + AT_ONCE], start[k : k + AT_ONCE], ways[k : k + AT_ONCE], size) for k in range(0, len(body), AT_ONCE)]
    pictures, depths = (torch.cat(part) for part in zip(*parts, strict=True))
    return (pictures.clamp(0, 1) * 255).round().byte(), depths


def _render(body: Bodies, start: Tensor, ways: Tensor, size: int) -> tuple[Tensor, Tensor]:
    n, start, way = len(body), start[:, None], ways.mT
    near, far = ((z - start[..., 2]) / way[..., 2] for z in (THICKNESS / 2, -THICKNESS / 2))  # (n, rays): to the face's plane, to the paper
    entry, exit_ = (SIZE / 2 + (start + t[..., None] * way)[..., :2] * torch.tensor([1.0, -1.0]) / PIXEL for t in (near, far))
    share = torch.linspace(0, 1, PIECE)
    places = torch.lerp(entry[:, :, None], exit_[:, :, None], share[:, None])  # (n, rays, PIECE, 2)
    distance = _at(body.distances[:, None], places.flatten(1, 2))[:, 0].reshape(n, -1, PIECE)
    least, nearest = distance.min(-1)
    inside = distance <= 0
    first = torch.where(inside.any(-1), inside.byte().argmax(-1), nearest)
    # The surface is between the first point inside and the one before it; a body that is only brushed, where it is nearest.
    after = distance.gather(-1, first[..., None])[..., 0]
    before = distance.gather(-1, (first - 1).clamp_min(0)[..., None])[..., 0]
    back = torch.where((first > 0) & (after <= 0), after / (after - before).clamp_max(-1e-6), torch.zeros(()))
    depth_share = (first - back) / (PIECE - 1)
    hit = torch.lerp(entry, exit_, depth_share[..., None])
    slopes = torch.stack(torch.gradient(body.distances, dim=(2, 1)), 1)
    normal = F.normalize(_at(slopes, hit), dim=1)  # (n, 2, rays)
    grain = _at(body.grain[:, None], hit.floor() + 0.5, step=1.0)[:, 0]
    face = (0.5 - distance[..., 0]).clamp(0, 1) * grain
    whole = (0.5 - least).clamp(0, 1) * grain
    paper = body.paper[:, :, None] + ((exit_ / SIZE - 0.5) @ body.slope[:, :, None]).mT
    ink = body.ink[:, :, None].expand_as(paper)
    mirrored = MIRRORED + LIT * (normal * torch.tensor(LIGHT)[:, None]).sum(1)
    side = torch.lerp(ink, body.paper[:, :, None].expand_as(ink), mirrored[:, None])
    picture = paper * (1 - whole)[:, None] + side * (whole - face)[:, None] + ink * face[:, None]
    depth = torch.where(least < 0, torch.lerp(near, far, depth_share), far)
    return picture.reshape(n, 3, size, size), depth.reshape(n, size, size)


def _at(maps: Tensor, places: Tensor, step: float = STEP) -> Tensor:
    """Values (n, c, m) of `maps` (n, c, k, k), known every `step` pixels around the picture's middle, at `places` (n, m, 2) in pixels."""
    half = (maps.shape[-1] - 1) / 2 * step
    return F.grid_sample(maps, (places[:, None] - SIZE / 2) / half, padding_mode="border", align_corners=True)[:, :, 0]
