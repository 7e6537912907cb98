"""EG3D: cameras, planes, what the mapping network is told, views, weights, and adaptation of a 3-D generator."""

from dataclasses import replace
from math import pi

import pytest
import torch
import torch.nn.functional as F
from public_stylegan2 import filtered, leaky, modulated, stuffed

from aa_utils.errors import InputError
from aa_utils.generator_adaptation import adapt, fusion, guide, layers
from aa_utils.generator_adaptation.generators import checkpoints, latents
from aa_utils.generator_adaptation.generators.cameras import angles, camera, rays
from aa_utils.generator_adaptation.generators.eg3d import Config, Generator
from aa_utils.generator_adaptation.generators.superresolution import SuperResolution
from aa_utils.generator_adaptation.generators.triplane import features
from aa_utils.generator_adaptation.recipe import recipe

SMALL = Config(
    channels=(6, 5), z_dim=6, w_dim=7, mapping_layers=2, clamp=None, plane_features=4, decoder_width=9, decoder_features=5,
    decoder_lr=0.5, neural_resolution=8, samples=5, fine_samples=4, resolution=16, superresolution=(6,), superresolution_input=8,
    superresolution_clamp=None,
)  # fmt: skip


def close(a, b, atol=1e-4):
    torch.testing.assert_close(a.float(), b.float(), atol=atol, rtol=1e-4)


def made(**changes):
    torch.manual_seed(0)
    net = Generator(replace(SMALL, **changes)).eval()
    for name, value in net.state_dict().items():
        if name.endswith(("noise_strength", "bias", "w_avg")):
            value.add_(0.3 * torch.randn_like(value))
    return net.requires_grad_(False)


def inputs(net, n=2):
    rng = torch.Generator().manual_seed(1)
    return torch.randn(n, net.z_dim, generator=rng), net.sample_cameras(n, rng)


def test_super_resolution_is_the_reference():
    torch.manual_seed(0)
    net = SuperResolution(4, (6, 5), 8, 16, 7, clamp=None).requires_grad_(False)  # two blocks and one doubling: the first keeps the size
    for value in net.parameters():
        value.add_(0.3 * torch.randn_like(value))
    small, w = torch.randn(2, 4, 4, 4), torch.randn(2, 7)
    found = net(small, w, "none")
    x = F.interpolate(small, size=(8, 8), mode="bilinear", antialias=True)
    for n in range(2):
        y, image = x[n], x[n, :3]
        for block in (net.block0, net.block1):
            up = block is net.block1
            for layer in (block.conv0, block.conv1):
                style = layer.affine.weight @ w[n] / 7**0.5 + layer.affine.bias
                y = leaky(modulated(y, layer.weight, style, up=up and layer is block.conv0) + layer.bias[:, None, None])
            style = block.torgb.affine.weight @ w[n] / 7**0.5 + block.torgb.affine.bias
            below = image if not up else filtered(F.pad(stuffed(image), (2, 1, 2, 1)), 4 * block.torgb.kernel)
            image = below + modulated(y, block.torgb.weight, style, demodulate=False) + block.torgb.bias[:, None, None]
        close(found[n], image)


