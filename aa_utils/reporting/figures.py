"""The figures of the tables. Each is drawn from the CSV of its points alone, so `redraw` makes it again without a model or a run."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aa_utils.errors import InputError
from aa_utils.paths import resolve
from aa_utils.reporting import (
    ablation_figures,
    benchmark_figures,
    discarding,
    diversity_tables,
    estimate_figures,
    generators,
    hard_shift_tables,
    image_sets,
    sampling,
    source_figures,
    stop_signs,
    tables,
)
from aa_utils.reporting.confusion_figure import confusion
from aa_utils.reporting.curve_figures import number_of_images, seed_count
from aa_utils.reporting.layout import ordered, printed, refined
from aa_utils.reporting.style import WIDTH, caption, colour, literal, marker, one_panel, readable, save, short_name, styled, title
from aa_utils.reporting.tables import NO_REFINEMENT

# Ten classes by colour (Okabe and Ito's and three more); the class's name stands at its cluster too.
CLASS_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#000000", "#8a8a00", "#7f5fc0", "#8c564b")


def draw(name: str, points: pd.DataFrame, folder: str | Path) -> Path:
    """Draw the figure `name` (a key of DRAWN) from `points` as their CSV holds them, save it in `folder`; returns the PNG's path."""
    path = resolve(folder) / f"{name}.csv"
    tables.write_csv(path, points)
    return redraw(path)


def redraw(path: str | Path) -> Path:
    """Draw a figure again from its CSV (`accuracy_by_stage.csv` is drawn by `accuracy_by_stage`), save it beside; returns the PNG's path.

    Errors: InputError for a file that no function draws, such as the CSV of a sheet of images.
    """
    path = resolve(path)
    if path.stem not in DRAWN:
        raise InputError(f"no figure is drawn from '{path.name}' alone; those that are: {', '.join(DRAWN)}")
    points = tables.read_csv(path)
    return save(DRAWN[path.stem](points), path.stem, path.parent, points)


@styled
def accuracy_by_stage(points: pd.DataFrame) -> Figure:
    """What each stage brings: a row per prompts and inter-domain method, from before to after refinement; vertical lines are references.

    `points`: a per-seed table (`tables.per_seed`). Markers are means, bars standard deviations over seeds.
    """
    pipeline = points[points["system"] == "pipeline"]
    rows = len(pipeline.groupby(["prompts", "inter_domain"]))
    figure, axes = one_panel(height=1.75 + 0.44 * rows + 0.25 * pipeline["prompts"].nunique())
    handles = stages_into(axes, points)
    beside_title = len(handles) < 3  # or else in a line of its own below the caption
    loc = "outside upper right" if beside_title else "outside lower right"
    figure.legend(handles=handles, loc=loc, ncols=len(handles), fontsize=9.5, handletextpad=0.3, columnspacing=1.2)
    title(figure, f"{printed(points['benchmark'].iloc[0])}: accuracy by stage")
    caption(figure, f"Mean and standard deviation over {seed_count(points)}.", lines_below=0 if beside_title else 2)
    return figure


def stages_into(axes: Axes, points: pd.DataFrame) -> list[Artist]:
    """Draw the panel of `accuracy_by_stage` into `axes`; returns the handles of its legend."""
    pipeline = points[points["system"] == "pipeline"]
    stages, ticks, y = ordered(pipeline["intra_domain"]), {}, 0.0
    for p in ordered(pipeline["prompts"]):
        _heading(axes, f"{p} prompts", y + 0.5)
        for method in ordered(_at(pipeline, prompts=p)["inter_domain"]):
            _stages_of(axes, y, method, [(s, _at(pipeline, prompts=p, inter_domain=method, intra_domain=s)["accuracy"]) for s in stages])
            ticks[y] = printed(method)
            y -= 1
        y -= 0.45
    axes.set_yticks(list(ticks), list(ticks.values()))
    axes.set_ylim(min(ticks) - 0.6, 0.95)
    axes.grid(axis="y", visible=False)
    _reference_lines(axes, points)
    axes.set_xlabel("accuracy on the target, per cent")
    low, high = axes.get_xlim()
    axes.set_xlim(low - 0.1 * (high - low), high + 0.1 * (high - low))  # room for the figures at both ends
    axes.set_xticks([tick for tick in axes.get_xticks() if axes.get_xlim()[0] <= tick <= 100])
    look = {"ls": "", "ms": 8, "mec": "#444444", "mew": 1.8}
    return [axes.plot([], [], marker(s), mfc="white" if s == NO_REFINEMENT else "#444444", label=refined(s), **look)[0] for s in stages]


