"""Upsample, filter, downsample: the one resampling operation of StyleGAN2 (arXiv 1912.04958, appendix B), by stock convolutions.

Zeros are inserted between pixels (up), the image is padded, a small low-pass (FIR) filter runs over it, and pixels are dropped (down). The
filter of every released StyleGAN2 is [1, 3, 3, 1] along both axes (Zhang 2019, arXiv 1904.11486).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

TAPS = (1.0, 3.0, 3.0, 1.0)


def fir(taps: tuple[float, ...] = TAPS) -> Tensor:
    """The two-dimensional filter (K, K) of `taps` along both axes; it sums to one."""
    line = torch.tensor(taps)
    return torch.outer(line, line) / line.sum() ** 2


def upfirdn2d(x: Tensor, kernel: Tensor, up: int = 1, down: int = 1, pad: tuple[int, int] = (0, 0)) -> Tensor:
    """`x` (N, C, H, W) with `up` - 1 zeros after every pixel, `pad` zeros (before, after; negative crops) on both axes, convolved with
    `kernel` (K, K), every `down`-th pixel kept: (N, C, H', W') with H' = ceil((H·up + sum(pad) - K + 1) / down)."""
    channels, taps = x.shape[1], kernel.shape[-1]
    before, after = pad
    weight = kernel.to(x).expand(channels, 1, taps, taps)
    if up == 1:
        inside = min(before, after) if before >= 0 and after >= 0 else 0
        if (before, after) != (inside, inside):
            x = F.pad(x, (before - inside, after - inside) * 2)
        return F.conv2d(x, weight.flip(2, 3), stride=down, padding=inside, groups=channels)
    # A transposed convolution spreads every pixel over its neighbours: it never multiplies the inserted zeros.
    left, right = taps - 1 - before, taps - up - after  # what it makes beyond the wanted edges
    inside = max(0, min(left, right))
    y = F.conv_transpose2d(x, weight, stride=up, padding=inside, groups=channels)
    if (left, right) != (inside, inside):
        y = F.pad(y, (inside - left, inside - right) * 2)
    return y[:, :, ::down, ::down] if down > 1 else y


def upsample(x: Tensor, kernel: Tensor) -> Tensor:
    """`x` (N, C, H, W) at twice the resolution, its brightness kept."""
    taps = kernel.shape[-1]
    return upfirdn2d(x, kernel * 4, up=2, pad=((taps + 1) // 2, (taps - 2) // 2))


def downsample(x: Tensor, kernel: Tensor) -> Tensor:
    """`x` (N, C, H, W) at half the resolution, low-pass filtered before."""
    taps = kernel.shape[-1]
    return upfirdn2d(x, kernel, down=2, pad=((taps - 1) // 2, (taps - 2) // 2))
