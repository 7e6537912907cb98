"""Sheets of images for results: what the generator drew, what the target looks like. Their CSV says which images they show."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from aa_utils import benchmarks, sources
from aa_utils.benchmarks import Target
from aa_utils.data import images as image_folders
from aa_utils.data import picture
from aa_utils.data import rows as image_rows
from aa_utils.errors import InputError
from aa_utils.paths import existing
from aa_utils.reporting import figures
from aa_utils.reporting.layout import printed
from aa_utils.reporting.style import WIDTH, literal, save, styled

OVERVIEW_WIDTH = 9.6  # inches: for the whole width of a README


def generated_by_prompt(folders: Sequence[str], folder: str | Path, classes: int = 3, columns: int = 10) -> Path:
    """Save the sheet `generated_by_prompt` to `folder`: for each image folder a row for each of `classes` classes (the first ones).

    A row's images are spread evenly over the prompts of its class. Nothing is picked by its looks. Returns the PNG's path.
    """
    rows, points = [], []
    for source in folders:
        root = existing(source, "image folder", "notebooks/20_generate.ipynb")
        by_class: dict[int, list[dict]] = {}
        existing(root / "metadata.jsonl", "list of images", "notebooks/20_generate.ipynb")
        for row in image_rows.read(root, "notebooks/20_generate.ipynb"):
            by_class.setdefault(row["label"], []).append(row)
        for label in sorted(by_class)[:classes]:
            drawn = by_class[label]
            shown = _spread(drawn, columns)
            prompts = list(dict.fromkeys(row["prompt"] for row in shown))
            more = f" and {len(prompts) - 1} other prompts" if len(prompts) > 1 else ""
            name = f"{root.name}: “{prompts[0]}”{more}"
            rows.append((name, [picture.array(root / row["file_name"]) for row in shown]))
            points += [
                {"title": root.name, "id": Path(row["file_name"]).stem, "prompt": row["prompt"], "sha256": row["sha256"]} for row in shown
            ]
    figure = sheet(rows, "What the generator drew", "Each row: images of one class, evenly spread over its prompts; none is picked.")
    return save(figure, "generated_by_prompt", folder, pd.DataFrame(points))


def target_samples(target: Target, folder: str | Path, columns: int = 12) -> Path:
    """Save the sheet `target_samples` to `folder`: the first `columns` images of each of the first ten classes. Returns the PNG's path."""
    rows, points = [], []
    for label, name in enumerate(target.class_names[:10]):
        index = (target.labels == label).nonzero()[:columns, 0].tolist()
        if index:
            rows.append((name, [target.images.pixels[i].permute(1, 2, 0).numpy() for i in index]))
            points += [{"title": name, "id": target.ids[i]} for i in index]
    figure = sheet(
        rows,
        f"{printed(target.name)}: the target",
        "The first images of each class; labels are shown here and used for scoring, never for training.",
    )
    return save(figure, "target_samples", folder, pd.DataFrame(points))


def by_domain(places: Mapping[str, str], folder: str | Path, size: int, per_class: int = 2, classes: int = 9) -> Path:
    """Save the sheet `by_domain` to `folder`: what the same classes look like in each of `places`, a row a place. Returns the PNG's path.

    A place is a folder of labelled images that this package wrote, or a benchmark ("office31:amazon"); `size`: pixels a side. `per_class`
    images of each of the first `classes` classes, evenly spread by name; none is picked. Errors: InputError for places of other classes.
    """
    names, rows, points = list[str](), [], []
    for title, place in places.items():
        shown = image_folders.load(place, size) if sources.is_written(place) else benchmarks.source(place, size)
        names = names or shown.class_names
        if shown.class_names != names:
            raise InputError(
                f"'{place}' has the classes {', '.join(shown.class_names)}, others than the first; a sheet compares the same ones"
            )
        index = []
        for label in range(min(classes, len(names))):
            of_class = (shown.labels == label).nonzero()[:, 0].tolist()
            index += _spread(sorted(of_class, key=shown.names.__getitem__), per_class)
        rows.append((title, [shown.pixels[i].permute(1, 2, 0).numpy() for i in index]))
        points += [{"title": title, "id": shown.names[i]} for i in index]
    said = f"From the left, {per_class} of each class, none picked: {', '.join(name.replace('_', ' ') for name in names[:classes])}."
    figure = sheet(rows, "What the classes look like in each domain", said)
    return save(figure, "by_domain", folder, pd.DataFrame(points))


