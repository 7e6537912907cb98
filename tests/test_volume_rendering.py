"""Volume rendering against closed forms and explicit loops."""

from math import exp, log1p, pi

import pytest
import torch
import torch.nn.functional as F
from public_eg3d import rendered
from test_eg3d import close, inputs, made

from aa_utils.errors import InputError
from aa_utils.generator_adaptation.generators import volume_rendering as vr
from aa_utils.generator_adaptation.generators.cameras import camera, rays


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
