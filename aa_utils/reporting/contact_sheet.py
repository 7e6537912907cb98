"""Pictures in a grid, with a line of text under each: what a folder of images looks like at a glance."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aa_utils.data import rows as image_rows
from aa_utils.errors import InputError
from aa_utils.paths import existing

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure


MOST = 240  # pictures of a sheet: of a thousand classes it would have more pixels than a PNG or a screen, and take minutes


def contact_sheet(images: "Sequence[Path | np.ndarray]", titles: Sequence[str], columns: int, side: float = 1.5) -> "Figure":
    """A figure of `images`, row by row in `columns`, each `side` inches wide over its title, which is broken into lines as needed.

    An image is a path or an array (height, width, 3) uint8. Of more than MOST images so many are shown, evenly spread, and the figure
    says so. Errors: InputError for no image, or not one title an image.
    """
    import matplotlib.pyplot as plt

    from aa_utils.data import picture

    if not images or len(images) != len(titles):
        raise InputError(
            f"a contact sheet of {len(images)} images and {len(titles)} titles; it needs at least one image, and as many titles"
        )
    number, shown = len(images), _spread(len(images))
    images, titles = [images[i] for i in shown], [titles[i] for i in shown]
    # matplotlib reads text between dollar signs as a formula.
    titles = [textwrap.fill(title, round(side * 19)).replace("$", r"\$") for title in titles]
    lines = max(title.count("\n") + 1 for title in titles)
    rows = -(-len(images) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(columns * side * 1.1, rows * (side + 0.11 * lines)), squeeze=False, layout="constrained"
    )
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, title in zip(axes.flat, images, titles, strict=False):
        pixels = picture.array(Path(image)) if isinstance(image, (str, Path)) else image
        # Few pixels stay visible as pixels; many are averaged.
        axis.imshow(pixels, interpolation="nearest" if max(pixels.shape[:2]) <= 64 else "antialiased")
        axis.text(0.5, -0.04, title, transform=axis.transAxes, ha="center", va="top", fontsize=6)
    if number > len(images):
        figure.suptitle(f"{len(images)} of {number:,} images, evenly spread", fontsize=8)
    plt.close(figure)  # it is shown once, as the value of its cell
    return figure


def _spread(number: int) -> list[int]:
    """At most MOST of the first `number` whole numbers, evenly spread."""
    return list(range(number)) if number <= MOST else [k * number // MOST for k in range(MOST)]


def examples(folder: str | Path, per_class: int) -> list[dict]:
    """The first `per_class` metadata rows of each class of an image folder, class by class, each with its `path`."""
    folder = existing(folder, "image folder", "20_generate")
    rows: dict[int, list[dict]] = {}
    existing(folder / "metadata.jsonl", "metadata.jsonl", "20_generate")
    for row in image_rows.read(folder, "20_generate"):
        rows.setdefault(row["label"], []).append({**row, "path": folder / row["file_name"]})
    return [row for label in sorted(rows) for row in rows[label][:per_class]]
