"""One figure that compares sources: which labelled source teaches which method best, beside what needs none and the supervised line."""

import re

import pandas as pd
from matplotlib.figure import Figure

from aa_utils.reporting.style import WIDTH, caption, legend_below, styled, title
from aa_utils.reporting.task_tables import REAL

PANELS = 3  # side by side
DRAW = re.compile(r"(, [\d,]+ a class)+$")
SYNTHETIC_COLOURS = ("#0072b2", "#56b4e9", "#009e73", "#7f5fc0")
REAL_COLOURS = ("#d55e00", "#e69f00", "#cc79a7", "#8c564b")
LINES = {"supervised": "#000000", "best published": "#6e6e6e"}  # by how a line's name begins
CLASS_NAMES = "#b07800"  # of a line that took class names alone


@styled
def by_source(points: pd.DataFrame) -> Figure:
    """A panel a target and network, a row a method, a mark a labelled source: mean and standard deviation over seeds.

    Triangles are draws of some images a class from the source of the same colour. Vertical lines are what took no labelled source: class
    names alone, or the target's own labels. `points`: `source_tables.points`.
    """
    import seaborn as sns

    points = points.assign(accuracy=100 * points["accuracy"])
    shown, lines = points[points["reference"] == ""].copy(), points[points["reference"] != ""].copy()
    networks = sorted({panel.partition("\n")[2] for panel in points["panel"]})
    if len(networks) == 1:  # said once, below
        for frame in (points, shown, lines):
            frame["panel"] = frame["panel"].str.split("\n").str[0]
    panels = list(dict.fromkeys(points["panel"]))
    sources = sorted(set(shown["labelled"]), key=lambda name: (name.startswith(REAL), name))
    methods = {panel: list(dict.fromkeys(shown.loc[shown["panel"] == panel, "method"])) for panel in panels}
    alike = len(set(map(tuple, methods.values()))) == 1
    wide = min(len(panels), PANELS)
    high = -(-len(panels) // wide)
    rows = max(max(len(names) for names in methods.values()), 1)
    inches = 2.4 + 2.1 * wide if alike else 4.2 * wide
    figure = Figure(figsize=(max(WIDTH, inches), 2.4 + high * (0.7 + 0.38 * rows)), layout="constrained")
    grid = figure.subplots(high, wide, squeeze=False, sharex=True, sharey="row" if alike else False).flatten()
    for empty in grid[len(panels) :]:
        empty.remove()
    colours, names = _colours(sources), sorted(set(lines["reference"]))
    for axes, panel in zip(grid, panels, strict=False):
        here = shown[shown["panel"] == panel]
        if len(here):
            look = {"linestyle": "none", "markersize": 5, "capsize": 0.12, "err_kws": {"linewidth": 1.2}}
            look |= {"order": methods[panel], "hue_order": sources, "palette": colours, "dodge": 0.5 if len(sources) > 1 else False}
            markers = [_marker(name) for name in sources]
            sns.pointplot(here, x="accuracy", y="method", hue="labelled", errorbar="sd", ax=axes, legend=False, markers=markers, **look)
        for name, group in lines[lines["panel"] == panel].groupby("reference", sort=False):
            axes.axvline(group["accuracy"].mean(), color=_line(name), lw=1.4, ls=(0, (4, 2)), zorder=1)
        axes.set_title(panel, fontsize=10)
        axes.set_xlabel("")
        axes.set_ylabel("")
        axes.grid(axis="y", visible=False)
        axes.tick_params(labelsize=8.5, labelbottom=True)
    handles = [grid[0].plot([], [], _marker(name), color=colours[name], label=name)[0] for name in sources]
    handles += [grid[0].plot([], [], color=_line(name), ls=(0, (4, 2)), label=name)[0] for name in names]
    lines_of_legend = legend_below(figure, handles)
    title(figure, "Which source teaches what")
    seeds = shown.groupby(["panel", "labelled", "method"])["seed"].nunique() if len(shown) else pd.Series([0])
    said = " to ".join(map(str, dict.fromkeys([int(seeds.min()), int(seeds.max())])))
    text = f"Accuracy in per cent; marks and bars: mean and standard deviation over seeds, n = {said}."
    text += f" A panel a target. Network: {networks[0]}." if networks[0] and len(networks) == 1 else ""
    caption(figure, text, lines_below=2 + lines_of_legend)
    return figure


def _line(name: str) -> str:
    return next((colour for begin, colour in LINES.items() if name.startswith(begin)), CLASS_NAMES)


def _colours(sources: list[str]) -> dict[str, str]:
    """labelled source -> colour: cold for synthetic images, warm for real ones; a draw of a source has its colour."""
    whole = list(dict.fromkeys(map(_whole, sources)))
    cold, warm = iter(SYNTHETIC_COLOURS * len(whole)), iter(REAL_COLOURS * len(whole))
    colours = {name: next(warm if name.startswith(REAL) else cold) for name in whole}
    return {name: colours[_whole(name)] for name in sources}


def _whole(source: str) -> str:
    """The source that a draw of some images a class was taken from."""
    return DRAW.sub("", source)


def _marker(source: str) -> str:
    return "o" if source == _whole(source) else "^"
