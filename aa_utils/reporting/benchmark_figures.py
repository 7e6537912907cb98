"""Figures of the paper-scale benchmarks: synthetic against real sources on each target, and accuracy by class.

Points are the kit's own rows of a frame of `task_tables.over_seeds`; published numbers stay in the tables, whose protocols differ.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from aa_utils.reporting.layout import rank
from aa_utils.reporting.style import WIDTH, caption, legend_below, styled, title
from aa_utils.reporting.task_tables import NONE, OURS, REAL, SYNTHETIC, place

REAL_STYLE, SYNTHETIC_STYLES = ("#d55e00", "o"), (("#0072b2", "D"), ("#009e73", "s"), ("#7f5fc0", "^"), ("#56b4e9", "v"))
CLIP = "#b07800"
PANELS = 3  # side by side


def kind(labelled: str) -> str:
    """The kind of a labelled source as tables name it: SYNTHETIC, REAL, or what took none."""
    return next((known for known in (SYNTHETIC, REAL) if labelled.startswith(known)), NONE)


@styled
def by_target(points: pd.DataFrame) -> Figure:
    """A panel a target, a line a method: from synthetic images, and from real ones (mean over sources).

    Dashed lines took no labelled source. `points`: the kit's rows of `task_tables.by_target`.
    """
    points = points[points["origin"] == OURS]
    taught = points["labelled"].str.startswith((SYNTHETIC, REAL))
    trained, named = points[taught], points[~taught]
    references = dict(zip(sorted(set(named["method"])), (CLIP, "#000000", *["#6e6e6e"] * len(named)), strict=False))
    lines, looks = _lines(trained), _looks(trained)
    several = len({network for _, network in lines}) > 1
    columns = list(dict.fromkeys(points["column"]))
    wide = min(len(columns), PANELS)
    high = -(-len(columns) // wide)
    figure = Figure(figsize=(WIDTH, 1.4 + high * (0.6 + 0.36 * len(lines))), layout="constrained")
    panels = figure.subplots(high, wide, sharex=True, sharey=True, squeeze=False).flatten()
    for empty in panels[len(columns) :]:
        empty.remove()
    for axes, column in zip(panels, columns, strict=False):
        for row in named[named["column"] == column].itertuples():
            axes.axvline(100 * row.mean, color=references[row.method], lw=1.5, ls=(0, (4, 2)), zorder=1)
        for row in trained[trained["column"] == column].itertuples():
            colour, marker, rise = looks[row.labelled]
            y, sd = rise - lines.index((row.method, row.network)), 0 if pd.isna(row.sd) else 100 * row.sd
            axes.errorbar(100 * row.mean, y, xerr=sd, fmt=marker, color=colour, ms=6, capsize=2, elinewidth=1.2)
        axes.set_title(column)
        axes.grid(axis="y", visible=False)
        axes.tick_params(labelbottom=True, labelsize=8)
    panels[0].set_yticks([-i for i in range(len(lines))], [_named(*line) if several else line[0] for line in lines])
    handles = [panels[0].plot([], [], marker, color=colour, label=name)[0] for name, (colour, marker, _) in looks.items()]
    handles += [panels[0].plot([], [], color=colour, ls=(0, (4, 2)), label=name)[0] for name, colour in references.items()]
    lines_of_legend = legend_below(figure, handles)
    synthetic = trained["labelled"].str.startswith(SYNTHETIC).any()
    title(figure, "Synthetic against real sources" if synthetic else "Accuracy from real sources, by target")
    text = f"Accuracy in per cent; bars: standard deviation over seeds, n = {_seeds(points)}. Real: mean over the other domains."
    text += "" if several or not lines else f" Network: {lines[0][1].partition('.')[0]}."
    caption(figure, text, lines_below=1 + lines_of_legend)
    return figure


@styled
def by_class(points: pd.DataFrame) -> Figure:
    """A row a labelled source, method and network, a column a class: accuracy in per cent, darker is higher.

    `points`: the kit's rows of `task_tables.over_seeds`, columns the classes and their mean.
    """
    points = points[points["origin"] == OURS]
    columns = list(dict.fromkeys(points["column"]))
    kinds = [NONE, SYNTHETIC, REAL]
    found = set(points[["labelled", "method", "network"]].itertuples(index=False, name=None))
    rows = sorted(found, key=lambda row: (kinds.index(kind(row[0])), row[0], _order(*row[1:])))
    names = [("" if kind(source) == NONE else f"{kind(source)}: ") + _named(method, network) for source, method, network in rows]
    figure = Figure(figsize=(WIDTH, 1.6 + 0.36 * len(rows)), layout="constrained")
    axes = figure.subplots()
    values = np.full((len(rows), len(columns)), np.nan)
    for point in points.itertuples():
        values[rows.index((point.labelled, point.method, point.network)), columns.index(point.column)] = 100 * point.mean
    axes.imshow(values, cmap="Blues", vmin=0, vmax=130, aspect="auto")  # beyond 100, so that the darkest blue still carries black digits
    for (i, j), value in np.ndenumerate(values):
        if value == value:
            axes.text(j, i, f"{value:.0f}", ha="center", va="center", fontsize=7.5)
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right", fontsize=8)
    axes.set_yticks(range(len(rows)), names, fontsize=8)
    axes.grid(visible=False)
    title(figure, "Accuracy by class")
    caption(figure, f"Per cent, mean over seeds, n = {_seeds(points)}, last step.")
    return figure


def _named(method: str, network: str) -> str:
    """Method and network in two lines, without timm's tag of the weights."""
    return f"{method}\n{network.partition('.')[0]}"


def _lines(points: pd.DataFrame) -> list[tuple[str, str]]:
    """(method, network), in the papers' order."""
    return sorted(set(points[["method", "network"]].itertuples(index=False, name=None)), key=lambda line: _order(*line))


def _looks(points: pd.DataFrame) -> dict[str, tuple[str, str, float]]:
    """labelled source -> colour, marker, and how far above its line it stands, so that equal numbers do not hide each other."""
    names = sorted(set(points["labelled"]), key=lambda name: (name.startswith(REAL), name))
    styles = iter(SYNTHETIC_STYLES * len(names))
    rises = np.linspace(0.14, -0.14, len(names)) if len(names) > 1 else [0.0]
    return {name: (*(REAL_STYLE if name.startswith(REAL) else next(styles)), rise) for name, rise in zip(names, rises, strict=True)}


def _order(method: str, network: str) -> tuple:
    first, _, refinement = method.partition(" + ")
    return network, place(first), rank(refinement.lower()) if refinement else (-1, ""), method


def _seeds(points: pd.DataFrame) -> str:
    sizes = sorted({int(n) for n in points.loc[points["labelled"] != NONE, "n"]}) or [0]
    return " to ".join(map(str, dict.fromkeys([sizes[0], sizes[-1]])))
