"""The pocket world in 3-D: solid bodies as geometry says, and a 3-D generator that learns them."""

import csv
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
import torch

from aa_utils.errors import InputError
from aa_utils.generator_adaptation.evaluation import comparison, factors, figures, paired
from aa_utils.generator_adaptation.generators import checkpoints, latents
from aa_utils.generator_adaptation.generators.cameras import rays
from aa_utils.generator_adaptation.generators.discriminator import Discriminator
from aa_utils.generator_adaptation.generators.eg3d import Config, Generator
from aa_utils.generator_adaptation.generators.triplane import OVERSHOOT
from aa_utils.generator_adaptation.pretraining import camera_training, gan_training, pocket_eg3d, turntable
from aa_utils.generator_adaptation.pretraining.camera_training import Views
from aa_utils.generator_adaptation.pretraining.gan_training import Recipe
from aa_utils.generator_adaptation.pretraining.pocket_gan import PLAIN
from aa_utils.generator_adaptation.recipe import recipe
from aa_utils.pocket import reader, solids
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


def seen(body, cameras, size=SIZE):
    return solids.render(body, *rays(cameras, size))


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
    pictures, depth = seen(black, orbit(np.zeros(20), np.zeros(20)))
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
    turned, _ = seen(body, orbit([0.4, -0.4], [0.0, 0.0]))
    dark = turned[:, 0] < 20  # the face alone
    where = (dark * (torch.arange(SIZE) + 0.5)).sum((1, 2)) / dark.sum((1, 2))
    shift = solids.THICKNESS / 2 * np.sin(0.4) * solids.FOCAL / (solids.RADIUS - solids.THICKNESS / 2 * np.cos(0.4)) * SIZE
    assert where - SIZE / 2 == pytest.approx(np.array([-shift, shift]), abs=0.25)
    # The side that is seen is the one that looks to the camera, and it is grey.
    middle = turned[0, 0, SIZE // 2].float()
    grey = ((middle > 60) & (middle < 200)).nonzero().flatten().float()
    assert len(grey) >= 2 and grey.max() > SIZE / 2 and (grey > SIZE / 2).sum() >= 2
    above, _ = seen(body, orbit([0.0, 0.0], [0.25, -0.25]))
    dark = above[:, 0] < 20
    where = (dark * (torch.arange(SIZE) + 0.5)[:, None]).sum((1, 2)) / dark.sum((1, 2))
    assert where[0] > SIZE / 2 + 0.3 and where[1] < SIZE / 2 - 0.3  # y goes down in a picture


def test_a_point_is_where_the_camera_matrix_puts_it():
    cameras = orbit([0.3, -0.5, 0.0], [0.2, -0.25, 0.1])
    place = torch.tensor([0.1, -0.07, solids.THICKNESS / 2])
    bodies = disc(0.1 / solids.PIXEL, -0.07 / solids.PIXEL, 1.0)[torch.zeros(3, dtype=torch.int64)]
    pictures, depth = seen(bodies, cameras, size=128)
    to_camera = torch.linalg.inv(cameras[:, :16].reshape(-1, 4, 4)) @ torch.cat([place, torch.ones(1)])
    projected = cameras[:, 16:].reshape(-1, 3, 3) @ to_camera[:, :3, None]
    for picture, map_, at, away in zip(pictures, depth, projected[:, :2, 0] / projected[:, 2:, 0] * 128, to_camera, strict=True):
        x, y = at.int().tolist()
        assert picture[0, y, x] < 20
        assert map_[y, x] == pytest.approx(away[:3].norm().item(), abs=5e-3)
    # The paper is a plane, and what lies on the way to it hides it.
    start, way = rays(cameras, 128)
    far = start[:, 2:] + depth.flatten(1) * way[:, 2]
    assert far.min() == pytest.approx(-solids.THICKNESS / 2, abs=1e-4) and far.max() <= solids.THICKNESS / 2 + 1e-4
    with pytest.raises(InputError, match="before them"):
        seen(bodies, orbit([3.0] * 3, [0.0] * 3))
    with pytest.raises(InputError, match="3 bodies"):
        seen(bodies, cameras[:2])


def test_sides_are_lighter_where_they_look_to_the_light():
    body = disc(radius=5.0)[torch.zeros(2, dtype=torch.int64)]
    pictures, _ = seen(body, orbit([-0.5, 0.5], [0.0, 0.0]))  # from the left, from the right
    sides = [row[(row > 30) & (row < 240)].float().median() for row in pictures[:, 0, SIZE // 2]]
    assert sides[0] > sides[1] + 15


def tiny(seed=0, **choices):
    shape = {"channels": (8, 8), "z_dim": 4, "w_dim": 8, "plane_features": 2, "decoder_width": 4, "decoder_features": 3}
    shape |= {"neural_resolution": 8, "resolution": 8, "superresolution": (), "samples": 4, "fine_samples": 0, "pivot": (0, 0, 0)}
    shape |= {"near": 2.45, "far": 2.95} | choices
    torch.manual_seed(seed)
    net = Generator(Config(**shape))
    channels = (8, 8) if net.config.resolution == 8 else (8, 8, 8)
    return net, Discriminator(channels, 25, 6 if net.config.superresolution else 3, net.classes)


def learned(folder, recipe, views=None, seed=0, **choices):
    net, judge = tiny(seed, **choices)
    places = latents.labels(net, 40, torch.Generator().manual_seed(0), "cpu")
    pixels = torch.randint(0, 256, (40, 3, net.config.resolution, net.config.resolution), dtype=torch.uint8, generator=torch.Generator())
    return gan_training.train(net, judge, pixels, places, recipe, "gan", folder, views=views)


def state(net):
    return torch.cat([value.flatten() for value in net.state_dict().values()])


def test_each_image_comes_with_its_own_camera():
    places = torch.arange(10.0)[:, None].expand(10, 25)
    rows, real, fake = gan_training.batch(places, 10, 8, torch.Generator().manual_seed(0))
    assert torch.equal(real, places[rows]) and fake.shape == (8, 25) and not torch.equal(real, fake)
    assert torch.equal(camera_training.swap_cameras(places, 0.0, torch.Generator()), places)
    assert torch.equal(camera_training.swap_cameras(places, 1.0, torch.Generator()), places.roll(1, 0))
    some = camera_training.swap_cameras(places.repeat(100, 1), 0.3, torch.Generator().manual_seed(0))
    assert (some != places.repeat(100, 1)).all(1).float().mean() == pytest.approx(0.3, abs=0.05)


def test_images_that_are_compared_share_their_class_and_keep_it_under_another_camera():
    net, _ = tiny(classes=3)
    digits = torch.tensor([2, 0, 2, 2, 1, 0, 2, 2])
    labels = net.labels(torch.arange(8.0)[:, None].expand(8, 25), digits)
    rows, real, fake = gan_training.batch(labels, 8, 16, torch.Generator().manual_seed(0))
    assert torch.equal(real, labels[rows]) and fake.shape == (16, 28) and len(fake[:, 0].unique()) > 3
    for of in (real, fake):
        assert (of[:, 25:].unflatten(0, (4, 4)) == of[:4, 25:]).all()
    told = camera_training.swap_cameras(labels, 1.0, torch.Generator())
    assert torch.equal(told[:, :25], labels[:, :25].roll(1, 0)) and torch.equal(told[:, 25:], labels[:, 25:])


@pytest.mark.parametrize("choices", [{}, {"classes": 3}, {"resolution": 16, "superresolution": (4,), "superresolution_input": 8}])
def test_a_killed_training_with_cameras_goes_on_to_the_same_bits(tmp_path, choices):
    options = {"batch": 4, "r1_every": 2, "half_life": 100.0}
    views = Views(density_every=2)
    whole = learned(tmp_path / "whole", Recipe(3, every=3, **options), views, **choices)
    learned(tmp_path / "parts", Recipe(2, every=2, **options), views, **choices)
    parts = learned(tmp_path / "parts", Recipe(3, every=3, **options), views, seed=1, **choices)
    assert torch.equal(state(whole), state(parts)) and not torch.equal(state(whole), state(tiny(**choices)[0]))
    rows = list(csv.DictReader((tmp_path / "parts/gan.csv").open()))
    assert float(rows[-1]["density_variation"]) > 0
    with pytest.raises(InputError, match="other settings"):
        learned(tmp_path / "parts", Recipe(3, **options), Views(density=0.0), **choices)


def test_training_says_what_does_not_fit(tmp_path):
    net, judge = tiny()
    pixels = torch.zeros(8, 3, 8, 8, dtype=torch.uint8)
    for labels in (torch.zeros(8, dtype=torch.int64), torch.zeros(7, 25)):
        with pytest.raises(InputError, match="cameras"):
            gan_training.train(net, judge, pixels, labels, Recipe(1, batch=4), "gan", tmp_path)
    with pytest.raises(InputError, match="missing"):
        gan_training.train(net, judge, pixels, None, Recipe(1, batch=4), "gan", tmp_path)
    with pytest.raises(InputError, match="swap"):
        Views(swap=2.0)


def test_density_varies_by_its_slope_times_the_distance():
    """A density a·x: E|a·δ| = |a| NEARBY sqrt(2/π)."""
    net, _ = tiny()
    net.field = lambda planes, points: (3 * points[:, 0] - 4 * points[:, 2], None)
    found = camera_training.density_variation(net, torch.randn(50, net.num_ws, 8), torch.Generator().manual_seed(0))
    assert found.item() == pytest.approx(5 * camera_training.NEARBY * (2 / np.pi) ** 0.5, rel=0.02)


def test_dual_discrimination_puts_what_the_rays_saw_beside_the_image():
    net, _ = tiny(resolution=16, superresolution=(4,), superresolution_input=8)
    image = torch.rand(2, 3, 16, 16)
    pair = camera_training.real(image, net)
    assert pair.shape == (2, 6, 16, 16) and torch.equal(pair[:, :3], image)
    assert (pair[:, 3:] - image).abs().mean() < (pair[:, 3:] - image.flip(0)).abs().mean()
    places = net.sample_cameras(2, torch.Generator().manual_seed(0))
    drawn = camera_training.render(net, net.mapping(torch.randn(2, 4), places), places, torch.Generator())
    assert drawn.shape == (2, 6, 16, 16)


def test_renders_are_kept_and_each_has_its_camera(tmp_path):
    found = pocket_eg3d.renders(tmp_path, 40, 0)
    assert found.labels.bincount().tolist() == [4] * 10 and found.pixels.shape == (40, 3, 32, 32) and found.cameras.shape == (40, 25)
    again = pocket_eg3d.renders(tmp_path, 40, 0)
    assert all(torch.equal(a, b) for a, b in zip(found, again, strict=True))
    # A depth is a place in the world by its own camera: on or before the paper, and behind no face.
    start, way = rays(found.cameras, SIZE)
    z = start[:, 2:] + found.depths.flatten(1) * way[:, 2]
    assert z.abs().max() < solids.THICKNESS / 2 + 1e-3
    dark = found.pixels.float().mean(1).flatten(1) < 60
    assert z[dark].mean() > 0.9 * solids.THICKNESS / 2
    assert z.min() > pocket_eg3d.SLAB[1] - 1e-3 and z.max() < pocket_eg3d.SLAB[0], "body and paper lie where a generator's rays run"
    net, judge = pocket_eg3d.networks([8, 8, 8, 8], 4, 8, 4, 8, [4, 0], seed=0)
    labels = net.labels(found.cameras, found.labels)
    assert net.config.resolution == SIZE and judge(found.pixels[:4].float(), labels[:4]).shape == (4,)
    assert latents.classes(net, labels).equal(found.labels)
    torch.testing.assert_close(net.camera(torch.pi / 2)[0, 16:], found.cameras[0, 16:])
    with pytest.raises(InputError, match="cluttered"):
        pocket_eg3d.renders(tmp_path, 4, 0, domain=PLAIN | {"background": "cluttered"})


def test_in_the_beginning_what_is_dark_is_dense():
    net, _ = pocket_eg3d.networks([8, 8, 8, 8], 4, 8, 4, 8, [4, 0], seed=0)
    with torch.no_grad():
        density, colours = net.decoder(torch.randn(1, 4, 500, generator=torch.Generator().manual_seed(0)))
    light = torch.logit((colours[0] + OVERSHOOT) / (1 + 2 * OVERSHOOT)).mean(0)
    torch.testing.assert_close(density[0], pocket_eg3d.EMPTY + pocket_eg3d.DENSE * (pocket_eg3d.LIGHT - light), rtol=1e-3, atol=1e-3)


def test_the_turntable_tells_bodies_from_flat_pictures():
    pixels, depths = turntable.rendered(6, 0)
    assert pixels.shape == (6, 7, 3, 32, 32) and depths.shape == (6, 7, 32, 32)
    z = turntable.heights(depths)
    assert z.abs().max() < solids.THICKNESS / 2 + 1e-3
    bodies = turntable.relief(pixels, depths)
    assert bodies["face"] > 0.85 and bodies["off"] < 0.4
    painted = turntable.relief(pixels, depths.amax((2, 3), keepdim=True).expand_as(depths))
    assert painted["off"] > 2 * bodies["off"]
    assert turntable.sheet(pixels[:2], depths[:2]).size == (7 * 66 - 2, 4 * 66 - 2)


def test_a_scene_is_measured_as_it_turns(tmp_path):
    torch.manual_seed(0)
    net, _ = pocket_eg3d.networks([8, 8, 8, 8], 4, 8, 4, 8, [4, 2], seed=0)
    truth, others = (pocket_eg3d.renders(tmp_path, 20, k) for k in (1, 2))
    torch.manual_seed(0)
    table = turntable.quality(net.eval(), reader.model().eval(), truth, others, 3, 0).set_index("images")
    assert list(table.index) == ["generator", "renders", "billboard"]
    assert (
        table.loc["renders", "off"] < table.loc["billboard", "off"] and table.loc["renders", "frechet"] < table.loc["generator", "frechet"]
    )
    history = pd.DataFrame([{"step": 5, "seconds_per_step": 1.0}])
    pocket_eg3d.write_card(tmp_path, net, Recipe(5, batch=4), Views(), 20, 0, history, table.reset_index())
    assert "planes" in (tmp_path / "README.md").read_text() and table.loc["renders", "read"] <= 1
    # The digits of scenes can be chosen; else they come one after the other.
    z = torch.randn(3, 4)
    views = turntable.turned(net, z)[0]
    torch.testing.assert_close(views, turntable.turned(net, z, classes=torch.tensor([0, 1, 2]))[0])
    assert not torch.equal(views, turntable.turned(net, z, classes=torch.tensor([5, 5, 5]))[0])


@pytest.mark.parametrize("classes", [10, 0])
def test_adapted_3d_generators_are_measured_against_bodies_in_their_look(tmp_path, classes):
    net = Generator(replace(pocket_eg3d.networks([8, 8, 8, 8], 4, 8, 4, 8, [4, 0], seed=0)[0].config, classes=classes))
    checkpoints.save(net, tmp_path / "start")
    about = {"generator": str(tmp_path / "start"), "prompt": ["a white digit"], "variant": "sds"}
    settings = asdict(recipe("sound", {"steps": 4}))
    checkpoints.save(net, tmp_path / "run/night/sds/seed0", **about, recipe=settings, seed=0)
    adapted = comparison.find([tmp_path / "run"])
    torch.manual_seed(0)
    reader.save(reader.model(sum(factors.SIZES)), tmp_path / factors.FILE)
    night = {"form": "solid", "style": "chalk", "ink": "white", "paper": "black"}
    seen_in = "reader:models/pocket-reader"
    by = comparison.yardsticks(
        adapted, {"night": night}, (), seen_in, "models/pocket-clip", seen_in, tmp_path, judge=str(tmp_path), per_digit=3
    )
    frame = comparison.per_seed(adapted, by, 20, tmp_path / "measured").set_index("variant")
    assert list(frame.index) == ["before", "renders", "sds"] and frame.loc["sds", "kept"] == 1.0
    assert frame["read"].notna().all() if classes else "read" not in frame
    assert frame.loc["renders", "frechet"] < frame.loc["sds", "frechet"] and frame.loc["renders", "paired"] < frame.loc["sds", "paired"]
    bank = paired.twins(tmp_path, night, 3, 0)
    assert torch.equal(paired.nearest(bank, bank.plain, None), torch.arange(30))
    assert bank.target.float().mean() < 100 < bank.plain.float().mean()
    rows = figures.same_scenes(adapted)
    assert list(rows) == ["before", "sds"] and torch.equal(rows["before"], rows["sds"]) and len(rows["sds"]) == 10
    with pytest.raises(InputError, match="form"):
        paired.twins(tmp_path, night | {"form": "round"}, 3, 0)
    with pytest.raises(InputError, match="blurred"):
        paired.twins(tmp_path, night | {"quality": "blurred"}, 3, 0)
