"""Stable Diffusion v1.5 on a GPU: images a second and peak memory of 20_generate beside the stock diffusers call of the same settings.

    python performance/generator_gpu.py [--dtypes float16 bfloat16] [--batch-sizes 1 4 8 16 32] [--switches compile channels_last]

The networks have the shapes of stable-diffusion-v1-5 (U-Net 860 M, decoder 50 M, text encoder 123 M parameters; 512 px) with random
weights: speed and memory do not depend on the values, so nothing is downloaded. `stock` is `StableDiffusionPipeline.__call__` on the same
prompts, PIL images out, nothing written; `generate` is the whole stage, with PNG files, hashes and metadata, loading left out. One warm-up
batch each, then `--batches` batches; what `compile` takes at the start of a run is part of its time. Writes
performance/results/generator-<hardware>.csv. `--tiny` builds small networks on any machine: a check that the script runs, no measurement.
"""

import argparse
import csv
import re
import sys
import tempfile
import time
from pathlib import Path

from aa_utils import devices, files
from aa_utils.generate import generate
from aa_utils.paths import ROOT
from aa_utils.runner import record

SD15 = {
    "unet": {
        "sample_size": 64, "block_out_channels": (320, 640, 1280, 1280), "layers_per_block": 2, "cross_attention_dim": 768,
        "attention_head_dim": 8,
        "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    },
    "vae": {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "sample_size": 512, "norm_num_groups": 32},
    "text": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
}  # fmt: skip
TINY = {
    "unet": {
        "sample_size": 8, "block_out_channels": (16, 32), "layers_per_block": 1, "cross_attention_dim": 32, "attention_head_dim": 2,
        "norm_num_groups": 8, "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    },
    "vae": {"block_out_channels": (16, 16), "layers_per_block": 1, "sample_size": 16, "norm_num_groups": 8},
    "text": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2},
}  # fmt: skip


def main() -> None:
    """Measure every dtype and batch size, print and write one row for each call."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtypes", nargs="+", default=["float16", "bfloat16"])
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[1, 4, 8, 16, 32])
    parser.add_argument("--batches", type=int, default=3)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance", type=float, default=7.5)
    parser.add_argument("--switches", nargs="*", default=[], help="of aa_utils/generate/switches.py, for `generate`")
    parser.add_argument("--tiny", action="store_true", help="small networks in float32, on a CPU if need be")
    parser.add_argument("--out", type=Path, default=ROOT / "performance" / "results")
    options = parser.parse_args()
    if not options.tiny and not torch.cuda.is_available():
        sys.exit("no CUDA GPU here, and this measures one; --tiny only shows that the script runs")
    dtypes = ["float32"] if options.tiny else options.dtypes
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for dtype in dtypes:
            model = build(Path(scratch) / dtype, TINY if options.tiny else SD15, dtype)
            for size in options.batch_sizes:
                for call, switches in (("stock", []), ("generate", options.switches)):
                    measured = (stock if call == "stock" else ours)(model, dtype, size, options, Path(scratch) / f"{dtype}-{size}")
                    rows.append(_row(call, dtype, size, switches, options, *measured))
                    print(", ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
    path = options.out / f"generator-{re.sub(r'[^a-z0-9]+', '-', rows[0]['hardware'].lower()).strip('-')}.csv"
    with files.atomic(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def build(folder: Path, shapes: dict, dtype: str) -> Path:
    """A StableDiffusionPipeline of these shapes with random weights, saved to `folder` in `dtype`."""
    import torch
    from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    letters = [chr(c) for c in range(33, 127)]
    ends = ["<|startoftext|>", "<|endoftext|>"]
    # Letters alone, so 190 tokens in place of 49,408: looking one up costs no time, and 0.15 GB of memory less in float32.
    vocabulary = {token: i for i, token in enumerate([*letters, *(letter + "</w>" for letter in letters), *ends])}
    words = CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)
    known = {"bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id, "pad_token_id": words.eos_token_id}
    levels = len(shapes["vae"]["block_out_channels"])
    pipe = StableDiffusionPipeline(
        unet=UNet2DConditionModel(**shapes["unet"]),
        vae=AutoencoderKL(
            **shapes["vae"], down_block_types=("DownEncoderBlock2D",) * levels, up_block_types=("UpDecoderBlock2D",) * levels
        ),
        text_encoder=CLIPTextModel(CLIPTextConfig(**shapes["text"], **known, vocab_size=len(vocabulary), max_position_embeddings=77)),
        tokenizer=words,
        scheduler=PNDMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.to(getattr(torch, dtype)).save_pretrained(folder)
    return folder


def stock(model: Path, dtype: str, size: int, options: argparse.Namespace, scratch: Path) -> tuple[float, int]:
    """(seconds of all batches, peak bytes) of the pipeline's own call."""
    import torch
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(model, dtype=getattr(torch, dtype)).to(devices.choose())
    pipe.set_progress_bar_config(disable=True)

    def batch(number: int) -> None:
        generators = [torch.Generator().manual_seed(number * size + i) for i in range(size)]
        pipe(prompts(number, size), generator=generators, num_inference_steps=options.steps, guidance_scale=options.guidance)

    batch(0)
    _fresh_peak()
    started = time.perf_counter()
    for number in range(options.batches):
        batch(number)
    return time.perf_counter() - started, _peak()


def ours(model: Path, dtype: str, size: int, options: argparse.Namespace, scratch: Path) -> tuple[float, int]:
    """(seconds of all batches, peak bytes) of `generate`: its first batch, which warms up, is another run's in the same process."""
    settings = {"steps": options.steps, "guidance": options.guidance, "dtype": dtype, "batch_size": size, "switches": options.switches}
    for run, batches in (("warm", 1), ("timed", options.batches)):
        texts = [text for number in range(batches) for text in prompts(number, size)]
        rows = [{"id": f"p{n}", "label": 0, "class_name": "mug", "text": text} for n, text in enumerate(texts)]
        files.write_jsonl(scratch / run / "prompts.jsonl", rows)
        _fresh_peak()
        done = generate(scratch / run, model, scratch / run / "images", **settings)
    return done["seconds"], _peak()


def prompts(number: int, size: int) -> list[str]:
    """The texts of one batch, all different."""
    return [f"a photo of a mug, number {number * size + i}" for i in range(size)]


def _row(call: str, dtype: str, size: int, switches: list, options: argparse.Namespace, seconds: float, peak: int) -> dict:
    import torch

    hardware = record.hardware()
    return {
        "hardware": hardware["gpu"][0] if torch.cuda.is_available() else hardware["cpu"],
        "torch": torch.__version__,
        "networks": "tiny" if options.tiny else "sd15",
        "call": call,
        "dtype": dtype,
        "batch_size": size,
        "steps": options.steps,
        "guidance": options.guidance,
        "switches": " ".join(switches),
        "images": size * options.batches,
        "images_per_second": round(size * options.batches / seconds, 3),
        "peak_memory_mb": peak // 10**6,
    }


def _fresh_peak() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _peak() -> int:
    import torch

    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0


if __name__ == "__main__":
    main()
