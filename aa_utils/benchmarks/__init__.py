"""What to adapt to: unlabelled target images, and apart from them the labels that score.

One module is one benchmark, found by its name: `load(domain, size) -> Target`. A benchmark of several domains is asked for as
`<module>:<domain>`, for example `office31:amazon`; `domain` is empty for one that has a single domain. A module whose name begins with an
underscore is what several share. `python -m aa_utils.benchmarks <name>` says what there is of one, and what is wrong with it.

The classic protocol adapts from one benchmark's labelled images to another: `write_source` makes an image folder of them, so that whoever
trains on real labels has asked for them by name.
"""

import hashlib
import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from aa_utils import files, plugins
from aa_utils.data import decode
from aa_utils.data.images import ImageSet, limit
from aa_utils.data.rows import write as write_rows
from aa_utils.errors import InputError
from aa_utils.paths import resolve
from aa_utils.progress import progress


@dataclass(frozen=True)
class Target:
    """One target domain. Training code is given `images` (whose `labels` is None); only scoring reads `labels` int64 (N,).

    `labels` is None where nobody labelled the images (`image_folder`): such a target can be adapted to, but not scored. `variant` says
    which images these are, where a benchmark comes in several forms ("JPEG copies, 10,000 of …").
    """

    name: str
    images: ImageSet
    labels: Tensor | None
    variant: str = ""

    @property
    def class_names(self) -> list[str]:
        """The K category names, in the order of the labels."""
        return self.images.class_names

    @property
    def ids(self) -> list[str]:
        """A name for each of the N images, stable over runs and sizes."""
        return self.images.names


def names() -> list[str]:
    """The benchmarks at hand, sorted."""
    return plugins.names("benchmarks")


def load(name: str, size: int = 32) -> Target:
    """The target domain `name` with images of `size` x `size` pixels. Errors: InputError for an unknown benchmark or domain."""
    module, _, domain = name.partition(":")
    return plugins.load("benchmarks", module).load(domain, size)


def domains(name: str) -> list[str]:
    """The domains of the photo benchmark `name`, without looking at any file; none for other benchmarks, whose names say them."""
    photos = getattr(plugins.load("benchmarks", name), "PHOTOS", None)
    return [domain.name for domain in photos.domains] if photos else []


def named(target: Target, class_names: Sequence[str]) -> Target:
    """`target` with `class_names` if it has none of its own (unlabelled photos); else as it is. Errors: InputError for no names at all."""
    if not target.class_names and not class_names:
        raise InputError(f"'{target.name}' has no class names, and none are given; write them to classes.txt in its folder, one a line")
    return target if target.class_names else replace(target, images=replace(target.images, class_names=list(class_names)))


def source(name: str, size: int = 32) -> ImageSet:
    """The images of the domain `name` with their labels: a real, labelled source. Not for the domain that is adapted to."""
    target = load(name, size)
    if target.labels is None:
        raise InputError(f"'{name}' has no labels, so it is no source; its images can be a target")
    return replace(target.images, labels=target.labels)


def write_source(name: str, size: int, folder: str | Path, per_class: int = 0, seed: int = 0) -> ImageSet:
    """`source(name, size)` written to `folder` as notebook 20 writes its images: `<label>/<id>.png`, and last of all `metadata.jsonl`.

    `images.load` gives the same pixels back, if it is asked for the same `size`. `per_class`, `seed`: a draw, as `images.limit` makes it.
    """
    images, root = limit(source(name, size), per_class, seed), resolve(folder)
    rows = []
    for label, image_id, png in progress(_pngs(images), f"write {name}", len(images), "image"):
        file_name = f"{label}/{image_id}.png"
        files.write_bytes(root / file_name, png)
        about = {"label": label, "class_name": images.class_names[label], "benchmark": name, "width": size, "height": size}
        rows.append({"file_name": file_name, **about, "sha256": hashlib.sha256(png).hexdigest()})
    write_rows(root, rows)
    return images


def _pngs(images: ImageSet) -> Iterator[tuple[int, str, bytes]]:
    """(label, id, PNG) of each image, in order; threads compress in parallel, a bounded number ahead."""
    from PIL import Image

    def png(i: int) -> tuple[int, str, bytes]:
        stream = io.BytesIO()
        Image.fromarray(images.pixels[i].permute(1, 2, 0).numpy()).save(stream, "png")
        return int(images.labels[i]), images.names[i], stream.getvalue()

    with ThreadPoolExecutor(decode.cores()) as threads:
        for start in range(0, len(images), decode.CHUNK):
            yield from threads.map(png, range(start, min(start + decode.CHUNK, len(images))))
