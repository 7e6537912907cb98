"""Names of people's classes, runs and folders in figures: letter by letter, whatever TeX would make of them."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from aa_utils.reporting import figures, image_sheets, style

NAMES = ["$HOME", "$x_1$", r"$\frac{a}$", "a $5 b $10", "100 %", "_cat", "null", "7", "{b}", "שלום"]


def shown(figure) -> list[str]:
    """What the texts of a figure show, each as matplotlib parses it; a text that is a formula shows as its own source with a mark."""
    found = []
    for text in figure.findobj(Text):
        source, formula = text._preprocess_math(text.get_text())
        found.append(f"formula {source}" if formula else source)
    return found


def drawn(name: str, points: pd.DataFrame, folder) -> list[str]:
    path = figures.draw(name, points, folder)
    assert path.stat().st_size > 0
    from aa_utils.reporting import tables

    return shown(figures.DRAWN[name](tables.read_csv(path.with_suffix(".csv"))))


def test_a_confusion_matrix_shows_names_as_they_are(tmp_path):
    k = len(NAMES)
    cells = [(i, j, NAMES[i], NAMES[j], int(i == j), "of $x$ and $y$") for i in range(k) for j in range(k)]
    columns = ["true", "predicted", "true_name", "predicted_name", "count", "caption"]
    texts = drawn("confusion", pd.DataFrame(cells, columns=columns), tmp_path)
    assert min(texts.count(name) for name in NAMES) >= 2, "on both axes"
    assert any("of $x$ and $y$" in text for text in texts)


def test_features_in_the_plane_show_names_as_they_are(tmp_path):
    rows = [("a $b$ c", domain, name, k, k, "caption") for k, name in enumerate(NAMES) for domain in ("source", "target")]
    texts = drawn("embedding", pd.DataFrame(rows, columns=["stage", "domain", "class_name", "x", "y", "caption"]), tmp_path)
    assert "a $b$ c" in texts
    assert set(NAMES) - {"a $5 b $10", "100 %"} <= set(texts), "of two words the last stands there"


@pytest.mark.parametrize("name", ["w" * 300, "one two " * 40, "$" * 80])
def test_a_name_of_any_length_leaves_the_panel_its_room(tmp_path, name):
    names = [name, "mug"]
    cells = [(i, j, names[i], names[j], 1, "caption") for i in range(2) for j in range(2)]
    points = pd.DataFrame(cells, columns=["true", "predicted", "true_name", "predicted_name", "count", "caption"])
    figure = figures.confusion(points)
    figure.canvas.draw()
    assert figure.axes[0].get_window_extent().width > 0.2 * figure.bbox.width
    assert name[:20] in "".join(shown(figure))


@pytest.mark.parametrize("title", ["plain", "a $x_1$ b"])
def test_a_sheet_shows_names_as_they_are(title):
    figure = image_sheets.sheet([(name, [np.zeros((4, 4, 3), dtype=np.uint8)]) for name in NAMES], title)
    figure.canvas.draw()
    assert {*NAMES, title} <= set(shown(figure))


def test_a_backslash_before_a_dollar_stays(tmp_path):
    for name in (r"\$", r"a\$b$", "$$", "$"):
        assert Text(text=style.literal(name))._preprocess_math(style.literal(name)) == (name, False)
