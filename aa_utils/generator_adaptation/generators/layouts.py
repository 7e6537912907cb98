"""Public StyleGAN2 checkpoints in this package's terms: which tensor is which, and the shape of the network, read from the tensors.

NVIDIA: `G_ema` of NVlabs/stylegan2-ada-pytorch (arXiv 2006.06676). rosinality: `g_ema` of rosinality/stylegan2-pytorch, which StyleGAN-NADA
(arXiv 2108.00946) and StyleGAN-Fusion (arXiv 2212.04473) use. Both store the weights of upsampling convolutions the same way.
"""

import re

import torch
from torch import Tensor, nn

from aa_utils.errors import InputError
from aa_utils.generator_adaptation.generators.restricted_pickle import Record
from aa_utils.generator_adaptation.generators.stylegan2 import Config, Generator
from aa_utils.generator_adaptation.generators.upfirdn2d import fir
from aa_utils.seeds import torch_generator

WHAT = "a StyleGAN2 generator with output skips"
CENTRE_SAMPLES = 10_000  # latents whose mean is the centre of truncation, where a file does not store one


def from_nvidia(found: object, source: str) -> Generator:
    """The generator in what `restricted_pickle.load` read from `source`.

    Errors: InputError if there is none, or one of another architecture (StyleGAN3, residual or original skips).
    """
    net = found.get("G_ema") if isinstance(found, dict) else None
    if not isinstance(net, Record):
        raise InputError(f"'{source}' holds no generator: a file of NVlabs/stylegan2-ada-pytorch has one as 'G_ema'")
    weights = net.tensors()
    options = net.state.get("_init_kwargs")
    if "synthesis.b4.const" not in weights or not isinstance(options, dict):
        raise InputError(f"'{source}' holds a {net.name} that is not StyleGAN2's: no b4.const, or no arguments. StyleGAN3 cannot be read")
    mapping, synthesis = options.get("mapping_kwargs", {}), options.get("synthesis_kwargs", {})
    for what, given, fits in (
        ("activation", mapping.get("activation", "lrelu"), "lrelu"),
        ("activation", synthesis.get("activation", "lrelu"), "lrelu"),
        ("architecture", synthesis.get("architecture", "skip"), "skip"),
        ("use_noise", synthesis.get("use_noise", True), True),
    ):
        if given != fits:
            raise InputError(f"'{source}': {what} is {given!r}; generators with {fits!r} can be read")
    check_filters({name: value for name, value in weights.items() if name.endswith("resample_filter")}, source)
    weights = {name: value for name, value in weights.items() if not name.endswith("resample_filter")}
    label_dim = weights["mapping.embed.weight"].shape[1] if "mapping.embed.weight" in weights else 0
    embedded = weights["mapping.embed.weight"].shape[0] if label_dim else 0
    config = _config(weights, label_dim, embedded, mapping.get("lr_multiplier", 0.01), synthesis.get("conv_clamp"), source)
    return filled(Generator(config), weights, source, WHAT)


def from_rosinality(weights: dict[str, Tensor], centre: Tensor | None, source: str) -> Generator:
    """The generator whose `state_dict` in rosinality's layout is `weights`; `centre` is the mean of w, if the file has one.

    Without a `centre` it is the mean w of CENTRE_SAMPLES seeded latents. Errors: InputError for another layout.
    """
    check_filters({name: value for name, value in weights.items() if name.endswith(".kernel")}, source)
    renamed = {}
    for name, value in weights.items():
        if not name.endswith(".kernel"):
            renamed.update([_renamed(name, value, source)])
    config = _config(renamed, 0, 0, 0.01, None, source)
    width = renamed["mapping.fc0.weight"].shape[0]
    renamed["mapping.w_avg"] = torch.zeros(width) if centre is None else centre.float().reshape(-1)
    net = filled(Generator(config), renamed, source, WHAT)
    if centre is None:
        z = torch.randn(CENTRE_SAMPLES, config.z_dim, generator=torch_generator("centre of truncation"))
        with torch.inference_mode():
            net.mapping.track(net.mapping.w(z), decay=0.0)
    return net


