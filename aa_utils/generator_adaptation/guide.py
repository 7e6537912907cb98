"""The guide: a frozen text-to-image model that says how an image should change to look more like a prompt.

Any `StableDiffusionPipeline` folder or hub id: Stable Diffusion 1 and 2, a DreamBooth checkpoint, pocket-diffusion. Its scheduler only
lends its noise levels, whatever its class.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aa_utils.errors import InputError
from aa_utils.generate import model_files, pipeline
from aa_utils.pretrained import whole

PREDICTIONS = ("epsilon", "v_prediction", "sample")
DTYPES = ("float32", "float16", "bfloat16")


@dataclass(frozen=True)
class Guide:
    """Frozen parts of a latent diffusion model. `alphas` (T,) float32: ā_t, the share of signal in the variance at time t."""

    unet: nn.Module
    vae: nn.Module
    alphas: Tensor
    prediction: str  # what the U-Net says: epsilon, v_prediction or sample
    size: int  # pixels a side that the autoencoder takes
    scaling: float = 1.0  # latents are scaled by it, after `shift` is taken off
    shift: float = 0.0
    tokenizer: object = None
    text_encoder: nn.Module | None = None
    revision: str = ""

    def resized(self, images: Tensor) -> Tensor:
        """Images (n, 3, H, W) at the guide's size, by bilinear interpolation as in the official code: at half size the mean of 2 x 2."""
        if images.shape[-1] == self.size:
            return images
        return F.interpolate(images, (self.size, self.size), mode="bilinear", align_corners=False)

    def latents(self, images: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """z (n, c, h, w) float32 of images (n, 3, size, size) in [-1, 1]; gradients flow.

        The posterior's mode; a sample of it if `rng` (a CPU generator) is given.
        """
        posterior = self.vae.encode(images.to(self.vae.dtype)).latent_dist
        z = posterior.mode().float()
        if rng is not None:
            z = z + posterior.std.float() * torch.randn(z.shape, generator=rng).to(z)
        return self.scaling * (z - self.shift)

    @torch.no_grad()
    def texts(self, prompts: list[str]) -> Tensor:
        """Embeddings (n, length, width) of `prompts`. Errors: InputError for one that is longer than the text encoder reads."""
        limit = self.tokenizer.model_max_length  # type: ignore[attr-defined]
        for prompt in prompts:
            length = len(self.tokenizer(prompt, truncation=False).input_ids)  # type: ignore[operator]
            if length > limit:
                raise InputError(f"the prompt {prompt!r} has {length} tokens and this guide reads {limit}; shorten it")
        ids = self.tokenizer(prompts, padding="max_length", max_length=limit, truncation=True, return_tensors="pt").input_ids  # type: ignore[operator]
        return self.text_encoder(ids.to(self.text_encoder.device))[0]

    @torch.no_grad()
    def noise(self, z_t: Tensor, t: Tensor, text: Tensor, empty: Tensor, guidance: float) -> Tensor:
        """ε̂ (n, c, h, w) float32, the noise in latents `z_t` at times `t` (n,): ε_u + g (ε_c - ε_u), with g = `guidance`.

        `text` (n, length, width) is the condition, `empty` (1, length, width) that of no text. g = 1 asks for the condition alone, g = 0
        for none (Ho & Salimans 2022, arXiv 2207.12598, with g = 1 + their w).
        """
        if guidance == 1:
            return self._epsilon(z_t, t, text)
        empty = empty.expand_as(text)
        if guidance == 0:
            return self._epsilon(z_t, t, empty)
        without, given = self._epsilon(torch.cat([z_t, z_t]), torch.cat([t, t]), torch.cat([empty, text])).chunk(2)
        return without + guidance * (given - without)

    def _epsilon(self, z_t: Tensor, t: Tensor, text: Tensor) -> Tensor:
        said = self.unet(z_t.to(self.unet.dtype), t, encoder_hidden_states=text.to(self.unet.dtype)).sample.float()
        if self.prediction == "epsilon":
            return said
        alpha, sigma = self.signal_and_noise(t)
        if self.prediction == "v_prediction":  # v = α ε - σ z (Salimans & Ho 2022, arXiv 2202.00512, appendix D)
            return alpha * said + sigma * z_t
        return (z_t - alpha * said) / sigma

    def signal_and_noise(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(α, σ) = (√ā_t, √(1-ā_t)), each (n, 1, 1, 1)."""
        found = self.alphas[t.to(self.alphas.device)].view(-1, 1, 1, 1)
        return found.sqrt(), (1 - found).sqrt()


def load(model: str | Path, revision: str = "", device: str = "cpu", dtype: str = "float32") -> Guide:
    """The guide in a diffusers folder or hub id. `dtype` is that of the U-Net and the text encoder.

    The autoencoder stays in float32: in half precision it is where Stable Diffusion's gradients become NaN.
    Errors: InputError if it is not there, not whole, or no latent diffusion model with one text encoder and noise levels.
    """
    if dtype not in DTYPES:
        raise InputError(f"no dtype '{dtype}'; there are: {', '.join(DTYPES)}")
    folder = model_files.find(model, revision) or model_files.download(str(model), revision)
    parts = model_files.components(folder)
    wanted = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL", "text_encoder": "", "tokenizer": "", "scheduler": ""}
    for name, kind in wanted.items():
        if name not in parts or (kind and parts[name][1] != kind) or "text_encoder_2" in parts:
            raise InputError(f"'{model}' cannot guide: it needs to be a StableDiffusionPipeline, and it has {', '.join(sorted(parts))}")
    pipe = pipeline.load(folder, "", dtype, device)
    schedule = getattr(pipe.scheduler, "alphas_cumprod", None)
    prediction = getattr(pipe.scheduler.config, "prediction_type", "epsilon")
    if schedule is None or prediction not in PREDICTIONS:
        raise InputError(f"'{model}' cannot guide: {type(pipe.scheduler).__name__} with {prediction!r} has no ā_t to work with")
    for part in (pipe.unet, pipe.vae, pipe.text_encoder):
        whole.check_finite(part, model)
        part.requires_grad_(False).eval()
    halvings = len(pipe.vae.config.block_out_channels) - 1
    return Guide(
        unet=pipe.unet,
        vae=pipe.vae.float(),
        alphas=schedule.float().to(pipe.device),
        prediction=prediction,
        size=pipe.unet.config.sample_size * 2**halvings,
        scaling=pipe.vae.config.scaling_factor,
        shift=pipe.vae.config.shift_factor or 0.0,
        tokenizer=pipe.tokenizer,
        text_encoder=pipe.text_encoder,
        revision=model_files.revision(folder),
    )
