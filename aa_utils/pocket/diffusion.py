"""pocket-diffusion: text-conditional latent diffusion (Rombach et al. 2022, arXiv 2112.10752) as a stock `StableDiffusionPipeline`.

L = E ‖ε − ε_θ(√ā_t z + √(1−ā_t) ε, t, τ(y))‖², the caption y dropped in 10 % of the cases for classifier-free guidance (Ho & Salimans 2022,
arXiv 2207.12598), τ the frozen text encoder of pocket-clip. The noise schedule is Stable Diffusion's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    SchedulerMixin,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn
from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer

from aa_utils.pocket.clip import to_load_in_float32

DROP_CAPTION = 0.1
HEADS = 4  # of every attention, of 16 and 32 channels each; diffusers' `attention_head_dim` means their number, not their width
SCHEDULE = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


@dataclass(frozen=True)
class CaptionedLatents:
    """What a denoiser learns from: n renders as latents, with their captions."""

    encoder: CLIPTextModel  # frozen
    latents: Callable[[], Tensor]  # scaled (n, 4, 8, 8)
    weights: Tensor  # (n,): how often each is drawn
    ids: Tensor  # (n, LENGTH): their captions
    empty: Tensor  # (LENGTH,): the empty one


def model(text_width: int) -> UNet2DConditionModel:
    """An untrained U-Net on 4x8x8 latents: two levels of 64 and 128 channels, attending to the caption at both.

    The caption, pooled by attention, is also added to the time embedding and so reaches every block, as in DeepFloyd IF: by
    cross-attention alone a small network is slow to learn which character a caption names.
    """
    net = UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(64, 128),
        down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2,
        cross_attention_dim=text_width,
        attention_head_dim=HEADS,
        norm_num_groups=16,
        addition_embed_type="text",
        addition_embed_type_num_heads=HEADS,
    )
    net.set_attn_processor(AttnProcessor())  # on the CPU the backward pass of fused attention has no fast bfloat16 kernel
    return net


def text_encoder(clip: CLIPModel) -> CLIPTextModel:
    """The text tower of `clip` as the module that a diffusion pipeline wants, with the same weights."""
    encoder = CLIPTextModel(clip.config.text_config)
    encoder.load_state_dict(clip.text_model.state_dict())
    return encoder.eval().requires_grad_(False)


def timesteps(n: int, generator: torch.Generator) -> Tensor:
    """`n` training times in 0..999, logit-normal around 500 (Esser et al. 2024, arXiv 2403.03206).

    Which character a picture shows is decided between 300 and 700: there a wrong caption raises the loss by up to a tenth, at 100 by a
    hundredth.
    """
    return (1000 * torch.sigmoid(torch.randn(n, generator=generator))).long().clamp(0, 999)


def denoising(net: nn.Module, data: CaptionedLatents, batch: int, device: str = "cpu"):
    """The loss of one step as `aa_utils.pocket.fit` wants it."""
    schedule = DDPMScheduler(**SCHEDULE)

    def loss(generator: torch.Generator) -> dict[str, Tensor]:
        rows = torch.multinomial(data.weights, batch, replacement=True, generator=generator)
        z = data.latents()[rows]
        noise = torch.randn(z.shape, generator=generator)
        t = timesteps(batch, generator)
        dropped = torch.rand(batch, generator=generator) < DROP_CAPTION
        texts = torch.where(dropped[:, None], data.empty, data.ids[rows])
        with torch.no_grad():
            context = data.encoder(texts.to(device)).last_hidden_state
        noisy = schedule.add_noise(z, noise, t).to(device)
        return {"mse": (net(noisy, t.to(device), context).sample.float() - noise.to(device)).square().mean()}

    return loss


def save(
    net: UNet2DConditionModel,
    vae: AutoencoderKL,
    encoder: CLIPTextModel,
    vocabulary: CLIPTokenizer,
    folder: Path,
    scheduler: SchedulerMixin | None = None,
) -> None:
    """A folder that stock `StableDiffusionPipeline.from_pretrained` (and `AutoPipelineForText2Image`) loads; weights in fp16.

    Without a `scheduler` it samples with DPM-Solver++ of second order.
    """
    solver = DPMSolverMultistepScheduler(
        **SCHEDULE, algorithm_type="dpmsolver++", solver_order=2, steps_offset=1, timestep_spacing="leading"
    )
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=encoder,
        tokenizer=vocabulary,
        unet=net,
        scheduler=scheduler or solver,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(torch.float16).save_pretrained(folder)
    to_load_in_float32(folder / "text_encoder")
    pipeline.to(torch.float32)
