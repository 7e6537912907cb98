"""What people look at: the same latents before and after, and what a generator gains against what it loses."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter
from torch import Tensor

from aa_utils.generator_adaptation.evaluation import comparison, measure, paired
from aa_utils.generator_adaptation.evaluation.comparison import BEFORE, GUIDE, REFERENCES, RENDERS, Adapted
from aa_utils.generator_adaptation.evaluation.measure import Yardstick
from aa_utils.generator_adaptation.evaluation.printing import PRINTED
from aa_utils.generator_adaptation.generators import checkpoints
from aa_utils.generator_adaptation.pretraining import turntable
from aa_utils.reporting import image_sheets
from aa_utils.reporting.style import SPARE, SPARE_MARKERS, WIDTH, caption, save, styled, title
from aa_utils.seeds import torch_generator

GREY = "#6e6e6e"
TURNS = (-0.4, -0.2, 0.0, 0.2, 0.4)  # yaws, in radians from the frontal view
LINES = {
    BEFORE: ("--", "dashed", "before"),
    RENDERS: (":", "dotted", "renders, where a perfect one would be"),
    GUIDE: ("-.", "dash-dotted", "the guide itself"),
}
SIGNS = {BEFORE: "s", RENDERS: "*", GUIDE: "P"}
PANELS = ("clip_score", "frechet", "kernel", "diversity_kept", "kept", "paired")  # of what one setting does


def same_latents(adapted: Sequence[Adapted], by: Yardstick, columns: int = 10, seed: int = 0) -> dict[str, Tensor]:
    """Images (columns, 3, H, W) uint8 of the same latents: before, each variant's (first seed), the oracles if there are any."""
    before, classes = measure.draw(comparison.source(adapted), columns, seed)
    rows = {BEFORE: before}
    for row in adapted:
        if row.variant not in rows:
            rows[row.variant] = measure.draw(checkpoints.load(row.folder), columns, seed)[0]
    if by.pocket:
        rows["oracle"] = by.pocket.twins.target[paired.nearest(by.pocket.twins, before, classes)]
    return rows


def same_scenes(adapted: Sequence[Adapted], scenes: int = 2, seed: int = 0) -> dict[str, Tensor]:
    """Of 3-D generators what `same_latents` gives of others: scenes that turn from the left to the right, one after the other; else {}."""
    start = comparison.source(adapted)
    if not hasattr(start, "sample_cameras"):
        return {}
    z = torch.randn(scenes, start.z_dim, generator=torch_generator("evaluate", seed))
    first = {row.variant: row for row in reversed(adapted)}
    nets = {BEFORE: start} | {variant: checkpoints.load(first[variant].folder) for variant in dict.fromkeys(row.variant for row in adapted)}
    return {name: turntable.turned(net, z, TURNS)[0].flatten(0, 1) for name, net in nets.items()}


def before_and_after(rows: dict[str, Tensor], heading: str, note: str, name: str, folder: str | Path) -> Path:
    """Save the sheet `name`: a row of images (n, 3, H, W) uint8 for each name, a column for each latent. Returns the PNG's path."""
    shown = [(row, list(pixels.permute(0, 2, 3, 1).numpy())) for row, pixels in rows.items()]
    points = pd.DataFrame([{"title": row, "id": f"latent{k}"} for row, images in shown for k in range(len(images))])
    return save(image_sheets.sheet(shown, heading, note), name, folder, points)


@styled
def trade_off(means: pd.DataFrame, against: Sequence[str] = ("clip_score", "frechet", "paired"), kept: str = "diversity_kept") -> Figure:
    """A panel for each of three kinds of measures, each against diversity: a point a prompt and variant, bars of one standard deviation.

    `means`: a frame of `comparison.over_seeds`. Where a score is fooled, its good end has points that kept no diversity.
    """
    shown = [metric for metric in against if metric in set(means["metric"])]
    figure = Figure(figsize=(WIDTH * 1.25, 4.1), layout="constrained")
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    variants, prompts = (list(dict.fromkeys(means[key])) for key in ("variant", "prompt"))
    colours = {name: SPARE[k % len(SPARE)] for k, name in enumerate(name for name in variants if name not in REFERENCES)}
    for axes, metric in zip(panels, shown, strict=True):
        for (prompt, variant), group in means.groupby(["prompt", "variant"], sort=False):
            at = group.set_index("metric")
            if not {metric, kept} <= set(at.index):
                continue
            (x, dx), (y, dy) = ((at.loc[key, "mean"], np.nan_to_num(at.loc[key, "sd"])) for key in (metric, kept))
            look = {"color": colours.get(variant, GREY), "mfc": "white" if variant in REFERENCES else None, "ms": 7, "capsize": 2}
            sign = SIGNS.get(variant) or ("o", "D", *SPARE_MARKERS)[prompts.index(prompt) % 7]
            axes.errorbar(x, 100 * y, xerr=dx, yerr=100 * dy, fmt=sign, elinewidth=1.2, **look)
        if metric == "frechet":
            axes.set_xscale("log")
            _plain(axes.xaxis)
        axes.set_xlabel(f"{PRINTED[metric][0]} ({'higher' if metric == 'clip_score' else 'lower'} is better)")
    panels[0].set_ylabel("diversity, per cent of before")
    panels[0].set_ylim(bottom=0)
    lone = {"ls": "", "ms": 7}
    handles = [panels[0].plot([], [], "o", color=colour, label=name, **lone)[0] for name, colour in colours.items()]
    handles += [
        panels[0].plot([], [], sign, color=GREY, mfc="white", label=name, **lone)[0] for name, sign in SIGNS.items() if name in variants
    ]
    if len(prompts) > 1:
        marks = [("o", "D", *SPARE_MARKERS)[k % 7] for k in range(len(prompts))]
        handles += [panels[0].plot([], [], mark, color=GREY, label=name, **lone)[0] for name, mark in zip(prompts, marks, strict=True)]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(6, len(handles)), fontsize=9, handletextpad=0.2, columnspacing=1.1)
    title(figure, "What an adaptation gains, and the diversity it keeps")
    return figure


