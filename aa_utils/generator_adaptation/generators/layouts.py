"""Public StyleGAN2 checkpoints in this package's terms: which tensor is which, and the shape of the network, read from the tensors.

NVIDIA: `G_ema` of NVlabs/stylegan2-ada-pytorch (arXiv 2006.06676). rosinality: `g_ema` of rosinality/stylegan2-pytorch, which StyleGAN-NADA
(arXiv 2108.00946) and StyleGAN-Fusion (arXiv 2212.04473) use. Both store the weights of upsampling convolutions the same way.
"""

import re
from collections.abc import Callable

import torch
from torch import Tensor, nn

from aa_utils.errors import InputError
from aa_utils.generator_adaptation.generators import shapes
from aa_utils.generator_adaptation.generators.restricted_pickle import Record
from aa_utils.generator_adaptation.generators.stylegan2 import Config, Generator
from aa_utils.generator_adaptation.generators.upfirdn2d import fir
from aa_utils.seeds import torch_generator

WHAT = "a StyleGAN2 generator with output skips"
CENTRE_SAMPLES = 10_000  # latents whose mean is the centre of truncation, where a file does not store one
NOISE_SEED = 0  # of the fixed noise maps, where a file does not store them
LARGEST = 4096  # pixels a side; the released networks have 1024 at most
NUMBER = r"([0-9]{1,2})"  # of a layer: 2 ** number is a size, and a number of many digits would fill the memory
# What train.py of the release gives a network, where a file has its tensors without its arguments.
USUAL = {"lr_multiplier": 0.01, "conv_clamp": 256}


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
    return _whole(weights, mapping.get("lr_multiplier", 0.01), synthesis.get("conv_clamp"), source, [])


def from_names(weights: dict[str, Tensor], source: str) -> Generator:
    """The generator whose `state_dict` in NVIDIA's names is `weights`, with the arguments that the release's train.py gives.

    Errors: InputError for another layout.
    """
    check_filters({name: value for name, value in weights.items() if name.endswith("resample_filter")}, source)
    weights = {name: value for name, value in weights.items() if not name.endswith("resample_filter")}
    said = [f"the file does not say its arguments; as in the release's train.py, conv_clamp is {USUAL['conv_clamp']}"]
    return _whole(weights, USUAL["lr_multiplier"], USUAL["conv_clamp"], source, said)


def from_rosinality(weights: dict[str, Tensor], centre: Tensor | None, source: str) -> Generator:
    """The generator whose `state_dict` in rosinality's layout is `weights`; `centre` is the mean of w, if the file has one.

    Released files may lack the noise maps, which are then drawn from a seed. Errors: InputError for another layout.
    """
    check_filters({name: value for name, value in weights.items() if name.endswith(".kernel")}, source)
    renamed = {}
    for name, value in weights.items():
        if not name.endswith(".kernel"):
            own, tensor = _renamed(name, value, source)
            if own in renamed:  # style.1 and style.01
                raise InputError(f"'{source}' has two tensors for {own}, '{name}' one of them; save one of them alone")
            renamed[own] = tensor
    if centre is not None:
        renamed["mapping.w_avg"] = _one_row(centre, source)
    return _whole(renamed, 0.01, None, source, [])


