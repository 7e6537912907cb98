"""Generators in files: this package's folders (model.safetensors + config.json), and the public checkpoints of NVIDIA (`.pkl`) and of
rosinality and StyleGAN-NADA (`.pt`). No file is trusted: none can run code.
"""

import argparse
import importlib
import json
from dataclasses import asdict, fields
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from aa_utils import files
from aa_utils.errors import InputError
from aa_utils.generator_adaptation.generators import eg3d_layout, layouts, restricted_pickle
from aa_utils.paths import resolve

KINDS = ("stylegan2", "eg3d")  # modules of this folder, each with a Config and a Generator that has it as `config`


def load(path: str | Path) -> nn.Module:
    """The generator at `path`, on the CPU, in float32 and evaluation mode: a folder that `save` wrote, a `.pkl` or a `.pt`.

    Errors: InputError for no file, another format, a file that could run code, or another architecture.
    """
    path = resolve(path)
    if (path / "config.json").is_file():
        net = _from_folder(path)
    elif path.suffix == ".pkl" and path.is_file():
        found = restricted_pickle.load(path)
        net = (eg3d_layout if eg3d_layout.holds(found) else layouts).from_nvidia(found, str(path))
    elif path.suffix in (".pt", ".pth") and path.is_file():
        net = _from_pt(path)
    else:
        raise InputError(
            f"no generator at '{path}': give a folder with model.safetensors and config.json (70_pretrain_gan writes one), "
            "a .pkl of NVlabs/stylegan2-ada-pytorch or NVlabs/eg3d, or a .pt of rosinality/stylegan2-pytorch or StyleGAN-NADA"
        )
    return net.float().eval()


def save(net: nn.Module, folder: Path, half: bool = False, **about: object) -> None:
    """Write model.safetensors, then config.json: `kind` and shape of the generator, and whatever `about` says of its making.

    `half` stores float16: half the size, and images that differ by less than what a pixel of 8 bits can show.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}
    if half:
        tensors = {name: value.half() if value.is_floating_point() else value for name, value in tensors.items()}
    with files.atomic(folder / "model.safetensors") as temporary:
        save_file(tensors, temporary)
    files.write_json(folder / "config.json", {"kind": net.kind, **asdict(net.config), "about": about})


def about(folder: str | Path) -> dict:
    """What `save` was told of the generator in `folder`. Errors: InputError if there is none."""
    return _config(resolve(folder))["about"]


def _config(folder: Path) -> dict:
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"no generator in '{folder}': its config.json cannot be read ({error})") from error
    if not isinstance(found, dict) or found.get("kind") not in KINDS:
        kind = found.get("kind") if isinstance(found, dict) else found
        raise InputError(f"'{folder / 'config.json'}' says kind {kind!r}; generators are {', '.join(KINDS)}")
    return {"about": {}} | found


def _from_folder(folder: Path) -> nn.Module:
    found = _config(folder)
    module = importlib.import_module(f"{__package__}.{found.pop('kind')}")
    found.pop("about")
    names = {f.name for f in fields(module.Config)}
    if set(found) != names:
        wrong = sorted(set(found) ^ names)
        raise InputError(
            f"'{folder / 'config.json'}': {', '.join(wrong)} are missing or unknown; a generator's shape is {', '.join(sorted(names))}"
        )
    net = module.Generator(module.Config(**found))
    try:
        net.load_state_dict(load_file(folder / "model.safetensors"))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise InputError(f"'{folder / 'model.safetensors'}' does not hold the generator of its config.json: {str(error)[:300]}") from error
    return net


def _from_pt(path: Path) -> nn.Module:
    # Full training states hold the arguments of the training script; a Namespace has attributes and no behaviour.
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises what its unpickler, zip reader or storage reader raises
        raise InputError(f"'{path}' was not read: it is not a file of plain weights ({str(error).splitlines()[0][:200]})") from error
    weights = found.get("g_ema", found.get("g")) if isinstance(found, dict) else None
    if not isinstance(weights, dict):
        raise InputError(f"'{path}' holds no generator: a checkpoint of rosinality/stylegan2-pytorch has one as 'g_ema'")
    centre = found.get("latent_avg")
    return layouts.from_rosinality(weights, centre if isinstance(centre, Tensor) else None, str(path))
