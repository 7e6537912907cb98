"""Estimates of accuracy against the true one, a panel an estimator: which of them ranks runs, and which tells the number."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aa_utils.evaluation import without_labels
from aa_utils.reporting import tables
from aa_utils.reporting.estimate_runs import spearman
from aa_utils.reporting.layout import ordered, printed, refined
from aa_utils.reporting.style import WIDTH, caption, colour, legend_below, marker, save, styled, title
from aa_utils.reporting.tables import NO_REFINEMENT

COLUMNS = ["benchmark", "estimator", "prompts", "inter_domain", "intra_domain", "images", "run", "seed", "x", "y"]
PANELS = 4  # in a row
SHORT = {"difference of confidences": "difference of conf.", "neighbourhood density": "neighbourhood d."}  # where a panel's width ends


def points(frame: pd.DataFrame) -> pd.DataFrame:
    """Points of `estimates` from a table of `estimate_runs.per_seed`: a row an estimator, run and seed; x the estimate, y the accuracy."""
    parts = [
        frame.assign(estimator=name, x=frame[name], y=frame["accuracy"]) for name in [*without_labels.SCORES, *without_labels.ACCURACIES]
    ]
    joined = pd.concat(parts, ignore_index=True)[COLUMNS]
    return tables.rounded(joined[joined["x"].notna()].reset_index(drop=True))


def draw(frame: pd.DataFrame, folder: str | Path) -> Path:
    """Draw `estimates` from a table of `estimate_runs.per_seed`, save it in `folder`; returns the PNG's path."""
    made = points(frame)
    return save(estimates(made), "estimates", folder, made)


@styled
def estimates(points: pd.DataFrame) -> Figure:
    """Small multiples: the true accuracy against each estimate, a marker a run and seed; on the line the estimate is right.

    Upper row: scores, which rank and no more. Lower row: estimates of accuracy. Below each Spearman's rank correlation, and for
    estimates of accuracy the mean error in points. `points`: of the function of that name.
    """
    figure = Figure(figsize=(WIDTH, 6.0), layout="constrained")
    names = [*without_labels.SCORES, *without_labels.ACCURACIES]
    panels = figure.subplots(len(names) // PANELS, PANELS, sharey=True).flat
    span = 100 * points["y"].min() - 4, 100 * points["y"].max() + 4
    for axes, name in zip(panels, names, strict=True):
        _panel(axes, name, points[points["estimator"] == name], span)
    axes = figure.axes[0]
    handles = _legend(axes, points)
    rows = legend_below(figure, handles)
    figure.supylabel("true accuracy on the target, per cent", fontsize=10)
    target = points["benchmark"].iloc[0].partition("[")[0]  # a choice of classes is long
    title(figure, f"{printed(target)}: accuracy without labels")
    runs, each = points["run"].nunique(), points.groupby("run")["seed"].nunique()
    low, high = int(each.min()), int(each.max())
    n = f"n = {low if low == high else f'{low} to {high}'} seed{'s' * (high > 1)}"
    said = f"A marker for each of {runs} runs and its seeds ({n}). Upper row: scores; lower row: estimates in per cent, right on the line."
    caption(figure, f"{said} r: Spearman's rank correlation; e: mean error in points.", lines_below=1 + rows + rows // 3)
    return figure


def _panel(axes: Axes, name: str, here: pd.DataFrame, span: tuple[float, float]) -> None:
    scale = 100 if name in without_labels.ACCURACIES else 1
    for (method, refinement), group in here.groupby(["inter_domain", "intra_domain"]):
        look = {"mfc": "white" if refinement == NO_REFINEMENT else colour(method), "mec": colour(method), "mew": 1.1, "ms": 4.5}
        axes.plot(scale * group["x"], 100 * group["y"], ls="", marker=marker(refinement), alpha=0.8, **look)
    said = {**without_labels.SCORES, **without_labels.ACCURACIES}[name]
    axes.set_title(SHORT.get(said, said), fontsize=9)
    axes.set_ylim(*span)
    axes.tick_params(labelsize=8)
    axes.margins(x=0.12)
    axes.locator_params(axis="x", nbins=3)
    rank = spearman(here["x"], here["y"])
    noted = ["too few runs" if np.isnan(rank) else f"r = {rank:.2f}"]
    if name in without_labels.ACCURACIES and len(here):
        low, high = axes.get_xlim()
        low, high = min(low, span[0]), min(max(high, span[1]), 104)
        axes.plot([0, 100], [0, 100], color="#999999", lw=1, ls=(0, (4, 2)), zorder=1)
        axes.set_xlim(low, high)
        noted.append(f"e = {100 * (here['x'] - here['y']).abs().mean():.1f}")
    axes.set_xlabel(", ".join(noted), fontsize=8.5)
    if here.empty:
        axes.set_xticks([])


def _legend(axes: Axes, points: pd.DataFrame) -> list[Artist]:
    """Handles: a colour an inter-domain method, a marker a refinement."""
    look = {"ls": "", "ms": 7, "mew": 1.4}
    methods = [axes.plot([], [], "o", mfc=colour(m), mec=colour(m), label=printed(m), **look)[0] for m in ordered(points["inter_domain"])]
    stages = ordered(points["intra_domain"])
    fill = {s: "white" if s == NO_REFINEMENT else "#444444" for s in stages}
    return methods + [axes.plot([], [], marker(s), mfc=fill[s], mec="#444444", label=refined(s), **look)[0] for s in stages]