def test_cameras_stand_where_the_convention_says():
    front = camera([pi / 2], [pi / 2])
    close(front[0, :16].reshape(4, 4), torch.tensor([[1.0, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 2.7], [0, 0, 0, 1]]), 1e-6)
    assert front[0, 16:].tolist() == pytest.approx([4.2647, 0, 0.5, 0, 4.2647, 0.5, 0, 0, 1])
    # LookAtPoseSampler of the public code at these angles, run once.
    matrix = [[0.90846, 0.05705, -0.41407, 1.04287], [0, -0.99064, -0.13649, 0.34377], [-0.41798, 0.124, -0.89995, 2.46662], [0, 0, 0, 1]]
    found = camera(pi / 2 + 0.4, pi / 2 - 0.2, (0.0, 0.0, 0.2))
    close(found[0, :16].reshape(4, 4), torch.tensor(matrix), 2e-5)
    around = camera(torch.linspace(0, 6, 7), torch.linspace(0.3, 2.8, 7), (0.1, 0.2, 0.3), radius=2.0)
    matrices = around[:, :16].reshape(-1, 4, 4)
    turn, place = matrices[:, :3, :3], matrices[:, :3, 3]
    close(turn.transpose(1, 2) @ turn, torch.eye(3).expand(7, 3, 3), 1e-5)
    close(torch.linalg.det(turn), torch.ones(7), 1e-5)
    close(place.norm(dim=1), torch.full((7,), 2.0), 1e-5)
    close(turn[:, :, 2], F.normalize(torch.tensor([0.1, 0.2, 0.3]) - place, dim=1), 1e-5)
    assert (turn[:, 1, 0].abs() < 1e-6).all() and (turn[:, 1, 1] < 0).all(), "no roll, and the image's down is down"
    starts, directions = rays(around, 3)
    close(starts, place, 0)
    close(directions[:, :, 4], turn[:, :, 2], 1e-5)
    right, down = (directions[:, :, 5] - directions[:, :, 3]), (directions[:, :, 7] - directions[:, :, 1])
    assert ((right * turn[:, :, 0]).sum(1) > 0.15).all() and ((down * turn[:, :, 1]).sum(1) > 0.15).all()


def test_random_cameras_stay_in_their_range():
    rng = torch.Generator().manual_seed(0)
    yaw, pitch = angles(2000, rng, 0.35, 0.25, "uniform")
    assert float((yaw - pi / 2).abs().max()) == pytest.approx(0.35, abs=2e-3) and float((pitch - pi / 2).abs().max()) <= 0.25
    assert float(yaw.mean()) == pytest.approx(pi / 2, abs=0.02)
    yaw, pitch = angles(50, rng, 0.35, 0.25, "ellipse")
    close(((yaw - 1.57) / 0.35).square() + ((pitch - 1.52) / 0.25).square(), torch.ones(50), 1e-4)
    net = made()
    one, again = (net.sample_cameras(3, torch.Generator().manual_seed(4)) for _ in range(2))
    assert one.shape == (3, 25) and torch.equal(one, again)


def test_which_coordinates_look_up_which_plane():
    """A plane that holds its own coordinates: the point (1, 2, 3) is looked up at (1, 2), (1, 3) and (3, 1), and, mended, at (3, 2)."""
    at = (2 * torch.arange(16) + 1) / 16 - 1
    own = torch.stack(torch.meshgrid(at, at, indexing="xy"))
    point = torch.tensor([1.0, 2.0, 3.0])[None, :, None] / 10
    for axes, expected in (("released", [(1, 2), (1, 3), (3, 1)]), ("fixed", [(1, 2), (1, 3), (3, 2)])):
        for k in range(3):
            planes = torch.zeros(1, 3, 2, 16, 16)
            planes[:, k] = 3 * own
            close(features(planes.flatten(1, 2), point, 2.0, axes)[0, :, 0], torch.tensor(expected[k]) / 10, 1e-6)
    planes = torch.ones(1, 6, 16, 16)
    assert float(features(planes, torch.tensor([[[0.0], [0.0], [0.46]]]), 1.0).min()) == pytest.approx(1)
    assert float(features(planes, torch.tensor([[[0.6], [0.7], [-0.8]]]), 1.0).abs().max()) == 0, "beyond the box is nothing"


def test_the_mapping_network_sees_the_camera():
    net, blind = made(), made(camera_scale=0.0)
    z, cameras = inputs(net)
    other = net.camera([1.3, 1.9])
    assert not torch.allclose(net.mapping(z, cameras), net.mapping(z, other))
    assert torch.equal(blind.mapping(z, cameras), blind.mapping(z, other))
    assert net.mapping(z, cameras).shape == (2, net.num_ws, 7)
    close(net.mapping(z, cameras, psi=0.0), net.mapping.w_avg.expand(2, net.num_ws, 7), 1e-6)
    with pytest.raises(InputError, match=r"takes a camera for each of 2 latents.*none were given"):
        net.mapping(z)
    with pytest.raises(InputError, match=r"shape is \(1, 25\)"):
        net.mapping(z, other[:1])


