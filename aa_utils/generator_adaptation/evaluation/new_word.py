"""What a guide makes of a new word, and what became of the old ones: measured where the new style can be rendered.

Three numbers, each of which alone can be fooled: `read`, the share of images in which pocket-reader reads the digit asked for; `wears`, the
share that is in the new style, by its pixels (`pocket.new_style.wears`): wanted under the new word, a leak under the old ones; `drift`,
the mean absolute difference of pixels (0..1) to what the untuned model drew for the same prompt from the same noise.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor, nn

from aa_utils.data.images import ImageSet
from aa_utils.errors import InputError
from aa_utils.paths import resolve
from aa_utils.pocket import new_style, reader
from aa_utils.reporting import layout, provenance, tables
from aa_utils.reporting.layout import Layout
from aa_utils.reporting.style import SPARE, caption, one_panel, styled, title

BEFORE, RENDERS = "before", "renders"
WITH, WITHOUT = "digits with pictures", "digits without"
COLUMNS = ["guide", "asked for", "images", "read", "wears", "drift"]


def template_names(drawn: ImageSet) -> np.ndarray:
    """The name of the template (n,) that each image was drawn from: its prompt's id is <template>-<label>."""
    return np.array([name.rsplit("/")[-1].rsplit("-", 2)[0] for name in drawn.names])


def table(
    drawn: dict[str, ImageSet],
    truth: tuple[np.ndarray, np.ndarray],
    word: str,
    known: Sequence[int],
    colours: dict[str, str],
    net: nn.Module,
) -> pd.DataFrame:
    """Columns COLUMNS. `drawn` holds images of the same prompts and noise by guide, BEFORE among them; `word` names the template with the
    new word, which is split into digits `known` from pictures and others.

    `truth` are fresh renders (n, 32, 32, 3) uint8 of the style and their digits (n,); `colours` its ink and paper; `net` is pocket-reader.
    Errors: InputError if the guides did not draw the same.
    """
    first, rows = drawn[BEFORE], []
    for guide, images in drawn.items():
        if images.names != first.names:
            raise InputError(f"'{guide}' did not draw what '{BEFORE}' did; draw the same prompts as often")
        change = (images.pixels.float() - first.pixels.float()).abs().flatten(1).mean(1).numpy() / 255
        groups = _groups(template_names(images), images.labels.numpy(), word, known)
        rows += _measured(guide, images.pixels.permute(0, 2, 3, 1), images.labels.numpy(), groups, colours, net, change)
    pixels, digits = truth
    groups = _groups(np.full(len(digits), word), digits, word, known)
    return pd.DataFrame([*rows, *_measured(RENDERS, pixels, digits, groups, colours, net, np.full(len(digits), np.nan))], columns=COLUMNS)


def _groups(names: np.ndarray, labels: np.ndarray, word: str, known: Sequence[int]) -> np.ndarray:
    split = np.where(np.isin(labels, known), f"{word}, {WITH}", f"{word}, {WITHOUT}")
    return np.where(names == word, split, names)


def _measured(
    guide: str,
    pixels: np.ndarray | Tensor,
    labels: np.ndarray,
    groups: np.ndarray,
    colours: dict[str, str],
    net: nn.Module,
    change: np.ndarray,
) -> list[tuple]:
    right, style = reader.read(net, pixels) == labels, new_style.wears(pixels, **colours)
    found = [(group, groups == group) for group in dict.fromkeys(groups)]
    return [(guide, group, int(k.sum()), float(right[k].mean()), float(style[k].mean()), float(change[k].mean())) for group, k in found]