@styled
def overview(source: str, target: Target, per_seed: pd.DataFrame, folder: str | Path) -> Path:
    """Save the figure `overview` to `folder`: images of `source`, images of the target, and beside them the accuracy by stage.

    The columns of images are the first ten classes; there are more rows where more methods beside them want the height. `per_seed`: a frame
    of `tables.per_seed`. Returns the PNG's path.
    """
    methods = per_seed[per_seed["system"] == "pipeline"].groupby(["prompts", "inter_domain"]).ngroups
    rows = max(4, -(-methods // 2))
    root = existing(source, "image folder", "notebooks/20_generate.ipynb")
    existing(root / "metadata.jsonl", "list of images", "notebooks/20_generate.ipynb")
    drawn = image_rows.read(root, "notebooks/20_generate.ipynb")
    classes = range(min(10, len(target.class_names)))
    synthetic = [_spread([row for row in drawn if row["class_name"] == target.class_names[k]], rows) for k in classes]
    real = [(target.labels == k).nonzero()[:rows, 0].tolist() for k in classes]
    figure = Figure(figsize=(OVERVIEW_WIDTH, rows))  # an inch a row is what two grids of images need
    pictures = [[picture.array(root / row["file_name"]) for row in column] for column in synthetic]
    _grid(figure, 0.87, "drawn by the generator: labelled, synthetic", pictures)
    pictures = [[target.images.pixels[i].permute(1, 2, 0).numpy() for i in column] for column in real]
    _grid(figure, 0.41, f"{printed(target.name)}: the target, without labels", pictures)
    axes = figure.add_axes((0.55, 0.17, 0.435, 0.63))
    handles = figures.stages_into(axes, per_seed)
    # Beside the title, or below the axes where it is too long for that.
    place = (
        {"loc": "upper right", "bbox_to_anchor": (0.995, 0.995)}
        if len(handles) < 3
        else {"loc": "lower right", "bbox_to_anchor": (0.995, -0.08 / rows)}
    )
    figure.legend(handles=handles, handletextpad=0.3, columnspacing=1.2, ncols=len(handles), fontsize=9, **place)
    figure.text(0.425, 0.95, "accuracy by stage", fontsize=10.5, fontweight="bold", va="center")
    figure.text(0.425, 0.895, f"mean ± sd, {figures.seed_count(per_seed)}", fontsize=8.5, color="#555555")
    points = [{"title": "source", "id": Path(row["file_name"]).stem} for column in synthetic for row in column]
    points += [{"title": "target", "id": target.ids[i]} for column in real for i in column]
    return save(figure, "overview", folder, pd.DataFrame(points))


def _grid(figure: Figure, top: float, heading: str, columns: list[list[np.ndarray]]) -> None:
    """Images in columns at the left of an overview, below a heading; `top` is a fraction of the figure's height."""
    width, height = figure.get_size_inches()
    side = 0.37
    figure.text(0.012, top + 0.03, literal(heading), fontsize=10.5, fontweight="bold", va="bottom")
    for x, column in enumerate(columns):
        for y, image in enumerate(column):
            box = (0.012 + x * side / width, top - (y + 1) * side / height, (side - 0.02) / width, (side - 0.02) / height)
            _show(figure, box, image)


def _show(figure: Figure, box: tuple[float, float, float, float], image: np.ndarray) -> None:
    axes = figure.add_axes(box)
    # Few pixels stay visible as pixels; many are averaged.
    axes.imshow(image, interpolation="nearest" if max(image.shape[:2]) <= 64 else "antialiased", aspect="auto")
    axes.set_axis_off()


def _spread(items: list, count: int) -> list:
    """At most `count` of `items`, evenly spread."""
    return [items[i] for i in np.unique(np.linspace(0, len(items) - 1, count).round().astype(int))] if items else []


@styled
def sheet(rows: Sequence[tuple[str, Sequence[np.ndarray]]], title: str, caption: str = "") -> Figure:
    """Rows of images under readable titles at their left; `rows` holds (title, images uint8 (S, S, 3)).

    Errors: InputError for no rows or a row without images.
    """
    if not rows or any(len(images) == 0 for _, images in rows):
        raise InputError("a sheet needs at least one row, and every row an image")
    columns, gap = max(len(images) for _, images in rows), 0.06
    wrapped = [[literal(line) for line in textwrap.wrap(name, 30)] or [""] for name, _ in rows]
    left = 0.3 + 0.07 * max(len(line) for lines in wrapped for line in lines)  # inches for the titles
    cell = (WIDTH - left - 0.1) / columns
    heights = [max(cell, 0.165 * len(lines)) + gap for lines in wrapped]
    heading = [literal(line) for line in textwrap.wrap(title, 70)]
    top, bottom = 0.22 + 0.2 * len(heading), 0.34 if caption else 0.08
    height = sum(heights) + top + bottom
    figure = Figure(figsize=(WIDTH, height))
    y = height - top
    for lines, (_, images), room in zip(wrapped, rows, heights, strict=True):
        middle = y - (room - gap) / 2
        figure.text((left - 0.12) / WIDTH, middle / height, "\n".join(lines), ha="right", va="center", fontsize=9, linespacing=1.15)
        for number, image in enumerate(images):
            box = ((left + number * cell) / WIDTH, (middle - cell / 2) / height, (cell - 0.03) / WIDTH, (cell - 0.03) / height)
            _show(figure, box, image)
        y -= room
    figure.text(0.01, 1 - (top / 2 - 0.01) / height, "\n".join(heading), fontsize=12, fontweight="bold", va="center")
    if caption:
        figure.text(0.01, 0.14 / height, caption, fontsize=8.5, color="#555555", va="center")
    return figure