INSIDE = {
    "conv.weight": "weight", "conv.modulation.weight": "affine.weight", "conv.modulation.bias": "affine.bias",
    "noise.weight": "noise_strength", "activate.bias": "bias", "bias": "bias",
}  # fmt: skip


def _renamed(name: str, value: Tensor, source: str) -> tuple[str, Tensor]:
    """A tensor of rosinality's layout under NVIDIA's name and in NVIDIA's shape."""
    if match := re.fullmatch(r"style\.(\d+)\.(weight|bias)", name):
        return f"mapping.fc{int(match[1]) - 1}.{match[2]}", value
    if name == "input.input":
        return "synthesis.b4.const", value[0]
    if match := re.fullmatch(r"noises\.noise_(\d+)", name):
        return f"synthesis.{_convolution(int(match[1]))}.noise_const", value[0, 0]
    match = re.fullmatch(r"(conv1|to_rgb1|convs\.(\d+)|to_rgbs\.(\d+))\.(.+)", name)
    if match is None or match[4] not in INSIDE:
        raise InputError(f"'{source}': '{name}' is no tensor of a StyleGAN2 generator in rosinality's layout")
    place = "b4.torgb" if match[1] == "to_rgb1" else f"b{8 << int(match[3])}.torgb" if match[3] else _convolution(int(match[2] or -1) + 1)
    inside = INSIDE[match[4]]
    if match[4] == "conv.weight":
        value = value[0]
    elif inside in ("bias", "noise_strength"):
        value = value.reshape(()) if inside == "noise_strength" else value.flatten()
    return f"synthesis.{place}.{inside}", value


def _convolution(number: int) -> str:
    """Where the `number`-th styled convolution stands: b4.conv1, b8.conv0, b8.conv1, b16.conv0 …"""
    return f"b{4 << (number + 1) // 2}.conv{(number + 1) % 2}"


def _config(weights: dict, label_dim: int, embedded: int, lr_multiplier: float, clamp: float | None, source: str) -> Config:
    """The shape of a network from its tensors under NVIDIA's names."""
    try:
        channels, size = [], 4
        while f"synthesis.b{size}.conv1.weight" in weights:
            channels.append(weights[f"synthesis.b{size}.conv1.weight"].shape[0])
            size *= 2
        layers = sum(bool(re.fullmatch(r"mapping\.fc\d+\.weight", name)) for name in weights)
        w_dim = weights["synthesis.b4.conv1.affine.weight"].shape[1]
        z_dim = weights["mapping.fc0.weight"].shape[1] - embedded
        image_channels = weights["synthesis.b4.torgb.weight"].shape[0]
    except (KeyError, IndexError) as error:
        raise InputError(f"'{source}' lacks a tensor of a StyleGAN2 generator: {error}") from error
    return Config(tuple(channels), z_dim, w_dim, label_dim, layers, float(lr_multiplier), image_channels, clamp and float(clamp))


def filled(net: nn.Module, weights: dict[str, Tensor], source: str, what: str) -> nn.Module:
    """`net` with these weights. Errors: InputError that says `what` the file `source` should be, if they do not fit."""
    try:
        net.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(f"'{source}' is not {what}: {' '.join(str(error).split())[:300]}") from error
    return net


def check_filters(filters: dict[str, Tensor], source: str) -> None:
    """The low-pass filters of a file are [1, 3, 3, 1], up to their scale. Errors: InputError for another."""
    for name, kernel in filters.items():
        kernel = torch.outer(kernel, kernel) if kernel.ndim == 1 else kernel
        if kernel.shape != (4, 4) or not torch.allclose(kernel / kernel.sum(), fir().to(kernel), atol=1e-5):
            raise InputError(f"'{source}': {name} is not the filter [1, 3, 3, 1], the only one that StyleGAN2 was released with")
