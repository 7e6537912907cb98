"""The first stage of latent diffusion (Rombach et al. 2022, arXiv 2112.10752): pictures 3x32x32 <-> latents 4x8x8.

L = |x - D(z)| + (x - D(z))² + |∇x - ∇D(z)| + β KL(q(z|x) || N(0, I)). The gradient term keeps thin strokes sharp where the original uses
a perceptual network.
"""

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from aa_utils.pocket.clip import normalised

KL_WEIGHT = 2e-5


def model() -> AutoencoderKL:
    """An untrained autoencoder with three levels (32, 16, 8 px)."""
    levels = 3
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=(16, 32, 64),
        layers_per_block=1,
        norm_num_groups=8,
        latent_channels=4,
        sample_size=32,
    )


def _edges(x: Tensor) -> tuple[Tensor, Tensor]:
    return x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]


def reconstruction(net: nn.Module, pictures: Tensor, batch: int, device: str = "cpu"):
    """The loss of one step as `aa_utils.pocket.fit` wants it."""

    def loss(generator: torch.Generator) -> dict[str, Tensor]:
        x = normalised(pictures[torch.randint(len(pictures), (batch,), generator=generator)]).to(device)
        posterior = net.encode(x).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=generator).to(device)
        y = net.decode(posterior.mean + posterior.std * noise).sample
        edges = sum((a - b).abs().mean() for a, b in zip(_edges(x), _edges(y), strict=True))
        kl = 0.5 * (posterior.mean.square() + posterior.var - 1 - posterior.logvar).mean()
        return {"l1": (x - y).abs().mean(), "l2": (x - y).square().mean(), "edges": edges, "kl": KL_WEIGHT * 256 * kl}

    return loss


@torch.inference_mode()
def encode(net: AutoencoderKL, pictures: Tensor, device: str = "cpu", batch: int = 512) -> Tensor:
    """Latents (n, 4, 8, 8): the posterior's mode, not yet scaled."""
    return torch.cat([net.encode(normalised(part).to(device)).latent_dist.mode().cpu() for part in pictures.split(batch)])


def set_scale(net: AutoencoderKL, latents: Tensor) -> None:
    """Make `scaling_factor` the one that gives latents unit variance, and `shift_factor` stay unset, as Stable Diffusion 1 has it."""
    net.register_to_config(scaling_factor=round(1 / latents.std().item(), 4))
