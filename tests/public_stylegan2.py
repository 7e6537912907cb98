"""StyleGAN2 written down once more, straight from the formulas, on a dictionary of tensors with the names of NVIDIA's release; and that
dictionary in files of the public layouts. Slow and plain: the tests compare the package with it."""

import argparse
import io
import pickle
import sys
import types

import numpy as np
import torch
import torch.nn.functional as F

TAPS = torch.tensor([1.0, 3.0, 3.0, 1.0])
FIR = torch.outer(TAPS, TAPS) / 64


def weights(channels=(8, 6, 4), z_dim=6, w_dim=7, label_dim=0, layers=3, lr_multiplier=0.01, image_channels=3, seed=0):
    """Random tensors of a generator, everything (biases, noise strengths, the mean of w) away from zero."""
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=rng)

    found = {}
    if label_dim:
        found |= {"mapping.embed.weight": normal(w_dim, label_dim), "mapping.embed.bias": normal(w_dim)}
    for i in range(layers):
        inward = w_dim if i else z_dim + (w_dim if label_dim else 0)
        found |= {f"mapping.fc{i}.weight": normal(w_dim, inward) / lr_multiplier, f"mapping.fc{i}.bias": normal(w_dim)}
    found["mapping.w_avg"] = normal(w_dim)
    size, inward = 4, None
    for outward in channels:
        block = f"synthesis.b{size}."
        found[block + "resample_filter"] = FIR.clone()
        if inward is None:
            found[block + "const"] = normal(outward, 4, 4)
        for name, source in (("conv0", inward), ("conv1", outward)):
            if source is not None:
                found |= {
                    f"{block}{name}.weight": normal(outward, source, 3, 3),
                    f"{block}{name}.bias": normal(outward),
                    f"{block}{name}.noise_strength": normal(),
                    f"{block}{name}.noise_const": normal(size, size),
                    f"{block}{name}.resample_filter": FIR.clone(),
                    f"{block}{name}.affine.weight": normal(source, w_dim),
                    f"{block}{name}.affine.bias": 1 + 0.3 * normal(source),
                }
        found |= {
            block + "torgb.weight": normal(image_channels, outward, 1, 1),
            block + "torgb.bias": normal(image_channels),
            block + "torgb.affine.weight": normal(outward, w_dim),
            block + "torgb.affine.bias": 1 + 0.3 * normal(outward),
        }
        size, inward = 2 * size, outward
    return found


def unit(x):
    return x / torch.sqrt((x**2).mean(1, keepdim=True) + 1e-8)


def leaky(x):
    return torch.where(x > 0, x, 0.2 * x) * 2**0.5


def mapped(given, z, labels=None, psi=1.0, cutoff=None, num_ws=6, lr_multiplier=0.01):
    """w (N, num_ws, w_dim)."""
    x = unit(z)
    if labels is not None:
        embedded = labels @ given["mapping.embed.weight"].T / labels.shape[1] ** 0.5 + given["mapping.embed.bias"]
        x = torch.cat([x, unit(embedded)], 1)
    i = 0
    while f"mapping.fc{i}.weight" in given:
        weight, bias = given[f"mapping.fc{i}.weight"], given[f"mapping.fc{i}.bias"]
        x = leaky(x @ (weight * lr_multiplier / weight.shape[1] ** 0.5).T + bias * lr_multiplier)
        i += 1
    rows = [given["mapping.w_avg"] + psi * (x - given["mapping.w_avg"]) if cutoff is None or k < cutoff else x for k in range(num_ws)]
    return torch.stack(rows, 1)


def stuffed(x):
    """Zeros between the pixels of (C, H, W): (C, 2H, 2W)."""
    y = torch.zeros(x.shape[0], 2 * x.shape[1], 2 * x.shape[2])
    y[:, ::2, ::2] = x
    return y


def filtered(x, kernel):
    """(C, H, W) convolved with one kernel for all channels; no padding."""
    return torch.stack([F.conv2d(c[None, None], kernel.flip(0, 1)[None, None])[0, 0] for c in x])


