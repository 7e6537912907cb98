"""Figures in one house style: SVG + PNG + the CSV of the points drawn, the same points always giving the same bytes.

A figure is drawn from its CSV alone (`redraw`), but for sheets of images, whose CSV says which images they show. Colours are Okabe and Ito's
("Color Universal Design", 2008), told apart by readers with any colour vision; marker shapes say the same once more.
"""

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from aa_utils import files, tables
from aa_utils.errors import InputError
from aa_utils.layout import ordered, printed
from aa_utils.paths import resolve
from aa_utils.seeds import stable_hash

WIDTH = 7.2  # inches; at 160 dots per inch 1152 pixels, shown at 800 to 900 in a README
STYLE = {
    "font.family": "DejaVu Sans", "font.size": 10, "axes.titlesize": 11, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#666666", "axes.labelcolor": "#222222",
    "xtick.color": "#444444", "ytick.color": "#444444", "axes.grid": True, "grid.color": "#e6e6e6", "grid.linewidth": 0.8,
    "axes.axisbelow": True, "legend.frameon": False, "figure.facecolor": "white", "savefig.facecolor": "white", "figure.dpi": 160,
    "svg.hashsalt": "adapt-anything", "svg.fonttype": "path", "path.simplify": False,
}  # fmt: skip
PALETTE = {
    "source_only": "#6e6e6e", "dann": "#0072b2", "mcd": "#d55e00", "symnets": "#009e73", "cdtrans": "#cc79a7",
    "zero_shot": "#b07800", "oracle": "#000000",
}  # fmt: skip
SPARE = ("#56b4e9", "#e69f00", "#7f5fc0", "#8c564b", "#117733", "#882255")
MARKERS = {"none": "o", "fixmatch": "D", "mixmatch": "s"}
SPARE_MARKERS = ("^", "v", "P", "X", "h")
# Ten classes by colour (Okabe-Ito and two more); the class's name stands at its cluster too.
CLASS_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#000000", "#8a8a00", "#7f5fc0", "#8c564b")


def colour(method: str) -> str:
    """The colour of a method: the same in every figure; one that is not in PALETTE gets a spare one by its name."""
    return PALETTE.get(method) or SPARE[stable_hash("colour", method) % len(SPARE)]


def marker(refinement: str) -> str:
    """The marker of an intra-domain method."""
    return MARKERS.get(refinement) or SPARE_MARKERS[stable_hash("marker", refinement) % len(SPARE_MARKERS)]


def save(figure: Figure, name: str, folder: str | Path, points: pd.DataFrame) -> Path:
    """Write `<folder>/<name>.svg`, `.png` and `.csv` (the points drawn), atomically and byte-stable; returns the PNG's path."""
    folder = resolve(folder)
    tables.write_csv(folder / f"{name}.csv", points)
    FigureCanvasAgg(figure)
    with matplotlib.rc_context(STYLE):
        for kind, metadata in (("svg", {"Date": None, "Creator": None}), ("png", {"Software": None})):
            with files.atomic(folder / f"{name}.{kind}") as temporary:
                figure.savefig(temporary, format=kind, metadata=metadata, dpi=160)
    return folder / f"{name}.png"


def draw(name: str, points: pd.DataFrame, folder: str | Path) -> Figure:
    """Draw the figure `name` from `points` as its CSV holds them, save it, and return it for the notebook."""
    path = resolve(folder) / f"{name}.csv"
    tables.write_csv(path, points)
    return redraw(path)


def redraw(path: str | Path) -> Figure:
    """Draw a figure again from its CSV (`accuracy_by_stage.csv` is drawn by `accuracy_by_stage`), and save it beside.

    Errors: InputError for a file no function draws, such as the CSV of a sheet of images.
    """
    path = resolve(path)
    if path.stem not in DRAWN:
        raise InputError(f"no figure is drawn from '{path.name}' alone; those that are: {', '.join(DRAWN)}")
    points = tables.read_csv(path)
    figure = DRAWN[path.stem](points)
    save(figure, path.stem, path.parent, points)
    return figure


