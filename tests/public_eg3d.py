"""EG3D's rendering written down once more, with loops over pixels, samples and corners, in float64; and networks in files of the public
layout. Slow and plain: the tests compare the package with it."""

import sys
import types
from itertools import pairwise
from math import exp, floor, log1p

import torch
from public_stylegan2 import FIR, network, weights, write_pkl
from torch import nn


def ray(camera, row, column, size):
    """Where the ray of a pixel starts, and its direction."""
    to_world, intrinsics = camera[:16].reshape(4, 4), camera[16:].reshape(3, 3)
    pixel = torch.tensor([(column + 0.5) / size, (row + 0.5) / size, 1.0], dtype=torch.float64)
    direction = to_world[:3, :3] @ torch.linalg.inv(intrinsics) @ pixel
    return to_world[:3, 3], direction / direction.norm()


def looked_up(plane, u, v):
    """The plane (C, H, W) at u (to the right) and v (down), both from -1 to 1: bilinear, zero beyond."""
    _, high, wide = plane.shape
    x, y = ((u + 1) * wide - 1) / 2, ((v + 1) * high - 1) / 2
    total = torch.zeros(len(plane), dtype=torch.float64)
    for i in (floor(y), floor(y) + 1):
        for j in (floor(x), floor(x) + 1):
            if 0 <= i < high and 0 <= j < wide:
                total += plane[:, i, j] * (1 - abs(y - i)) * (1 - abs(x - j))
    return total


def at_point(planes, decoder, point, config):
    """Density before the softplus, and colours, at a point of the scene in `planes` (3, C, H, W)."""
    x, y, z = (float(p) * 2 / config.box for p in point)
    third = (z, x) if config.plane_axes == "released" else (z, y)
    features = sum(looked_up(plane, *at) for plane, at in zip(planes, ((x, y), (x, z), third), strict=True)) / 3
    for name in ("net.0", "net.2"):
        weight, bias = (decoder[f"{name}.{part}"].double() * config.decoder_lr for part in ("weight", "bias"))
        features = weight @ features / weight.shape[1] ** 0.5 + bias
        if name == "net.0":
            features = torch.log1p(features.exp())
    return float(features[0]), features[1:].sigmoid() * 1.002 - 0.001


def interval_weights(density, depths):
    found, through = [], 1.0
    for i in range(len(depths) - 1):
        s = (density[i] + density[i + 1]) / 2 - 1
        alpha = 1 - exp(-(log1p(exp(s))) * (depths[i + 1] - depths[i]))
        found.append(through * alpha)
        through *= 1 - alpha
    return found


def fine_depths(depths, weights, count):
    """Quantiles of the blurred weights, each between the middles that lie half an interval before it."""
    last = len(weights) - 1
    peak = [max(weights[max(0, i - 1)], weights[min(i, last)]) for i in range(len(weights) + 1)]
    blurred = [(a + b) / 2 + 0.01 + 1e-5 for a, b in pairwise(peak)][1:-1]
    middle = [(a + b) / 2 for a, b in pairwise(depths)]
    found = []
    for k in range(count):
        left, bin = (k + 0.5) / count * sum(blurred), 0
        while left >= blurred[bin]:
            left, bin = left - blurred[bin], bin + 1
        found.append(middle[bin] + left / blurred[bin] * (middle[bin + 1] - middle[bin]))
    return found


def pixel(planes, decoder, start, direction, config):
    """Colours in [-1, 1], depth and opacity of one ray; samples stand in the middle."""
    near, far = [float((z - start[2]) / direction[2]) for z in config.slab] if config.slab else (config.near, config.far)
    step = (far - near) / (config.samples - 1)
    depths = [near + (k + 0.5) * step for k in range(config.samples)]
    ask = lambda t: at_point(planes, decoder, start + t * direction, config)  # noqa: E731
    samples = [(t, *ask(t)) for t in depths]
    if config.fine_samples:
        more = fine_depths(depths, interval_weights([s for _, s, _ in samples], depths), config.fine_samples)
        samples = sorted(samples + [(t, *ask(t)) for t in more], key=lambda sample: sample[0])
    depths, density, colours = zip(*samples, strict=True)
    shares = interval_weights(density, depths)
    if config.back == "field":
        shares = [*shares[:-1], 1 - sum(shares[:-1])]
    colour = sum(w * (a + b) / 2 for w, a, b in zip(shares, colours, colours[1:], strict=False))
    depth = sum(w * (a + b) / 2 for w, a, b in zip(shares, depths, depths[1:], strict=False)) / sum(shares)
    return 2 * (colour + (1 - sum(shares)) * (config.back == "white")) - 1, depth, sum(shares)


def rendered(net, planes, cameras, size):
    """Colours (N, C, size, size), depths and opacities (N, size, size) of what the decoder of `net` makes of `planes` (N, 3 C, H, W)."""
    decoder = {name: value.detach() for name, value in net.decoder.state_dict().items()}
    found = []
    for scene, camera in zip(planes.double(), cameras.double(), strict=True):
        scene = scene.unflatten(0, (3, -1))
        found += [pixel(scene, decoder, *ray(camera, i, j, size), net.config) for i in range(size) for j in range(size)]
    colours, depths, opacities = (torch.stack([torch.as_tensor(row[k]) for row in found]) for k in range(3))
    shape = (len(planes), size, size)
    return colours.reshape(*shape, -1).permute(0, 3, 1, 2), depths.reshape(shape), opacities.reshape(shape)


def tensors(net, seed=0):
    """The tensors of `net` with everything away from zero, and the filters that a release's file has beside them."""
    rng = torch.Generator().manual_seed(seed)
    found = {name: torch.randn(value.shape, generator=rng) for name, value in net.state_dict().items()}
    for name in list(found):
        if name.endswith("conv1.weight"):
            found[name.replace("weight", "resample_filter")] = FIR.clone()
    return found


def write(given, path, monkeypatch, rendering, source="", neural=None, extra=None, **options):
    """A snapshot of NVlabs/eg3d with the generator of `given`; `source` is the Python that its own loader would execute."""
    modules = {name: types.ModuleType(name) for name in ("training", "training.triplane", "training.volumetric_rendering.renderer")}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)

    def plain(module, name):
        """An object that a pickle holds as the name of its class and its state, as the release has some beside the persistent ones."""
        setattr(modules[module], name, type(name, (nn.Module,), {"__module__": module}))
        return getattr(modules[module], name)()

    net = network("TriPlaneGenerator", given, source, rendering_kwargs=rendering, _init_kwargs=options, _last_planes=None, **(extra or {}))
    if neural:
        net.meta["state"]["neural_rendering_resolution"] = neural
    inner = net.meta["state"]["_modules"]
    layers = inner["decoder"].meta["state"]["_modules"]["net"].meta["state"]["_modules"]
    inner["renderer"] = plain("training.volumetric_rendering.renderer", "ImportanceRenderer")
    inner["renderer"].plane_axes = torch.eye(3)[None]
    inner["decoder"] = plain("training.triplane", "OSGDecoder")
    inner["decoder"].net = nn.Sequential()
    inner["decoder"].net._modules = {"0": layers["0"], "1": nn.Softplus(), "2": layers["2"]}
    write_pkl(weights(), path, G_ema=net)
