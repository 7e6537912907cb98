"""Generators in files: this package's folders (model.safetensors + config.json), and the public checkpoints of NVIDIA (`.pkl`) and of
rosinality, StyleGAN-NADA, pSp and e4e (`.pt`). No file is trusted: none can run code, and none costs more than its size.
"""

import argparse
import importlib
from dataclasses import asdict, fields
from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from aa_utils.data import tensor_files
from aa_utils.errors import InputError
from aa_utils.generator_adaptation.generators import eg3d_layout, layouts, restricted_pickle, state_dicts
from aa_utils.paths import resolve
from aa_utils.pretrained import torch_files, weight_files
from aa_utils.progress import warn

KINDS = ("stylegan2", "eg3d")  # modules of this folder, each with a Config and a Generator that has it as `config`
AGAIN = "take the folder from where it came, or make it again (70_pretrain_gan, 71_adapt_generator)"
TORCH, PICKLE, SAFETENSORS = (".pt", ".pth", ".ckpt"), (".pkl", ".pickle"), (".safetensors",)


def load(path: str | Path) -> nn.Module:
    """The generator at `path`, on the CPU, in float32 and evaluation mode: a folder that `save` wrote, or a public checkpoint.

    What had to be made up for a file (noise maps, the mean of w) is said on stderr and stands in the generator's `assumed`, a tuple of
    sentences, which `save` records.
    Errors: InputError for no file, another format, a file that could run code or costs more than its size, or another architecture.
    """
    path = resolve(path)
    if path.is_dir() and (path / "config.json").is_file():
        net = _from_folder(path)
    elif path.is_file() and path.suffix.lower() in (*TORCH, *PICKLE, *SAFETENSORS):
        net = _from_file(path)
    else:
        raise InputError(f"no generator at '{path}': {_there(path)}")
    for sentence in getattr(net, "assumed", ()):
        warn(f"'{path}': {sentence}")
    return net.float().eval()


def save(net: nn.Module, folder: Path, half: bool = False, **about: object) -> None:
    """Write model.safetensors, then config.json: `kind` and shape of the generator, and whatever `about` says of its making.

    Errors: InputError for weights that are not finite.
    `half` stores float16: half the size, and images that differ by less than what a pixel of 8 bits can show.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}
    if half:
        tensors = {name: value.half() if value.is_floating_point() else value for name, value in tensors.items()}
    tensor_files.check_finite(tensors, f"the weights of the generator for '{folder}'")
    about |= {"assumed": list(net.assumed)} if getattr(net, "assumed", ()) else {}
    tensor_files.write_weights(folder, tensors, {"kind": net.kind, **asdict(net.config), "about": about})


def about(folder: str | Path) -> dict:
    """What `save` was told of the generator in `folder`. Errors: InputError if there is none."""
    return _config(resolve(folder))["about"]


def _config(folder: Path) -> dict:
    found = tensor_files.read_config(folder, AGAIN)
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
    wrong = f"'{folder / 'model.safetensors'}' does not hold the generator of its config.json"  # type: ignore[assignment]
    try:
        config = module.Config(**found)
    except (TypeError, ValueError) as error:
        raise error if isinstance(error, InputError) else InputError(f"{wrong}: {str(error)[:300]}") from error
    try:
        weights = tensor_files.read_weights(folder, AGAIN)
    except InputError as error:
        raise InputError(f"{wrong}: {error}") from error
    return _build(lambda: layouts.filled(module.Generator, config, weights, wrong), folder)  # type: ignore[arg-type]


def _from_file(path: Path) -> nn.Module:
    with path.open("rb") as stream:
        start = stream.read(1024)
    if reason := weight_files.no_weights(start):
        raise InputError(f"'{path}' {reason}")
    if start[:2] == b"\x1f\x8b":
        raise InputError(f"'{path}' is compressed by gzip; unpack it with gunzip and give what comes out")
    if path.suffix.lower() in SAFETENSORS:
        weight_files.check(path)
        return _build(lambda: state_dicts.generator(load_file(path), str(path)), path)
    # A snapshot of NVIDIA is a pickle of its own; what torch.save wrote begins otherwise. People give both any ending.
    by_torch = start[:2] == b"PK" or start.startswith(torch_files.LEGACY)
    if by_torch or path.suffix.lower() in TORCH:
        found = torch_files.load(path, allowed=(argparse.Namespace,))
        return _build(lambda: state_dicts.generator(found, str(path)), path)
    found = restricted_pickle.load(path)
    return _build(lambda: (eg3d_layout if eg3d_layout.holds(found) else layouts).from_nvidia(found, str(path)), path)


def _build(make, path: Path) -> nn.Module:
    """`make()`. Errors: InputError for whatever goes wrong with a file that holds anything in any place."""
    try:
        return make()
    except InputError as error:
        raise error if str(path) in str(error) else InputError(f"'{path}': {error}") from error
    except Exception as error:
        why = " ".join(str(error).split())[:200]
        raise InputError(f"'{path}' holds no generator that can be read ({type(error).__name__}: {why})") from error


def _there(path: Path) -> str:
    """What stands at `path` instead of a generator, and what to give."""
    wanted = (
        "give a folder with model.safetensors and config.json (70_pretrain_gan writes one), a .pkl of NVlabs/stylegan2-ada-pytorch or "
        "NVlabs/eg3d, or a .pt of rosinality/stylegan2-pytorch, StyleGAN-NADA, pSp or e4e"
    )
    if path.is_dir():
        inside = sorted(file.name for file in path.iterdir() if file.suffix.lower() in (*TORCH, *PICKLE))
        return f"the folder has no config.json{f'; give the file {inside[0]!r} in it' if inside else ''}; {wanted}"
    return f"the file's ending is '{path.suffix}'; {wanted}" if path.is_file() else wanted
