"""Which classes are taken for which: counts of true against predicted classes. Of many classes the part that is confused most.

A figure of the house's width has room for the names of LEGIBLE classes. Of more it shows PART, says so, and shades them as if all were
there: by the share of all images of the true class.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from aa_utils.reporting.style import caption, one_panel, short_name, styled, title

LEGIBLE = 80  # classes whose names can be read, side by side
PART = 40  # of more classes so many are shown
COUNTS = 20  # classes up to which the counts stand in the cells


def cells(counts: np.ndarray) -> list[tuple[int, int, int]]:
    """(true, predicted, count) of counts (K, K): all cells of at most LEGIBLE classes; of more those that hold images, and the diagonal.

    So the table of many classes grows with the images, not with the square of the classes.
    """
    k = len(counts)
    chosen = np.ones((k, k), dtype=bool) if k <= LEGIBLE else (counts > 0) | np.eye(k, dtype=bool)
    return [(int(i), int(j), int(counts[i, j])) for i, j in zip(*np.nonzero(chosen), strict=True)]


@styled
def confusion(points: pd.DataFrame) -> Figure:
    """Counts of true against predicted classes, shaded by the share of the true class; beyond COUNTS classes without the counts.

    `points`: a row a cell: true, predicted (positions), true_name, predicted_name, count, caption; a class has its diagonal at least.
    """
    classes = points.drop_duplicates("true").sort_values("true").set_index("true")["true_name"]
    shown = _most_confused(points, classes.index)
    k, places = len(shown), {label: place for place, label in enumerate(shown)}
    here = points[points["true"].isin(places) & points["predicted"].isin(places)]
    counts = np.zeros((k, k), dtype=int)
    counts[here["true"].map(places), here["predicted"].map(places)] = here["count"]
    totals = points.groupby("true")["count"].sum()
    share = counts / np.maximum(totals[shown].to_numpy()[:, None], 1)
    names = [short_name(name) for name in classes[shown]]
    figure, axes = one_panel(height=min(max(4.6, 0.46 * k + 1.8), 9.0) + 0.3)
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.grid(visible=False)
    small = max(4.5, min(9.5, 190 / k))
    axes.set_xticks(range(k), names, rotation=45, ha="right", rotation_mode="anchor", fontsize=small)
    axes.set_yticks(range(k), names, fontsize=small)
    for i, j in zip(*np.nonzero(counts), strict=True) if k <= COUNTS else ():
        look = {"weight": "bold" if i == j else "normal", "color": "white" if share[i, j] > 0.55 else "#222222"}
        axes.text(j, i, counts[i, j], ha="center", va="center", fontsize=small, **look)
    axes.set(xlabel="predicted class", ylabel="true class")
    bar = figure.colorbar(image, ax=axes, shrink=0.8, pad=0.02)
    bar.set_label("share of the true class")
    bar.outline.set_visible(False)
    right, total = int(points.loc[points["true"] == points["predicted"], "count"].sum()), int(totals.sum())
    title(figure, f"Which classes are confused: {100 * right / total:.1f} % right")
    said = f"{points['caption'].iloc[0]}; {right:,} of {total:,} target images right."
    if k < len(classes):
        seen = int(counts.sum() - np.trace(counts))
        said += f" Shown are {k} of {len(classes):,} classes, those of the commonest mistakes: {seen:,} of {total - right:,} mistakes."
    caption(figure, said)
    return figure


def _most_confused(points: pd.DataFrame, classes: Sequence[int]) -> list[int]:
    """The classes to show, in their order: all of at most LEGIBLE, else PART: those of the largest cells off the diagonal."""
    if len(classes) <= LEGIBLE:
        return list(classes)
    wrong = points[(points["true"] != points["predicted"]) & (points["count"] > 0)]
    pairs = wrong.sort_values("count", ascending=False, kind="stable")[["true", "predicted"]]
    # The first classes fill up where there are few mistakes.
    return sorted(list(dict.fromkeys([*pairs.head(PART).to_numpy().ravel().tolist(), *classes[:PART]]))[:PART])
