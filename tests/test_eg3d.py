"""EG3D: volume rendering against closed forms and explicit loops, cameras, planes, and files of the public layout."""

import os
from dataclasses import replace
from math import exp, log1p, pi

import pytest
import torch
import torch.nn.functional as F
from public_eg3d import rendered, tensors, write
from public_stylegan2 import filtered, leaky, modulated, stuffed
from test_gan_checkpoints import Call

from aa_utils.errors import InputError
from aa_utils.generator_adaptation import adapt, checkpoints, eg3d_layout, fusion, guide, latents, layers
from aa_utils.generator_adaptation import volume_rendering as vr
from aa_utils.generator_adaptation.cameras import angles, camera, rays
from aa_utils.generator_adaptation.eg3d import Config, Generator
from aa_utils.generator_adaptation.recipe import recipe
from aa_utils.generator_adaptation.superresolution import SuperResolution
from aa_utils.generator_adaptation.triplane import features

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


@pytest.mark.parametrize("fine, back", [(0, "black"), (6, "black"), (6, "white"), (0, "field"), (6, "field")])
@pytest.mark.parametrize("s", [-2.0, 0.5, 3.0])
def test_constant_density_has_its_closed_form(s, fine, back):
    """Σw = 1 - exp(-softplus(s - 1)(b - a)) however the ray is cut, and colour c becomes 2cΣw - 1; with "field" nothing gets through."""
    colours = torch.tensor([0.2, 0.9])

    def field(points):
        return torch.full(points[:, 0].shape, s), colours[:, None].expand(len(points), 2, points.shape[2])

    origins, directions = rays(camera([1.5, 1.8]), 3)
    colour, depth, opacity = vr.render(field, origins, directions, vr.Sampling(2.25, 3.3, 7, fine), back)
    whole = 1 if back == "field" else 1 - exp(-log1p(exp(s - 1)) * 1.05)
    close(opacity, torch.full((2, 9), whole), 1e-6)
    close(colour, (2 * (colours * whole + (1 - whole) * (back == "white")) - 1)[None, :, None].expand(2, 2, 9), 1e-6)
    assert (depth > 2.25).all() and (depth < 3.5).all()


def test_rays_may_run_between_two_heights():
    net = made(slab=[0.1, -0.05], back="field", fine_samples=0)
    net.decoder.net[2].bias.data[0] = -100.0  # nothing is met before the end
    z, cameras = inputs(net)
    ws = net.mapping(z, cameras)
    seen = net.view(net.planes(ws), ws, cameras, "none", neural_resolution=6)
    origins, directions = rays(cameras, 6)
    last = origins[:, 2:] + seen.depth.flatten(1) * directions[:, 2]
    close(last, torch.full_like(last, -0.05), 1e-5)  # the middle of the last two samples, which stand in the middle of steps
    with pytest.raises(InputError, match="larger one first"):
        made(slab=(0.0, 0.1))


def test_fine_samples_find_a_wall():
    def field(points):
        return torch.where(points[:, 2] < 0.1, 200.0, -20.0), points[:, :1] * 0 + 0.25

    origins, directions = rays(camera([pi / 2]), 4)
    truth = (0.1 - 2.7) / directions[:, 2]
    errors = []
    for fine in (0, 12):
        colour, depth, opacity = vr.render(field, origins, directions, vr.Sampling(2.25, 3.3, 12, fine))
        close(opacity, torch.ones(1, 16), 1e-3)
        close(colour, torch.full((1, 1, 16), -0.5), 1e-3)
        errors.append(float((depth - truth).abs().max()))
    assert errors[1] < errors[0] / 2 and errors[1] < 0.03


def test_where_nothing_is_the_depth_is_far_and_the_gradient_finite():
    s = torch.full((1, 40), -200.0, requires_grad=True)
    origins, directions = rays(camera([pi / 2]), 2)
    colour, depth, opacity = vr.render(lambda p: (s[:, : p.shape[2]], p[:, :1] * 0 + 1), origins, directions, vr.Sampling(1.0, 2.0, 5, 5))
    (colour.sum() + depth.sum() + opacity.sum()).backward()
    assert float(opacity.detach().max()) == 0 and float(depth.detach().min()) >= 2 and bool(s.grad.isfinite().all())


def test_quantiles_follow_a_known_density():
    edges, weights = torch.tensor([0.0, 1.0, 1.5, 4.0]), torch.tensor([1.0, 0.0, 3.0])
    u = (torch.arange(1000) + 0.5) / 1000
    t = vr.inverse_cdf(edges, weights, u)
    close(t, torch.where(u < 0.25, 4 * u, 1.5 + 2.5 * (u - 0.25) / 0.75), 1e-4)
    assert not ((t > 1.001) & (t < 1.499)).any()
    # A ray whose light stops in one interval: most fine samples fall near it, and some everywhere.
    depths = torch.linspace(2, 3, 21).expand(2, 21)
    weights = F.one_hot(torch.tensor([5, 14]), 20).float()
    fine = vr.importance(depths, weights, u.expand(2, -1))
    where = torch.tensor([2.275, 2.725])[:, None]
    assert ((fine - where).abs() < 0.1).float().mean() > 0.8 and fine.min() < 2.05 and fine.max() > 2.9