def _whole(weights: dict[str, Tensor], lr_multiplier: float, clamp: float | None, source: str, said: list[str]) -> Generator:
    """The generator of tensors under NVIDIA's names; `said` and what is made up for the file become its `assumed`."""
    config = _config(weights, lr_multiplier, clamp, source)
    if not any(name.endswith(".noise_const") for name in weights):
        said = [*said, f"the file has no noise maps; they are drawn from seed {NOISE_SEED}"]
        rng = torch_generator("noise maps", NOISE_SEED)
        sizes = {_convolution(k): 4 << (k + 1) // 2 for k in range(2 * len(config.channels) - 1)}
        weights = weights | {f"synthesis.{k}.noise_const": torch.randn(size, size, generator=rng) for k, size in sizes.items()}
    centred = "mapping.w_avg" in weights
    weights = {"mapping.w_avg": torch.zeros(config.w_dim)} | weights
    net = filled(Generator, config, weights, f"'{source}' is not {WHAT}")  # type: ignore[arg-type]
    if not centred:
        said = [*said, f"the file has no mean of w; it is that of {CENTRE_SAMPLES:,} seeded latents"]
        z = torch.randn(CENTRE_SAMPLES, config.z_dim, generator=torch_generator("centre of truncation"))
        with torch.inference_mode():
            net.mapping.track(net.mapping.w(z), decay=0.0)
    net.assumed = tuple(said)  # type: ignore[assignment]
    return net  # type: ignore[return-value]


def _one_row(centre: Tensor, source: str) -> Tensor:
    """The mean of w (w_dim,) of a file that stores it once, or (encoders such as pSp and e4e) the same for every layer."""
    if not (centre.is_floating_point() and centre.isfinite().all()):
        raise InputError(f"'{source}': latent_avg holds what is no finite number ({centre.dtype}); leave it out of the file")
    rows = centre.float().reshape(-1, centre.shape[-1] if centre.ndim else 1)
    if not (len(rows) and torch.equal(rows, rows[:1].expand_as(rows))):
        raise InputError(f"'{source}': latent_avg has {len(rows)} different rows, and truncation has one centre; leave it out of the file")
    return rows[0]


INSIDE = {
    "conv.weight": "weight", "conv.modulation.weight": "affine.weight", "conv.modulation.bias": "affine.bias",
    "noise.weight": "noise_strength", "activate.bias": "bias", "bias": "bias",
}  # fmt: skip


def _renamed(name: str, value: Tensor, source: str) -> tuple[str, Tensor]:
    """A tensor of rosinality's layout under NVIDIA's name and in NVIDIA's shape."""
    if match := re.fullmatch(rf"style\.{NUMBER}\.(weight|bias)", name):
        return f"mapping.fc{int(match[1]) - 1}.{match[2]}", value
    if name == "input.input":
        return "synthesis.b4.const", _only(value, name, source)
    if match := re.fullmatch(rf"noises\.noise_{NUMBER}", name):
        return f"synthesis.{_convolution(int(match[1]))}.noise_const", _only(_only(value, name, source), name, source)
    match = re.fullmatch(rf"(conv1|to_rgb1|convs\.{NUMBER}|to_rgbs\.{NUMBER})\.(.+)", name)
    if match is None or match[4] not in INSIDE:
        raise InputError(f"'{source}': '{name}' is no tensor of a StyleGAN2 generator in rosinality's layout")
    place = "b4.torgb" if match[1] == "to_rgb1" else f"b{8 << int(match[3])}.torgb" if match[3] else _convolution(int(match[2] or -1) + 1)
    inside = INSIDE[match[4]]
    if match[4] == "conv.weight":
        value = _only(value, name, source)
    elif inside in ("bias", "noise_strength"):
        value = value.reshape(()) if inside == "noise_strength" else value.flatten()
    return f"synthesis.{place}.{inside}", value


def _only(value: Tensor, name: str, source: str) -> Tensor:
    """The one thing that a tensor holds: in rosinality's layout its first axis has length 1. Errors: InputError for another length."""
    if not value.ndim or len(value) != 1:
        raise InputError(f"'{source}': {name} is {tuple(value.shape)}; its first axis has length 1 in rosinality's layout")
    return value[0]


def _convolution(number: int) -> str:
    """Where the `number`-th styled convolution stands: b4.conv1, b8.conv0, b8.conv1, b16.conv0 …"""
    return f"b{4 << (number + 1) // 2}.conv{(number + 1) % 2}"


def _config(weights: dict, lr_multiplier: float, clamp: float | None, source: str) -> Config:
    """The shape of a network from its tensors under NVIDIA's names."""
    try:
        label_dim = weights["mapping.embed.weight"].shape[1] if "mapping.embed.weight" in weights else 0
        embedded = weights["mapping.embed.weight"].shape[0] if label_dim else 0
        channels, size = [], 4
        while f"synthesis.b{size}.conv1.weight" in weights:
            channels.append(weights[f"synthesis.b{size}.conv1.weight"].shape[0])
            size *= 2
        if not channels:
            raise KeyError("synthesis.b4.conv1.weight")
        layers = sum(bool(re.fullmatch(r"mapping\.fc\d+\.weight", name)) for name in weights)
        w_dim = weights["synthesis.b4.conv1.affine.weight"].shape[1]
        z_dim = weights["mapping.fc0.weight"].shape[1] - embedded
        image_channels = weights["synthesis.b4.torgb.weight"].shape[0]
    except (KeyError, IndexError) as error:
        raise InputError(f"'{source}' lacks a tensor of a StyleGAN2 generator: {error}") from error
    if size // 2 > LARGEST:
        raise InputError(f"'{source}' would draw {size // 2} pixels a side; generators of {LARGEST} at most can be read")
    try:
        numbers = float(lr_multiplier), clamp and float(clamp)
    except (TypeError, ValueError) as error:
        raise InputError(f"'{source}': lr_multiplier is {lr_multiplier!r} and conv_clamp {clamp!r}; both are numbers") from error
    return Config(tuple(channels), z_dim, w_dim, label_dim, layers, numbers[0], image_channels, numbers[1])


def filled(make: Callable[[object], nn.Module], config: object, weights: dict[str, Tensor], wrong: str) -> nn.Module:
    """`make(config)` with these weights. Errors: InputError that begins with `wrong` if they do not fit, by name."""
    wanted = shapes.of(make, config)
    missing, extra = sorted(wanted.keys() - weights.keys()), sorted(weights.keys() - wanted.keys())
    if missing or extra:
        lacks = f"it lacks {', '.join(missing[:3])}" if missing else f"it has no place for {', '.join(extra[:3])}"
        raise InputError(f"{wrong}: {lacks}{', …' if len(missing or extra) > 3 else ''}")
    for name, shape in wanted.items():
        given = weights[name]
        if not isinstance(given, Tensor) or given.shape != shape:
            found = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
            raise InputError(f"{wrong}: {name} is {found}, and {tuple(shape)} fits")
        if not (given.is_floating_point() and given.float().isfinite().all()):  # float64 may hold what float32 cannot
            raise InputError(f"{wrong}: {name} holds what is no finite number")
    net = make(config)
    net.load_state_dict(weights)
    return net


def check_filters(filters: dict[str, Tensor], source: str) -> None:
    """The low-pass filters of a file are [1, 3, 3, 1], up to their scale. Errors: InputError for another."""
    for name, kernel in filters.items():
        kernel = torch.outer(kernel, kernel) if kernel.shape == (4,) else kernel
        if kernel.shape != (4, 4) or not torch.allclose(kernel / kernel.sum(), fir().to(kernel), atol=1e-5):
            raise InputError(f"'{source}': {name} is not the filter [1, 3, 3, 1], the only one that StyleGAN2 was released with")