@styled
def by_variant(means: pd.DataFrame, shown: Sequence[str] = ("frechet", "paired", "diversity_kept", "clip_score")) -> Figure:
    """What `trade_off` shows, for more variants than colours can tell apart: a line a variant, nearest to the truth first.

    `means`: a frame of `comparison.over_seeds`. A panel a measure; colours are prompts; bars are one standard deviation.
    """
    shown = [metric for metric in shown if metric in set(means["metric"])]
    order = means[means["metric"] == shown[0]].groupby("variant", sort=False)["mean"].mean().sort_values(ascending=shown[0] != "clip_score")
    names, prompts = list(order.index), list(dict.fromkeys(means["prompt"]))
    figure = Figure(figsize=(WIDTH * 1.25, 1.5 + 0.25 * len(names)), layout="constrained")
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for axes, metric in zip(panels, shown, strict=True):
        factor = 100 if PRINTED[metric][1] == "%" else 1
        for k, prompt in enumerate(prompts):
            at = means[(means["prompt"] == prompt) & (means["metric"] == metric)].set_index("variant").reindex(names)
            place = np.arange(len(names)) + 0.16 * (k - (len(prompts) - 1) / 2)
            look = {"fmt": ("o", "D", *SPARE_MARKERS)[k % 7], "color": SPARE[k % len(SPARE)], "ms": 6, "capsize": 2, "label": prompt}
            axes.errorbar(factor * at["mean"], place, xerr=factor * at["sd"].fillna(0), **look)
        if metric == "frechet":
            axes.set_xscale("log")
            _plain(axes.xaxis)
        axes.set_title(PRINTED[metric][0])
        axes.set_xlabel(("per cent, " if factor == 100 else "") + ("lower" if metric in ("frechet", "paired") else "higher") + " is better")
    panels[0].set_yticks(range(len(names)), names)
    panels[0].invert_yaxis()
    if len(prompts) > 1:
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=min(6, len(prompts)), fontsize=9)
    title(figure, "What each setting gains, and the diversity it keeps")
    return figure


@styled
def against_setting(frame: pd.DataFrame, setting: str) -> Figure:
    """How PANELS go with one setting: a panel each, a line a prompt, mean and deviation over seeds; dashed: before.

    `frame`: a table of `ablation.one_setting`; the values are placed side by side in its order, not to scale.
    """
    shown = [metric for metric in PANELS if metric in frame]
    figure = Figure(figsize=(WIDTH * 1.25, 2.5 * -(-len(shown) // 3) + 0.9), layout="constrained")
    panels = figure.subplots(-(-len(shown) // 3), 3, squeeze=False).flat
    runs = frame[~frame["variant"].isin(REFERENCES)]
    values = list(dict.fromkeys(runs[setting]))
    for axes, metric in zip(panels, shown, strict=False):
        factor = 100 if PRINTED[metric][1] == "%" else 1
        for k, (prompt, group) in enumerate(runs.groupby("prompt", sort=False)):
            stats = factor * group.groupby(setting)[metric].agg(["mean", "std"]).reindex(values)
            places, colour = range(len(values)), SPARE[k % len(SPARE)]
            axes.errorbar(places, stats["mean"], stats["std"].fillna(0), fmt="o-", ms=5, capsize=3, color=colour, label=prompt)
            for reference, (dash, _, _) in LINES.items():
                line = frame[(frame["variant"] == reference) & (frame["prompt"] == prompt)][metric]
                if len(line):
                    axes.axhline(factor * line.iloc[0], color=colour, ls=dash, lw=1, alpha=0.7)
        axes.set_xticks(range(len(values)), [f"{v:g}" if not isinstance(v, str) else v for v in values])
        axes.set_title(PRINTED[metric][0] + (", per cent" if factor == 100 else ""))
        if metric == "frechet":
            axes.set_yscale("log")
            _plain(axes.yaxis)
    for axes in list(panels)[len(shown) :]:
        axes.set_axis_off()
    if runs["prompt"].nunique() > 1:
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=runs["prompt"].nunique(), fontsize=9)
    title(figure, f"What {setting.replace('_', ' ')} does")
    n = runs.groupby(["prompt", setting]).size()
    seeds = str(n.min()) if n.min() == n.max() else f"{n.min()} to {n.max()}"
    lines = "; ".join(f"{dash}: {said}" for name, (_, dash, said) in LINES.items() if name in set(frame["variant"]))
    what = "One run each" if seeds == "1" else f"Mean and standard deviation, n = {seeds} seeds"
    caption(figure, f"{what}. Lines: {lines}.")
    return figure


def _plain(axis: Axis) -> None:
    """Numbers as they are spoken on a logarithmic axis."""
    axis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_locator(NullLocator())