def accuracy_by_stage(points: pd.DataFrame) -> Figure:
    """What each stage brings: a row per prompts and inter-domain method, from before to after refinement; vertical lines are references.

    `points`: a per-seed table (`tables.per_seed`). Markers are means, bars standard deviations over seeds.
    """
    pipeline = points[points["system"] == "pipeline"]
    stages = ordered(pipeline["intra_domain"])
    prompts = ordered(pipeline["prompts"])
    lines = [(p, m) for p in prompts for m in ordered(pipeline[pipeline["prompts"] == p]["inter_domain"])]
    figure, axes = _one(height=1.75 + 0.44 * len(lines) + 0.25 * len(prompts))
    height, ticks, y = {}, [], 0.0
    for p in prompts:
        for _, method in [line for line in lines if line[0] == p]:
            height[p, method] = y
            ticks.append((y, printed(method)))
            y -= 1
        y -= 0.45
    for (p, method), y in height.items():
        means = []
        for s in stages:
            values = 100 * _at(pipeline, prompts=p, inter_domain=method, intra_domain=s)["accuracy"]
            if len(values):
                means.append((s, values.mean(), values.std(ddof=1) if len(values) > 1 else 0.0))
        # Several refinements of one method are told apart by a small shift.
        shifts = np.linspace(0.16, -0.16, len(means) - 1) if len(means) > 2 else [0.0] * max(len(means) - 1, 0)
        for (s, mean, sd), shift in zip(means, [0.0, *shifts], strict=True):
            if s != means[0][0]:
                axes.plot([means[0][1], mean], [y, y + shift], color=colour(method), lw=1.6, alpha=0.45, zorder=2)
            fill = "white" if s == tables.NO_REFINEMENT else colour(method)
            axes.errorbar(mean, y + shift, xerr=sd, fmt=marker(s), ms=8, mfc=fill, mec=colour(method), mew=1.8, ecolor=colour(method),
                          elinewidth=1.4, capsize=3, zorder=3)  # fmt: skip
        right = max(means, key=lambda row: row[1] + row[2])
        axes.annotate(f"{right[1]:.1f}", (right[1] + right[2], y), (9, 0), textcoords="offset points", va="center", fontsize=9.5)
        left = min(means, key=lambda row: row[1] - row[2])
        if left != right:
            axes.annotate(f"{left[1]:.1f}", (left[1] - left[2], y), (-9, 0), textcoords="offset points", va="center", ha="right", fontsize=9.5)
    axes.set_yticks([y for y, _ in ticks], [name for _, name in ticks])
    axes.set_ylim(min(height.values()) - 0.6, 0.95)
    for p in prompts:
        top = max(y for (q, _), y in height.items() if q == p)
        axes.annotate(f"{p} prompts", (0, top + 0.5), (-6, 0), xycoords=("axes fraction", "data"), textcoords="offset points", ha="right", va="center", fontweight="bold", fontsize=9.5)  # fmt: skip
    axes.grid(axis="y", visible=False)
    _reference_lines(axes, points)
    _percent_axis(axes, axes.xaxis, "accuracy on the target, per cent")
    low, high = axes.get_xlim()
    axes.set_xlim(low - 0.06 * (high - low), min(high + 0.06 * (high - low), 101.5))
    handles = [
        axes.plot([], [], marker(s), ms=8, mec="#444444", mew=1.8, mfc="white" if s == tables.NO_REFINEMENT else "#444444",
                  label="before refinement" if s == tables.NO_REFINEMENT else f"after {printed(s)}")[0] for s in stages
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside upper right", ncols=len(stages), fontsize=9.5, handletextpad=0.3, columnspacing=1.2)
    _title(figure, f"{printed(points['benchmark'].iloc[0])}: accuracy by stage")
    _caption(figure, f"Mean and standard deviation over {_n(pipeline.groupby(['prompts', 'inter_domain', 'intra_domain'])['seed'].size())}.")
    return figure


def number_of_images(points: pd.DataFrame) -> Figure:
    """Accuracy against the number of synthetic images, log scale: a line per prompts and methods, a band of one standard deviation.

    `points`: a per-seed table whose `images` differ.
    """
    pipeline = points[points["system"] == "pipeline"]
    figure, axes = _one(height=4.0)
    keys = sorted(set(pipeline[["prompts", "inter_domain", "intra_domain"]].itertuples(index=False, name=None)))
    for number, (p, method, refinement) in enumerate(keys):
        group = _at(pipeline, prompts=p, inter_domain=method, intra_domain=refinement)
        by_count = group.groupby("images")["accuracy"]
        counts, mean, sd = np.array(sorted(by_count.groups)), 100 * by_count.mean(), 100 * by_count.std(ddof=1).fillna(0)
        axes.fill_between(counts, mean - sd, mean + sd, color=colour(method), alpha=0.18, lw=0)
        dash = ("-", "--", ":", "-.")[[key for key in keys if key[1] == method].index((p, method, refinement)) % 4]
        name = " + ".join([p, printed(method), *([printed(refinement)] if refinement != tables.NO_REFINEMENT else [])])
        axes.plot(counts, mean, dash, marker=marker(refinement), color=colour(method), lw=2, ms=6, label=name)
        axes.plot(group["images"], 100 * group["accuracy"], "o", color=colour(method), ms=3, alpha=0.45, mew=0)
        if number == 0:
            last = mean.iloc[-1]
            axes.annotate(f"{last:.1f}", (counts[-1], last), (0, 9), textcoords="offset points", ha="center", fontsize=9.5)
            axes.annotate(f"{mean.iloc[0]:.1f}", (counts[0], mean.iloc[0]), (0, 9), textcoords="offset points", ha="center", fontsize=9.5)
    counts = sorted(pipeline["images"].unique())
    axes.set_xscale("log")
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.minorticks_off()
    axes.set_xlabel("synthetic images (log scale)")
    _percent_axis(axes, axes.yaxis, "accuracy on the target, per cent")
    axes.margins(y=0.14)
    axes.legend(loc="lower right")
    _title(figure, f"{printed(points['benchmark'].iloc[0])}: accuracy against the number of synthetic images")
    sizes = pipeline.groupby(["prompts", "inter_domain", "intra_domain", "images"])["seed"].size()
    _caption(figure, f"Line and band: mean and standard deviation over {_n(sizes)}; small dots: single seeds.")
    return figure


def confusion(points: pd.DataFrame) -> Figure:
    """Counts of true against predicted classes, shaded by the share of the true class.

    `points`: a row per cell: true, predicted (positions), true_name, predicted_name, count, caption. More than 20 classes: no counts in cells.
    """
    k = int(points["true"].max()) + 1
    counts = np.zeros((k, k), dtype=int)
    counts[points["true"], points["predicted"]] = points["count"]
    names = list(points.drop_duplicates("true").sort_values("true")["true_name"])
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = min(max(4.6, 0.46 * k + 1.8), 9.0)
    figure, axes = _one(height=side + 0.3)
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.grid(visible=False)
    small = max(4.5, min(9.5, 190 / k))
    axes.set_xticks(range(k), names, rotation=45, ha="right", rotation_mode="anchor", fontsize=small)
    axes.set_yticks(range(k), names, fontsize=small)
    if k <= 20:
        for i in range(k):
            for j in range(k):
                if counts[i, j]:
                    weight = "bold" if i == j else "normal"
                    axes.text(j, i, counts[i, j], ha="center", va="center", fontsize=small, weight=weight, color="white" if share[i, j] > 0.55 else "#222222")  # fmt: skip
    axes.set_ylabel("true class")
    axes.set_xlabel("predicted class")
    bar = figure.colorbar(image, ax=axes, shrink=0.8, pad=0.02)
    bar.set_label("share of the true class")
    bar.outline.set_visible(False)
    right, total = int(np.trace(counts)), int(counts.sum())
    _title(figure, f"Which classes are confused: {100 * right / total:.1f} % right")
    _caption(figure, f"{points['caption'].iloc[0]}; {right:,} of {total:,} target images right.")
    return figure


def embedding(points: pd.DataFrame) -> Figure:
    """Features in the plane, one panel a stage: synthetic source (rings) and target (dots), coloured by class.

    `points`: a row per image: stage, domain ("source" or "target"), class_name, x, y, caption. The first ten classes are drawn.
    """
    stages = list(dict.fromkeys(points["stage"]))
    names = list(dict.fromkeys(points["class_name"]))[: len(CLASS_COLOURS)]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, WIDTH / len(stages) + 1.35), layout="constrained")
        panels = np.atleast_1d(figure.subplots(1, len(stages)))
    for axes, name in zip(panels, stages, strict=True):
        here = points[(points["stage"] == name) & points["class_name"].isin(names)]
        for domain, style in (("source", {"marker": "o", "s": 22, "lw": 0.9}), ("target", {"marker": ".", "s": 26, "lw": 0})):
            for hue, label in zip(CLASS_COLOURS, names, strict=False):
                group = _at(here, domain=domain, class_name=label)
                paint = {"facecolors": "none", "edgecolors": hue} if domain == "source" else {"color": hue}
                axes.scatter(group["x"], group["y"], alpha=0.55 if domain == "source" else 0.85, **style, **paint)
        for label in names:
            group = _at(here, domain="target", class_name=label)
            if len(group):
                halo = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.8}
                axes.text(group["x"].median(), group["y"].median(), _short(label, names), ha="center", va="center", fontsize=9.5, fontweight="bold", bbox=halo)  # fmt: skip
        axes.set_title(name)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(True)
    style = {"ls": "", "mec": "#444444", "mew": 1}
    handles = [panels[0].plot([], [], marker="o", mfc="none", ms=6, label="synthetic source", **style)[0]]
    handles += [panels[0].plot([], [], marker="o", mfc="#444444", ms=4, label="target", **style)[0]]
    figure.legend(handles=handles, loc="outside upper right", ncols=2, fontsize=9.5, handletextpad=0.2, columnspacing=1.2)
    _title(figure, "Features of both domains")
    _caption(figure, points["caption"].iloc[0])
    return figure


