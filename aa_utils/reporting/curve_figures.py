"""The curve over the number of images; of several stages, with a fit to each, and where returns diminish."""

import itertools

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aa_utils.reporting import saturation
from aa_utils.reporting.layout import printed
from aa_utils.reporting.style import caption, colour, marker, one_panel, readable, styled, title
from aa_utils.reporting.tables import NO_REFINEMENT


@styled
def number_of_images(points: pd.DataFrame) -> Figure:
    """Accuracy against the number of synthetic images, log scale: a line per prompts and methods, a band of one standard deviation.

    `points`: a per-seed table whose `images` differ; with the columns of `drawn_images.joined` also fits and knees.
    """
    if "seconds_per_image" in points:
        return stages_by_images(points)
    pipeline = points[points["system"] == "pipeline"]
    figure, axes = one_panel(height=4.0)
    keys = sorted(set(pipeline[saturation.SERIES].itertuples(index=False, name=None)))
    for p, method, refinement in keys:
        group = pipeline[(pipeline[saturation.SERIES] == [p, method, refinement]).all(axis=1)]
        by_count = 100 * group.groupby("images")["accuracy"].agg(["mean", "std"])
        mean, sd = by_count["mean"], by_count["std"].fillna(0)
        dash = ("-", "--", ":", "-.")[[key for key in keys if key[1] == method].index((p, method, refinement)) % 4]
        name = " + ".join([p, printed(method), *([printed(refinement)] if refinement != NO_REFINEMENT else [])])
        axes.fill_between(mean.index, mean - sd, mean + sd, color=colour(method), alpha=0.18, lw=0)
        axes.plot(mean.index, mean, dash, marker=marker(refinement), color=colour(method), lw=2, ms=6, label=name)
        axes.plot(group["images"], 100 * group["accuracy"], "o", color=colour(method), ms=3, alpha=0.45, mew=0)
        if len(keys) == 1:
            for count, value in mean.iloc[[0, -1]].items():
                readable(axes.annotate(f"{value:.1f}", (count, value), (0, 9), textcoords="offset points", ha="center"))
    counts = sorted(pipeline["images"].unique())
    axes.set_xscale("log")
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.minorticks_off()
    axes.set(xlabel="synthetic images (log scale)", ylabel="accuracy on the target, per cent")
    axes.margins(y=0.14)
    axes.legend(loc="lower right")
    title(figure, f"{printed(points['benchmark'].iloc[0])}: accuracy against the number of synthetic images")
    caption(figure, f"Line and band: mean and standard deviation over {seed_count(points)}; small dots: single seeds.")
    return figure


@styled
def stages_by_images(points: pd.DataFrame) -> Figure:
    """Accuracy against images a class, log scale: means and bands of one standard deviation, dotted fits, a star at each knee.

    `points`: a per-seed table with the columns of `drawn_images.joined`, of one kind of prompts and one or more stages.
    """
    import seaborn as sns  # a second of start-up

    pipeline = points[points["system"] == "pipeline"]
    fits = saturation.table(points)
    figure, axes = one_panel(height=4.6)
    ends = []  # of the lines: place, name, colour
    for row in fits.itertuples():
        classes = row.classes if row.classes >= 1 else 1
        here = pipeline[(pipeline[saturation.SERIES] == [row.prompts, row.inter_domain, row.intra_domain]).all(axis=1)]
        here = here.assign(a_class=here["images"] / classes, per_cent=100 * here["accuracy"])
        refined = row.intra_domain != NO_REFINEMENT
        look = {"color": colour(row.inter_domain), "marker": marker(row.intra_domain), "linestyle": "--" if refined else "-"}
        sns.lineplot(here, x="a_class", y="per_cent", errorbar="sd", ax=axes, lw=2, ms=7, err_kws={"alpha": 0.16, "lw": 0}, **look)
        _fitted(axes, row, classes)
        end = here[here["images"] == here["images"].max()]
        ends.append((end["a_class"].iloc[0], end["per_cent"].mean(), _label(row, fits), colour(row.inter_domain)))
    heights = _apart([height for _, height, _, _ in ends], gap=5.5)
    for (count, _, name, ink), height in zip(ends, heights, strict=True):
        text = axes.annotate(name, (count, height), (9, 0), textcoords="offset points", va="center")
        readable(text)
        text.set_color(ink)
    counts = sorted((pipeline["images"] / fits["classes"].fillna(1).max()).unique())
    axes.set_xscale("log")
    axes.set_xticks(counts, [f"{count:,.0f}" for count in counts])
    axes.minorticks_off()
    axes.set_xlim(counts[0] / 1.15, counts[-1] * 3.6)  # room for the names
    axes.set_ylim(0, 100)
    axes.set(xlabel="synthetic images a class (log scale)", ylabel="accuracy on the target, per cent")
    title(figure, f"{printed(points['benchmark'].iloc[0])}: what more images bring, stage by stage")
    said = f"Mean and standard deviation over {seed_count(points)}; dotted: fitted saturation; star: where returns diminish."
    caption(figure, f"{said} {saturation.sentences(fits)[-1]}")
    return figure


def _apart(heights: list[float], gap: float) -> list[float]:
    """The heights, raised where two would lie closer together than `gap`, and lowered again where that leads above 100."""
    order, apart = sorted(range(len(heights)), key=lambda k: heights[k]), list(heights)
    for below, above in itertools.pairwise(order):
        apart[above] = max(apart[above], apart[below] + gap)
    ceiling = 100.0
    for k in reversed(order):
        apart[k] = min(apart[k], ceiling)
        ceiling = apart[k] - gap
    return apart


def _fitted(axes: Axes, row, classes: float) -> None:
    """The fitted curve of one stage, and its knee; nothing where the points settle none."""
    if np.isnan(row.knee):
        return
    images = np.geomspace(classes, row.images, 200)
    fitted = saturation.curve(images, row.top, row.half, row.slope, row.floor)
    axes.plot(images / classes, 100 * fitted, ":", color=colour(row.inter_domain), lw=1.4, zorder=1.5)
    axes.plot(row.knee / classes, 100 * row.accuracy, "*", ms=15, mfc="#f0c000", mec=colour(row.inter_domain), mew=1.2, zorder=4)


def _label(row, fits: pd.DataFrame) -> str:
    prompts = f", {row.prompts}" if fits["prompts"].nunique() > 1 else ""
    return saturation.name(row) + prompts


def seed_count(points: pd.DataFrame) -> str:
    """The number of seeds behind a mean of a per-seed table, as "n = 3 seeds"; the range where it differs."""
    sizes = points[points["system"] == "pipeline"].groupby([*saturation.SERIES, "images"])["seed"].size()
    low, high = int(sizes.min()), int(sizes.max())
    return f"n = {low if low == high else f'{low} to {high}'} seed{'s' * (high > 1)}"
