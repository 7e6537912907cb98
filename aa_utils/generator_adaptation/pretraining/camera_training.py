"""What training a 3-D generator has that others have not (EG3D: Chan et al. 2022, arXiv 2112.07945): both players know the camera.

- Generator pose conditioning (section 4.4): the mapping network is told the camera of the image, or that of another one in the batch, so
  that w cannot be a picture of one view.
- Dual discrimination (section 4.3), with super-resolution: the discriminator sees the image and, beside it, what the rays saw, enlarged.
- Total variation of the density (the released code): λ E|s(p) - s(p + δ)|, p uniform in the box, δ ~ N(0, (0.004 box)²). It keeps fog away.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aa_utils.errors import InputError
from aa_utils.generator_adaptation.generators.cameras import NUMBERS

POINTS, NEARBY = 1000, 0.004  # of a scene, at which its density is looked at; how far apart, in sides of the box


@dataclass(frozen=True)
class Views:
    """The settings. Defaults are those of the released code for faces."""

    swap: float = 0.5  # probability that the mapping network is told another image's camera
    density: float = 0.25  # λ of the density's total variation; 0: none
    density_every: int = 4  # steps between its steps

    def __post_init__(self) -> None:
        if not 0 <= self.swap <= 1 or self.density < 0 or self.density_every < 1:
            raise InputError(f"swap is a probability, density not negative, density_every positive: {self}")


def swap_cameras(labels: Tensor, swap: float, rng: torch.Generator) -> Tensor:
    """What the mapping network is told (n, 25 + classes): `labels` with each image's camera, or with probability `swap` that of the image
    before it."""
    swapped = torch.rand(len(labels), 1, generator=rng).to(labels) < swap
    swapped = swapped & (torch.arange(labels.shape[1], device=labels.device) < NUMBERS)  # classes stay
    return torch.where(swapped, labels.roll(1, 0), labels)


def render(generator: nn.Module, ws: Tensor, cameras: Tensor, rng: torch.Generator) -> Tensor:
    """Images (n, 3, R, R) of `ws` by `cameras` (n, 25), as the discriminator takes them: with super-resolution (n, 6, R, R), see `dual`."""
    view = generator.view(generator.planes(ws, "random", rng), ws, cameras, "random", rng)
    return dual(view.image, view.raw) if generator.config.superresolution else view.image


def real(images: Tensor, generator: nn.Module) -> Tensor:
    """Real images (n, 3, R, R) as the discriminator takes them: with super-resolution beside themselves at the rays' resolution."""
    if not generator.config.superresolution:
        return images
    return dual(images, _resized(images, generator.config.neural_resolution))


def dual(image: Tensor, raw: Tensor) -> Tensor:
    """(n, 6, R, R): `image` (n, 3, R, R), and `raw` (n, 3, H, H) enlarged to its size."""
    return torch.cat([image, _resized(raw, image.shape[-1])], 1)


def density_variation(generator: nn.Module, ws: Tensor, rng: torch.Generator) -> Tensor:
    """E|s(p) - s(p + δ)| in the scenes of `ws`, with s the density before the softplus, as in the released code."""
    box = generator.config.box
    places = box * (torch.rand(len(ws), 3, POINTS, generator=rng) - 0.5)
    near = places + NEARBY * box * torch.randn(places.shape, generator=rng)
    density = generator.field(generator.planes(ws, "random", rng), torch.cat([places, near], 2).to(ws))[0]
    return (density[:, :POINTS] - density[:, POINTS:]).abs().mean()


def _resized(images: Tensor, size: int) -> Tensor:
    return F.interpolate(images, (size, size), mode="bilinear", align_corners=False, antialias=True)
