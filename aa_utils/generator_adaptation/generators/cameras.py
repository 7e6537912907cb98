"""Cameras of a 3-D generator, in EG3D's convention (Chan et al. 2022, arXiv 2112.07945): 25 numbers, the 4x4 matrix from camera to world
and the 3x3 intrinsics of an image whose sides are 1, both row by row.

The camera looks along its own +z, with x to the right and y down (OpenCV); in the world y is up. It sits on a sphere around the origin and
looks at `pivot`. Yaw is the angle around the vertical axis; pitch is not an angle: pitch / pi is the share of the sphere's surface that
lies above the camera, so that uniform pitches are uniform on the sphere. (yaw, pitch) = (pi/2, pi/2) is (0, 0, radius), the frontal view.
"""

from collections.abc import Sequence
from math import pi

import torch
import torch.nn.functional as F
from torch import Tensor

from aa_utils.errors import InputError
from aa_utils.generator_adaptation.generators.modulated_conv import in_float32

NUMBERS = 25
ORBITS = ("uniform", "ellipse")


def camera(
    yaw: Tensor | Sequence[float] | float,
    pitch: Tensor | Sequence[float] | float = pi / 2,
    pivot: Sequence[float] = (0.0, 0.0, 0.0),
    radius: float = 2.7,
    focal: float = 4.2647,
) -> Tensor:
    """Cameras (n, 25) float32 at `yaw` and `pitch` (radians; numbers, or n of them), `radius` from the origin, looking at `pivot`.

    `focal` is the focal length in widths of the image: 4.2647 is a field of view of 13.4 degrees.
    """
    yaw, pitch = torch.broadcast_tensors(*(torch.as_tensor(x, dtype=torch.float32).reshape(-1) for x in (yaw, pitch)))
    polar = torch.arccos(1 - 2 * pitch.clamp(1e-5, pi - 1e-5) / pi)  # type: ignore[union-attr]
    place = radius * torch.stack([-polar.sin() * yaw.cos(), polar.cos(), polar.sin() * yaw.sin()], 1)  # type: ignore[union-attr]
    forward = F.normalize(torch.tensor(pivot, dtype=torch.float32) - place, dim=1)
    right = F.normalize(torch.linalg.cross(forward, torch.tensor([[0.0, 1.0, 0.0]])), dim=1)
    down = torch.linalg.cross(forward, right)
    to_world = torch.eye(4).repeat(len(yaw), 1, 1)  # type: ignore[arg-type]
    to_world[:, :3] = torch.stack([right, down, forward, place], 2)
    intrinsics = torch.tensor([focal, 0, 0.5, 0, focal, 0.5, 0, 0, 1]).expand(len(yaw), 9)  # type: ignore[arg-type]
    return torch.cat([to_world.flatten(1), intrinsics], 1)


def angles(n: int, rng: torch.Generator, yaw: float, pitch: float, orbit: str) -> tuple[Tensor, Tensor]:
    """Random yaws and pitches (n,), drawn on the CPU.

    "uniform": within `yaw` and `pitch` of the frontal view. "ellipse": on the border of that range, as the code of StyleGAN-Fusion
    (arXiv 2212.04473) draws them, 0.05 higher: never the frontal view itself.
    """
    if orbit == "uniform":
        at = 2 * torch.rand(2, n, generator=rng) - 1
        return pi / 2 + yaw * at[0], pi / 2 + pitch * at[1]
    at = 2 * pi * torch.rand(n, generator=rng)
    return 3.14 / 2 + yaw * at.sin(), 3.14 / 2 - 0.05 + pitch * at.cos()


def rays(cameras: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Where the rays through the pixels of a `size` x `size` image start (n, 3) and their unit directions (n, 3, size²), row by row.

    Errors: InputError for cameras that are not (n, 25).
    """
    if cameras.ndim != 2 or cameras.shape[1] != NUMBERS:
        raise InputError(f"cameras have shape {tuple(cameras.shape)}; give (n, {NUMBERS}): camera to world, then intrinsics")
    to_world, intrinsics = cameras[:, :16].reshape(-1, 4, 4), cameras[:, 16:].reshape(-1, 3, 3)
    centres = (torch.arange(size, device=cameras.device) + 0.5) / size
    v, u = (grid.flatten()[None] for grid in torch.meshgrid(centres, centres, indexing="ij"))
    fx, skew, cx, fy, cy = (intrinsics[:, i, j, None] for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2)))
    y = (v - cy) / fy
    x = (u - cx - skew * y) / fx
    seen = torch.stack([x, y, torch.ones_like(x)], 1)
    with in_float32(cameras):  # half precision would move a ray by whole pixels
        return to_world[:, :3, 3], F.normalize(to_world[:, :3, :3] @ seen, dim=1)