def test_a_class_is_told_behind_the_camera():
    net = made(classes=3, camera_scale=0.0)
    z, cameras = inputs(net)
    one, other = (net.labels(cameras, torch.tensor(classes)) for classes in ([0, 2], [1, 2]))
    assert torch.equal(one[:, :25], cameras) and one[:, 25:].tolist() == [[1, 0, 0], [0, 0, 1]]
    same = (net.mapping(z, one) == net.mapping(z, other)).flatten(1).all(1)
    assert same.tolist() == [False, True] and torch.equal(latents.classes(net, other), torch.tensor([1, 2]))
    # Rays know the camera alone, however it is given.
    w = net.mapping(z, one)
    assert torch.equal(net.synthesis(w, one, "fixed"), net.synthesis(w, cameras, "fixed"))
    drawn = latents.labels(net, 4, torch.Generator().manual_seed(0), "cpu", chosen=latents.in_turn(net, 4))
    assert drawn.shape == (4, 28) and latents.classes(net, drawn).tolist() == [0, 1, 2, 0]
    assert latents.classes(made(), cameras) is None
    for wrong, said in (
        (lambda: net.labels(cameras), "3 classes, and none were"),
        (lambda: made().labels(cameras, torch.tensor([0, 0])), "no"),
    ):
        with pytest.raises(InputError, match=said):
            wrong()
    with pytest.raises(InputError, match=r"camera with one of 3 classes for each of 2 latents, \(2, 28\), and their shape is \(2, 25\)"):
        net.mapping(z, cameras)


def test_one_scene_is_seen_from_many_sides():
    net = made()
    z, _ = inputs(net, 1)
    w = net.mapping(z, net.camera(pi / 2))
    around = net.camera(torch.linspace(1.2, 1.9, 4))
    seen = net.view(net.planes(w, "fixed").expand(4, -1, -1, -1), w.expand(4, -1, -1), around, "fixed")
    assert seen.image.shape == (4, 3, 16, 16) and seen.depth.shape == seen.opacity.shape == (4, 1, 8, 8)
    for k in range(4):
        close(seen.image[k : k + 1], net.synthesis(w, around[k : k + 1], "fixed"), 1e-5)
    close(net.synthesis(w[:, 0], around[:1], "fixed"), net.synthesis(w, around[:1], "fixed"), 0)
    plain = made(superresolution=(), neural_resolution=16)
    alone = plain.view(plain.planes(w), w, around[:1])
    assert torch.equal(alone.image, alone.raw) and alone.image.shape == (1, 3, 16, 16)


def test_noise_and_samples_are_random_or_always_the_same():
    net = made(superresolution_noise=True)
    z, cameras = inputs(net)
    draw = lambda seed: net(z, cameras, noise="random", generator=torch.Generator().manual_seed(seed))  # noqa: E731
    assert torch.equal(draw(0), draw(0)) and not torch.equal(draw(0), draw(1))
    assert torch.equal(net(z, cameras, noise="fixed"), net(z, cameras, noise="fixed"))
    w = net.mapping(z, cameras)
    planes = net.planes(w, "none")
    still, jittered = (net.view(planes, w, cameras, noise).depth for noise in ("none", "random"))
    assert not torch.equal(still, jittered) and float((still - jittered).abs().max()) < 0.3
    torch.manual_seed(3)
    one = net(z, cameras)
    torch.manual_seed(3)
    assert torch.equal(one, net(z, cameras))


