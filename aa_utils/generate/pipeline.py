"""The model at work: loaded through diffusers, texts encoded once, batches of images through the stock pipeline call."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from inspect import signature
from pathlib import Path

import diffusers
import numpy as np
import torch
from diffusers import AutoPipelineForText2Image, DiffusionPipeline

from aa_utils import devices
from aa_utils.errors import InputError
from aa_utils.generate import model_files
from aa_utils.generate.jobs import Job
from aa_utils.generate.switches import denoiser, place
from aa_utils.pretrained import parts, whole
from aa_utils.pretrained.quiet import quiet

TEXTS_AT_ONCE = 32
# What a pipeline's `encode_prompt` gives, in its order, under the names by which its call takes them back. Pipelines that are not listed
# (their number grows) get the texts themselves, batch by batch.
_PLAIN = ("prompt_embeds", "negative_prompt_embeds")
_POOLED = (*_PLAIN, "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
_MASKED = ("prompt_embeds", "prompt_attention_mask", "negative_prompt_embeds", "negative_prompt_attention_mask")
ENCODED = {
    "StableDiffusionPipeline": _PLAIN,
    "LatentConsistencyModelPipeline": ("prompt_embeds",),
    "StableDiffusionXLPipeline": _POOLED,
    "StableDiffusion3Pipeline": _POOLED,
    "PixArtAlphaPipeline": _MASKED,
    "PixArtSigmaPipeline": _MASKED,
    "SanaPipeline": _MASKED,
    "SanaSprintPipeline": ("prompt_embeds", "prompt_attention_mask"),
}
Encode = Callable[[list[str]], dict]


def load(folder: Path, scheduler: str, dtype: str, device: str, switches: Sequence[str] = ()) -> DiffusionPipeline:
    """The text-to-image pipeline of a model folder, on `device` with the (checked) `switches` on, without progress bars and safety checker.

    Errors: InputError for a part that is not whole (`aa_utils.pretrained`), if diffusers cannot make a pipeline of the parts, or if it is
    none that takes a text and per-image generators and gives images.
    """
    kind = _class(folder)
    _check_parts(folder, kind)
    # Parts that the folder was saved without, such as the T5 of Stable Diffusion 3, must be told to stay away.
    given = model_files.absent(folder) | parts.load(folder, model_files.components(folder), getattr(torch, dtype))
    if "safety_checker" in given:
        given["requires_safety_checker"] = False
    try:
        with quiet():
            pipe = kind.from_pretrained(folder, dtype=getattr(torch, dtype), local_files_only=True, **given)  # type: ignore[attr-defined]
            if scheduler:
                pipe.scheduler = getattr(diffusers, scheduler).from_config(pipe.scheduler.config)
    except Exception as error:  # nothing is known of what a model_index.json puts together
        raise InputError(f"diffusers cannot load '{folder}' for text-to-image: {whole.reason(error)}") from error
    pipe.set_progress_bar_config(disable=True)
    return place(pipe, switches, devices.choose(device))


def _check_parts(folder: Path, kind: type) -> None:
    """InputError if a pipeline was saved without any of a kind of part; one of several text encoders may stay away."""
    absent, takes = model_files.absent(folder), signature(kind.__init__).parameters  # type: ignore[misc]
    for part in ("text_encoder", "tokenizer", "unet", "transformer", "vae", "scheduler"):
        alike = [name for name in takes if name == part or name.startswith(f"{part}_")]
        if alike and all(name in absent for name in alike):
            raise InputError(
                f"'{folder}' was saved without its {part}, as its model_index.json says: it is no whole pipeline; fetch it again"
            )


def _class(folder: Path) -> type:
    """The pipeline's own class where that is one of text-to-image; else diffusers finds its text-to-image sibling. Errors: InputError."""
    own = getattr(diffusers, model_files.pipeline_class(folder), None)
    takes = signature(own.__call__).parameters if own else {}
    if own is None or ("image" in takes and "strength" in takes):
        return AutoPipelineForText2Image
    missing = [name for name in ("prompt", "generator", "num_inference_steps", "guidance_scale", "output_type") if name not in takes]
    if missing or "num_frames" in takes:
        why = f"its call takes no {', '.join(missing)}" if missing else "it makes videos"
        raise InputError(f"'{folder}' holds a {own.__name__}, which does not make images from text: {why}")
    if "true_cfg_scale" in takes and takes["true_cfg_scale"].default > 1:
        raise InputError(f"'{folder}' holds a {own.__name__}, whose guidance is its true_cfg_scale; this kit sets guidance_scale only")
    return own


