"""Image folders as one uint8 tensor: synthetic ones with `metadata.jsonl`, and plain folders of unlabelled pictures."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aa_utils.data import decode, formats, rows, walk
from aa_utils.errors import InputError
from aa_utils.paths import as_text, existing
from aa_utils.progress import note
from aa_utils.seeds import stable_hash

SHOWN = 20  # of one kind of problem, in a message


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

    With `metadata.jsonl` (or `metadata.csv`) its rows say which files there are, and their classes (`data.rows`); without it every picture
    below the folder is read, in the order of the paths, and `labels` is None. `class_names`, where given, fixes the classes and their
    order: a label is then the position of the row's class name in it.
    Errors: InputError for a missing or empty folder, rows that do not fit, classes that are unknown or have no image, and pictures that
    cannot be read or are not those whose SHA-256 their row has (all of them named, not only the first).
    """
    root = existing(folder, "image folder", "notebooks/20_generate.ipynb")
    listed = _rows(root)
    labels, names = _labels(listed, list(class_names) if class_names is not None else None, folder)
    pixels = _decode([root / row["file_name"] for row in listed], size, folder, [str(row.get("sha256") or "").lower() for row in listed])
    return ImageSet(pixels, labels, [as_text(Path(row["file_name"]).with_suffix("").name) for row in listed], names)


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


def mislabelled(images: ImageSet, share: float, seed: int = 0) -> ImageSet:
    """`images` with the labels of `share` of them wrong: each is another class, every other class as likely, drawn by name and `seed`.

    Symmetric label noise, to see what wrong labels cost. The images that a smaller share makes wrong are among those of a larger one.
    """
    if not 0 <= share <= 1:
        raise InputError(f"label_noise is {share}; it is a share of the images, 0 (none) to 1")
    if share == 0 or images.labels is None:
        return images
    labels, classes = images.labels.clone(), len(images.class_names)
    order = sorted(range(len(images)), key=lambda i: stable_hash("label_noise", seed, images.names[i]))
    for i in order[: round(share * len(images))]:
        labels[i] = (int(labels[i]) + 1 + stable_hash("wrong_label", seed, images.names[i]) % (classes - 1)) % classes
    return replace(images, labels=labels)


def joined(first: ImageSet, second: ImageSet) -> ImageSet:
    """The images of both, those of `first` first. Both have labels and the same classes; pixels that are a memory map are read."""
    if first.labels is None or second.labels is None or first.class_names != second.class_names:
        raise InputError("two sets of images can be joined where both have labels, of the same classes")
    pixels, labels = torch.cat([first.pixels, second.pixels]), torch.cat([first.labels, second.labels])
    return ImageSet(pixels, labels, [*first.names, *second.names], first.class_names)


def _rows(root: Path) -> list[dict[str, Any]]:
    if rows.has_rows(root):
        return rows.read(root, "notebooks/20_generate.ipynb")
    found = walk.pictures(root)
    for sentence in found.notes(root):
        note(f"{root}: {sentence}")
    if not found.files:
        raise InputError(f"no images in '{root}': neither rows in metadata.jsonl nor pictures ({', '.join(sorted(formats.ENDINGS))})")
    return [{"file_name": path.relative_to(root).as_posix()} for path in found.files]


def _labels(listed: list[dict], wanted: list[str] | None, folder: str | Path) -> tuple[Tensor | None, list[str]]:
    if "label" not in listed[0]:
        return None, wanted or []
    if wanted is None:
        by_label: dict[int, str] = {}
        for row in listed:
            if by_label.setdefault(row["label"], row["class_name"]) != row["class_name"]:
                raise InputError(f"label {row['label']} of '{folder}' has two names: '{by_label[row['label']]}' and '{row['class_name']}'")
        if max(by_label) >= len(by_label):
            missing = [str(label) for label in range(len(by_label)) if label not in by_label]
            raise InputError(
                f"'{folder}' has no image of label {', '.join(missing[:SHOWN])}, but some of label {max(by_label)}; labels count the "
                f"classes that have images, from 0"
            )
        if len(set(by_label.values())) < len(by_label):
            raise InputError(f"'{folder}' has two labels for one class: {_listed([f'{k} {name}' for k, name in sorted(by_label.items())])}")
        return torch.tensor([row["label"] for row in listed]), [by_label[label] for label in sorted(by_label)]
    found = {row["class_name"] for row in listed}
    unknown, empty = sorted(found - set(wanted)), [name for name in wanted if name not in found]
    if unknown:
        raise InputError(
            f"'{folder}' has classes that the target lacks: {_listed(unknown)}; the target has {_listed(wanted)}. A target that is a "
            "folder of yours says what its classes are called by a classes.txt in it: one name a line, or 'sub-folder: name'; classes "
            "without a picture may stand there too"
        )
    if empty:
        raise InputError(
            f"'{folder}' has no image of {len(empty)} of the {len(wanted)} classes: {_listed(empty)}; make images of them too, or leave "
            "them out of the target's classes"
        )
    position = {name: k for k, name in enumerate(wanted)}
    return torch.tensor([position[row["class_name"]] for row in listed]), wanted


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _decode(paths: list[Path], size: int, folder: str | Path, sha256: list[str]) -> Tensor:
    pixels, bad = decode.pixels(paths, size, Path(folder).name, sha256)
    if bad:
        named = _listed([f"{as_text(paths[i].name)} ({reason})" for i, reason in bad])
        raise InputError(f"{len(bad)} of {len(paths)} images of '{folder}' cannot be read: {named}")
    return pixels
