"""What to adapt to: unlabelled target images, and apart from them the labels that score.

One module is one benchmark, found by its name: `load(domain, size) -> Target`. A benchmark of several domains is asked for as
`<module>:<domain>`, for example `office31:amazon`; `domain` is empty for one that has a single domain. A module whose name begins with an
underscore is what several share.

The classic protocol adapts from one benchmark's labelled images to another: `write_source` makes an image folder of them, so that whoever
trains on real labels has asked for them by name.
"""

import hashlib
import io
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from torch import Tensor

from aa_utils import files
from aa_utils.errors import InputError
from aa_utils.images import ImageSet
from aa_utils.paths import resolve


@dataclass(frozen=True)
class Target:
    """One target domain. Training code is given `images` (whose `labels` is None); only scoring reads `labels` int64 (N,)."""

    name: str
    images: ImageSet
    labels: Tensor

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
    return sorted(module.name for module in iter_modules(__path__) if not module.name.startswith("_"))


def load(name: str, size: int = 32) -> Target:
    """The target domain `name` with images of `size` x `size` pixels. Errors: InputError for an unknown benchmark or domain."""
    module, _, domain = name.partition(":")
    if module not in names():
        raise InputError(f"no benchmark '{module}'; there are: {', '.join(names())}")
    return import_module(f"{__name__}.{module}").load(domain, size)


def source(name: str, size: int = 32) -> ImageSet:
    """The images of the domain `name` with their labels: a real, labelled source. Not for the domain that is adapted to."""
    target = load(name, size)
    return replace(target.images, labels=target.labels)


def write_source(name: str, size: int, folder: str | Path) -> ImageSet:
    """`source(name, size)` written to `folder` as notebook 20 writes its images: `<label>/<id>.png`, and last of all `metadata.jsonl`.

    `images.load` gives the same pixels back, if it is asked for the same `size`.
    """
    from PIL import Image

    images, root, rows = source(name, size), resolve(folder), []
    for pixels, label, image_id in zip(images.pixels, images.labels.tolist(), images.names, strict=True):
        png = io.BytesIO()
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(png, "png")
        file_name = f"{label}/{image_id}.png"
        files.write_bytes(root / file_name, png.getvalue())
        about = {"label": label, "class_name": images.class_names[label], "benchmark": name, "width": size, "height": size}
        rows.append({"file_name": file_name, **about, "sha256": hashlib.sha256(png.getvalue()).hexdigest()})
    files.write_jsonl(root / "metadata.jsonl", rows)
    return images
