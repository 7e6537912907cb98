"""The discriminator of StyleGAN2 (arXiv 1912.04958, section 4.1): residual blocks, the minibatch's standard deviation, and a projection of
the label for conditional ones (Miyato & Koyama 2018, arXiv 1802.05637, as in arXiv 2006.06676)."""

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aa_utils.errors import InputError
from aa_utils.generator_adaptation.generators.modulated_conv import GAIN, SLOPE, Linear, in_float32, normalise
from aa_utils.generator_adaptation.generators.stylegan2 import one_hot
from aa_utils.generator_adaptation.generators.upfirdn2d import downsample, fir, upfirdn2d

GROUP = 4  # images over which the standard deviation is taken


class Conv(nn.Module):
    """A convolution with equalised learning rate; `down`: filtered and halved; `leaky`: with bias and leaky ReLU. `gain` scales it."""

    def __init__(self, inward: int, outward: int, size: int, down: bool = False, leaky: bool = True, gain: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outward, inward, size, size))
        self.bias = nn.Parameter(torch.zeros(outward)) if leaky else None
        self.register_buffer("kernel", fir() if down else None, persistent=False)
        self.leaky, self.gain = leaky, gain * GAIN if leaky else gain

    def forward(self, x: Tensor) -> Tensor:
        """(N, outward, H, W), or half of each with `down`."""
        size = self.weight.shape[-1]
        # A leaky ReLU passes a positive factor through, so gains go into the weights.
        weight = self.weight * (self.gain / sqrt(self.weight[0].numel()))
        bias = self.bias * self.gain if self.leaky else None
        if self.kernel is None:
            x = F.conv2d(x, weight, bias, padding=size // 2)
        elif size == 1:
            x = F.conv2d(downsample(x, self.kernel), weight, bias)
        else:
            x = F.conv2d(upfirdn2d(x, self.kernel, pad=(2, 2)), weight, bias, stride=2)
        return F.leaky_relu(x, SLOPE) if self.leaky else x


class Residual(nn.Module):
    """Two convolutions and a way around them, to half the size; (a + b)/sqrt(2)."""

    def __init__(self, inward: int, outward: int):
        super().__init__()
        self.conv0, self.conv1 = Conv(inward, inward, 3), Conv(inward, outward, 3, down=True, gain=sqrt(0.5))
        self.skip = Conv(inward, outward, 1, down=True, leaky=False, gain=sqrt(0.5))

    def forward(self, x: Tensor) -> Tensor:
        """(N, outward, H/2, W/2)."""
        return self.conv1(self.conv0(x)) + self.skip(x)


def with_deviation(x: Tensor) -> Tensor:
    """`x` (N, C, H, W) with one more channel: the standard deviation over groups of images, averaged over channels and pixels
    (arXiv 1710.10196, section 3). Errors: InputError for a batch that is not a multiple of the group."""
    group = min(GROUP, len(x))
    if len(x) % group:
        raise InputError(f"a batch of {len(x)} images; the discriminator compares them in groups of {GROUP}, so take a multiple of it")
    grouped = x.unflatten(0, (group, -1))  # image i is in a group with i + N/group, i + 2N/group …
    deviation = (grouped.var(0, correction=0) + 1e-8).sqrt().mean((1, 2, 3))
    return torch.cat([x, deviation.repeat(group)[:, None, None, None].expand(-1, 1, *x.shape[2:])], 1)


class Discriminator(nn.Module):
    """Logits of being real, for images of 4 · 2^(len(channels) - 1) pixels; `channels` count from 4 pixels up, as the generator's.

    `classes`: labels of `label_dim` numbers, a camera, are followed by a class as so many numbers. It is embedded by itself: beside the
    large numbers of a camera, most of which never change, a 1 would hardly be seen.
    """

    def __init__(self, channels: Sequence[int], label_dim: int = 0, image_channels: int = 3, classes: int = 0):
        super().__init__()
        down = list(channels)[::-1]
        self.from_rgb = Conv(image_channels, down[0], 1)
        self.blocks = nn.ModuleList(Residual(a, b) for a, b in pairwise(down))
        self.last = Conv(down[-1] + 1, down[-1], 3)
        self.hidden = Linear(16 * down[-1], down[-1], leaky=True)
        self.out = Linear(down[-1], down[-1] if label_dim else 1)
        self.embed = Linear(label_dim, down[-1]) if label_dim else None
        self.embed_class = Linear(classes, down[-1]) if classes else None
        self.label_dim = label_dim

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits (N,), float32. Errors: InputError for labels missing or superfluous."""
        if (labels is None) == bool(self.label_dim):
            raise InputError(f"this discriminator knows {self.label_dim} classes, and labels were {'not ' if labels is None else ''}given")
        x = self.from_rgb(images)
        for block in self.blocks:
            x = block(x)
        with in_float32(x):
            x = self.last(with_deviation(x.float()))
            x = self.out(self.hidden(x.flatten(1)))
            if labels is None:
                return x[:, 0]
            # The projection: how well the features agree with what the image should show.
            if self.embed_class is None:
                wanted = normalise(self.embed(one_hot(labels, self.label_dim)))
            else:
                wanted = normalise(self.embed(labels[:, : self.label_dim])) + normalise(self.embed_class(labels[:, self.label_dim :]))
            return (x * wanted).sum(1) / sqrt(x.shape[1])