def test_autocast_leaves_the_rays_in_float32():
    net = made()
    z, cameras = inputs(net)
    w, planes = net.mapping(z, cameras), net.planes(net.mapping(z, cameras), "fixed")
    exact = net.view(planes, w, cameras, "fixed")
    with torch.autocast("cpu", torch.bfloat16):
        rough = net.view(planes, w, cameras, "fixed")
    assert torch.equal(rough.raw, exact.raw) and torch.equal(rough.depth, exact.depth)
    assert rough.image.dtype == torch.float32
    assert 0 < float((rough.image - exact.image).abs().mean() / exact.image.std()) < 0.03


def test_every_weight_learns():
    net = made(superresolution_noise=True).requires_grad_(True)
    z, cameras = inputs(net)
    net(z, cameras).square().mean().backward()
    still = [name for name, value in net.named_parameters() if value.grad is None or not value.grad.any()]
    assert not still


def test_released_shape():
    """The public FFHQ network (512 pixels, 8XDC) was instantiated once and its parameters counted."""
    with torch.device("meta"):
        net = Generator(Config())
    assert sum(value.numel() for value in net.parameters()) == 30_662_136
    assert net.num_ws == 14 and net.config.plane_resolution == 256


def test_own_folder_keeps_every_bit(tmp_path):
    net = made(orbit="ellipse", pivot=(0, 0, -0.06))
    checkpoints.save(net, tmp_path, steps=3)
    again = checkpoints.load(tmp_path)
    assert again.config == net.config and again.kind == "eg3d"
    z, cameras = inputs(net)
    assert torch.equal(again(z, cameras, noise="fixed"), net(z, cameras, noise="fixed"))


def test_adaptation_trains_the_chosen_layers_of_a_3d_generator(tiny_diffusion, tmp_path):
    net = made()
    chosen = recipe("sound", {"steps": 2, "batch_size": 2}, {"layers": "eg3d", "biases": False})
    found = adapt.adapt(net, fusion.objective(guide.load(tiny_diffusion), ["digit one"], chosen), 0, tmp_path, adapt.Watch(samples=2))
    pairs = zip(net.named_parameters(), found.parameters(), strict=True)
    changed = {name for (name, before), after in pairs if not torch.equal(before, after)}
    assert changed == set(layers.named(net, chosen))
    assert changed and all(name.startswith(("backbone.synthesis.", "superresolution.")) for name in changed)
    z, cameras = inputs(net)
    assert torch.equal(checkpoints.load(tmp_path)(z, cameras, noise="fixed"), found(z, cameras, noise="fixed"))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"channels": (4,)}, "at least two"),
        ({"superresolution": (0,)}, "superresolution is"),
        ({"w_dim": 0}, "w_dim is 0"),
        ({"decoder_features": 2}, "at least 3"),
        ({"plane_axes": "xy"}, "released, fixed"),
        ({"orbit": "spiral"}, "uniform, ellipse"),
        ({"near": 3.5}, "near=3.5"),
        ({"samples": 3}, "at least 4 samples"),
        ({"samples": 1, "fine_samples": 0}, "at least 2 samples"),
        ({"resolution": 64}, "resolution is 64"),
        ({"superresolution": (), "neural_resolution": 8}, "without blocks: neural_resolution"),
    ],
)
def test_a_shape_that_cannot_be_says_what_to_change(changes, message):
    with pytest.raises(InputError, match=message):
        replace(SMALL, **changes)


def test_bad_input_says_what_to_do():
    net = made()
    z, cameras = inputs(net)
    w = net.mapping(z, cameras)
    with pytest.raises(InputError, match=r"cameras have shape \(2, 16\)"):
        net.synthesis(w, cameras[:, :16])
    with pytest.raises(InputError, match="1 cameras for 2 latents"):
        net.synthesis(w, cameras[:1])
    with pytest.raises(InputError, match="noise is 'const'"):
        net.synthesis(w, cameras, "const")
    plain = made(superresolution=(), neural_resolution=16)
    with pytest.raises(InputError, match="neural_resolution is 8"):
        plain.view(plain.planes(w), w, cameras, neural_resolution=8)
