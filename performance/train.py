"""What the training loop costs beyond the network: python performance/train.py [--backbone resnet50 --image-size 224 --device cuda] …

For each method two times for the same number of steps, in turns, the best of `--repeats` each (other work on the machine only adds):
  bare  forward, loss, backward and optimiser step of the same networks, again and again on one batch that is already there
  loop  the training loop: drawing, augmenting, the same step, averages, history; loading and saving left out
Seconds are of the clock on the wall on a GPU, and of CPU time, all threads together, on a CPU: what else runs there does not count much.
Writes performance/results/train-<hardware>.csv.
"""

import argparse
import csv
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import torch

from aa_utils import backbones, files, inter_domain, intra_domain, methods, record, train
from aa_utils.images import ImageSet
from aa_utils.paths import ROOT

METHODS = ((inter_domain, "source_only"), (inter_domain, "dann"), (intra_domain, "fixmatch"))


def main() -> None:
    """Measure each method, print a row each, write the CSV of this hardware."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="pocket_resnet")
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=20, help="steps in one measurement")
    parser.add_argument("--mu", type=int, default=2, help="FixMatch's unlabelled images for each labelled one")
    parser.add_argument("--augment", default="affine", help="view of source and target; FixMatch has its own")
    parser.add_argument("--amp", default="off")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    rows = [measure(stage, name, options) for stage, name in METHODS]
    for row in rows:
        print(", ".join(f"{name} {value}" for name, value in row.items()))
    name = re.sub(r"[^a-z0-9]+", "-", rows[0]["hardware"].lower()).strip("-")
    with files.atomic(ROOT / "performance" / "results" / f"train-{name}.csv") as temporary, temporary.open("w", newline="") as stream:
        table = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def measure(stage: ModuleType, name: str, options: argparse.Namespace) -> dict:
    """One row: seconds of `options.steps` steps bare and in the loop, their ratio, rates and peak memory."""
    module, config, streams = task(stage, name, options)
    recipe = train.Recipe(options.steps, options.batch_size, clip=1.0, amp=options.amp, device=options.device, lr=1e-3)
    bare, loop = [], []
    for repeat in range(options.repeats + 1):
        bare.append(clocked(partial(bare_steps, module, config, streams, recipe, options), options.device))
        loop.append(clocked(partial(loop_steps, module, config, streams, recipe, options), options.device))
        print(f"{name} {repeat}: bare {bare[-1]:.2f}, loop {loop[-1]:.2f}", file=sys.stderr)
    bare, loop = bare[1:], loop[1:]  # the first round warms up
    on_gpu = options.device.startswith("cuda")
    peak = torch.cuda.max_memory_allocated() // 10**6 if on_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    hardware = record.hardware()
    return {
        "hardware": hardware["gpu"][0] if on_gpu else hardware["cpu"],
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "method": name,
        **{key: getattr(options, key) for key in ("backbone", "image_size", "batch_size", "augment", "amp", "steps")},
        "images_per_step": sum(stream.size * len(stream.views) for stream in streams),
        "bare_steps_per_second": round(options.steps / min(bare), 2),
        "loop_steps_per_second": round(options.steps / min(loop), 2),
        "loop_over_bare": round(min(loop) / min(bare), 3),
        "peak_memory_mb": peak,
    }


def task(stage: ModuleType, name: str, options: argparse.Namespace) -> tuple:
    """(method, config, streams) on random images: what is in them does not matter here."""
    module = methods.load(stage, name)
    pixels = torch.randint(0, 256, (256, 3, options.image_size, options.image_size), dtype=torch.uint8)
    labelled = ImageSet(pixels, torch.arange(256) % 10, [], [])
    if stage is intra_domain:
        config = methods.configure(stage, name, {"mu": options.mu})
        return module, config, module.streams(labelled, labelled, config, options.batch_size)
    streams = [train.Stream("s", pixels, labelled.labels, options.batch_size, {"x_s": options.augment})]
    if getattr(module, "uses_target", True):
        streams.append(train.Stream("t", pixels, None, options.batch_size, {"x_t": options.augment}))
    return module, methods.configure(stage, name, {}), streams


def bare_steps(module, config, streams, recipe, options) -> Callable[[], None]:
    """Ready to run `recipe.steps` plain optimiser steps on one batch."""
    nets = torch.nn.ModuleDict({"classifier": backbones.build(options.backbone, 10)})
    nets.update(module.networks(nets["classifier"], config))
    nets.to(recipe.device).train()
    optimiser = torch.optim.SGD(nets.parameters(), lr=1e-3, momentum=0.9, nesterov=True)
    batch = {view: torch.rand(s.size, 3, *[options.image_size] * 2, device=recipe.device) for s in streams for view in s.views}
    batch |= {f"y_{s.name}": s.labels[: s.size].to(recipe.device) for s in streams if s.labels is not None}
    kind = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}[recipe.amp]

    def run() -> None:
        for _ in range(recipe.steps):
            with torch.autocast(torch.device(recipe.device).type, kind, enabled=kind is not None):
                terms = module.losses(nets, batch, 0.5, config)
            optimiser.zero_grad(set_to_none=True)
            sum(value for name, value in terms.items() if not name.startswith("share_")).backward()
            optimiser.step()

    return run


def loop_steps(module, config, streams, recipe, options) -> Callable[[], None]:
    """Ready to run the training loop for `recipe.steps` steps."""
    classifier = backbones.build(options.backbone, 10)
    folder = tempfile.TemporaryDirectory()

    def run() -> None:
        with folder:
            train._train(module, config, classifier, streams, recipe, 0, Path(folder.name), "")

    return run


def clocked(ready: Callable[[], Callable[[], None]], device: str) -> float:
    """Seconds of the function that `ready()` returns, without those of `ready` itself."""
    run = ready()
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
