"""CIFAR-10: 50,000 + 10,000 colour pictures of 32x32 pixels, ten classes; with nine of them the literature's STL-10 -> CIFAR-10.

Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", technical report (2009). Two variants are read; records say which:
- the original pixels: torchvision's files (`cifar-10-batches-py/`), or a folder of PNGs;
- JPEG copies, as several repositories and CIFAKE have them: a folder of JPEGs. They are other images: compare numbers of one variant only.

A domain is `[nine-][png-|jpeg-]train|test[-partial|-<n>]`. `nine`: without the frog, which STL-10 lacks (French, Mackiewicz and Fisher,
"Self-ensembling for visual domain adaptation", ICLR 2018, has the nine). `png` and `jpeg` insist on a variant. `-<n>`: n of the images, one
draw for all runs, for rehearsals.
"""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from aa_utils.benchmarks import Target, _check, _digits
from aa_utils.benchmarks._photos import PARTIAL, Domain, Photos, Request, request_of
from aa_utils.data import decode
from aa_utils.data.images import ImageSet
from aa_utils.errors import InputError
from aa_utils.paths import data_root
from aa_utils.seeds import torch_generator

CLASS_NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
NINE = [name for name in CLASS_NAMES if name != "frog"]
ARCHIVE = "cifar-10-batches-py"  # torchvision's folder
FILES = {
    "train": [f"{ARCHIVE}/data_batch_{k}" for k in range(1, 6)],
    "test": [f"{ARCHIVE}/test_batch"],
}
WHOLE = {"train": 50_000, "test": 10_000}
VARIANTS = {"png": "original pixels", "jpeg": "JPEG copies"}

PHOTOS = Photos(
    name="cifar10",
    title="CIFAR-10",
    source="https://www.cs.toronto.edu/~kriz/cifar.html (AA_DOWNLOAD=1 lets torchvision fetch it; no licence stated)",
    layout="cifar10/test/airplane/0000.jpg, …",
    classes={name: name for name in CLASS_NAMES},
    domains=(
        Domain("train", "train", "50,000 training images", (5_000,) * 10, parts=((2_500,) * 10,)),
        Domain("test", "test", "10,000 test images", (1_000,) * 10),
    ),
)


@dataclass(frozen=True)
class _Wanted:
    """A parsed domain: its one spelling, the variant ("" is any), the number of images (0 is all), and the request for its folder."""

    name: str
    variant: str
    number: int
    request: Request

    @property
    def part(self) -> str:
        return self.request.domain.name


def load(domain: str = "", size: int = 32) -> Target:
    """The domain at `size` x `size` pixels, its `variant` said. Errors: InputError for another domain, and for files missing or damaged."""
    wanted = _wanted(domain)
    target = _originals(wanted, size) if _from_archive(wanted) else _folder(wanted, size)
    return replace(target, name=wanted.name)


def short(domain: str) -> str:
    """The column of a domain in tables: "nine classes", "ten classes"; the split is the protocol's."""
    k = len(_wanted(domain).request.rows)
    return f"{ {9: 'nine', 10: 'ten'}.get(k, k) } classes"


def report(domain: str) -> _check.Report:
    """Counts of each class, the variant, and all that is wrong."""
    wanted = _wanted(domain)
    if not _from_archive(wanted):
        found = _check.report_of(wanted.request, lambda paths: _variant_text(_variant(wanted, paths), len(paths), wanted.part))
        return replace(found, name=wanted.name)
    target = _originals(wanted, 32)
    known = None if wanted.number or wanted.request.partial else wanted.request.domain.counts[0]
    classes = [(name, name, int((target.labels == k).sum()), known) for k, name in enumerate(target.class_names)]
    wrong = [("wrong counts", f"{name} {count} instead of {known}") for name, _, count, _ in classes if known not in (None, count)]
    return _check.Report(wanted.name, data_root() / ARCHIVE, classes, wrong, target.variant)


def _wanted(domain: str) -> _Wanted:
    whole, bracket, listed = domain.partition("[")
    parts = re.fullmatch(r"(nine-)?(?:(png|jpeg)-)?(train|test)(?:-(partial|[1-9]\d*))?", whole)
    if not parts or (parts[1] and bracket):
        said = f"'cifar10:{domain}'" if domain else "'cifar10' alone"
        raise InputError(
            f"{said} is no domain; ask for 'cifar10:train', 'cifar10:test', 'cifar10:nine-train' or 'cifar10:nine-test' (the classes that "
            "STL-10 shares), 'cifar10:jpeg-test' or 'cifar10:png-test' to insist on a variant, 'cifar10:train-<n>' for n of the images"
        )
    partial = PARTIAL if parts[4] == "partial" else ""
    request = request_of(PHOTOS, f"{parts[3]}{partial}{bracket}{listed}")
    request = request.only(NINE) if parts[1] else request
    return _Wanted(f"cifar10:{domain}", parts[2] or "", int(parts[4]) if parts[4] and not partial else 0, request)


