"""What 20_generate costs beyond the denoising itself: python performance/generate.py [--model …] [--device cuda --dtype float16] …

Three times for the same images, in turns, the best of `--repeats` each (other work on the machine only adds):
  unet      the bare U-Net calls: `steps` calls a batch, of twice the batch where there is guidance
  unet_vae  the same and the decoder: what any sampler must spend
  generate  the whole stage, loading left out: texts, noise, scheduler, denoising, decoding, PNG, hashes, atomic writes
Seconds are of the clock on the wall on a GPU, and of CPU time, all threads together, on a CPU: what else runs there does not count much.
Writes performance/results/generate-<hardware>.csv.
"""

import argparse
import csv
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from aa_utils import files, record
from aa_utils.generate import generate, model_files, pipeline
from aa_utils.paths import ROOT, resolve


def main() -> None:
    """Measure, print one row, add it to the CSV of this hardware."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="models/pocket-diffusion", help="folder or hub id")
    parser.add_argument("--scheduler", default="DPMSolverMultistepScheduler")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--guidance", type=float, default=2.5)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    folder = model_files.find(options.model) or model_files.download(options.model, "")
    pipe = pipeline.load(folder, options.scheduler, options.dtype, options.device)
    images = options.batch_size * options.batches
    bare, decoded, whole = [], [], []
    with tempfile.TemporaryDirectory() as scratch:
        rows = [{"id": f"p{n}", "label": 0, "class_name": "digit", "text": f"a photo of a digit, number {n}"} for n in range(images)]
        files.write_jsonl(Path(scratch) / "prompts.jsonl", rows)
        clock = time.perf_counter if pipe.device.type == "cuda" else time.process_time
        for repeat in range(options.repeats + 1):
            times = _bare(pipe, options, clock)
            started = clock()
            settings = {name: getattr(options, name) for name in ("scheduler", "steps", "guidance", "batch_size", "dtype", "device")}
            with mock.patch.object(time, "perf_counter", clock):  # the stage times itself by it, loading left out
                done = generate(scratch, folder, Path(scratch) / f"images{repeat}", **settings)
            print(f"{repeat}: unet {times[0]:.2f}, with decoder {times[1]:.2f}, generate {done['seconds']:.2f}", file=sys.stderr)
            if repeat:  # the first round warms up
                bare.append(times[0])
                decoded.append(times[1])
                whole.append(done["seconds"])
            else:
                loading = clock() - started - done["seconds"]
    on_gpu = pipe.device.type == "cuda"
    peak = torch.cuda.max_memory_allocated() // 10**6 if on_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    hardware = record.hardware()
    row = {
        "hardware": hardware["gpu"][0] if on_gpu else hardware["cpu"],
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "model": Path(options.model).name,
        "unet_parameters": sum(p.numel() for p in pipe.unet.parameters()),
        **{name: getattr(options, name) for name in ("scheduler", "steps", "guidance", "batch_size", "dtype")},
        "images": images,
        "unet_seconds": round(min(bare), 3),
        "unet_vae_seconds": round(min(decoded), 3),
        "generate_seconds": round(min(whole), 3),
        "over_unet": round(min(whole) / min(bare), 3),
        "over_unet_vae": round(min(whole) / min(decoded), 3),
        "images_per_second": round(images / min(whole), 2),
        "loading_seconds": round(loading, 2),
        "peak_memory_mb": peak,
    }
    _append(ROOT / "performance" / "results" / f"generate-{_slug(row['hardware'])}.csv", row)
    for name, value in row.items():
        print(f"{name:20} {value}")


def _bare(pipe, options: argparse.Namespace, clock: Callable[[], float]) -> tuple[float, float]:
    """Seconds of the U-Net calls alone, and of these with the decoder, for all batches."""
    import torch

    device, dtype, unet = pipe.device, pipe.unet.dtype, pipe.unet
    n = options.batch_size * (2 if options.guidance > 1 else 1)
    latents = torch.randn(n, unet.config.in_channels, unet.config.sample_size, unet.config.sample_size, device=device, dtype=dtype)
    text = torch.randn(n, pipe.tokenizer.model_max_length, unet.config.cross_attention_dim, device=device, dtype=dtype)
    seconds = [0.0, 0.0]
    with torch.no_grad():
        for _ in range(options.batches):
            _synchronise(device)
            started = clock()
            for step in range(options.steps):
                found = unet(latents, 999 - step * 50 % 999, encoder_hidden_states=text, return_dict=False)[0]
            _synchronise(device)
            seconds[0] += clock() - started
            pipe.vae.decode(found[: options.batch_size], return_dict=False)
            _synchronise(device)
            seconds[1] += clock() - started
    return seconds[0], seconds[1]


def _synchronise(device) -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"\(.*?\)|CPU|@.*", "", name).lower()).strip("-")


def _append(path: Path, row: dict) -> None:
    """Add `row` to a CSV; a row of the same settings is replaced."""
    same = ("threads", "model", "scheduler", "steps", "guidance", "batch_size", "dtype")
    old = list(csv.DictReader(path.open(encoding="utf-8"))) if path.exists() else []
    kept = [other for other in old if any(other[name] != str(row[name]) for name in same)]
    with files.atomic(resolve(path)) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(row), lineterminator="\n")
        writer.writeheader()
        writer.writerows([*kept, row])


if __name__ == "__main__":
    main()
