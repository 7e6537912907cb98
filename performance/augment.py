"""Random views of a batch, ours against torchvision.transforms.v2: python performance/augment.py [--images 448] [--repeats 5]

v2 draws one set of parameters a call, so a batch in one call is turned, tinted and cut alike; parameters per image cost v2 one call an
image. `aa_utils.training.augment` draws them per image and computes per batch. Images a second of the three, weak and strong views, timed
in turn in the same run, the median of the repeats. Writes performance/results/augment-<hardware>.csv.
"""

import argparse
import statistics
import time

import pandas as pd
import torch
from torchvision.transforms import v2

from aa_utils.paths import ROOT
from aa_utils.runner import record
from aa_utils.training import augment

# The nearest that v2 has to FixMatch's two views.
V2 = {
    "weak": v2.RandomAffine(0, translate=(0.125, 0.125)),
    "strong": v2.Compose([v2.RandomAffine(0, translate=(0.125, 0.125)), v2.RandAugment(2), v2.RandomErasing(1.0, (0.0025, 0.25))]),
}


def main() -> None:
    """Measure, print, and write the CSV of this hardware."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=448, help="a batch: mu x B = 7 x 64 images of FixMatch")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (options.images, 3, options.size, options.size), dtype=torch.uint8)
    rows = []
    for name, transform in V2.items():
        ways = {
            "ours, parameters per image": lambda name=name: augment.view(pixels, name, flip=False),
            "v2, parameters per image": lambda transform=transform: torch.stack([transform(image) for image in pixels]),
            "v2, one set for the batch": lambda transform=transform: transform(pixels),
        }
        seconds = {way: [] for way in ways}
        for _ in range(options.repeats + 1):  # the first round warms up
            for way, call in ways.items():
                started = time.perf_counter()
                call()
                seconds[way].append(time.perf_counter() - started)
        base = statistics.median(seconds["ours, parameters per image"][1:])
        for way, taken in seconds.items():
            middle = statistics.median(taken[1:])
            rate = round(options.images / middle)
            rows.append(
                {"view": name, "way": way, "images": options.images, "images_per_second": rate, "time_over_ours": round(middle / base, 2)}
            )
    table = pd.DataFrame(rows)
    hardware = "-".join(record.hardware()["cpu"].lower().split())
    table.assign(threads=torch.get_num_threads()).to_csv(
        ROOT / "performance" / "results" / f"augment-{hardware}.csv", index=False, lineterminator="\n"
    )
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
