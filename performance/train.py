"""What the training loop costs beyond the network: python performance/train.py [--backbone resnet50 --image-size 224 --device cuda] …

Photos: `--backbone efficientnet_lite0 --image-size 128 --augment crop`.

For each method two times for the same number of steps, in turns, the best of `--repeats` each (other work on the machine only adds):
  bare  the passes that the method asks of the classifier (`PASSES`), forward and backward on images that are there; no loss, no update
  loop  the training loop: drawing, augmenting, the method's step, averages, history; loading and saving left out
Seconds are of the clock on the wall on a GPU, and of CPU time, all threads together, on a CPU: what else runs there does not count much.
Writes performance/results/train-[<backbone>-<image size>-]<hardware>.csv.
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

from aa_utils import files, inter_domain, intra_domain
from aa_utils.classifiers import backbones
from aa_utils.data.images import ImageSet
from aa_utils.paths import ROOT
from aa_utils.runner import record
from aa_utils.training import loop, registry

# The passes of a step: (images in batches of the labelled stream, with a backward pass or without). They go through the classifier, and
# its features through what else the method trains: a second head, a discriminator.
PASSES = {
    (inter_domain, "source_only"): [(1, True)],
    (inter_domain, "dann"): [(2, True)],
    (inter_domain, "mcd"): [(1, True), (2, False), *[(1, True)] * 4],  # A, B (whose gradient stops at the heads), four times C
    (inter_domain, "symnets"): [(1, True), (1, True)],
    (inter_domain, "fixmatch"): [(3, True)],  # source, weak and strong views of the target in one batch
    (inter_domain, "cdtrans"): [(3, True)],  # source, target and fusion streams
    (intra_domain, "fixmatch"): [(5, True)],  # with mu = 2: labelled, two weak and two strong batches
    (intra_domain, "mixmatch"): [(1, False), (1, False), (3, True)],  # the guess on two views; then labelled and both, mixed
}
# CDTrans needs a ViT, and starts in stage 2 here; FixMatch as in the notebook's settings for few images.
BACKBONES = {"cdtrans": "pocket_vit"}
OPTIONS = {(inter_domain, "cdtrans"): {"warm": 0.0, "refreshes": 1}, (intra_domain, "fixmatch"): {"mu": 2}}


def main() -> None:
    """Measure each method, print a row each, write the CSV of this hardware."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="pocket_resnet", help="of all methods but CDTrans")
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=20, help="steps in one measurement")
    parser.add_argument("--augment", default="affine", help="view of source and target; the consistency methods have their own")
    parser.add_argument("--amp", default="off")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--methods", nargs="+", default=[name for _, name in PASSES], metavar="NAME", help="all")
    options = parser.parse_args()
    rows = [measure(stage, name, options) for stage, name in PASSES if name in options.methods]
    for row in rows:
        print(", ".join(f"{name} {value}" for name, value in row.items()))
    name = re.sub(r"[^a-z0-9]+", "-", rows[0]["hardware"].lower()).strip("-")
    if (options.backbone, options.image_size) != (parser.get_default("backbone"), parser.get_default("image_size")):
        name = f"{options.backbone}-{options.image_size}-{name}"
    with files.atomic(ROOT / "performance" / "results" / f"train-{name}.csv") as temporary, temporary.open("w", newline="") as stream:
        table = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def measure(stage: ModuleType, name: str, options: argparse.Namespace) -> dict:
    """One row: seconds of `options.steps` steps bare and in the loop, their ratio, rates and peak memory."""
    options = argparse.Namespace(**vars(options) | {"backbone": BACKBONES.get(name, options.backbone)})
    module, config, streams = task(stage, name, options)
    recipe = loop.Recipe(options.steps, options.batch_size, clip=1.0, amp=options.amp, device=options.device, lr=1e-3)
    bare, ours = [], []
    for repeat in range(options.repeats + 1):
        bare.append(clocked(partial(bare_passes, module, config, PASSES[stage, name], recipe, options), options.device))
        ours.append(clocked(partial(loop_steps, module, config, streams, recipe, options), options.device))
        print(f"{name} {repeat}: bare {bare[-1]:.2f}, loop {ours[-1]:.2f}", file=sys.stderr)
    bare, ours = bare[1:], ours[1:]  # the first round warms up
    on_gpu = options.device.startswith("cuda")
    peak = torch.cuda.max_memory_allocated() // 10**6 if on_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    hardware = record.hardware()
    return {
        "hardware": hardware["gpu"][0] if on_gpu else hardware["cpu"],
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "stage": stage.__name__.rpartition(".")[2],
        "method": name,
        **{key: getattr(options, key) for key in ("backbone", "image_size", "batch_size", "augment", "amp", "steps")},
        "images_per_step": sum(stream.size * len(stream.views) for stream in streams),
        "bare_steps_per_second": round(options.steps / min(bare), 2),
        "loop_steps_per_second": round(options.steps / min(ours), 2),
        "loop_over_bare": round(min(ours) / min(bare), 3),
        "peak_memory_mb": peak,
    }


def task(stage: ModuleType, name: str, options: argparse.Namespace) -> tuple:
    """(method, config, streams) on random images: what is in them does not matter here."""
    module = registry.load(stage, name)
    pixels = torch.randint(0, 256, (256, 3, options.image_size, options.image_size), dtype=torch.uint8)
    labelled = ImageSet(pixels, torch.arange(256) % 10, [], [])
    config = registry.configure(stage, name, OPTIONS.get((stage, name), {}))
    if stage is intra_domain:
        return module, config, module.streams(labelled, labelled, config, options.batch_size)
    streams = [loop.Stream("s", pixels, labelled.labels, options.batch_size, {"x_s": options.augment})]
    if module.uses_target:
        views = dict(module.target_views) or {"x_t": options.augment}
        streams.append(loop.Stream("t", pixels, None, options.batch_size, views))
    return module, config, streams


def bare_passes(module, config, passes, recipe, options) -> Callable[[], None]:
    """Ready to run the passes of `recipe.steps` steps on images that are there."""
    classifier = backbones.build(options.backbone, 10)
    extra = [net for net in module.networks(classifier, config).values() if list(net.parameters())]  # all of them take features
    nets = torch.nn.ModuleList([classifier, *extra]).to(recipe.device, memory_format=loop.LAYOUT).train()
    images = torch.rand(max(size for size, _ in passes) * options.batch_size, 3, *[options.image_size] * 2, device=recipe.device)
    images = images.contiguous(memory_format=loop.LAYOUT)
    kind = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}[recipe.amp]

    def run() -> None:
        for _ in range(recipe.steps):
            for size, learns in passes:
                with torch.autocast(torch.device(recipe.device).type, kind, enabled=kind is not None), torch.set_grad_enabled(learns):
                    f = classifier.features(images[: size * options.batch_size])
                    z = [head(f) for head in (classifier.head, *extra)]
                if learns:
                    nets.zero_grad(set_to_none=True)
                    sum(out.float().sum() for out in z).backward()

    return run


def loop_steps(module, config, streams, recipe, options) -> Callable[[], None]:
    """Ready to run the training loop for `recipe.steps` steps."""
    classifier = backbones.build(options.backbone, 10)
    folder = tempfile.TemporaryDirectory()

    def run() -> None:
        with folder:
            loop._train(module, config, classifier, streams, recipe, 0, Path(folder.name), "")

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