@pytest.mark.parametrize(
    "axes, fine, back, slab",
    [("released", 4, "black", None), ("fixed", 0, "white", None), ("fixed", 4, "field", None), ("fixed", 4, "field", (0.4, -0.3))],
)
def test_rendering_is_the_reference_of_explicit_loops(axes, fine, back, slab):
    net = made(plane_axes=axes, fine_samples=fine, back=back, slab=slab, box=1.3)
    z, cameras = inputs(net)
    cameras[1, 16:] = torch.tensor([1.7, 0.2, 0.45, 0, 2.1, 0.55, 0, 0, 1])  # another lens, skewed
    planes = 3 * net.planes(net.mapping(z, cameras), "fixed")
    net.decoder.net[2].weight[0] *= 5
    seen = net.view(planes, net.mapping(z, cameras), cameras, "fixed", neural_resolution=5)
    colours, depth, opacity = rendered(net, planes, cameras, 5)
    close(seen.raw, colours[:, :3])
    close(seen.depth[:, 0][opacity > 1e-6], depth[opacity > 1e-6])
    close(seen.opacity[:, 0], opacity)
    assert float((depth if back == "field" else opacity).std()) > 0.01


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


RENDERING = {
    "superresolution_module": "training.superresolution.SuperresolutionHybrid2X", "c_gen_conditioning_zero": False, "c_scale": 0.5,
    "superresolution_noise_mode": "none", "clamp_mode": "softplus", "disparity_space_sampling": False, "sr_antialias": True,
    "depth_resolution": 4, "depth_resolution_importance": 4, "ray_start": 2.25, "ray_end": 3.3, "box_warp": 1, "decoder_lr_mul": 0.5,
    "avg_camera_radius": 2.7, "avg_camera_pivot": [0, 0, 0.2],
}  # fmt: skip
PUBLIC = replace(
    SMALL, camera_scale=0.5, neural_resolution=6, samples=4, clamp=256.0, resolution=128, superresolution=(3, 2), superresolution_input=64
)


@pytest.mark.parametrize("module, resolution, start, fp16", [("2X", 128, 64, 0), ("4X", 256, 128, 0), ("8XDC", 512, 128, 4)])
def test_a_snapshot_of_the_release_gives_its_image_and_runs_nothing(tmp_path, monkeypatch, module, resolution, start, fp16):
    clamp = 256.0 if fp16 else None
    config = replace(PUBLIC, resolution=resolution, superresolution_input=start, superresolution_clamp=clamp)
    net = Generator(config).eval().requires_grad_(False)
    given = tensors(net)
    net.load_state_dict({name: value for name, value in given.items() if not name.endswith("resample_filter")})
    rendering = RENDERING | {"superresolution_module": f"training.superresolution.SuperresolutionHybrid{module}"}
    source = f"open({str(tmp_path / 'ran')!r}, 'w')"
    shape = {"img_resolution": resolution, "sr_num_fp16_res": fp16, "mapping_kwargs": {"num_layers": 2}}
    write(given, tmp_path / "network.pkl", monkeypatch, rendering, source, neural=6, **shape)
    found = checkpoints.load(tmp_path / "network.pkl")
    assert found.config == config
    z, cameras = inputs(net, 1)
    assert torch.equal(found(z, cameras, 0.7, noise="fixed"), net(z, cameras, 0.7, noise="fixed"))
    assert not (tmp_path / "ran").exists() and b"open(" in (tmp_path / "network.pkl").read_bytes()


def test_what_a_snapshot_says_of_rendering_counts(tmp_path, monkeypatch):
    given, path = tensors(Generator(PUBLIC)), tmp_path / "network.pkl"
    write(given, path, monkeypatch, RENDERING | {"white_back": True, "c_gen_conditioning_zero": True}, img_resolution=128, conv_clamp=None)
    config = checkpoints.load(path).config
    assert (config.back, config.camera_scale, config.clamp, config.neural_resolution) == ("white", 0.0, None, 64)
    assert (config.focal, config.yaw_range) == (eg3d_layout.ALL_AROUND["focal"], pi)
    for rendering, options, message in (
        ({"superresolution_module": "training.superresolution.SuperresolutionHybridDeepfp32"}, {}, "HybridDeepfp32; networks with"),
        ({"ray_start": "auto", "ray_end": "auto"}, {}, "rays from 'auto' to 'auto'"),
        ({"disparity_space_sampling": True}, {}, "disparity_space_sampling is True"),
        ({"depth_resolution": 3}, {}, r"network\.pkl': samples is 3"),
        ({"box_warp": None}, {}, "lacks something of an EG3D generator"),
        ({}, {"architecture": "resnet"}, "architecture is 'resnet'"),
        ({}, {"img_resolution": 512}, "resolution is 512"),
    ):
        write(given, path, monkeypatch, RENDERING | rendering, **{"img_resolution": 128} | options)
        with pytest.raises(InputError, match=message):
            checkpoints.load(path)
    del given["superresolution.block1.torgb.bias"]
    write(given, path, monkeypatch, RENDERING, img_resolution=128)
    with pytest.raises(InputError, match=r"block1\.torgb\.bias"):
        checkpoints.load(path)


@pytest.mark.parametrize("where", ["rendering", "state"])
def test_a_harmful_snapshot_is_refused_before_it_does_anything(tmp_path, monkeypatch, where):
    payload = Call(os.system, f"touch {tmp_path / 'ran'}")
    rendering, extra = ({"box_warp": payload}, {}) if where == "rendering" else ({}, {"neural_rendering_resolution": payload})
    write(tensors(Generator(PUBLIC)), tmp_path / "network.pkl", monkeypatch, RENDERING | rendering, extra=extra, img_resolution=128)
    with pytest.raises(InputError, match=r"asks for posix\.system"):
        checkpoints.load(tmp_path / "network.pkl")
    assert not (tmp_path / "ran").exists()


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
