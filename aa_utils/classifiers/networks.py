"""Networks of timm: any of its models by name, without its head; where a hub name or a folder stands for one, what it stands for."""

import difflib
import json
from pathlib import Path

import timm
import torch
from timm.models import get_arch_name, load_model_config_from_hf, parse_model_name
from torch import nn

from aa_utils.classifiers import lenet, pocket_resnet, pocket_vit, wrn  # noqa: F401  (they register their networks with timm)
from aa_utils.errors import InputError, check_number
from aa_utils.paths import resolve

FOLDER = "local-dir:"
SMALLEST, LARGEST = 4, 4096  # pixels a side
LONGEST = 400  # characters of a backbone's name, which may be a path
# Options of timm.create_model that say which weights or which outputs there are, and channels that no image here has.
OTHER_OPTIONS = {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir", "features_only", "in_chans"}
OFFLINE = "connect once so that the Hugging Face cache (HF_HOME) holds it"


def identify(name: str) -> tuple[str, dict]:
    """(timm's name, options) of the network that `name` means.

    `name` is one of timm's, with or without the tag of its weights ("resnet50", "resnet50.a1_in1k"); "hf-hub:<owner>/<model>" (or timm's
    older "hf_hub:") whose config.json names a network and its options; or "local-dir:<folder>" with such a config.json.
    Errors: InputError for a name that timm does not know, with those near it, and for a config that cannot be had or names no network.
    """
    _check_text(name)
    try:
        source, rest = parse_model_name(name)
    except ValueError as error:
        raise InputError(f"backbone is {name!r}: {str(error).splitlines()[0]}") from error
    if source is None:
        _check_name(name)
        return name, {}
    config = _hub_config(name, rest) if source == "hf-hub" else _folder_config(name, resolve(rest))
    if not isinstance(config, dict) or not isinstance(config.get("architecture"), str):
        raise InputError(f"backbone is {name!r}, and its config.json names no 'architecture' of timm")
    _check_name(config["architecture"])
    options = config.get("model_args") or {}
    if not isinstance(options, dict):
        raise InputError(f"backbone is {name!r}, and model_args of its config.json are {str(options)[:80]}, not options by name")
    _check_options(name, options)
    return config["architecture"], dict(options)


def create(architecture: str, num_classes: int = 0, **options: object) -> nn.Module:
    """The network, with random weights from torch's random state; `num_classes` 0 leaves out the head: features (N, `width`) come out.

    Errors: InputError for a name, a tag or an option that timm does not know.
    """
    _check_name(architecture)
    _check_options(architecture, options)
    try:
        return timm.create_model(architecture, num_classes=num_classes, **options)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # whatever an option of a wrong kind leads a network to
        raise InputError(f"timm cannot make '{architecture}'{f' with {options}' if options else ''}: {_reason(error)}") from error


def width(net: nn.Module) -> int:
    """How many features come out of a network without a head; not `num_features`, where layers follow the pooling (MobileNetV3, VGG)."""
    return getattr(net, "head_hidden_size", None) or net.num_features


def lay_out(net: nn.Module) -> nn.Module:
    """`net` itself, its convolutions of images in channels-last layout; weights of five dimensions have no such, and torch refuses them."""
    for value in (*net.parameters(), *net.buffers()):
        if value.ndim == 4:
            value.data = value.data.to(memory_format=torch.channels_last)
    return net


def check_images(net: nn.Module, name: str, image_size: int) -> None:
    """Sends two images of `image_size` pixels through `net`, a network without a head called `name`, as it stands.

    Errors: InputError if it does not take them, with the size that it is made for, and if what comes out is not (2, `width`).
    """
    check_number("image_size", image_size, at_least=SMALLEST, at_most=LARGEST, whole=True)
    device = next(net.parameters()).device
    images = torch.zeros(2, 3, image_size, image_size, device=device)
    images[1] = torch.linspace(-1, 1, image_size, device=device)
    before = net.training
    try:
        with torch.no_grad():
            f = net.eval()(images)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # whatever the size leads a network to
        raise InputError(f"'{name}' does not take images of {image_size} pixels: {_reason(error)}; {_way_out(net)}") from error
    finally:
        net.train(before)
    if not isinstance(f, torch.Tensor) or f.shape != (2, width(net)):
        shape = tuple(f.shape) if isinstance(f, torch.Tensor) else type(f).__name__
        raise InputError(
            f"'{name}' gives {shape} for two images, not (2, {width(net)}): it is no network for classification; choose another"
        )


def _way_out(net: nn.Module) -> str:
    sizes = getattr(net, "pretrained_cfg", {})
    made_for, least = (sizes.get(key) for key in ("input_size", "min_input_size"))
    if made_for is None:
        return "set another image_size, or another backbone"
    return f"set image_size={made_for[-1]}" + (f" (at least {least[-1]})" if least else "") + ", or another backbone"


def _check_text(name: object) -> None:
    if not isinstance(name, str) or len(name) > LONGEST or not name.isprintable():
        raise InputError(f"backbone is {repr(name)[:80]}; it is the name of a network of timm, such as 'resnet50'")


def _check_options(name: str, options: dict) -> None:
    odd = sorted(set(options) & OTHER_OPTIONS - ({"in_chans"} if options.get("in_chans") == 3 else set()))
    if odd:
        raise InputError(
            f"'{name}' is asked for with {odd[0]}={repr(options[odd[0]])[:80]}, which is no option of a network here: images have three "
            "channels, features come out, and weights are said by pretrained; leave it out"
        )


def _check_name(name: str) -> None:
    _check_text(name)
    if timm.is_model(name):
        base, _, tag = name.partition(".")
        tags = [known.partition(".")[2] for known in timm.list_models(f"{base}.*", pretrained=True)] if tag else []
        if tag and tag not in tags:
            raise InputError(f"timm has no weights '{tag}' of '{base}'; it has: {', '.join(tags) or 'none'}")
        return
    close = difflib.get_close_matches(get_arch_name(name), timm.list_models(), n=5)
    hint = f"; near it: {', '.join(close)}" if close else ""
    raise InputError(f"timm has no model '{name}'{hint}")


def _hub_config(name: str, repository: str) -> dict:
    try:
        _, architecture, options = load_model_config_from_hf(repository)
    except Exception as error:  # whatever the download library raises: offline, refused, no such model, no config
        raise InputError(f"cannot get the config of '{name}' ({_reason(error)}); {OFFLINE}, or name the network itself") from error
    return {"architecture": architecture, "model_args": options}


def _folder_config(name: str, folder: Path) -> dict:
    if not (folder / "config.json").is_file():
        raise InputError(f"backbone is {name!r}, and there is no config.json in '{folder}'")
    try:
        return json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"'{folder / 'config.json'}' is not JSON: {error}") from error


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