def text_encoder(pipe: DiffusionPipeline, rows: list[dict], guidance: float) -> Encode:
    """A function from the texts of a batch of B images to the keyword arguments that the pipeline call takes for them.

    Each different text of `rows` goes through the text encoder once, `TEXTS_AT_ONCE` at a time in the order of `rows`, whichever are asked
    for: neither a shard nor a resumed run changes a bit of them. The negative of all of them, the empty text, is encoded once.
    """
    names = ENCODED.get(type(pipe).__name__)
    if names is None:
        return lambda texts: {"prompt": texts}
    texts = list(dict.fromkeys(row["text"] for row in rows))
    position = {text: number for number, text in enumerate(texts)}
    takes, usual = signature(pipe.encode_prompt).parameters, signature(pipe.__call__).parameters
    # What the pipeline's own call would pass, such as Sana's instruction; but captions are cleaned only where beautifulsoup4 is installed.
    fixed = {name: usual[name].default for name in takes if name in usual and name not in ("prompt", "num_images_per_prompt")}
    fixed |= {"clean_caption": False} if "clean_caption" in takes else {}

    def call(prompt: list[str], guided: bool) -> dict:
        wanted = {"prompt": prompt, "device": pipe._execution_device, "num_images_per_prompt": 1, "do_classifier_free_guidance": guided}
        given = pipe.encode_prompt(**{name: value for name, value in (fixed | wanted).items() if name in takes})
        return dict(zip(names, given, strict=False))

    @lru_cache(maxsize=64)  # 64 x 32 texts of SDXL are 650 MB in float16
    def encoded(chunk: int) -> dict:
        some = texts[chunk * TEXTS_AT_ONCE : (chunk + 1) * TEXTS_AT_ONCE]
        with quiet():
            return call(some + some[-1:] * (TEXTS_AT_ONCE - len(some)), False)

    @lru_cache(maxsize=1)
    def negative() -> dict:
        with quiet():
            return call([""], True)

    @torch.no_grad()
    def encode(wanted: list[str]) -> dict:
        where = [divmod(position[text], TEXTS_AT_ONCE) for text in wanted]
        given = {}
        for name in names:
            if not name.startswith("negative_"):
                given[name] = torch.stack([encoded(chunk)[name][row] for chunk, row in where])
            elif guidance > 1:
                given |= {"negative_prompt": None} if "negative_prompt" in usual else {}  # some have an empty text as default
                given[name] = negative()[name].expand(len(wanted), *negative()[name].shape[1:])
        return given

    return encode


def truncated(pipe: DiffusionPipeline, rows: list[dict]) -> int:
    """How many different texts of `rows` are longer than the pipeline's (first) text encoder reads, or than its call lets it."""
    tokenizer = getattr(pipe, "tokenizer", None)
    if tokenizer is None:
        return 0
    longest = signature(pipe.__call__).parameters.get("max_sequence_length")
    longest = min(tokenizer.model_max_length, longest.default if longest else tokenizer.model_max_length)
    with quiet():
        lengths = [len(ids) for ids in tokenizer(list({row["text"] for row in rows})).input_ids]
    return sum(length > longest for length in lengths)


@torch.no_grad()
def sample(pipe: DiffusionPipeline, encode: Encode, batch: list[Job], settings: dict) -> tuple[np.ndarray, np.ndarray]:
    """The images (B, height, width, 3) uint8 of `batch`, and which are good (B,): finite and not black. Not-finite values become black.

    Each image draws from its own generator on the CPU, its first noise and what a stochastic scheduler adds: neither its place in the batch
    nor the device changes what it draws. Errors: InputError if the batch does not fit in the device's memory.
    """
    generators = [torch.Generator().manual_seed(job.seed) for job in batch]
    size = {"width": settings["width"], "height": settings["height"]} if settings["width"] else _own_size(pipe)
    if "use_resolution_binning" in signature(pipe.__call__).parameters:
        size["use_resolution_binning"] = False  # images are made at the size asked for, not made at another and resized
    torch.manual_seed(batch[0].seed)  # for the few schedulers that draw from the global generator
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True), quiet():
            images = pipe(
                **encode([job.text for job in batch]),
                generator=generators,
                num_inference_steps=settings["steps"],
                guidance_scale=settings["guidance"],
                output_type="pt",
                **size,
            ).images
            images = images.float()
            finite = images.isfinite().flatten(1).all(dim=1)
            images = torch.where(finite[:, None, None, None], images, 0).clamp(0, 1).mul(255).round().to(torch.uint8)
            pixels = images.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    except ValueError as error:
        raise InputError(f"{type(pipe).__name__} refuses this call: {str(error).splitlines()[0]}") from error
    except torch.OutOfMemoryError as error:
        raise InputError(
            f"batch_size={settings['batch_size']} does not fit in the memory of '{pipe.device}'; set a smaller one, or see switches.py"
        ) from error
    return pixels, pixels.reshape(len(batch), -1).any(axis=1)  # type: ignore[return-value]


def _own_size(pipe: DiffusionPipeline) -> dict[str, int]:
    """{} where the call goes by the model's size itself; some have a fixed default, such as Sana's 1024, whichever model it is."""
    side = getattr(denoiser(pipe).config, "sample_size", None)
    height = signature(pipe.__call__).parameters.get("height")
    if height is None or height.default is None or not isinstance(side, int):
        return {}
    return {"width": side * pipe.vae_scale_factor, "height": side * pipe.vae_scale_factor}
