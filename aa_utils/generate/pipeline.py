"""The model at work: loaded through diffusers, texts encoded once, batches of images through the stock pipeline call."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from inspect import signature
from pathlib import Path

import diffusers
import numpy as np
import torch
import transformers
from diffusers import AutoPipelineForText2Image, DiffusionPipeline

from aa_utils.errors import InputError
from aa_utils.generate.jobs import Job

TEXTS_AT_ONCE = 32
# Pipelines whose `encode_prompt` gives (text, its negative[, pooled text, its negative]) and whose call takes them back under these names.
# Others (their number grows) encode the texts themselves, batch by batch.
_PAIR = ("prompt_embeds", "negative_prompt_embeds")
ENCODED = {
    "StableDiffusionPipeline": _PAIR,
    "StableDiffusionXLPipeline": (*_PAIR, "pooled_prompt_embeds", "negative_pooled_prompt_embeds"),
    "StableDiffusion3Pipeline": (*_PAIR, "pooled_prompt_embeds", "negative_pooled_prompt_embeds"),
}
Encode = Callable[[list[str]], dict]


def device_type(device: str) -> str:
    """ "auto" becomes cuda, mps or cpu, whichever is there first; else the device's type. Errors: InputError if it is not there."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"no device '{device}' here: {str(error).splitlines()[0]}") from error
    return torch.device(device).type


def load(folder: Path, scheduler: str, dtype: str, device: str) -> DiffusionPipeline:
    """The text-to-image pipeline of a model folder, on `device`, without progress bars and safety checker."""
    parts = {}
    if '"safety_checker"' in (folder / "model_index.json").read_text(encoding="utf-8"):
        parts = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    with _quiet():
        try:
            pipe = AutoPipelineForText2Image.from_pretrained(folder, dtype=getattr(torch, dtype), local_files_only=True, **parts)
        except (OSError, ValueError) as error:
            raise InputError(f"diffusers cannot load '{folder}' for text-to-image: {str(error).strip().splitlines()[0]}") from error
        if scheduler:
            pipe.scheduler = getattr(diffusers, scheduler).from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device_type(device) if device == "auto" else device)


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
    fixed = {name: None for name in ("prompt_2", "prompt_3") if name in signature(pipe.encode_prompt).parameters}

    def call(prompt: list[str], guided: bool) -> tuple:
        return pipe.encode_prompt(
            prompt=prompt, device=pipe.device, num_images_per_prompt=1, do_classifier_free_guidance=guided, **fixed
        )  # fmt: skip

    @lru_cache(maxsize=64)  # 64 x 32 texts of SDXL are 650 MB in float16
    def encoded(chunk: int) -> tuple:
        some = texts[chunk * TEXTS_AT_ONCE : (chunk + 1) * TEXTS_AT_ONCE]
        with _quiet():
            return call(some + some[-1:] * (TEXTS_AT_ONCE - len(some)), False)[0::2]

    @lru_cache(maxsize=1)
    def negative() -> tuple:
        return call([""], True)[1::2]

    @torch.no_grad()
    def encode(wanted: list[str]) -> dict:
        where = [divmod(position[text], TEXTS_AT_ONCE) for text in wanted]
        given = {}
        for part, name in enumerate(names[0::2]):
            given[name] = torch.stack([encoded(chunk)[part][row] for chunk, row in where])
        if guidance > 1:
            for part, name in enumerate(names[1::2]):
                given[name] = negative()[part].expand(len(wanted), *negative()[part].shape[1:])
        return given

    return encode


def truncated(pipe: DiffusionPipeline, rows: list[dict]) -> int:
    """How many different texts of `rows` are longer than the pipeline's (first) text encoder reads."""
    tokenizer = getattr(pipe, "tokenizer", None)
    if tokenizer is None:
        return 0
    with _quiet():
        lengths = [len(ids) for ids in tokenizer(list({row["text"] for row in rows})).input_ids]
    return sum(length > tokenizer.model_max_length for length in lengths)


@torch.no_grad()
def sample(pipe: DiffusionPipeline, encode: Encode, batch: list[Job], settings: dict) -> tuple[np.ndarray, np.ndarray]:
    """The images (B, height, width, 3) uint8 of `batch`, and which are good (B,): finite and not black. Not-finite values become black.

    Each image draws from its own generator on the CPU, its first noise and what a stochastic scheduler adds: neither its place in the batch
    nor the device changes what it draws. Errors: InputError if the batch does not fit in the device's memory.
    """
    generators = [torch.Generator().manual_seed(job.seed) for job in batch]
    size = {"width": settings["width"], "height": settings["height"]} if settings["width"] else {}
    torch.manual_seed(batch[0].seed)  # for the few schedulers that draw from the global generator
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True), _quiet():
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
    except torch.OutOfMemoryError as error:
        raise InputError(f"batch_size={settings['batch_size']} does not fit in the memory of '{pipe.device}'; set a smaller one") from error
    return pixels, pixels.reshape(len(batch), -1).any(axis=1)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the loading bars and advice of diffusers and transformers: notebook outputs stay the same on every run."""
    loggers = [logging.getLogger(name) for name in ("diffusers", "transformers")]
    levels = [logger.level for logger in loggers]
    bars = [logs for logs in (diffusers.utils.logging, transformers.utils.logging) if logs.is_progress_bar_enabled()]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    for logs in bars:
        logs.disable_progress_bar()
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        for logs in bars:
            logs.enable_progress_bar()