def sheet(rows: Sequence[tuple[str, np.ndarray]], title: str, caption: str = "") -> Figure:
    """Rows of images under readable titles: `rows` holds (title, uint8 (n, 3, S, S) or (n, S, S, 3)); all of one size.

    Errors: InputError for no rows or a row without images.
    """
    if not rows or any(len(images) == 0 for _, images in rows):
        raise InputError("a sheet needs at least one row, and every row an image")
    strips = [np.stack([_hwc(image) for image in np.asarray(images)]) for _, images in rows]
    columns, gap = max(len(strip) for strip in strips), 0.06
    left = 2.1  # inches for the titles
    cell = (WIDTH - left - 0.1) / columns
    wrapped = [textwrap.wrap(name, 30) or [""] for name, _ in rows]
    heights = [max(cell, 0.155 * len(lines)) + gap for lines in wrapped]
    top, bottom = 0.42, 0.34 if caption else 0.08
    height = sum(heights) + top + bottom
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height))
        y = height - top
        for lines, strip, room in zip(wrapped, strips, heights, strict=True):
            figure.text((left - 0.12) / WIDTH, (y - (room - gap) / 2) / height, "\n".join(lines), ha="right", va="center", fontsize=8.5, linespacing=1.15)
            for number, image in enumerate(strip):
                box = ((left + number * cell) / WIDTH, (y - (room - gap) / 2 - cell / 2) / height, (cell - 0.03) / WIDTH, (cell - 0.03) / height)
                axes = figure.add_axes(box)
                axes.imshow(image, interpolation="nearest", aspect="auto")
                axes.set_axis_off()
            y -= room
        figure.text(0.01, 1 - 0.2 / height, title, fontsize=12, fontweight="bold", va="center")
        if caption:
            figure.text(0.01, 0.14 / height, caption, fontsize=8.5, color="#555555", va="center")
    return figure


