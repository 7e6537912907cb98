"""Reading photos, and why there is a cache: python performance/decode.py [--images 120] [--repeats 3]

Makes JPEGs of 300x300 to 1000x1000 pixels (quality 90) and times, in turn in the same run, image by image:
- the kit's decoder, `aa_utils.data.decode.read`: Pillow, a JPEG by draft mode at no less than twice 256 px, then bicubic to 256 px;
- Pillow's draft mode: JPEG decodes to the next smaller eighth first;
- torchvision: decode_jpeg, then its bicubic resize with antialiasing, one thread;
- the cache: the same image out of the memory-mapped array, drawn in random order, in batches of 64.
Processor time (not the clock), so other work on the machine does not count; `time_over_pillow` is the ratio of medians, `difference` the
mean absolute difference to Pillow's pixels in levels of 255. Writes performance/results/decode-<hardware>.csv.

What came of it: reading from the cache costs a small part of decoding, so the decoder matters once per set of images and size. Draft mode
is faster only from twice the size on, and moves pixels by one or two levels; torchvision takes about half of Pillow's time, and reads
fewer formats (no TIFF, no BMP). Hence one decoder, Pillow, threads around it, and the cache behind it.
"""

import argparse
import io
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from aa_utils.data import decode
from aa_utils.paths import ROOT
from aa_utils.runner import record

SIZES = [(300, 300), (640, 480), (800, 600), (1000, 1000)]
SIZE, BATCH = 256, 64


def jpeg(size: tuple[int, int], number: int) -> bytes:
    """A JPEG with large shapes and some grain, so that it compresses as a photo does (2 to 4 bits a pixel)."""
    random = np.random.default_rng([number, *size])
    coarse = random.integers(0, 256, (size[1] // 8, size[0] // 8, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)).astype(float)
    stream = io.BytesIO()
    Image.fromarray((smooth + random.normal(0, 8, smooth.shape)).clip(0, 255).astype(np.uint8)).save(stream, "jpeg", quality=90)
    return stream.getvalue()


def draft(path: Path) -> np.ndarray:
    """uint8 (3, 256, 256) through Pillow's draft mode."""
    with Image.open(path) as picture:
        picture.draft("RGB", (SIZE, SIZE))
        return np.asarray(picture.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC)).transpose(2, 0, 1)


def torchvision(path: Path) -> np.ndarray:
    """uint8 (3, 256, 256) through torchvision."""
    data = torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)
    pixels = decode_jpeg(data, mode=ImageReadMode.RGB, apply_exif_orientation=True)
    return F.resize(pixels, [SIZE, SIZE], interpolation=InterpolationMode.BICUBIC, antialias=True).numpy()


def main() -> None:
    """Measure, print, and write the CSV of this hardware."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=120)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    ways = {"Pillow": lambda path: decode.read(path, SIZE), "Pillow, draft mode": draft, "torchvision": torchvision}
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{i:05d}.jpg") for i in range(options.images)]
        for i, path in enumerate(paths):
            path.write_bytes(jpeg(SIZES[i % len(SIZES)], i))
        table = pd.DataFrame(
            [row for k, size in enumerate(SIZES) for row in _measured(size, paths[k :: len(SIZES)], ways, options.repeats)]
        )
    hardware = "-".join(record.hardware()["cpu"].lower().split())
    table.assign(threads=1, images=options.images).to_csv(
        ROOT / "performance" / "results" / f"decode-{hardware}.csv", index=False, lineterminator="\n"
    )
    print(table.to_string(index=False))


def _measured(size: tuple[int, int], paths: list[Path], ways: dict, repeats: int) -> list[dict]:
    array = Path(paths[0].parent, "kept.npy")
    np.save(array, np.stack([decode.read(path, SIZE) for path in paths]))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable")
        kept = torch.from_numpy(np.load(array, mmap_mode="r"))
    seconds: dict[str, list[float]] = {way: [] for way in [*ways, "the cache"]}
    off: dict[str, list[float]] = {way: [] for way in seconds}
    for repeat in range(repeats):
        for i, path in enumerate(paths):
            for way, call in ways.items():
                started = time.process_time()
                pixels = call(path)
                seconds[way].append(time.process_time() - started)
                off[way].append(float(np.abs(pixels.astype(int) - kept[i].numpy()).mean()))
            index = torch.randint(len(paths), (BATCH,), generator=torch.Generator().manual_seed(repeat * len(paths) + i))
            started = time.process_time()
            batch = kept[index]
            seconds["the cache"].append((time.process_time() - started) / BATCH)
            off["the cache"].append(float((batch[0].int() - kept[index[0]].int()).abs().float().mean()))
    base = statistics.median(seconds["Pillow"])
    return [
        {
            "jpeg": f"{size[0]}x{size[1]}",
            "kilobytes": round(statistics.mean(path.stat().st_size for path in paths) / 1000),
            "way": way,
            "milliseconds_per_image": round(1000 * statistics.median(taken), 3),
            "time_over_pillow": round(statistics.median(taken) / base, 3),
            "difference": round(statistics.mean(off[way]), 3),
        }
        for way, taken in seconds.items()
    ]


if __name__ == "__main__":
    main()