def rows(drawn: dict[str, ImageSet], template: str, digits: Sequence[int]) -> list[tuple[str, list[np.ndarray]]]:
    """A row for each guide, as `sheets.sheet` takes them: its first image of each of `digits`, of that template."""
    found = []
    for guide, images in drawn.items():
        names, labels, pixels = template_names(images), images.labels.numpy(), images.pixels.permute(0, 2, 3, 1).numpy()
        places = [np.flatnonzero((names == template) & (labels == digit)) for digit in digits]
        if not all(map(len, places)):
            raise InputError(f"'{guide}' drew no image of each of {list(digits)} for '{template}'")
        found.append((guide, [pixels[place[0]] for place in places]))
    return found


def printed(frame: pd.DataFrame, style: str) -> Layout:
    """A frame of `table` as people read it: what is asked for, guide by guide; `style` is the name of the new style."""
    body = []
    for asked_for, group in frame.groupby("asked for", sort=False):
        for row in group.to_dict("records"):
            cells = [layout.percent(row[key]) if pd.notna(row[key]) else layout.DASH for key in ("read", "wears", "drift")]
            body.append([asked_for, row["guide"], f"{row['images']:,}", *cells])
    notes = ["Shares in per cent. Read: the digit asked for, by pocket-reader. Drift: mean absolute difference of pixels, in per cent of"]
    notes[0] += " their range, to what the untuned model draws from the same noise."
    notes.append(f"{style}: by its pixels; wanted under the new word, a leak under the others. '{RENDERS}': fresh renders of the style.")
    return Layout("A new word for a new style", ["asked for", "guide", "images", "read", style, "drift"], body, notes, "llrrrr")


def write(results: str | Path, name: str, frame: pd.DataFrame, style: str, about: dict, inputs: dict[str, str]) -> Layout:
    """Write a frame of `table` to `<results>/tables/<name>`, and its record (`about` it, made from `inputs`); returns the printed table."""
    measured = provenance.measurement(
        "dreambooth_guide", "notebooks/76_dreambooth_guide.ipynb", about, inputs, tables.rows(frame), __name__
    )
    provenance.write_copies(results, {name: measured})
    tables.write_csv(resolve(results) / "tables" / f"{name}.csv", frame.assign(run_id=measured["run_id"]))
    return layout.write(results, name, printed(frame, style))


def again(results: str | Path) -> None:
    """Print the tables of `write` in `results` again, each from its CSV."""
    for path in _tables(results):
        layout.write(results, path.stem, printed(_read(path), new_style.STYLE))


def untraced(results: str | Path) -> list[str]:
    """One sentence for each row of the tables of `write` in `results` that the record it names, in `runs/`, has not."""
    given = {(entry["run_id"], *map(str, row.values())) for entry in provenance.read_copies(results).values() for row in entry["metrics"]}
    return [
        f"{path.name}: {row['guide']}, {row['asked for']} does not follow from a record in runs/"
        for path in _tables(results)
        for run, row in zip(pd.read_csv(path)["run_id"], tables.rows(_read(path)), strict=True)
        if (run, *map(str, row.values())) not in given
    ]


def _tables(results: str | Path) -> list[Path]:
    found = sorted((resolve(results) / "tables").glob("*.csv"))
    return [path for path in found if {*COLUMNS, "run_id"} == set(pd.read_csv(path, nrows=0).columns)]


def _read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path)[COLUMNS]


@styled
def curves(histories: dict[str, pd.DataFrame]) -> Figure:
    """The loss on the few pictures (solid) and on the class pictures (dashed) of each fine-tuning against its steps."""
    figure, axes = one_panel(2.9)
    for (name, history), colour in zip(histories.items(), SPARE, strict=False):
        axes.plot(history["step"], history["pictures"], "o-", ms=3, color=colour, label=f"{name}: the few pictures")
        if "prior" in history:
            axes.plot(history["step"], history["prior"], "o--", ms=3, color=colour, label=f"{name}: class pictures")
    axes.set_xlabel("steps")
    axes.set_ylabel("loss")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=9)
    title(figure, "Fine-tuning: the error of the predicted noise")
    caption(figure, "Means over the steps between two points; times are drawn uniformly, so that they scatter.")
    return figure