def modulated(x, weight, style, demodulate=True, up=False):
    """Equations 1 and 3 for one image (I, H, W), then the convolution, upsampling as stuffing, convolution, filter."""
    w = weight * style[None, :, None, None]
    if demodulate:
        w = w / torch.sqrt((w**2).sum((1, 2, 3), keepdim=True) + 1e-8)
    else:
        w = w / (weight.shape[1] * weight.shape[2] * weight.shape[3]) ** 0.5
    if not up:
        return F.conv2d(x[None], w, padding=w.shape[-1] // 2)[0]
    spread = F.conv2d(F.pad(stuffed(x), (2, 1, 2, 1))[None], w.flip(2, 3))[0]
    return filtered(F.pad(spread, (1, 1, 1, 1)), FIR * 4)


def synthesised(given, ws, noise="fixed", clamp=None):
    """Images (N, C, R, R) of w (N, num_ws, w_dim)."""
    bound = (lambda x: x) if clamp is None else (lambda x: x.clamp(-clamp, clamp))
    images = []
    for w in ws:
        x = given["synthesis.b4.const"]
        image, size, k = None, 4, 0
        while f"synthesis.b{size}.conv1.weight" in given:
            for name in ("conv0", "conv1"):
                at = f"synthesis.b{size}.{name}."
                if at + "weight" in given:
                    style = given[at + "affine.weight"] @ w[k] / w.shape[1] ** 0.5 + given[at + "affine.bias"]
                    x = modulated(x, given[at + "weight"], style, up=name == "conv0")
                    if noise == "fixed":
                        x = x + given[at + "noise_strength"] * given[at + "noise_const"]
                    x = bound(leaky(x + given[at + "bias"][:, None, None]))
                    k += 1
            at = f"synthesis.b{size}.torgb."
            style = given[at + "affine.weight"] @ w[k] / w.shape[1] ** 0.5 + given[at + "affine.bias"]
            here = bound(modulated(x, given[at + "weight"], style, demodulate=False) + given[at + "bias"][:, None, None])
            image = here if image is None else here + filtered(F.pad(stuffed(image), (2, 1, 2, 1)), FIR * 4)
            size *= 2
        images.append(image)
    return torch.stack(images)


def reference(given, z, labels=None, psi=1.0, cutoff=None, noise="fixed", clamp=None):
    num_ws = 2 * sum(name.endswith("torgb.weight") for name in given)
    return synthesised(given, mapped(given, z, labels, psi, cutoff, num_ws), noise, clamp)


def named(given):
    """The tensors without the constant filters, as this package's networks name them."""
    return {name: value for name, value in given.items() if not name.endswith("resample_filter")}


def write_pt(given, path, centre=True):
    """A training state of rosinality/stylegan2-pytorch."""
    flat = {"input.input": given["synthesis.b4.const"][None]}
    i = 0
    while f"mapping.fc{i}.weight" in given:
        flat |= {f"style.{i + 1}.weight": given[f"mapping.fc{i}.weight"], f"style.{i + 1}.bias": given[f"mapping.fc{i}.bias"]}
        i += 1
    size, number = 4, 0
    while f"synthesis.b{size}.conv1.weight" in given:
        for name in ("conv0", "conv1"):
            old = f"synthesis.b{size}.{name}."
            if old + "weight" not in given:
                continue
            new = "conv1." if number == 0 else f"convs.{number - 1}."
            flat |= {
                new + "conv.weight": given[old + "weight"][None],
                new + "conv.modulation.weight": given[old + "affine.weight"],
                new + "conv.modulation.bias": given[old + "affine.bias"],
                new + "noise.weight": given[old + "noise_strength"][None],
                new + "activate.bias": given[old + "bias"],
                f"noises.noise_{number}": given[old + "noise_const"][None, None],
            }
            if name == "conv0":
                flat[new + "conv.blur.kernel"] = FIR * 4
            number += 1
        old, new = f"synthesis.b{size}.torgb.", "to_rgb1." if size == 4 else f"to_rgbs.{number // 2 - 1}."
        flat |= {
            new + "conv.weight": given[old + "weight"][None],
            new + "conv.modulation.weight": given[old + "affine.weight"],
            new + "conv.modulation.bias": given[old + "affine.bias"],
            new + "bias": given[old + "bias"][None, :, None, None],
        }
        if size > 4:
            flat[new + "upsample.kernel"] = FIR * 4
        size *= 2
    whole = {"g": flat, "g_ema": flat, "d": {}, "g_optim": {}, "args": argparse.Namespace(size=16, path="x"), "ada_aug_p": 0.0}
    torch.save(whole | ({"latent_avg": given["mapping.w_avg"]} if centre else {}), path)


class Persistent:
    """An object that pickles as `torch_utils.persistence` makes NVIDIA's networks do."""

    def __init__(self, class_name, state, source):
        self.meta = {"type": "class", "version": 6, "module_src": source, "class_name": class_name, "state": state}


class _Pickler(pickle.Pickler):
    def reducer_override(self, value):
        if isinstance(value, Persistent):
            return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (value.meta,)
        return NotImplemented


def network(class_name, given, source, **attributes):
    """A network of tensors by dotted name, as the `__dict__` of its modules holds them."""
    state = {"training": False, "_parameters": {}, "_buffers": {}, "_modules": {}, "_forward_hooks": {}, "_init_args": ()} | attributes
    inner = {}
    for name, value in given.items():
        first, _, rest = name.partition(".")
        if rest:
            inner.setdefault(first, {})[rest] = value
        elif name in ("resample_filter", "noise_const", "w_avg"):
            state["_buffers"][name] = value
        else:
            state["_parameters"][name] = torch.nn.Parameter(value)
    for name, tensors in inner.items():
        state["_modules"][name] = network("Layer", tensors, source, _init_kwargs={}, weight_gain=np.float64(0.5), act_gain=np.sqrt(2))
    return Persistent(class_name, state, source)


def write_pkl(given, path, source="", mapping=None, synthesis=None, protocol=4, **whole):
    """A snapshot of NVlabs/stylegan2-ada-pytorch. `source` is the Python that its own loader would execute."""
    persistence, dnnlib, util = (types.ModuleType(name) for name in ("torch_utils.persistence", "dnnlib", "dnnlib.util"))

    def _reconstruct_persistent_obj(meta):
        raise AssertionError("this loader runs what a file says")

    _reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
    _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
    easy = type("EasyDict", (dict,), {"__module__": "dnnlib.util"})
    persistence._reconstruct_persistent_obj, util.EasyDict, dnnlib.util = _reconstruct_persistent_obj, easy, util
    modules = {
        "torch_utils": types.ModuleType("torch_utils"),
        "torch_utils.persistence": persistence,
        "dnnlib": dnnlib,
        "dnnlib.util": util,
    }
    options = easy(mapping_kwargs=easy(mapping or {}), synthesis_kwargs=easy(synthesis or {}), z_dim=6)
    generator = network("Generator", given, source, _init_kwargs=options)
    held = {"training_set_kwargs": {"path": "x"}, "G": generator, "D": None, "G_ema": generator, "augment_pipe": None} | whole
    sys.modules.update(modules)
    try:
        buffer = io.BytesIO()
        _Pickler(buffer, protocol).dump(held)
    finally:
        for name in modules:
            del sys.modules[name]
    path.write_bytes(buffer.getvalue())
