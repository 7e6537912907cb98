"""Switches of a pipeline that trade memory for time, or time for memory: `switches=["vae_tiling", "compile"]`.

Noise and texts come from outside the networks, so none of them changes which seed makes which image; they change last bits (tiling: pixels
along the seams), and are therefore part of a folder's settings. What each costs and saves: performance/results/switches-*.csv.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from aa_utils.errors import InputError

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

SWITCHES = {
    "attention_slicing": "attention head by head: less memory where there is no fused attention, slower",
    "vae_slicing": "images are decoded one by one: less memory at large batches",
    "vae_tiling": "large images are decoded tile by tile: less memory above 1024 px, faint seams",
    "cpu_offload": "a network is on the GPU only while it works: fits models larger than its memory, slower",
    "channels_last": "convolutions in channels-last layout: faster on GPUs with tensor cores",
    "compile": "the denoiser through torch.compile: a minute or more at the start, then faster; needs a C++ compiler",
}


def check(switches: Sequence[str], device_type: str) -> list[str]:
    """`switches` in the order of `SWITCHES`. Errors: InputError for one that is unknown, or means nothing on the device ("cpu", "cuda")."""
    if isinstance(switches, str):
        raise InputError(f"switches is '{switches}'; it is a list, such as ['{switches}']")
    unknown = [name for name in switches if name not in SWITCHES]
    if unknown:
        raise InputError(f"no switch '{unknown[0]}'; there are: {', '.join(SWITCHES)}")
    if "cpu_offload" in switches and device_type == "cpu":
        raise InputError("switch 'cpu_offload' moves networks between a GPU and the memory; there is no GPU here")
    return [name for name in SWITCHES if name in switches]


def place(pipe: "DiffusionPipeline", switches: Sequence[str], device: str) -> "DiffusionPipeline":
    """`pipe` on `device` with the checked `switches` on. Errors: InputError for a switch that would do nothing on this pipeline."""
    import torch

    if "cpu_offload" in switches:
        pipe.enable_model_cpu_offload(device=device)
    else:
        pipe = pipe.to(device)
    network = denoiser(pipe)
    if "attention_slicing" in switches:
        _has(network, "set_attention_slice", "attention_slicing")
        pipe.enable_attention_slicing()
    if "vae_slicing" in switches:
        _has(getattr(pipe, "vae", None), "enable_slicing", "vae_slicing").enable_slicing()
    if "vae_tiling" in switches:
        _has(getattr(pipe, "vae", None), "enable_tiling", "vae_tiling").enable_tiling()
    if "channels_last" in switches:
        for part in filter(None, (network, getattr(pipe, "vae", None))):
            part.to(memory_format=torch.channels_last)
    if "compile" in switches:
        network.compile()
    return pipe


def denoiser(pipe: "DiffusionPipeline"):
    """The network that is called at every step: a U-Net or a transformer. Errors: InputError if the pipeline has none under that name."""
    found = getattr(pipe, "unet", None) or getattr(pipe, "transformer", None)
    if found is None:
        raise InputError(f"'{type(pipe).__name__}' has neither a U-Net nor a transformer; this kit cannot drive it")
    return found


def _has(part, method: str, switch: str):
    if not hasattr(part, method):
        raise InputError(f"switch '{switch}' does nothing on a {type(part).__name__}; leave it out")
    return part
