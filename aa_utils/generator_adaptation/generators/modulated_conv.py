"""The layers of a style-based generator (StyleGAN2: Karras et al. 2020, arXiv 1912.04958, section 2.2).

A style s scales the input channels of a convolution's weights w, and demodulation brings every output channel back to unit variance:

    w'_ijk = s_i w_ijk                                   (equation 1)
    w''_ijk = w'_ijk / sqrt(Σ_ik w'_ijk² + ε)            (equation 3)

Weights are N(0, 1) and scaled by 1/sqrt(fan-in) at run time (equalised learning rate: arXiv 1710.10196, section 4.1). Under autocast the
convolutions run in half precision; styles, demodulation and images stay in float32. Parameters have the names of NVIDIA's release.
"""

from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aa_utils.generator_adaptation.generators.upfirdn2d import fir, upfirdn2d, upsample

SLOPE = 0.2  # of the leaky ReLU
GAIN = sqrt(2)  # keeps its output at unit variance
EPSILON = 1e-8
NOISES = ("random", "fixed", "none")


def in_float32(x: Tensor) -> torch.autocast:
    """A context that switches autocast off on the device of `x`."""
    return torch.autocast(x.device.type, enabled=False)


def normalise(x: Tensor) -> Tensor:
    """`x` (N, D) with rows of unit mean square."""
    return x * (x.square().mean(1, keepdim=True) + EPSILON).rsqrt()


class Linear(nn.Module):
    """A linear layer with equalised learning rate, in float32; `leaky`: followed by a leaky ReLU.

    `lr_multiplier` m < 1 makes it learn more slowly: weights are stored divided by m and multiplied by it at run time (arXiv 1812.04948,
    appendix C: 0.01 for the mapping network).
    """

    def __init__(self, inward: int, outward: int, bias: float = 0.0, lr_multiplier: float = 1.0, leaky: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outward, inward) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((outward,), bias))
        self.lr_multiplier, self.leaky = lr_multiplier, leaky

    def forward(self, x: Tensor) -> Tensor:
        """(N, outward) float32."""
        with in_float32(x):
            scale = self.lr_multiplier / sqrt(self.weight.shape[1])
            y = F.linear(x.float(), self.weight * scale, self.bias * self.lr_multiplier)
            return F.leaky_relu(y, SLOPE) * GAIN if self.leaky else y


def modulated_conv2d(
    x: Tensor, weight: Tensor, style: Tensor, blur: Tensor | None = None, demodulate: bool = True, gain: float = 1.0
) -> Tensor:
    """`gain` times the convolution of `x` (N, I, H, W) with `weight` (O, I, k, k) as `style` (N, I) modulates it: (N, O, H, W).

    With a filter `blur` the result is at twice the resolution (N, O, 2H, 2W): a transposed convolution, then the filter.

    Equations 1 and 3 give every image its own weights. Here activations are scaled instead, before the convolution by s and after it by
    1/sqrt(Σ …), which is the same sum; the weights then serve the whole batch in one dense convolution, which trains several times
    faster than one group an image.
    """
    w = weight / sqrt(weight[0].numel())
    after = None
    with in_float32(x):
        if demodulate:
            if x.dtype == torch.float16:  # demodulation cancels the size of a style, so it need not overflow
                style = style / style.abs().amax(1, keepdim=True)
            after = gain * (style.square() @ w.float().square().sum((2, 3)).T + EPSILON).rsqrt()
        elif gain != 1:
            style = style * gain
    x = x * style.to(x.dtype)[:, :, None, None]
    if blur is None:
        x = F.conv2d(x, w, padding=weight.shape[-1] // 2)
    else:
        x = upfirdn2d(F.conv_transpose2d(x, w.transpose(0, 1), stride=2), 4 * blur, pad=(1, 1))
    return x if after is None else x * after.to(x.dtype)[:, :, None, None]


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU at `size` pixels; `up`: its input has half of them.

    `clamp` bounds what it puts out, as networks trained in float16 do (arXiv 2006.06676, appendix D.1).
    """

    def __init__(self, inward: int, outward: int, w_dim: int, size: int, up: bool = False, clamp: float | None = None):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outward, inward, 3, 3))
        self.affine = Linear(w_dim, inward, bias=1.0)
        self.bias = nn.Parameter(torch.zeros(outward))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", torch.randn(size, size))
        self.register_buffer("blur", fir() if up else None, persistent=False)
        self.size, self.clamp = size, clamp

    def forward(self, x: Tensor, w: Tensor, noise: str = "random", generator: torch.Generator | None = None) -> Tensor:
        """(N, outward, size, size) from `x` (N, inward, …) and `w` (N, w_dim); `noise` is one of NOISES."""
        # A leaky ReLU passes a positive factor through, so its gain costs nothing before it.
        y = modulated_conv2d(x, self.weight, self.affine(w), self.blur, gain=GAIN)
        if noise == "random":
            place = generator.device if generator is not None else y.device
            drawn = torch.randn(len(y), 1, self.size, self.size, generator=generator, device=place).to(y.device)
            y = y + (drawn * (GAIN * self.noise_strength)).to(y.dtype)
        elif noise == "fixed":
            y = y + (self.noise_const * (GAIN * self.noise_strength)).to(y.dtype)
        y = F.leaky_relu(y + (GAIN * self.bias).to(y.dtype)[:, None, None], SLOPE)
        return y if self.clamp is None else y.clamp(-self.clamp, self.clamp)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to image channels, not demodulated, added to the upsampled image of the resolution below."""

    def __init__(self, inward: int, image_channels: int, w_dim: int, clamp: float | None = None):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(image_channels, inward, 1, 1))
        self.affine = Linear(w_dim, inward, bias=1.0)
        self.bias = nn.Parameter(torch.zeros(image_channels))
        self.register_buffer("kernel", fir(), persistent=False)
        self.clamp = clamp

    def forward(self, x: Tensor, w: Tensor, below: Tensor | None) -> Tensor:
        """The image (N, channels, size, size) in float32 from features `x`, `w` (N, w_dim) and the image `below` at half the size."""
        y = modulated_conv2d(x, self.weight, self.affine(w), demodulate=False)
        with in_float32(x):
            y = y.float() + self.bias[:, None, None]
            y = y if self.clamp is None else y.clamp(-self.clamp, self.clamp)
            return y if below is None else y + upsample(below, self.kernel)
