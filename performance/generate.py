"""What 20_generate costs beyond the denoising itself: python performance/generate.py [--model …] [--device cuda --dtype float16] …

Three times for the same images, in turns, the best of `--repeats` each (other work on the machine only adds):
  unet      the bare U-Net calls: `steps` calls a batch, of twice the batch where there is guidance
  unet_vae  the same and the decoder: what any sampler must spend
  generate  the whole stage, loading left out: texts, noise, scheduler, denoising, decoding, PNG, hashes, atomic writes
Seconds are of the clock on the wall on a GPU, and of CPU time, all threads together, on a CPU: what else runs there does not count much.
Writes performance/results/generate-<hardware>.csv.

`--switches attention_slicing channels_last …` measures these instead, each against none of them: the same batches in turns, on networks
loaded once, the first batch (where `compile` compiles) apart. Writes performance/results/switches-<hardware>.csv; memory on a GPU only.
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

from aa_utils import devices, files
from aa_utils.generate import generate, model_files, pipeline, switches
from aa_utils.generate.jobs import Job
from aa_utils.paths import ROOT, resolve
from aa_utils.runner import record


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
    parser.add_argument("--switches", nargs="+", default=[], help="of aa_utils/generate/switches.py: compare each with none")
    options = parser.parse_args()
    folder = model_files.find(options.model) or model_files.download(options.model, "")
    if options.switches:
        return _compare(folder, options)
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
    row = {
        **_about(options, on_gpu),
        "unet_parameters": sum(p.numel() for p in pipe.unet.parameters()),
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
    _append("generate", row, ("threads", "model", "scheduler", "steps", "guidance", "batch_size", "dtype"))
    for name, value in row.items():
        print(f"{name:20} {value}")


def _compare(folder: Path, options: argparse.Namespace) -> None:
    """Seconds of `--batches` batches for every switch and for none, best of `--repeats`, in turns; prints and writes one row each."""
    import torch

    names = ["none", *switches.check(options.switches, devices.kind(options.device))]
    on_gpu = devices.kind(options.device) == "cuda"
    clock = time.perf_counter if on_gpu else time.process_time
    texts = [{"text": f"a photo of a digit, number {n}"} for n in range(options.batch_size)]
    batch = [Job(f"{n}.png", 0, "digit", f"p{n}", row["text"], n) for n, row in enumerate(texts)]
    settings = {name: getattr(options, name) for name in ("steps", "guidance", "batch_size")} | {"width": 0, "height": 0}
    pipes, seconds, first, peaks = {}, {}, {}, {}
    for repeat in range(options.repeats + 1):
        for name in names:
            if not repeat:
                own = [] if name == "none" else [name]
                pipe = pipeline.load(folder, options.scheduler, options.dtype, options.device, own)
                pipes[name] = pipe, pipeline.text_encoder(pipe, texts, options.guidance)
            if on_gpu:
                torch.cuda.reset_peak_memory_stats()
            started = clock()
            for _ in range(options.batches if repeat else 1):
                pipeline.sample(*pipes[name], batch, settings)  # ends with the pixels on the CPU, so the GPU has finished
            took = clock() - started
            if repeat:
                seconds[name] = min(took, seconds.get(name, took))
            else:
                first[name] = took
            peaks[name] = torch.cuda.max_memory_allocated() // 10**6 if on_gpu else ""
    for name in names:
        row = _about(options, on_gpu) | {
            "switch": name,
            "images": options.batch_size * options.batches,
            "seconds": round(seconds[name], 3),
            "over_none": round(seconds[name] / seconds["none"], 3),
            "first_batch_seconds": round(first[name], 2),
            "peak_memory_mb": peaks[name],
        }
        _append("switches", row, ("threads", "model", "scheduler", "steps", "guidance", "batch_size", "dtype", "switch"))
        print(f"{name:20} {row['seconds']:8} s, {row['over_none']:.3f} of none; first batch {row['first_batch_seconds']} s")


def _about(options: argparse.Namespace, on_gpu: bool) -> dict:
    """What was measured, on what."""
    import torch

    hardware = record.hardware()
    return {
        "hardware": hardware["gpu"][0] if on_gpu else hardware["cpu"],
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "model": Path(options.model).name,
        **{name: getattr(options, name) for name in ("scheduler", "steps", "guidance", "batch_size", "dtype")},
    }


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


def _append(name: str, row: dict, same: tuple[str, ...]) -> None:
    """Add `row` to the results of this hardware; a row that is the `same` in these columns is replaced."""
    path = ROOT / "performance" / "results" / f"{name}-{_slug(row['hardware'])}.csv"
    old = list(csv.DictReader(path.open(encoding="utf-8"))) if path.exists() else []
    kept = [other for other in old if any(other[name] != str(row[name]) for name in same)]
    with files.atomic(resolve(path)) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(row), lineterminator="\n")
        writer.writeheader()
        writer.writerows([*kept, row])


if __name__ == "__main__":
    main()
