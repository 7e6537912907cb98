"""pocket-diffusion-lcm: pocket-diffusion distilled to a few steps, by latent consistency (Luo et al. 2023, arXiv 2310.04378).

A consistency function f(z_t, y, t) = c_skip(t) z_t + c_out(t) ẑ_0 names the end of the path on which the teacher's sampler would walk
from z_t. All points of a path have the same end, so the student learns

    L = E d( f_θ(z_s, y, s), f_θ⁻(ẑ_t, y, t) ),   ẑ_t = DDIM(z_s, ε_w, s → t),   t = s − 20,
    ε_w = ε_T(z_s, ∅, s) + w (ε_T(z_s, y, s) − ε_T(z_s, ∅, s)),

with the teacher's noise ε_T, the pseudo-Huber distance d, and for f_θ⁻ the student itself, without gradient. The guidance w is part of what
is learned: the student samples without guidance, one pass a step. The paper embeds w, to be chosen when sampling; here it is one number.
"""

from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDPMScheduler, LCMScheduler, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from aa_utils.pocket import diffusion

GUIDANCE = 5.0  # that of experiments/pocket.yaml, in the convention of diffusers: 1 is none
DDIM_STEPS = 50  # of the teacher's path; neighbours on it are 20 of its 1,000 noise levels apart
SIGMA_DATA, TIMESTEP_SCALING = 0.5, 10.0  # of c_skip and c_out, as in LCMScheduler
HUBER = 0.001  # where the distance turns from square to absolute


def boundary(t: Tensor) -> tuple[Tensor, Tensor]:
    """c_skip and c_out at the noise levels `t` (B,), shaped (B, 1, 1, 1): f is the identity at t = 0."""
    scaled = TIMESTEP_SCALING * t.float()[:, None, None, None]
    return SIGMA_DATA**2 / (scaled**2 + SIGMA_DATA**2), scaled / (scaled**2 + SIGMA_DATA**2).sqrt()


def end_of_path(noise: Tensor, z: Tensor, t: Tensor, signal: Tensor) -> Tensor:
    """f of latents `z` (B, 4, h, w) at the noise levels `t` (B,), from the predicted `noise`; `signal` holds ᾱ of every level (1000,)."""
    skip, out = boundary(t)
    kept = signal[t][:, None, None, None]
    return skip * z + out * (z - (1 - kept).sqrt() * noise) / kept.sqrt()


def ddim(noise: Tensor, z: Tensor, s: Tensor, t: Tensor, signal: Tensor) -> Tensor:
    """One step of DDIM (Song et al. 2021, arXiv 2010.02502, eta 0) from latents `z` at the levels `s` to the levels `t`."""
    before, after = signal[s][:, None, None, None], signal[t][:, None, None, None]
    return after.sqrt() * (z - (1 - before).sqrt() * noise) / before.sqrt() + (1 - after).sqrt() * noise


def distance(a: Tensor, b: Tensor) -> Tensor:
    """The pseudo-Huber distance √(‖a − b‖² + c²) − c by element, and its mean."""
    return (((a - b).square() + HUBER**2).sqrt() - HUBER).mean()


def distillation(net: nn.Module, teacher: nn.Module, data: diffusion.CaptionedLatents, batch: int, device: str = "cpu"):
    """The loss of one step as `aa_utils.pocket.fit` wants it; `net` starts as a copy of `teacher`."""
    schedule = DDPMScheduler(**diffusion.SCHEDULE)
    signal = schedule.alphas_cumprod.to(device)
    stride = schedule.config.num_train_timesteps // DDIM_STEPS
    teacher = teacher.to(device).eval().requires_grad_(False)

    def loss(generator: torch.Generator) -> dict[str, Tensor]:
        rows = torch.multinomial(data.weights, batch, replacement=True, generator=generator)
        clean = data.latents()[rows]
        noise = torch.randn(clean.shape, generator=generator)
        s = stride * torch.randint(1, DDIM_STEPS + 1, (batch,), generator=generator) - 1  # 19, 39, …, 999
        z = schedule.add_noise(clean, noise, s).to(device)
        s = s.to(device)
        t = (s - stride).clamp(min=0)
        with torch.no_grad():
            context = data.encoder(data.ids[rows].to(device)).last_hidden_state
            no_context = data.encoder(data.empty[None].to(device)).last_hidden_state.expand_as(context)
            asked, unasked = teacher(z.repeat(2, 1, 1, 1), s.repeat(2), torch.cat([context, no_context])).sample.float().chunk(2)
            nearer = ddim(unasked + GUIDANCE * (asked - unasked), z, s, t, signal)
            target = end_of_path(net(nearer, t, context).sample.float(), nearer, t, signal)
        return {"consistency": distance(end_of_path(net(z, s, context).sample.float(), z, s, signal), target)}

    return loss


def save(net: UNet2DConditionModel, vae: AutoencoderKL, encoder: CLIPTextModel, vocabulary: CLIPTokenizer, folder: Path) -> None:
    """A folder as that of pocket-diffusion, whose scheduler makes 1 to 4 steps; to be sampled with guidance 1 (none)."""
    scheduler = LCMScheduler(**diffusion.SCHEDULE, original_inference_steps=DDIM_STEPS, steps_offset=1)
    diffusion.save(net, vae, encoder, vocabulary, folder, scheduler)