@styled
def embedding(points: pd.DataFrame) -> Figure:
    """Features in the plane, a panel a stage: synthetic source (rings) and target (dots), coloured by class; the first ten classes.

    `points`: a row an image: stage, domain ("source" or "target"), class_name, x, y, caption (`embedding.plane` makes them).
    """
    stages = list(dict.fromkeys(points["stage"]))
    names = list(dict.fromkeys(points["class_name"]))[: len(CLASS_COLOURS)]
    figure = Figure(figsize=(WIDTH, WIDTH / len(stages) + 1.35), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(stages)))
    for axes, name in zip(panels, stages, strict=True):
        here = _at(points, stage=name)
        for hue, label in zip(CLASS_COLOURS, names, strict=False):
            source, target = _at(here, domain="source", class_name=label), _at(here, domain="target", class_name=label)
            axes.scatter(source["x"], source["y"], s=24, marker="o", facecolors="none", edgecolors=hue, lw=0.9, alpha=0.55)
            axes.scatter(target["x"], target["y"], s=28, marker=".", color=hue, lw=0, alpha=0.85)
        for label in names:
            target = _at(here, domain="target", class_name=label)
            if len(target):
                readable(
                    axes.text(target["x"].median(), target["y"].median(), _name(label, names), ha="center", va="center", weight="bold")
                )
        axes.set_title(literal(name))
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(True)
    look = {"ls": "", "marker": "o", "mec": "#444444", "mew": 1}
    handles = [panels[0].plot([], [], mfc="none", ms=6, label="synthetic source", **look)[0]]
    handles += [panels[0].plot([], [], mfc="#444444", ms=3.5, label="target", **look)[0]]
    figure.legend(handles=handles, loc="outside upper right", ncols=2, fontsize=9.5, handletextpad=0.2, columnspacing=1.2)
    title(figure, "Features of both domains")
    caption(figure, points["caption"].iloc[0])
    return figure


def _heading(axes: Axes, text: str, y: float) -> None:
    """A bold line among the labels of the vertical axis."""
    place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "ha": "right", "va": "center"}
    axes.annotate(literal(text), (0, y), (-6, 0), weight="bold", **place)


def _stages_of(axes: Axes, y: float, method: str, stages: list[tuple[str, pd.Series]]) -> None:
    """One row of `accuracy_by_stage`: a marker with its bar for each refinement, joined to the first, the extremes in figures."""
    means = [(s, 100 * a.mean(), 100 * a.std(ddof=1) if len(a) > 1 else 0.0) for s, a in stages if len(a)]
    # Several refinements of one method stand a little apart.
    shifts = [0.0, *(np.linspace(0.18, -0.18, len(means) - 1) if len(means) > 2 else [0.0] * (len(means) - 1))]
    for (s, mean, sd), shift in zip(means, shifts, strict=True):
        axes.plot([means[0][1], mean], [y, y + shift], color=colour(method), lw=1.6, alpha=0.45, zorder=2)
        look = {"mfc": "white" if s == NO_REFINEMENT else colour(method), "mec": colour(method), "ecolor": colour(method)}
        axes.errorbar(mean, y + shift, xerr=sd, fmt=marker(s), ms=8, mew=1.8, elinewidth=1.4, capsize=3, zorder=3, **look)
    look = {"textcoords": "offset points", "va": "center"}
    readable(axes.annotate(f"{max(mean for _, mean, _ in means):.1f}", (max(mean + sd for _, mean, sd in means), y), (9, 0), **look))
    if len(means) > 1:
        left = min(mean - sd for _, mean, sd in means), y
        readable(axes.annotate(f"{min(mean for _, mean, _ in means):.1f}", left, (-9, 0), ha="right", **look))


def _reference_lines(axes: Axes, points: pd.DataFrame) -> None:
    """Vertical lines, each named at its top; a name that would run into the one before stands a line higher."""
    low, high = axes.get_xlim()
    before, rise = -np.inf, 0
    means = 100 * points[points["system"] != "pipeline"].groupby("system")["accuracy"].mean().sort_values()
    for system, mean in means.items():
        side = "left" if mean < (low + high) / 2 else "right"
        close = mean - before < 0.6 * (high - low) and side == "right"
        rise = 13 if close and not rise else 0
        axes.axvline(mean, color=colour(system), lw=1.5, ls=(0, (4, 2)), zorder=1)
        place = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "ha": side, "va": "bottom"}
        axes.annotate(f"{printed(system)} {mean:.1f}", (mean, 1), (0, 3 + rise), fontsize=9, color=colour(system), **place)
        before = mean


def _at(frame: pd.DataFrame, **wanted: str) -> pd.DataFrame:
    for name, value in wanted.items():
        frame = frame[frame[name] == value]
    return frame


def _name(label: str, names: Sequence[str]) -> str:
    """The last word of a class name, where that is enough ("three" of "digit three")."""
    last = [name.split()[-1] for name in names]
    return short_name(label.split()[-1] if len(set(last)) == len(names) else label)


DRAWN: dict[str, Callable[[pd.DataFrame], Figure]] = {
    "accuracy_by_stage": accuracy_by_stage,
    "number_of_images": number_of_images,
    "confusion": confusion,
    "embedding": embedding,
    "estimates": estimate_figures.estimates,
    "by_target": benchmark_figures.by_target,
    "by_class": benchmark_figures.by_class,
    "by_source": source_figures.by_source,
    **ablation_figures.DRAWN,
    **sampling.DRAWN,
    **discarding.DRAWN,
    **generators.DRAWN,
    **image_sets.DRAWN,
    **stop_signs.DRAWN,
    **diversity_tables.DRAWN,
    **hard_shift_tables.DRAWN,
}
