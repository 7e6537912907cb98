"""The renderer: the same picture for the same seed, and a text that agrees with it."""

import numpy as np
import pytest

from aa_utils.pocket.render import render
from aa_utils.pocket.strokes import POINTS, tables
from aa_utils.pocket.world import CATEGORIES, CHARACTERS, COLOURS, FACTORS, LUMINANCE, captions, sample, values

CLEAN = {
    "ink": "black",
    "paper": "white",
    "background": "plain",
    "quality": "sharp",
    "style": "handwritten",
    "tool": "pen",
    "weight": "normal",
}


def ink(pictures: np.ndarray) -> np.ndarray:
    """Where the ink of black-on-white pictures is."""
    return pictures.mean(-1) < 128


def test_same_seed_same_pictures_and_a_prefix_is_a_prefix():
    few, some = render(40, seed=3), render(300, seed=3)
    np.testing.assert_array_equal(few[0], some[0][:40])
    assert few[1] == some[1][:40]
    assert not np.array_equal(few[0], render(40, seed=4)[0])


def test_shape_range_and_category_in_every_caption():
    pictures, texts, factors = render(500, seed=0)
    assert pictures.shape == (500, 32, 32, 3) and pictures.dtype == np.uint8
    assert set(factors) == set(FACTORS)
    assert all(CATEGORIES[c] in text for c, text in zip(factors["character"], texts, strict=True))
    assert len(set(texts)) > 400
    assert set(factors["character"]) == set(CHARACTERS)


def test_captions_say_nothing_untrue():
    factors, rng = sample(3000, np.random.default_rng(1)), np.random.default_rng(1)
    for i, text in enumerate(captions(factors, rng)):
        words = set(text.replace(",", "").split())
        assert words & set(COLOURS) <= {factors["ink"][i], factors["paper"][i]}, text
        for factor in ("slant", "size", "proportion", "quality", "tool"):
            for value in values(factor):
                if value in text and value not in ("medium", "normal", "pen") and not (value == "pen" and "thin pen" in text):
                    said = factors[factor][i]
                    assert said == value, f"{text}: {factor} is {said}"
        assert ("photo" in words) <= (factors["medium"][i] == "photo") and ("scan" in words) <= (factors["medium"][i] == "scan")
        assert " a orange" not in text


@pytest.mark.parametrize("factor, less, more", [("size", "small", "large"), ("proportion", "narrow", "wide")])
def test_size_and_proportion_are_drawn(factor, less, more):
    extent = {}
    for value in (less, more):
        pictures = render(
            128, seed=5, character="0", slant="upright", **{**CLEAN, factor: value, **({"size": "large"} if factor != "size" else {})}
        )[0]
        mask = ink(pictures)
        extent[value] = mask.any(1).sum(-1).mean()  # columns that hold ink
    assert extent[more] > 1.25 * extent[less]


def test_slant_is_drawn():
    def lean(slant):
        mask = ink(render(128, seed=6, character="1", slant=slant, size="large", **CLEAN)[0])
        rows, columns = np.arange(32), np.arange(32)
        centre = (mask * columns).sum(2) / np.maximum(mask.sum(2), 1)
        return np.mean([np.polyfit(rows[m.any(1)], c[m.any(1)], 1)[0] for m, c in zip(mask, centre, strict=True)])

    assert lean("slanted to the right") < lean("upright") - 0.1 < lean("slanted to the left") - 0.2


def test_colours_are_drawn_and_can_be_told_apart():
    for paper in ("black", "yellow", "blue"):
        pictures = render(64, seed=7, style="printed", paper=paper, background="plain", quality="sharp", size="small")[0]
        corner = pictures[:, :3, :3].reshape(-1, 3).mean(0) / 255
        assert np.abs(corner - COLOURS[paper]).max() < 0.12
    factors = sample(3000, np.random.default_rng(8))
    gap = [abs(LUMINANCE[i] - LUMINANCE[p]) for i, p in zip(factors["ink"], factors["paper"], strict=True)]
    assert min(gap) >= 0.3


def test_quality_is_drawn():
    def detail(quality):
        pictures = render(
            128,
            seed=9,
            character="8",
            style="printed",
            **{**{k: v for k, v in CLEAN.items() if k not in ("style", "tool")}, "quality": quality},
        )[0]
        return np.abs(np.diff(pictures.astype(float).mean(-1), axis=2)).mean(), np.abs(
            np.diff(pictures[:, :, :2].astype(float).mean(-1), axis=1)
        ).mean()

    assert detail("sharp")[0] > 1.2 * detail("blurred")[0]
    assert detail("noisy")[1] > 3 * detail("sharp")[1]


def test_displays_show_digits_only():
    factors = sample(3000, np.random.default_rng(10))
    assert np.char.isdigit(factors["character"][factors["style"] == "display"]).all()


def test_unknown_choice_is_an_error():
    with pytest.raises(ValueError, match="stile"):
        render(1, seed=0, stile="chalk")
    with pytest.raises(ValueError, match="mauve"):
        render(1, seed=0, ink="mauve")


def test_skeletons_cover_every_character():
    for kind, characters in (("pen", CHARACTERS), ("segments", "0123456789")):
        variants, controls, matrices, down = tables(kind)
        assert set(variants) == set(characters)
        assert matrices.shape[1] == POINTS and np.allclose(matrices.sum(2), 1, atol=1e-5)
        points = matrices @ controls
        assert points.min() > -0.25 and points.max() < 1.25
        assert set(np.unique(down)) <= {0.0, 1.0}
