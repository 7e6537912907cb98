"""Image folders as one uint8 tensor: synthetic ones with `metadata.jsonl`, and plain folders of unlabelled pictures."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aa_utils import files
from aa_utils.data import decode
from aa_utils.errors import InputError
from aa_utils.paths import existing
from aa_utils.seeds import stable_hash

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}


@dataclass(frozen=True)
class ImageSet:
    """Pictures of one size: `pixels` uint8 (N, 3, S, S), `labels` int64 (N,) or None, `names` (N ids), `class_names` (K).

    `pixels` is only ever read: of a large set it is a memory map (`aa_utils.data.decode`), of which a run loads what it draws.
    """

    pixels: Tensor
    labels: Tensor | None
    names: list[str]
    class_names: list[str]

    def __len__(self) -> int:
        return len(self.pixels)


def load(folder: str | Path, size: int, class_names: Sequence[str] | None = None) -> ImageSet:
    """The images of `folder` at `size` x `size` pixels (bicubic, both sides squeezed to `size` as in the adaptation literature).

    With `metadata.jsonl` its rows say which files there are, their `class_name` and `label`; without it every picture below the folder is
    read, in the order of the paths, and `labels` is None. `class_names`, where given, fixes the classes and their order: a label is then
    the position of the row's class name in it.
    Errors: InputError for a missing or empty folder, for classes that are unknown or have no image, and for pictures that cannot be read
    (all of them named, not only the first).
    """
    root = existing(folder, "image folder", "notebooks/20_generate.ipynb")
    rows = _rows(root)
    labels, names = _labels(rows, list(class_names) if class_names is not None else None, folder)
    pixels = _decode([root / row["file_name"] for row in rows], size, folder, [row.get("sha256", "") for row in rows])
    return ImageSet(pixels, labels, [Path(row["file_name"]).with_suffix("").name for row in rows], names)


def limit(images: ImageSet, per_class: int, seed: int = 0) -> ImageSet:
    """At most `per_class` images of each class (0 = all of them), drawn by name and `seed`; a smaller draw is part of a larger one."""
    if per_class == 0:
        return images
    if per_class < 0 or images.labels is None:
        raise InputError(f"limit_per_class is {per_class}; it is 0 (all images) or a positive number, on a labelled folder")
    taken: Counter[int] = Counter()
    kept = []
    for i in sorted(range(len(images)), key=lambda i: stable_hash("limit", seed, images.names[i])):
        label = int(images.labels[i])
        if taken[label] < per_class:
            taken[label] += 1
            kept.append(i)
    index = torch.tensor(sorted(kept))
    return replace(images, pixels=images.pixels[index], labels=images.labels[index], names=[images.names[i] for i in index.tolist()])


def _rows(root: Path) -> list[dict[str, Any]]:
    if (root / "metadata.jsonl").is_file():
        rows = files.read_jsonl(root / "metadata.jsonl")
    else:
        found = sorted(p.relative_to(root) for p in root.rglob("*") if p.suffix.lower() in SUFFIXES)
        rows = [{"file_name": p.as_posix()} for p in found if not any(part.startswith(".") for part in p.parts)]
    if not rows:
        raise InputError(f"no images in '{root}': neither rows in metadata.jsonl nor {', '.join(sorted(SUFFIXES))} files")
    return rows


def _labels(rows: list[dict], wanted: list[str] | None, folder: str | Path) -> tuple[Tensor | None, list[str]]:
    if not any("label" in row for row in rows):
        return None, wanted or []
    pairs = {(int(row["label"]), str(row["class_name"])) for row in rows}
    if wanted is None:
        by_label: dict[int, str] = {}
        for label, name in sorted(pairs):
            if by_label.setdefault(label, name) != name:
                raise InputError(f"label {label} of '{folder}' has two names: '{by_label[label]}' and '{name}'")
        missing = sorted(set(range(max(by_label) + 1)) - set(by_label))
        if missing:
            raise InputError(f"'{folder}' has no image of label {', '.join(map(str, missing))}; every class needs images")
        return torch.tensor([int(row["label"]) for row in rows]), [by_label[label] for label in sorted(by_label)]
    found = {name for _, name in pairs}
    unknown, empty = sorted(found - set(wanted)), [name for name in wanted if name not in found]
    if unknown:
        raise InputError(f"'{folder}' has classes that the target lacks: {', '.join(unknown)}; the target has {', '.join(wanted)}")
    if empty:
        raise InputError(f"'{folder}' has no image of {len(empty)} of the {len(wanted)} classes: {', '.join(empty)}")
    position = {name: k for k, name in enumerate(wanted)}
    return torch.tensor([position[str(row["class_name"])] for row in rows]), wanted


def _decode(paths: list[Path], size: int, folder: str | Path, marks: list[str]) -> Tensor:
    pixels, bad = decode.pixels(paths, size, Path(folder).name, marks)
    if bad:
        more = f" and {len(bad) - 20} more" if len(bad) > 20 else ""
        named = ", ".join(f"{paths[i].name} ({reason})" for i, reason in bad[:20])
        raise InputError(f"{len(bad)} of {len(paths)} images of '{folder}' cannot be read: {named}{more}")
    return pixels
