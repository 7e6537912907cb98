"""The figures of the ablations: stages, methods, and when refinement helps. Drawn with seaborn, from rows of `ablation_points`."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from aa_utils.reporting import benchmark_tables
from aa_utils.reporting.layout import ordered, printed
from aa_utils.reporting.style import MARKERS, WIDTH, caption, styled, title
from aa_utils.reporting.tables import NO_REFINEMENT

STAGES = ["source only", "AdaBN", "adapted", "refined"]
PANELS = 2  # side by side


@styled
def stages(points: pd.DataFrame) -> Figure:
    """Accuracy at each stage: a panel a world, a line a kind of prompts; dots are seeds, bars standard deviations.

    `points`: rows of `ablation_points.stages`.
    """
    import seaborn as sns  # a second of start-up

    shown = points.assign(accuracy=100 * points["accuracy"])
    worlds = list(dict.fromkeys(shown["world"]))
    figure, panels = _panels(len(worlds), [2.9] * len(worlds))
    kinds = ordered(shown["prompts"])
    looks = dict(zip(kinds, sns.color_palette("colorblind", len(kinds)), strict=True))
    for axes, world in zip(panels, worlds, strict=True):
        here = shown[shown["world"] == world]
        present = [stage for stage in STAGES if stage in set(here["stage"])]
        shared = {"data": here, "x": "stage", "y": "accuracy", "hue": "prompts", "order": present, "palette": looks, "ax": axes}
        sns.pointplot(**shared, errorbar="sd", capsize=0.08, err_kws={"linewidth": 1.4}, markersize=5, linewidth=1.8)
        sns.stripplot(**shared, size=3.5, alpha=0.5, jitter=False, legend=False)
        axes.set(title=benchmark_tables.world(world), xlabel="", ylabel="accuracy on the target, per cent")
        axes.set_ylim(top=min(102.0, axes.get_ylim()[1]))
        axes.legend(title="source", fontsize=8.5, title_fontsize=8.5, loc="lower right")
    title(figure, "What each stage brings")
    methods = [printed(name) for name in dict.fromkeys(points.loc[points["stage"] == "adapted", "inter_domain"])]
    refiners = [printed(name) for name in dict.fromkeys(points.loc[points["stage"] == "refined", "intra_domain"])]
    text = f"Adapted: {', '.join(methods)}. Refined: {', '.join(refiners)} after it."
    caption(figure, f"{text} Points and bars: mean and standard deviation over {_n(points)}.")
    return figure


@styled
def methods(points: pd.DataFrame) -> Figure:
    """Heat maps of inter-domain by intra-domain methods: mean, standard deviation and seconds of training; a panel a world and prompts.

    `points`: rows of `ablation_points.of_results`.
    """
    import seaborn as sns  # a second of start-up

    grids = dict(list(points.groupby(["world", "prompts"], sort=False)))
    columns = ordered(points["intra_domain"])
    figure, panels = _panels(len(grids), [0.9 + 0.42 * here["inter_domain"].nunique() for here in grids.values()])
    for axes, ((world, prompts), here) in zip(panels, grids.items(), strict=True):
        lines = ordered(here["inter_domain"])
        cells = here.groupby(["inter_domain", "intra_domain"]).agg({"accuracy": ["mean", "std"], "seconds": "min"})
        cells.columns = ["mean", "sd", "seconds"]
        text = [
            f"{100 * row.mean_:.1f} ± {100 * row.sd:.1f}\n{row.seconds:.0f} s"
            for row in cells.rename(columns={"mean": "mean_"}).itertuples()
        ]
        means = (100 * cells["mean"]).unstack().reindex(index=lines, columns=columns)
        words = (
            pd.Series([item.replace("nan s", "") for item in text], cells.index).unstack().reindex(index=lines, columns=columns).fillna("")
        )
        sns.heatmap(
            means, annot=words, fmt="", cmap="Blues", vmin=0, vmax=115, cbar=False, ax=axes, annot_kws={"fontsize": 7.5}, linewidths=1
        )
        axes.set(xlabel="", ylabel="")
        axes.set_title(f"{benchmark_tables.world(world)}, {prompts}")
        axes.set_ylim(bottom=max(len(set(other["inter_domain"])) for other in _beside(list(grids.values()), here)))  # cells of one height
        axes.xaxis.tick_top()
        axes.set_xticks(
            [k + 0.5 for k in range(len(columns))],
            [printed(name) if name != NO_REFINEMENT else "alone" for name in columns],
            fontsize=8.5,
            rotation=0,
        )
        names = [printed(name).replace(" (", "\n(") for name in lines]
        axes.set_yticks([k + 0.5 for k in range(len(lines))], names, fontsize=8, rotation=0)
        axes.grid(visible=False)
    title(figure, "Inter-domain by intra-domain method")
    caption(
        figure,
        f"Accuracy on the target in per cent, mean ± standard deviation over {_n(points)}; seconds of training on one core, of the fastest "
        "seed: other work on the machine only adds.",
    )
    return figure


@styled
def refinement_gain(points: pd.DataFrame) -> Figure:
    """What stage 4 adds against the accuracy that it starts from: a dot a run and seed, its shape the refinement, its colour the world.

    `points`: rows of `ablation_points.gains`.
    """
    import seaborn as sns  # a second of start-up

    shown = points.assign(before=100 * points["before"], gain=100 * points["gain"])
    shown["world"] = [benchmark_tables.world(name) for name in shown["world"]]
    shown["refinement"] = [printed(name.partition("@")[0]) for name in shown["intra_domain"]]  # whatever BatchNorm did
    figure, (axes,) = _panels(1, [4.4])
    methods = {name.partition("@")[0] for name in points["intra_domain"]}
    shapes = {printed(name): MARKERS.get(name, "^") for name in sorted(methods)}
    shared = {"x": "before", "y": "gain", "hue": "world", "style": "refinement", "markers": shapes, "palette": "colorblind"}
    sns.scatterplot(shown, **shared, s=34, alpha=0.75, linewidth=0.4, ax=axes)
    axes.axhline(0, color="#444444", lw=1)
    axes.set(xlabel="accuracy after stage 3, per cent", ylabel="gain of stage 4, points")
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    title(figure, "When does refinement help?")
    lost = int((points["gain"] < 0).sum())
    parts = [f"{name}: {_rank(group)}" for name, group in shown.groupby("refinement", sort=True)]
    caption(figure, f"{len(points)} runs and seeds, {lost} of which lost. Rank correlation of gain and start: {'; '.join(parts)}.")
    return figure


def _rank(group: pd.DataFrame) -> str:
    """Spearman's rank correlation of gain and start, with its number of runs and seeds."""
    if len(group) < 3 or group["before"].nunique() < 2:
        return f"too few (n = {len(group)})"
    return f"{stats.spearmanr(group['before'], group['gain']).statistic:+.2f} (n = {len(group)})"


def _panels(number: int, heights: Sequence[float]) -> tuple[Figure, list]:
    """A figure with `number` panels, at most PANELS side by side; a row is as high as the highest of its `heights`, in inches."""
    wide = min(number, PANELS)
    rows = [max(heights[k : k + wide]) for k in range(0, number, wide)]
    figure = Figure(figsize=(WIDTH, 0.9 + sum(rows)), layout="constrained")
    panels = list(figure.subplots(len(rows), wide, squeeze=False, height_ratios=rows).flatten())
    for empty in panels[number:]:
        empty.remove()
    return figure, panels[:number]


def _beside(panels: list[pd.DataFrame], one: pd.DataFrame) -> list[pd.DataFrame]:
    """What the panels in the row of `one` show."""
    number = next(k for k, panel in enumerate(panels) if panel is one)
    return panels[number - number % PANELS :][:PANELS]


def _n(points: pd.DataFrame) -> str:
    sizes = points.groupby(["results", "world", "prompts", "inter_domain", "intra_domain"])["seed"].nunique()
    low, high = int(sizes.min()), int(sizes.max())
    return f"n = {low if low == high else f'{low} to {high}'} seeds"


DRAWN = {"stages": stages, "methods": methods, "refinement_gain": refinement_gain}
