"""Public EG3D checkpoints (NVlabs/eg3d, arXiv 2112.07945) in this package's terms: ffhq512-128.pkl, afhqcats512-128.pkl and their kin.

The files hold the shape of the network partly in tensors, partly in the arguments that made it, and how it renders in `rendering_kwargs`
and `neural_rendering_resolution`, which training changed and which therefore count for more than the arguments.
"""

import re
from math import pi

from torch import Tensor

from aa_utils.errors import InputError
from aa_utils.generator_adaptation.generators.cameras import NUMBERS
from aa_utils.generator_adaptation.generators.eg3d import Config, Generator
from aa_utils.generator_adaptation.generators.layouts import check_filters, filled
from aa_utils.generator_adaptation.generators.restricted_pickle import Record

STARTS = {  # pixels that super-resolution starts from
    "SuperresolutionHybrid8XDC": 128,
    "SuperresolutionHybrid8X": 128,
    "SuperresolutionHybrid4X": 128,
    "SuperresolutionHybrid2X": 64,
}
# Files don't tell the cameras of the training images. ShapeNet's, known by the white background, stand all around; the lens is the one that
# gen_videos.py of the release renders them with.
ALL_AROUND = {"focal": 1.7074, "yaw_range": pi, "pitch_range": pi / 2 - 0.1}
FITS = {
    "clamp_mode": "softplus", "disparity_space_sampling": False, "sr_antialias": True,
    "activation": "lrelu", "architecture": "skip", "use_noise": True,
}  # fmt: skip


def holds(found: object) -> bool:
    """Whether what `restricted_pickle.load` read is a 3-D generator."""
    net = found.get("G_ema") if isinstance(found, dict) else None
    return isinstance(net, Record) and isinstance(net.state.get("rendering_kwargs"), dict)


def from_nvidia(found: dict, source: str) -> Generator:
    """The generator in what `restricted_pickle.load` read from `source`, its planes looked up as it was trained ("released").

    Errors: InputError for another super-resolution, sampling or conditioning than the released networks have, or tensors that don't fit.
    """
    net = found["G_ema"]
    weights, rendering, options = net.tensors(), net.state["rendering_kwargs"], net.state.get("_init_kwargs") or {}
    check_filters({name: value for name, value in weights.items() if name.endswith("resample_filter")}, source)
    weights = {name: value for name, value in weights.items() if not name.endswith("resample_filter")}
    _check(rendering, options, source)
    try:
        config = _config(weights, rendering, options, net.state.get("neural_rendering_resolution", 64))
    except InputError as error:
        raise InputError(f"'{source}': {error}") from None
    except Exception as error:  # nothing is known of what stands where a number should
        raise InputError(f"'{source}' lacks something of an EG3D generator ({type(error).__name__}: {error})") from error
    return filled(Generator, config, weights, f"'{source}' is not an EG3D generator as it was released")  # type: ignore[arg-type, return-value]


def _check(rendering: dict, options: dict, source: str) -> None:
    module = _module(rendering)
    if module not in STARTS:
        raise InputError(f"'{source}' has super-resolution {module}; networks with {', '.join(STARTS)} can be read")
    for given in (rendering, options, options.get("mapping_kwargs", {})):
        for name, fits in FITS.items():
            if given.get(name, fits) != fits:
                raise InputError(f"'{source}': {name} is {given[name]!r}; networks with {fits!r} can be read")
    near, far = rendering.get("ray_start"), rendering.get("ray_end")
    if not all(isinstance(x, int | float) for x in (near, far)):
        raise InputError(f"'{source}': rays from {near!r} to {far!r}; networks whose rays begin and end at fixed distances can be read")


def _module(rendering: dict) -> str:
    return str(rendering.get("superresolution_module")).rpartition(".")[2]


def _config(weights: dict[str, Tensor], rendering: dict, options: dict, neural: int) -> Config:
    channels, size = [], 4
    while f"backbone.synthesis.b{size}.conv1.weight" in weights:
        channels.append(weights[f"backbone.synthesis.b{size}.conv1.weight"].shape[0])
        size *= 2
    embedded, cameras = weights["backbone.mapping.embed.weight"].shape
    if cameras != NUMBERS:
        raise InputError(f"its mapping network takes {cameras} numbers; a camera has {NUMBERS}")
    blocks = sum(bool(re.fullmatch(r"superresolution\.block\d+\.conv1\.weight", name)) for name in weights)
    scale = 0.0 if rendering.get("c_gen_conditioning_zero", False) else float(rendering.get("c_scale", 0))
    # The release's layers are bounded by 256 unless told otherwise; those of the super-resolution where they train in float16.
    clamp = options.get("conv_clamp", 256)
    white = bool(rendering.get("white_back", False))
    return Config(
        channels=tuple(channels),
        z_dim=weights["backbone.mapping.fc0.weight"].shape[1] - embedded,
        w_dim=weights["backbone.synthesis.b4.conv1.affine.weight"].shape[1],
        mapping_layers=sum(bool(re.fullmatch(r"backbone\.mapping\.fc\d+\.weight", name)) for name in weights),
        lr_multiplier=float(options.get("mapping_kwargs", {}).get("lr_multiplier", 0.01)),
        clamp=None if clamp is None else float(clamp),
        camera_scale=scale,
        plane_features=weights["decoder.net.0.weight"].shape[1],
        decoder_width=weights["decoder.net.0.weight"].shape[0],
        decoder_features=weights["decoder.net.2.weight"].shape[0] - 1,
        decoder_lr=float(rendering.get("decoder_lr_mul", 1)),
        neural_resolution=int(neural),
        samples=int(rendering["depth_resolution"]),
        fine_samples=int(rendering["depth_resolution_importance"]),
        near=float(rendering["ray_start"]),
        far=float(rendering["ray_end"]),
        box=float(rendering["box_warp"]),
        back="white" if white else "black",
        resolution=int(options["img_resolution"]),
        superresolution=tuple(weights[f"superresolution.block{k}.conv1.weight"].shape[0] for k in range(blocks)),
        superresolution_input=STARTS[_module(rendering)],
        superresolution_noise=rendering.get("superresolution_noise_mode", "none") != "none",
        superresolution_clamp=256.0 if options.get("sr_num_fp16_res", 0) > 0 else None,
        radius=float(rendering.get("avg_camera_radius", 2.7)),
        pivot=tuple(float(x) for x in rendering.get("avg_camera_pivot", (0, 0, 0))),  # type: ignore[arg-type]
        **(ALL_AROUND if white else {}),  # type: ignore[arg-type]
    )
