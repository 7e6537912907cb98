"""The pocket world in 3-D: solid bodies as geometry says, and a 3-D generator that learns them."""

import numpy as np
import pytest
import torch

from aa_utils.errors import InputError
from aa_utils.generator_adaptation.pocket_gan import PLAIN
from aa_utils.pocket import solids
from aa_utils.pocket.render import SIZE, _grid, pen_distances
from aa_utils.pocket.world import sample


def orbit(yaw, pitch):
    """Cameras (n, 25) that look at the origin: to the right of it by `yaw`, above it by `pitch`, as matrices by hand."""
    rows = []
    for a, b in zip(*np.broadcast_arrays(yaw, pitch), strict=True):
        away = np.array([np.sin(a) * np.cos(b), np.sin(b), np.cos(a) * np.cos(b)])
        right = np.array([np.cos(a), 0, -np.sin(a)])
        matrix = np.eye(4)
        matrix[:3] = np.stack([right, np.cross(-away, right), -away, solids.RADIUS * away], 1)  # columns: right, down, forward, place
        rows.append(np.concatenate([matrix.ravel(), [solids.FOCAL, 0, 0.5, 0, solids.FOCAL, 0.5, 0, 0, 1]]))
    return torch.tensor(np.array(rows), dtype=torch.float32)


def glyphs(n=20, seed=0, **choices):
    factors = sample(n, np.random.default_rng(seed), **PLAIN | choices)
    factors["character"][:] = [str(k % 10) for k in range(n)]
    return factors


def disc(x=0.0, y=0.0, radius=3.0):
    """A round body whose middle is `x` pixels to the right of the picture's middle and `y` above; black on white, no grain or slope."""
    axis = torch.arange(-solids.REACH, SIZE + solids.REACH + solids.STEP / 2, solids.STEP) - SIZE / 2
    distances = ((axis[None, :] - x).square() + (axis[:, None] + y).square()).sqrt() - radius
    ones = torch.ones(1, 3)
    return solids.Bodies(distances[None], 0 * ones, ones, torch.zeros(1, 2), torch.ones(1, 40, 40))


def test_from_the_front_a_face_is_the_glyph_of_the_2d_world():
    factors = glyphs()
    flat = (0.5 - pen_distances(factors, np.random.default_rng(1), _grid()).reshape(-1, SIZE, SIZE)).clamp(0, 1)
    body = solids.bodies(factors, np.random.default_rng(1))
    black = solids.Bodies(body.distances, 0 * body.ink, 0 * body.paper + 1, 0 * body.slope, body.grain)
    pictures, depth = solids.seen(black, orbit(np.zeros(20), np.zeros(20)))
    covered = 1 - pictures[:, 0].float() / 255
    assert (covered - flat)[flat > 0.99].abs().max() < 0.01
    # Beyond the faces only a sliver of the sides that look to the middle is seen: perspective makes them.
    assert (covered - flat).abs().mean() < 0.015 and (covered >= flat - 0.06).all()
    front = depth[flat > 0.9].min()
    assert front == pytest.approx(solids.RADIUS - solids.THICKNESS / 2, abs=2e-3)


def test_hand_and_colours_do_not_depend_on_each_other():
    plain = glyphs()
    chalk = {**plain, "style": np.full(20, "chalk"), "ink": np.full(20, "white"), "paper": np.full(20, "green")}
    a, b = (solids.bodies(factors, np.random.default_rng(1)) for factors in (plain, chalk))
    assert torch.equal(a.slope, b.slope) and b.grain.min() < 0.4 and (a.grain == 1).all()
    # Chalk is a quarter wider than a pen, on the same lines: distances differ by half of that.
    apart = a.distances - b.distances
    assert apart.min() >= 0 and 0.1 < apart.median() < 1.0  # (not where the stroke is as wide as it may be)
    assert b.ink.min() > 0.85 and (b.paper[:, 1] > b.paper[:, 0]).all()
    with pytest.raises(InputError, match="printed"):
        solids.bodies({**plain, "style": np.full(20, "printed")}, np.random.default_rng(1))


def test_what_stands_out_moves_against_the_camera():
    """Parallax: for a camera further to the right, what is nearer than the origin goes to the left of what is behind it; likewise above."""
    body = disc()[torch.zeros(2, dtype=torch.int64)]
    turned, _ = solids.seen(body, orbit([0.4, -0.4], [0.0, 0.0]))
    dark = turned[:, 0] < 20  # the face alone
    where = (dark * (torch.arange(SIZE) + 0.5)).sum((1, 2)) / dark.sum((1, 2))
    shift = solids.THICKNESS / 2 * np.sin(0.4) * solids.FOCAL / (solids.RADIUS - solids.THICKNESS / 2 * np.cos(0.4)) * SIZE
    assert where - SIZE / 2 == pytest.approx(np.array([-shift, shift]), abs=0.25)
    # The side that is seen is the one that looks to the camera, and it is grey.
    middle = turned[0, 0, SIZE // 2].float()
    grey = ((middle > 60) & (middle < 200)).nonzero().flatten().float()
    assert len(grey) >= 2 and grey.max() > SIZE / 2 and (grey > SIZE / 2).sum() >= 2
    above, _ = solids.seen(body, orbit([0.0, 0.0], [0.25, -0.25]))
    dark = above[:, 0] < 20
    where = (dark * (torch.arange(SIZE) + 0.5)[:, None]).sum((1, 2)) / dark.sum((1, 2))
    assert where[0] > SIZE / 2 + 0.3 and where[1] < SIZE / 2 - 0.3  # y goes down in a picture


def test_a_point_is_where_the_camera_matrix_puts_it():
    cameras = orbit([0.3, -0.5, 0.0], [0.2, -0.25, 0.1])
    place = torch.tensor([0.1, -0.07, solids.THICKNESS / 2])
    bodies = disc(0.1 / solids.PIXEL, -0.07 / solids.PIXEL, 1.0)[torch.zeros(3, dtype=torch.int64)]
    pictures, depth = solids.seen(bodies, cameras, size=128)
    to_camera = torch.linalg.inv(cameras[:, :16].reshape(-1, 4, 4)) @ torch.cat([place, torch.ones(1)])
    projected = cameras[:, 16:].reshape(-1, 3, 3) @ to_camera[:, :3, None]
    for picture, map_, at, away in zip(pictures, depth, projected[:, :2, 0] / projected[:, 2:, 0] * 128, to_camera, strict=True):
        x, y = at.int().tolist()
        assert picture[0, y, x] < 20
        assert map_[y, x] == pytest.approx(away[:3].norm().item(), abs=5e-3)
    # The paper is a plane, and what lies on the way to it hides it.
    start, way = solids.rays(cameras, 128)
    far = (start + depth.flatten(1)[..., None] * way)[..., 2]
    assert far.min() == pytest.approx(-solids.THICKNESS / 2, abs=1e-4) and far.max() <= solids.THICKNESS / 2 + 1e-4
    with pytest.raises(InputError, match="before them"):
        solids.seen(bodies, orbit([3.0] * 3, [0.0] * 3))
    with pytest.raises(InputError, match="25 numbers"):
        solids.seen(bodies, cameras[:2])


def test_sides_are_lighter_where_they_look_to_the_light():
    body = disc(radius=5.0)[torch.zeros(2, dtype=torch.int64)]
    pictures, _ = solids.seen(body, orbit([-0.5, 0.5], [0.0, 0.0]))  # from the left, from the right
    sides = [row[(row > 30) & (row < 240)].float().median() for row in pictures[:, 0, SIZE // 2]]
    assert sides[0] > sides[1] + 15
