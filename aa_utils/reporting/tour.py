"""The pictures of the tour: rows of images, clouds of features, accuracy after each stage. Small, and the same bytes for the same points.

`two_moons` is the toy on which the tour shows gradient reversal.
"""

import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from aa_utils.reporting.style import styled

DPI = 80  # small enough for git, sharp enough for the web
DOMAINS = {"source": ("#6e6e6e", "o"), "target": ("#0072b2", "^")}


def two_moons(n: int, degrees: float, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(x_s (n, 2), y_s (n,), x_t (n, 2), y_t (n,)): two moons as the source, and other ones, turned by `degrees`, as the target."""
    from sklearn.datasets import make_moons

    points = [make_moons(n, noise=0.08, random_state=seed + domain) for domain in (0, 1)]
    (x_s, y_s), (x_t, y_t) = ((torch.tensor(x - [0.5, 0.25], dtype=torch.float32), torch.tensor(y)) for x, y in points)
    turn = math.radians(degrees)
    rotation = torch.tensor([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    return x_s, y_s, x_t @ rotation, y_t


@styled
def rows_of_images(rows: Mapping[str, Sequence[np.ndarray | Tensor]], side: float = 0.6) -> bytes:
    """A PNG with a row of images for each name: uint8 arrays (H, W, 3), or tensors (3, H, W)."""
    columns = max(map(len, rows.values()))
    figure = Figure(figsize=(1.7 + columns * side, len(rows) * side + 0.1))
    for r, (name, images) in enumerate(rows.items()):
        for c, image in enumerate(images):
            axes = figure.add_axes((1 - (columns - c) * side / figure.get_figwidth(), 1 - (r + 1) / len(rows), *_share(figure, side)))
            axes.imshow(image.permute(1, 2, 0).numpy() if isinstance(image, Tensor) else image, interpolation="nearest")
            axes.set_axis_off()
        figure.text(0.01, 1 - (r + 0.5) / len(rows), name, va="center", fontsize=9)
    return png(figure)


def _share(figure: Figure, side: float) -> tuple[float, float]:
    return 0.94 * side / figure.get_figwidth(), 0.94 * side / figure.get_figheight()


@styled
def clouds(panels: Mapping[str, tuple[Tensor, Tensor, Tensor, Tensor]], classes: Sequence[str] = ()) -> bytes:
    """A PNG with a panel for each name: features f_s (N, D), labels y_s (N,), f_t (M, D), y_t (M,).

    Colour is the class, shape the domain (source: grey rings; target: filled). With D > 2 the plane is that of the first two principal
    components of both domains together.
    """
    figure = Figure(figsize=(3.3 * len(panels), 3.1), layout="constrained")
    for axes, (name, (f_s, y_s, f_t, y_t)) in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels.items(), strict=True):
        both = torch.cat([f_s, f_t]).double()
        both = both - both.mean(0)
        if both.shape[1] > 2:
            _, _, v = torch.linalg.svd(both, full_matrices=False)
            both = both @ (v[:2] * v[:2].sum(1, keepdim=True).sign()).T
        x_s, x_t = both[: len(f_s)].numpy(), both[len(f_s) :].numpy()
        colours = seaborn.color_palette("colorblind", int(max(y_s.max(), y_t.max())) + 1)
        axes.scatter(*x_s.T, s=14, facecolors="none", edgecolors=[colours[k] for k in y_s], linewidths=0.8, label="source")
        axes.scatter(*x_t.T, s=9, color=[colours[k] for k in y_t], linewidths=0, label="target")
        axes.set(title=name, xticks=[], yticks=[])
    return png(figure)


@styled
def stages(accuracies: Mapping[str, float], reference: float | None = None) -> bytes:
    """A PNG with a bar for each stage's accuracy (fractions); `reference` is a dashed line (a network taught by the target's labels)."""
    frame = pd.DataFrame({"stage": list(accuracies), "accuracy": [100 * value for value in accuracies.values()]})
    figure = Figure(figsize=(6.2, 0.5 + 0.42 * len(frame)), layout="constrained")
    axes = figure.subplots()
    seaborn.barplot(frame, x="accuracy", y="stage", ax=axes, color=DOMAINS["target"][0], width=0.6)
    axes.bar_label(axes.containers[0], fmt="%.1f", padding=3)
    axes.set(xlim=(0, 100), xlabel="accuracy on the real scans, per cent", ylabel="")
    if reference is not None:
        axes.axvline(100 * reference, color="black", linestyle="--", linewidth=1)
    return png(figure)


def png(figure: Figure) -> bytes:
    """The figure as a PNG of at most 128 colours, a third of the bytes, without a date or a version in it."""
    canvas, stream = FigureCanvasAgg(figure), io.BytesIO()
    figure.set_dpi(DPI)
    canvas.draw()
    Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").quantize(128).save(stream, format="png", optimize=True)
    return stream.getvalue()