def plane(features: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]], class_names: Sequence[str], caption: str,
          per_domain: int = 500, seed: int = 0) -> pd.DataFrame:  # fmt: skip
    """Points of `embedding` from features: stage -> (f_s (N, D), y_s (N,), f_t (M, D), y_t (M,)), each stage in its own plane.

    PCA to 50 dimensions, then t-SNE (van der Maaten and Hinton 2008) of both domains together, on at most `per_domain` images of each, with a
    fixed seed. The labels of the target only colour the points.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    frames = []
    for name, (f_s, y_s, f_t, y_t) in features.items():
        picks = [np.sort(np.random.default_rng(seed).permutation(len(y))[:per_domain]) for y in (y_s, y_t)]
        f = np.concatenate([f_s[picks[0]], f_t[picks[1]]]).astype(np.float64)
        y = np.concatenate([y_s[picks[0]], y_t[picks[1]]])
        f = PCA(min(50, *f.shape), random_state=seed, svd_solver="full").fit_transform(f)
        xy = TSNE(2, perplexity=min(30, (len(f) - 1) / 3), init="pca", random_state=seed).fit_transform(f)
        domains = ["source"] * len(picks[0]) + ["target"] * len(picks[1])
        named = [class_names[label] for label in y]
        frames.append(pd.DataFrame({"stage": name, "domain": domains, "class_name": named, "x": xy[:, 0], "y": xy[:, 1]}))
    order = {name: number for number, name in enumerate(class_names)}
    # Interleaved by class, so that the first rows name the classes in their order.
    joined = pd.concat(frames).assign(caption=caption)
    return joined.sort_values("class_name", key=lambda names: names.map(order), kind="stable").sort_values("stage", key=lambda s: s.map({n: i for i, n in enumerate(features)}), kind="stable", ignore_index=True)


def _one(height: float):
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        return figure, figure.subplots()


def _title(figure: Figure, text: str) -> None:
    with matplotlib.rc_context(STYLE):
        figure.suptitle(text, x=0.01, ha="left", fontsize=12, fontweight="bold")


def _caption(figure: Figure, text: str) -> None:
    with matplotlib.rc_context(STYLE):
        figure.supxlabel("\n".join(textwrap.wrap(text, 118)), x=0.01, ha="left", fontsize=8.5, color="#555555")


def _reference_lines(axes, points: pd.DataFrame) -> None:
    for system, group in points[points["system"] != "pipeline"].groupby("system", sort=True):
        mean = 100 * group["accuracy"].mean()
        axes.axvline(mean, color=colour(system), lw=1.5, ls=(0, (4, 2)), zorder=1)
        axes.annotate(f"{printed(system)} {mean:.1f}", (mean, 1), (0, 3), xycoords=("data", "axes fraction"), textcoords="offset points", ha="center", va="bottom", fontsize=8.5, color=colour(system))  # fmt: skip


def _percent_axis(axes, axis, label: str) -> None:
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    (axes.set_xlabel if axis is axes.xaxis else axes.set_ylabel)(label)


def _n(sizes: pd.Series) -> str:
    low, high = int(sizes.min()), int(sizes.max())
    return f"n = {low if low == high else f'{low} to {high}'} seed{'s' * (high > 1)}"


def _at(frame: pd.DataFrame, **wanted: str) -> pd.DataFrame:
    for name, value in wanted.items():
        frame = frame[frame[name] == value]
    return frame


def _short(label: str, names: Sequence[str]) -> str:
    """The last word of a class name, where that is enough ("three" of "digit three")."""
    last = [name.split()[-1] for name in names]
    return label.split()[-1] if len(set(last)) == len(names) else label


def _hwc(image: np.ndarray) -> np.ndarray:
    return image.transpose(1, 2, 0) if image.shape[0] == 3 and image.shape[2] != 3 else image


DRAWN: dict[str, Callable[[pd.DataFrame], Figure]] = {
    "accuracy_by_stage": accuracy_by_stage, "number_of_images": number_of_images, "confusion": confusion, "embedding": embedding,
}  # fmt: skip
