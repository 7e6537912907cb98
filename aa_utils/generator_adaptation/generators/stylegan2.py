"""StyleGAN2 (Karras et al. 2020, arXiv 1912.04958), generator with output skips: z -> w by the mapping network, w -> image by the synthesis
network. Plain PyTorch, no compiled operations; any device.

Parameters have the names of NVIDIA's PyTorch release (arXiv 2006.06676): `mapping.fc<i>`, `synthesis.b<resolution>.{const, conv0, conv1,
torgb}`, so that a public checkpoint reads the same here. w_0 drives b4.conv1; w_(2k-1), w_2k and w_(2k+1) drive conv0, conv1 and torgb of
the k-th block above it, the torgb sharing its w with the next block's conv0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aa_utils.errors import InputError
from aa_utils.generator_adaptation.generators.modulated_conv import NOISES, Linear, StyledConv, ToRGB, normalise


@dataclass(frozen=True)
class Config:
    """The shape of a generator. The resolution is 4 · 2^(number of channels - 1), at least 8."""

    channels: tuple[int, ...]  # of the feature maps at 4, 8, 16 … pixels
    z_dim: int = 512
    w_dim: int = 512
    label_dim: int = 0  # classes (or numbers in a label); 0: unconditional
    mapping_layers: int = 8  # 2 in many networks of StyleGAN2-ADA
    lr_multiplier: float = 0.01  # of the mapping network
    image_channels: int = 3
    clamp: float | None = None  # bound on activations; 256 in networks that were trained in float16

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        if len(self.channels) < 2 or not all(isinstance(c, int) and c > 0 for c in self.channels):
            raise InputError(f"channels is {self.channels!r}; give a positive number for each resolution 4, 8, 16 …, at least two of them")
        for name in ("z_dim", "w_dim", "mapping_layers", "image_channels"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)!r}; it must be positive")
        if self.label_dim < 0:
            raise InputError(f"label_dim is {self.label_dim}; it is the number of classes, or 0")

    @property
    def resolution(self) -> int:
        """Pixels along a side of the image."""
        return 2 << len(self.channels)


def channel_schedule(resolution: int, base: int = 32768, most: int = 512) -> tuple[int, ...]:
    """`Config.channels` of the released networks: min(base / resolution, most). `base` is 16384 where the release halved the widths.

    Errors: InputError for a resolution that is not a power of two from 8 on.
    """
    if resolution < 8 or resolution & (resolution - 1):
        raise InputError(f"resolution is {resolution}; StyleGAN2 draws 8, 16, 32 … pixels")
    return tuple(max(1, min(base >> k, most)) for k in range(2, resolution.bit_length()))


class Mapping(nn.Module):
    """z (and a label) -> w: normalised, concatenated, then fully connected layers; with the mean of w, the centre of truncation."""

    def __init__(self, z_dim: int, label_dim: int, w_dim: int, num_ws: int, layers: int = 8, lr_multiplier: float = 0.01):
        super().__init__()
        self.label_dim, self.num_ws, self.layers = label_dim, num_ws, layers
        if label_dim:
            self.embed = Linear(label_dim, w_dim)
        for i in range(layers):
            inward = z_dim + w_dim * bool(label_dim) if i == 0 else w_dim
            setattr(self, f"fc{i}", Linear(inward, w_dim, lr_multiplier=lr_multiplier, leaky=True))
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def w(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """w (N, w_dim) of z (N, z_dim) and labels: classes (N,) int64, or numbers (N, label_dim).

        Errors: InputError for labels missing, or given to a network without.
        """
        if (labels is None) == bool(self.label_dim):
            has = f"labels of {self.label_dim} numbers or classes" if self.label_dim else "no labels"
            raise InputError(f"this generator takes {has}, and {'none were' if labels is None else 'some were'} given")
        x = normalise(z.float())
        if labels is not None:
            x = torch.cat([x, normalise(self.embed(one_hot(labels, self.label_dim)))], 1)
        for i in range(self.layers):
            x = getattr(self, f"fc{i}")(x)
        return x

    def forward(self, z: Tensor, labels: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """`w` for every layer (N, num_ws, w_dim), truncated by `psi` (see `truncate`)."""
        ws = self.w(z, labels)[:, None].repeat(1, self.num_ws, 1)
        return truncate(ws, self.w_avg, psi, cutoff)

    @torch.no_grad()
    def track(self, w: Tensor, decay: float) -> None:
        """Move the mean of w towards the mean of `w` (N, w_dim)."""
        self.w_avg.lerp_(w.float().mean(0), 1 - decay)


def one_hot(labels: Tensor, label_dim: int) -> Tensor:
    """Classes (N,) int64 as numbers (N, label_dim); numbers pass. Errors: InputError for another shape or a class out of range."""
    if labels.ndim == 2 and labels.shape[1] == label_dim:
        return labels.float()
    if labels.ndim != 1 or labels.is_floating_point():
        raise InputError(f"labels have shape {tuple(labels.shape)} and type {labels.dtype}; give classes (N,) or numbers (N, {label_dim})")
    return F.one_hot(labels.long(), label_dim).float()


def truncate(ws: Tensor, centre: Tensor, psi: float, cutoff: int | None = None) -> Tensor:
    """`ws` (N, num_ws, w_dim) drawn towards `centre`: centre + psi (ws - centre), in the first `cutoff` layers or all of them.

    Truncation trades diversity for quality (arXiv 1812.04948, section 3.1 and appendix B). In a generator with classes the mean of all w is
    between them: small psi blur the class.
    """
    if psi == 1:
        return ws
    near = torch.lerp(centre, ws, psi)
    return near if cutoff is None else torch.cat([near[:, :cutoff], ws[:, cutoff:]], 1)


def mixed(ws: Tensor, other: Tensor, crossing: int) -> Tensor:
    """Style mixing (arXiv 1812.04948, section 3.1): coarse layers from `ws`, those from `crossing` on from `other`."""
    return torch.cat([ws[:, :crossing], other[:, crossing:]], 1)


class Block(nn.Module):
    """One resolution: two styled convolutions (one at 4 pixels, after the learned constant) and the image they add."""

    def __init__(self, inward: int, outward: int, w_dim: int, size: int, image_channels: int, clamp: float | None):
        super().__init__()
        if inward:
            self.conv0 = StyledConv(inward, outward, w_dim, size, up=True, clamp=clamp)
        else:
            self.const = nn.Parameter(torch.randn(outward, size, size))
        self.conv1 = StyledConv(outward, outward, w_dim, size, clamp=clamp)
        self.torgb = ToRGB(outward, image_channels, w_dim, clamp)

    def forward(
        self, x: Tensor | None, image: Tensor | None, ws: Sequence[Tensor], noise: str, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """Features and image at this resolution; `ws` drive (conv0,) conv1 and torgb."""
        x = self.const.expand(len(ws[0]), -1, -1, -1) if x is None else self.conv0(x, ws[0], noise, generator)
        x = self.conv1(x, ws[-2], noise, generator)
        return x, self.torgb(x, ws[-1], image)


class Synthesis(nn.Module):
    """w -> image: blocks from 4 pixels up to the resolution."""

    def __init__(self, channels: Sequence[int], w_dim: int, image_channels: int = 3, clamp: float | None = None):
        super().__init__()
        self.sizes, self.num_ws = [4 << k for k in range(len(channels))], 2 * len(channels)
        for size, inward, outward in zip(self.sizes, (0, *channels), channels, strict=False):
            setattr(self, f"b{size}", Block(inward, outward, w_dim, size, image_channels, clamp))

    def forward(self, ws: Tensor, noise: str = "random", generator: torch.Generator | None = None) -> Tensor:
        """Images (N, image_channels, R, R), float32, about in [-1, 1], of W (N, w_dim) or W+ (N, num_ws, w_dim).

        `noise`: "random" (drawn from `generator`, or the global random state), "fixed" (the stored maps) or "none".
        Errors: InputError for another noise or shape.
        """
        if noise not in NOISES:
            raise InputError(f"noise is {noise!r}; it is one of {', '.join(NOISES)}")
        ws = ws[:, None].expand(-1, self.num_ws, -1) if ws.ndim == 2 else ws
        if ws.ndim != 3 or ws.shape[1] != self.num_ws:
            raise InputError(f"w has shape {tuple(ws.shape)}; this generator takes (N, w_dim) or (N, {self.num_ws}, w_dim)")
        x = image = None
        for k, size in enumerate(self.sizes):
            driving = ws[:, max(0, 2 * k - 1) : 2 * k + 2].unbind(1)
            x, image = getattr(self, f"b{size}")(x, image, driving, noise, generator)
        return image


class Generator(nn.Module):
    """The whole: `mapping`, `synthesis`, and both in one call."""

    kind = "stylegan2"

    def __init__(self, config: Config):
        super().__init__()
        self.config, self.z_dim, self.label_dim, self.classes = config, config.z_dim, config.label_dim, config.label_dim
        self.synthesis = Synthesis(config.channels, config.w_dim, config.image_channels, config.clamp)
        self.num_ws = self.synthesis.num_ws
        shape = (config.z_dim, config.label_dim, config.w_dim, self.num_ws, config.mapping_layers, config.lr_multiplier)
        self.mapping = Mapping(*shape)

    def forward(
        self, z: Tensor, labels: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None, noise: str = "random",
        generator: torch.Generator | None = None,
    ) -> Tensor:  # fmt: skip
        """Images (N, image_channels, R, R), about in [-1, 1], of latents z (N, z_dim)."""
        return self.synthesis(self.mapping(z, labels, psi, cutoff), noise, generator)
