"""The pictures and the toy of the tour."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from aa_utils.reporting import tour


def test_the_target_is_the_source_turned():
    x_s, y_s, x_t, y_t = tour.two_moons(400, degrees=30, seed=3)
    turn = torch.deg2rad(torch.tensor(30.0))
    back = torch.stack([torch.stack([turn.cos(), -turn.sin()]), torch.stack([turn.sin(), turn.cos()])])
    for k in (0, 1):  # other points of the same shape: class means agree once they are turned back
        assert torch.allclose((x_t[y_t == k] @ back).mean(0), x_s[y_s == k].mean(0), atol=0.05)
    assert not torch.allclose(x_s, x_t @ back)
    assert torch.equal(x_t, tour.two_moons(400, degrees=30, seed=3)[2])


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_pictures_are_the_same_bytes_and_show_their_images():
    red, blue = np.full((8, 8, 3), (255, 0, 0), np.uint8), torch.tensor([0, 0, 255], dtype=torch.uint8).view(3, 1, 1).expand(3, 8, 8)
    rows = {"one": [red, red], "two": [blue]}
    first = tour.rows_of_images(rows)
    assert first == tour.rows_of_images(rows)
    seen = pixels(first)
    top, bottom = seen[: len(seen) // 2], seen[len(seen) // 2 :]
    assert (top == (255, 0, 0)).all(-1).sum() == pytest.approx(2 * (bottom == (0, 0, 255)).all(-1).sum(), rel=0.1)
    assert not (top == (0, 0, 255)).all(-1).any()


def test_bars_are_as_long_as_the_accuracy():
    seen = pixels(tour.stages({"before": 0.2, "after": 0.8}, reference=0.9))
    blue = (np.abs(seen.astype(int) - (22, 110, 163)).max(-1) < 12).sum(1)
    lengths = sorted({int(row) for row in blue if row > 20})
    assert lengths[-1] == pytest.approx(4 * lengths[0], rel=0.05)


def test_clouds_of_wide_features_lie_in_their_first_two_components():
    rng = torch.Generator().manual_seed(0)
    f, y = torch.randn(30, 5, generator=rng), torch.arange(30) % 3
    assert tour.clouds({"a": (f, y, f + 1, y)}) == tour.clouds({"a": (f, y, f + 1, y)})
    wide = torch.cat([f[:, :2] * 10, f[:, 2:] * 1e-3], 1)
    assert pixels(tour.clouds({"a": (wide, y, wide, y)})).std() > 5
