"""What adapting a generator costs beyond its networks: python performance/adapt_generator.py [--generator …] [--guide …] [--device cuda] …

For each variant two times for the same number of steps, in turns, the best of `--repeats` each (other work on the machine only adds):
  bare  the passes that no code can do without, again and again on one batch: the generator forward and backward (and the frozen one, where
        a regulariser looks at it), the encoder forward and backward, the U-Net on all that it is asked, and the optimizer's step
  loop  the whole loop: drawing, gradients, clipping, history; loading, saving and sample grids left out
Seconds are of the clock on the wall on a GPU, and of CPU time, all threads together, on a CPU: what else runs there does not count much.
Without `--generator` it is an untrained one of pocket size. Writes performance/results/adapt_generator-[<generator>-]<hardware>.csv.
"""

import argparse
import copy
import csv
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from aa_utils import files
from aa_utils.generator_adaptation import adapt, fusion, guide, layers
from aa_utils.generator_adaptation.generators import checkpoints
from aa_utils.generator_adaptation.generators import latents as drawing
from aa_utils.generator_adaptation.generators.stylegan2 import Config, Generator
from aa_utils.generator_adaptation.recipe import recipe
from aa_utils.paths import ROOT
from aa_utils.runner import record

VARIANTS = {
    "sds": {},
    "directional": {"directional": 0.5},
    "reconstruction": {"reconstruction": 0.5},
    "official": {"directional": 0.5, "fresh_noise": True, "encode_twice": True},
}


def main() -> None:
    """Measure each variant, print a row each, write the CSV of this hardware."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generator", default="", help="folder, .pkl or .pt")
    parser.add_argument("--guide", default="models/pocket-diffusion", help="folder or hub id")
    parser.add_argument("--dtype", default="float32", help="of the guide's U-Net")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20, help="steps in one measurement")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    known = guide.load(options.guide, device=options.device, dtype=options.dtype)
    pocket = Config((128, 128, 64, 32), z_dim=64, w_dim=128, mapping_layers=4)
    net = (checkpoints.load(options.generator) if options.generator else Generator(pocket)).to(options.device)
    rows = [measure(name, net, known, options) for name in VARIANTS]
    for row in rows:
        print(", ".join(f"{name} {value}" for name, value in row.items()))
    name = re.sub(r"[^a-z0-9]+", "-", f"{Path(options.generator).name} {rows[0]['hardware']}".lower()).strip("-")
    with (
        files.atomic(ROOT / "performance" / "results" / f"adapt_generator-{name}.csv") as temporary,
        temporary.open("w", newline="") as out,
    ):
        table = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def measure(name: str, net: Generator, known: guide.Guide, options: argparse.Namespace) -> dict:
    """One row: milliseconds of a step bare and in the loop, their ratio, peak memory."""
    settings = recipe("sound", {"steps": options.steps, "batch_size": options.batch_size}, VARIANTS[name])
    objective = fusion.objective(known, ["a digit in white chalk on a green board"], settings)
    bare, loop = [], []
    for repeat in range(options.repeats + 1):
        bare.append(clocked(bare_steps(net, objective), options.device))
        loop.append(clocked(lambda: run_loop(net, objective), options.device))
        print(f"{name} {repeat}: bare {bare[-1]:.2f}, loop {loop[-1]:.2f}", file=sys.stderr)
    bare, loop = bare[1:], loop[1:]  # the first round warms up
    on_gpu = options.device.startswith("cuda")
    peak = torch.cuda.max_memory_allocated() // 10**6 if on_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    hardware = record.hardware()
    return {
        "hardware": hardware["gpu"][0] if on_gpu else hardware["cpu"],
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "variant": name,
        "generator": Path(options.generator).name or "untrained",
        "guide": Path(options.guide).name,
        "dtype": options.dtype,
        "batch_size": options.batch_size,
        "bare_ms_per_step": round(1000 * min(bare) / options.steps, 1),
        "loop_ms_per_step": round(1000 * min(loop) / options.steps, 1),
        "loop_over_bare": round(min(loop) / min(bare), 3),
        "peak_memory_mb": peak,
    }


def bare_steps(net: Generator, objective: fusion.Fusion) -> Callable[[], None]:
    """Ready to run the passes of `recipe.steps` steps on one batch."""
    known, settings = objective.guide, objective.recipe
    device = next(net.parameters()).device
    frozen = copy.deepcopy(net).requires_grad_(False)
    trained = copy.deepcopy(frozen)
    layers.freeze(trained, set(layers.named(trained, settings)))
    optimizer = torch.optim.Adam([p for p in trained.parameters() if p.requires_grad], lr=0.0, fused=True)
    n = settings.batch_size
    z = torch.randn(n, net.z_dim, device=device)
    labels = drawing.labels(net, n, torch.Generator().manual_seed(0), device)
    questions = 1 + bool(settings.directional) + (settings.fresh_noise and bool(settings.directional or settings.reconstruction))
    with torch.no_grad():
        latents = known.latents(known.resized(drawing.render(frozen, frozen.mapping(z, labels), "fixed", labels)))
    t, text = torch.full((n * questions,), 300, device=device), objective.text[0].expand(n * questions, -1, -1)

    def run() -> None:
        for _ in range(settings.steps):
            with torch.no_grad():
                w = frozen.mapping(z, labels)
                if objective.needs_original:
                    known.latents(known.resized(drawing.render(frozen, w, "fixed", labels)))
            x = known.latents(known.resized(drawing.render(trained, w, "fixed", labels)))
            known.noise(latents.repeat(questions, 1, 1, 1), t, text, objective.empty, settings.guidance)
            optimizer.zero_grad()
            x.backward(latents)
            optimizer.step()

    return run


def run_loop(net: Generator, objective: fusion.Fusion) -> None:
    """The loop for `recipe.steps` steps."""
    watch = adapt.Watch(samples_every=10**9, checkpoint_every=10**9, samples=1)
    with tempfile.TemporaryDirectory() as folder:
        adapt._adapt(net, objective, 0, Path(folder), watch, "", next(net.parameters()).device)


def clocked(run: Callable[[], None], device: str) -> float:
    """Seconds that `run` takes."""
    on_gpu = device.startswith("cuda")
    clock = time.perf_counter if on_gpu else time.process_time
    if on_gpu:
        torch.cuda.synchronize()
    started = clock()
    run()
    if on_gpu:
        torch.cuda.synchronize()
    return clock() - started


if __name__ == "__main__":
    main()
