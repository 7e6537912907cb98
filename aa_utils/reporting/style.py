"""The look of every figure, and how one is saved: a PNG and the CSV of the points drawn, the same points always giving the same bytes.

Colours are Okabe and Ito's ("Color Universal Design", 2008), told apart by readers with any colour vision; marker shapes say the same once
more. A method has the same colour in every figure.
"""

import os
import textwrap
from collections.abc import Callable
from functools import wraps
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.text import Text

from aa_utils import files
from aa_utils.paths import resolve
from aa_utils.reporting import tables
from aa_utils.seeds import stable_hash

WIDTH = 7.2  # inches: 1152 pixels, shown at 800 to 900 in a README
DPI = 160
STYLE = {
    "font.family": "DejaVu Sans", "font.size": 10, "axes.titlesize": 11, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#666666", "axes.labelcolor": "#222222",
    "xtick.color": "#444444", "ytick.color": "#444444", "axes.grid": True, "grid.color": "#e6e6e6", "grid.linewidth": 0.8,
    "axes.axisbelow": True, "legend.frameon": False, "figure.facecolor": "white", "savefig.facecolor": "white", "figure.dpi": DPI,
    "svg.hashsalt": "adapt-anything", "svg.fonttype": "path", "path.simplify": False,
}  # fmt: skip
PALETTE = {
    "source_only": "#6e6e6e", "adabn": "#a6a6a6", "dann": "#0072b2", "mcd": "#d55e00", "symnets": "#009e73", "cdtrans": "#cc79a7",
    "zero_shot": "#b07800", "imagenet_head": "#7a5c3e", "oracle": "#000000",
}  # fmt: skip
SPARE = ("#56b4e9", "#e69f00", "#7f5fc0", "#8c564b", "#117733", "#882255")
MARKERS = {"none": "o", "fixmatch": "D", "mixmatch": "s"}
SPARE_MARKERS = ("^", "v", "P", "X", "h")


def colour(method: str) -> str:
    """The colour of a method: the same in every figure; one that is not in PALETTE gets a spare one by its name."""
    return PALETTE.get(method.partition("@")[0]) or SPARE[stable_hash("colour", method) % len(SPARE)]


def marker(refinement: str) -> str:
    """The marker of an intra-domain method."""
    return MARKERS.get(refinement) or SPARE_MARKERS[stable_hash("marker", refinement) % len(SPARE_MARKERS)]


def styled(function: Callable) -> Callable:
    """The function, run in the house style."""

    @wraps(function)
    def inside(*arguments, **options):
        with matplotlib.rc_context(STYLE):
            return function(*arguments, **options)

    return inside


@styled
def save(figure: Figure, name: str, folder: str | Path, points: pd.DataFrame) -> Path:
    """Write `<folder>/<name>.png` and `.csv` (the points drawn), atomically and byte-stable; returns the PNG's path.

    With the environment variable AA_SVG set, `<name>.svg` too: for print. It is not kept in git, where each changes whole.
    """
    folder = resolve(folder)
    tables.write_csv(folder / f"{name}.csv", points)
    FigureCanvasAgg(figure)
    kinds = {"png": {"Software": None}} | ({"svg": {"Date": None, "Creator": None}} if os.environ.get("AA_SVG") else {})
    for kind, metadata in kinds.items():
        with files.atomic(folder / f"{name}.{kind}") as temporary:
            figure.savefig(temporary, format=kind, metadata=metadata, dpi=DPI)
    return folder / f"{name}.png"


def one_panel(height: float) -> tuple[Figure, Axes]:
    """A figure of the house's width and `height` inches with one panel."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots()


LONGEST_NAME = 36  # letters of a name beside a panel; longer ones would leave the panel no room


def literal(text: str) -> str:
    """`text` as a figure shows it letter by letter: a $ of somebody's name for a class, a run or a folder begins no formula."""
    return text.replace("$", r"\$")


def short_name(name: str) -> str:
    """A name beside a panel: `literal`, and cut where it is too long."""
    return literal(name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…")


def title(figure: Figure, text: str) -> None:
    """The message, in bold at the top left."""
    figure.suptitle(literal(text), x=0.01, ha="left", fontsize=12, fontweight="bold")


def caption(figure: Figure, text: str, lines_below: int = 0) -> None:
    """What a reader must know, n among it, in small letters below; `lines_below` leaves room under it."""
    figure.supxlabel(literal("\n".join(textwrap.wrap(text, 112))) + "\n" * lines_below, x=0.01, ha="left", fontsize=8.5, color="#555555")


def legend_below(figure: Figure, handles: list[Artist]) -> int:
    """A legend below everything, in as many columns as its longest entry allows, at most three; returns how many lines it takes."""
    longest = max((len(str(handle.get_label())) for handle in handles), default=0)
    columns = max(1, min(3, len(handles), int(figure.get_figwidth() / (0.6 + 0.068 * longest))))  # inches of the mark and of a letter
    figure.legend(handles=handles, loc="outside lower right", ncols=columns, fontsize=8.5)
    return -(-len(handles) // columns)


def readable(text: Text) -> None:
    """Text that stays readable on lines and points: a white rim and a white ground."""
    text.set_path_effects([withStroke(linewidth=3, foreground="white")])
    text.set_bbox({"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6})
    text.set_fontsize(9.5)