def _from_archive(wanted: _Wanted) -> bool:
    """Whether torchvision's files are what is read. Errors: InputError where there is nothing, or both and no variant is asked for."""
    root = data_root()
    archive, folder = (root / ARCHIVE).is_dir(), (root / PHOTOS.name).is_dir()
    if archive and folder and not wanted.variant:
        jpeg, png = (f"'{wanted.name.replace(wanted.part, f'{kind}-{wanted.part}', 1)}'" for kind in ("jpeg", "png"))
        raise InputError(
            f"'{root}' has CIFAR-10 twice, '{ARCHIVE}' (original pixels) and '{PHOTOS.name}'; say which: {png} for the "
            f"originals, {jpeg} for JPEG copies"
        )
    if wanted.variant == "jpeg" or (folder and not archive):
        return False
    if not archive and os.environ.get("AA_DOWNLOAD") != "1":
        raise InputError(
            f"no CIFAR-10 in '{root}': neither torchvision's '{ARCHIVE}' nor a folder '{PHOTOS.layout}'. Set AA_DATA to the folder that "
            f"has one of them, or AA_DOWNLOAD=1 and torchvision downloads it there from {PHOTOS.source.partition(' ')[0]}"
        )
    return True


def _folder(wanted: _Wanted, size: int) -> Target:
    seen: list[str] = []

    def choose(rows: list[_check.Row]) -> list[_check.Row]:
        seen.append(_variant(wanted, [path for path, _, _ in rows]))
        return [rows[i] for i in _drawn(wanted, len(rows))]

    target = _check.target_of(wanted.request, size, choose)
    return replace(target, variant=_variant_text(seen[0], len(target.images), wanted.part))


def _variant(wanted: _Wanted, paths: list[Path]) -> str:
    """What the suffixes of the files say. Errors: InputError for both kinds in one folder, and for another variant than asked for."""
    kinds = {"png" if path.suffix.lower() == ".png" else "jpeg" for path in paths}
    if len(kinds) > 1:
        raise InputError(f"'{wanted.name}' has PNG and JPEG files in one folder; keep one kind, for they are two variants of CIFAR-10")
    variant = (kinds or {"jpeg"}).pop()
    if wanted.variant not in ("", variant):
        raise InputError(
            f"'{wanted.name}' asks for {VARIANTS[wanted.variant]}, but '{data_root() / PHOTOS.name}' holds {VARIANTS[variant]}"
        )
    return variant


def _originals(wanted: _Wanted, size: int) -> Target:
    pixels, labels = _digits.read_files("cifar10", wanted.part, FILES[wanted.part], _read)
    index = torch.isin(labels, torch.tensor(wanted.request.rows)).nonzero()[:, 0]
    index = index[torch.tensor(_drawn(wanted, len(index)))]
    place = {k: i for i, k in enumerate(wanted.request.rows)}
    ids = [f"cifar10-{wanted.part}-{i:05d}" for i in index.tolist()]
    images = ImageSet(_resized(pixels[index], size), None, ids, wanted.request.class_names)
    y = torch.tensor([place[k] for k in labels[index].tolist()])
    return Target(wanted.name, images, y, _variant_text("png", len(index), wanted.part))


def _resized(pixels: Tensor, size: int) -> Tensor:
    """Bicubic by Pillow, as folders of pictures are read: both variants are enlarged alike (torch's kernel rounds otherwise)."""
    if size == pixels.shape[-1]:
        return pixels.contiguous()
    from PIL import Image

    def enlarge(image: Tensor) -> Tensor:
        picture = Image.fromarray(image.permute(1, 2, 0).numpy()).resize((size, size), Image.Resampling.BICUBIC)
        return torch.from_numpy(np.asarray(picture).transpose(2, 0, 1).copy())

    made = torch.empty(len(pixels), 3, size, size, dtype=torch.uint8)
    with ThreadPoolExecutor(decode.cores()) as threads:
        for i, picture in enumerate(threads.map(enlarge, pixels)):
            made[i] = picture
    return made


def _drawn(wanted: _Wanted, there: int) -> list[int]:
    if not wanted.number:
        return list(range(there))
    if wanted.number > there:
        raise InputError(f"'{wanted.name}' asks for {wanted.number} images; there are {there}")
    return torch.randperm(there, generator=torch_generator("subsample", "cifar10"))[: wanted.number].sort().values.tolist()


def _variant_text(variant: str, number: int, part: str) -> str:
    return f"{VARIANTS[variant]}, {number:,} of the {WHOLE[part]:,} {'training' if part == 'train' else 'test'} images"


def _read(root: str, part: str, download: bool) -> tuple[Tensor, Tensor]:
    from torchvision.datasets import CIFAR10

    data = CIFAR10(root, train=part == "train", download=download)
    return torch.from_numpy(data.data).permute(0, 3, 1, 2), torch.tensor(data.targets)
