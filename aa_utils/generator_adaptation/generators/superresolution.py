"""Super-resolution of EG3D (Chan et al. 2022, arXiv 2112.07945, section 4.3): blocks of StyleGAN2 that make the image larger than its rays
could be rendered, driven by the last w. The rendered features go in, with their first three channels as the image to add to."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aa_utils.generator_adaptation.generators.modulated_conv import StyledConv, ToRGB
from aa_utils.generator_adaptation.generators.stylegan2 import Block


class Refine(nn.Module):
    """A block that keeps the size: two styled convolutions and the image they add."""

    def __init__(self, inward: int, outward: int, w_dim: int, size: int, clamp: float | None):
        super().__init__()
        self.conv0 = StyledConv(inward, outward, w_dim, size, clamp=clamp)
        self.conv1 = StyledConv(outward, outward, w_dim, size, clamp=clamp)
        self.torgb = ToRGB(outward, 3, w_dim, clamp)

    def forward(
        self, x: Tensor, image: Tensor, ws: Sequence[Tensor], noise: str, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """Features and image of the same size."""
        x = self.conv1(self.conv0(x, ws[0], noise, generator), ws[1], noise, generator)
        return x, image + self.torgb(x, ws[2], None)


class SuperResolution(nn.Module):
    """Features of `inward` channels -> images of `resolution` pixels, by one block for each of `channels`.

    Features are resized to `start` pixels first. Every block doubles the size; where there is one more than doublings from `start` to
    `resolution`, the first keeps it (the released 128 and 256 pixel networks).
    """

    def __init__(self, inward: int, channels: Sequence[int], start: int, resolution: int, w_dim: int, clamp: float | None):
        super().__init__()
        self.start, self.blocks, size = start, len(channels), start
        keeps = start << len(channels) != resolution
        for k, outward in enumerate(channels):
            if keeps and k == 0:
                block = Refine(inward, outward, w_dim, size, clamp)
            else:
                size *= 2
                block = Block(inward, outward, w_dim, size, 3, clamp)  # type: ignore[assignment]
            setattr(self, f"block{k}", block)
            inward = outward

    def forward(self, x: Tensor, w: Tensor, noise: str, generator: torch.Generator | None = None) -> Tensor:
        """Images (N, 3, resolution, resolution) of features (N, inward, H, H) and w (N, w_dim). Without blocks the first three features."""
        if self.blocks and x.shape[-1] != self.start:
            x = F.interpolate(x, size=(self.start, self.start), mode="bilinear", antialias=True)
        image = x[:, :3]
        for k in range(self.blocks):
            x, image = getattr(self, f"block{k}")(x, image, (w, w, w), noise, generator)
        return image
