"""GLIDE (Nichol et al. 2021, arXiv 2112.10741), the weaker generator of Adapt Anything, behind the interface of pipeline.py.

No diffusers or transformers form of it exists any more, so it needs OpenAI's own package and checkpoints (MIT licence, 0.4 + 0.4 billion
parameters, trained on filtered images without people):
    pip install git+https://github.com/openai/glide-text2im ftfy
    base.pt and upsample.pt (1.5 GB) into artifacts/glide, or any folder that is then the `model`; addresses: model_files.GLIDE_URL
Settings are those of its notebooks/text2im.ipynb: 64 px by ancestral sampling with classifier-free guidance (`steps`, `guidance`), then
256 px by 27 DDIM steps from noise of temperature 0.997, guided by the text alone.

Its sampler draws from one global generator; here every image draws from its own, so that the promise of this stage holds. Tried with the
package itself at random weights and reduced width, equal to its own sampler on the same noise. OpenAI's checkpoints could not be fetched
where this was written: a run with them has not been seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aa_utils import devices
from aa_utils.errors import InputError
from aa_utils.generate import pipeline
from aa_utils.generate.jobs import Job
from aa_utils.generate.model_files import GLIDE_FILES
from aa_utils.pretrained import torch_files, whole

UPSAMPLER_STEPS = "fast27"
UPSAMPLER_TEMPERATURE = 0.997
INSTALL = "pip install git+https://github.com/openai/glide-text2im ftfy"


@dataclass
class Glide:
    """The two networks and what the package says about them; `diffusion` of the first depends on the number of steps, so it comes later."""

    base: Any
    upsampler: Any
    options: dict
    options_up: dict
    device: torch.device


def load(folder: Path, scheduler: str, dtype: str, device: str, switches: Sequence[str] = ()) -> Glide:
    """GLIDE from the checkpoints in `folder`. Errors: InputError without its package, for what it cannot do, for files that do not fit."""
    try:
        from glide_text2im import model_creation as package
    except ImportError as error:
        raise InputError(f"GLIDE needs OpenAI's package ({error}); run: {INSTALL}") from error
    if dtype == "bfloat16" or switches:
        raise InputError(f"GLIDE works in float32 or float16 and has no switches; this call has dtype={dtype}, switches={list(switches)}")
    options, options_up = package.model_and_diffusion_defaults(), package.model_and_diffusion_defaults_upsampler()
    device = torch.device(devices.choose(device))  # type: ignore[assignment]
    networks = []
    for name, own in zip(GLIDE_FILES, (options, options_up), strict=True):
        own["use_fp16"] = dtype == "float16"
        network, _ = package.create_model_and_diffusion(**own)
        if own["use_fp16"]:
            network.convert_to_fp16()
        # Only tensors are unpickled: the package's own loader would run whatever a file says.
        weights = torch_files.load(folder / name)
        try:
            network.load_state_dict(weights)
        except Exception as error:  # no mapping, other names, other shapes
            raise InputError(f"'{folder / name}' is no checkpoint of GLIDE: {whole.reason(error)}") from error
        networks.append(network.eval().to(device))
    return Glide(*networks, options, options_up, device)  # type: ignore[call-arg]


def text_encoder(pipe: Glide, rows: list[dict], guidance: float) -> pipeline.Encode:
    """A function from B texts to {"tokens", "mask"} (B, context), with B rows of the empty text behind them where there is guidance."""

    def padded(tokens: list[int]) -> tuple[list[int], list[bool]]:
        return pipe.base.tokenizer.padded_tokens_and_mask(tokens, pipe.options["text_ctx"])

    def encode(texts: list[str]) -> dict:
        found = [padded(pipe.base.tokenizer.encode(text)) for text in texts]
        found += [padded([])] * (len(texts) if guidance > 1 else 0)
        tokens, mask = zip(*found, strict=True)
        return {"tokens": torch.tensor(tokens, device=pipe.device), "mask": torch.tensor(mask, dtype=torch.bool, device=pipe.device)}

    return encode


def truncated(pipe: Glide, rows: list[dict]) -> int:
    """How many different texts of `rows` are longer than GLIDE reads."""
    return sum(len(pipe.base.tokenizer.encode(text)) > pipe.options["text_ctx"] for text in {row["text"] for row in rows})


@torch.no_grad()
def sample(pipe: Glide, encode: pipeline.Encode, batch: list[Job], settings: dict) -> tuple[np.ndarray, np.ndarray]:
    """The images (B, 256, 256, 3) uint8 of `batch`, and which are good (B,), as pipeline.sample. Errors: InputError for another size."""
    from glide_text2im.model_creation import create_gaussian_diffusion

    side = pipe.options_up["image_size"]
    if settings["width"] not in (0, side) or settings["height"] not in (0, side):
        raise InputError(f"GLIDE makes images of {side}x{side}; this call asks for {settings['width']}x{settings['height']}")
    generators = [torch.Generator().manual_seed(job.seed) for job in batch]

    def noise(size: int) -> Tensor:
        return torch.stack([torch.randn(3, size, size, generator=generator) for generator in generators]).to(pipe.device)

    def diffusion(options: dict, steps: str):
        return create_gaussian_diffusion(options["diffusion_steps"], options["noise_schedule"], steps)

    said = encode([job.text for job in batch])
    process = diffusion(pipe.options, str(settings["steps"]))
    x, size = noise(pipe.options["image_size"]), pipe.options["image_size"]
    for step in reversed(range(process.num_timesteps)):
        t = torch.full((len(batch),), step, device=pipe.device)
        found = process.p_mean_variance(_guided(pipe.base, settings["guidance"]), x, t, clip_denoised=True, model_kwargs=said)
        x = found["mean"] + (torch.exp(0.5 * found["log_variance"]) * noise(size) if step else 0)
    only_text = {name: rows[: len(batch)] for name, rows in said.items()}
    x = diffusion(pipe.options_up, UPSAMPLER_STEPS).ddim_sample_loop(
        pipe.upsampler,
        (len(batch), 3, side, side),
        noise=noise(side) * UPSAMPLER_TEMPERATURE,
        clip_denoised=True,
        model_kwargs={"low_res": ((x + 1) * 127.5).round() / 127.5 - 1, **only_text},
        device=pipe.device,
    )
    finite = x.isfinite().flatten(1).all(dim=1)
    x = torch.where(finite[:, None, None, None], x, -1)
    pixels = ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return pixels, pixels.reshape(len(batch), -1).any(axis=1)  # type: ignore[return-value]


def _guided(network, guidance: float):
    """ε̂ = ε(empty) + g (ε(text) - ε(empty)) for x (B, 3, s, s) and 2 B texts (arXiv 2112.10741, section 2.3); variance of the text."""

    def guided(x: Tensor, t: Tensor, **said: Tensor) -> Tensor:
        if guidance <= 1:
            return network(x, t, **said)
        text, empty = network(torch.cat([x, x]), torch.cat([t, t]), **said).chunk(2)
        eps = empty[:, :3] + guidance * (text[:, :3] - empty[:, :3])
        return torch.cat([eps, text[:, 3:]], dim=1)

    return guided
