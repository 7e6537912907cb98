"""Models of diffusers and transformers, all of whose weights come from their files.

Both libraries fill in at random what a file lacks, and drop what it has too much, with a log line at most. Here either is an error. Benign
are a class's own exceptions (tied weights, `_keys_to_ignore_on_load_…`), and tensors that the class computes itself by now, such as the
`position_ids` of old checkpoints.
"""

import os
from pathlib import Path

import torch
from torch import nn

from aa_utils.errors import InputError
from aa_utils.pretrained import torch_files, weight_files
from aa_utils.pretrained.quiet import quiet

SHOWN = 3  # names of tensors in a message
MOST = {"layer": 1000, "timesteps": 100_000}  # of what a config may ask for; more is made before anything can be compared
AT_EASE = 500_000_000  # numbers, 2 GB, that are made before tensors are compared by name; beyond that files must have them


def load(kind: type[nn.Module], folder: Path, dtype: torch.dtype = torch.float32) -> nn.Module:
    """A model of the class `kind` of diffusers or transformers from `folder`, on the CPU in evaluation mode, every tensor from its files.

    Where a folder has nothing but a variant (fp16), that is read.
    Errors: InputError for files that are cut off, hold code, or cannot be read; for tensors that are missing, of another shape or kind,
    or have no place in the model, by name.
    """
    from diffusers import ModelMixin

    if not (folder / "config.json").is_file():
        raise InputError(f"'{folder}' has no config.json, so it cannot be loaded as {kind.__name__}; fetch it again")
    files = weight_files.choose(folder, "diffusers" if issubclass(kind, ModelMixin) else "transformers")
    for file in files.files:
        weight_files.check(file)
        _check_numbers(file)
    _check_config(folder / "config.json")
    if not issubclass(kind, ModelMixin):
        _check_size(kind, folder, files)
    options = {"dtype": dtype, "local_files_only": True, "output_loading_info": True, "ignore_mismatched_sizes": True}
    options |= {"variant": files.variant} if files.variant else {}
    try:
        with quiet():
            net, info = kind.from_pretrained(folder, use_safetensors=files.ending == "safetensors", **options)  # type: ignore[attr-defined]
    except Exception as error:  # what a config may be wrong in is without bounds
        raise InputError(f"'{folder}' cannot be loaded as {kind.__name__}: {reason(error)}") from error
    _refuse(net, info, folder, files)
    return net.eval()


def loaded(kind: type, folder: Path) -> object:
    """What has no weights, such as a scheduler or an image processor, by its own `from_pretrained`. Errors: InputError if that fails."""
    _check_config(folder / "scheduler_config.json")
    try:
        with quiet():
            return kind.from_pretrained(folder, local_files_only=True)  # type: ignore[attr-defined]
    except Exception as error:
        raise InputError(f"'{folder}' cannot be loaded as {kind.__name__}: {reason(error)}") from error


def check_finite(net: nn.Module, where: str | os.PathLike) -> None:
    """InputError if a weight of `net` is not finite, by name."""
    for name, value in net.state_dict().items():
        if value.is_floating_point() and not value.isfinite().all():
            raise InputError(f"'{where}' is broken: {name} holds numbers that are not finite; fetch it again")


def reason(error: BaseException) -> str:
    """What `error` says, in one line that a person can read."""
    text = " ".join(str(error).split()) or "no reason is given"
    text = text if isinstance(error, OSError | ValueError) else f"{type(error).__name__}: {text}"
    return text if len(text) <= 300 else f"{text[:297]}..."


def _check_config(file: Path) -> None:
    """InputError if a config asks for a number of layers or noise levels that no model has."""
    waiting = [weight_files.read_json(file)] if file.is_file() else []
    while waiting:
        for name, value in waiting.pop().items():
            limit = next((most for word, most in MOST.items() if word in name), None)
            if isinstance(value, dict):
                waiting.append(value)
            elif limit and isinstance(value, int) and value > limit:
                raise InputError(f"'{file}' says {name}={value}, more than {limit}; it is broken, fetch it again")


def _check_size(kind: type, folder: Path, files: weight_files.Choice) -> None:
    """InputError if the config asks for more numbers than the files have bytes: transformers makes them before it says that they differ."""
    try:
        with torch.device("meta"), quiet():
            count = sum(value.numel() for value in kind(kind.config_class.from_pretrained(folder, local_files_only=True)).parameters())  # type: ignore[attr-defined]
    except Exception as error:
        raise InputError(f"'{folder}' cannot be loaded as {kind.__name__}: {reason(error)}") from error
    size = sum(file.stat().st_size for file in files.files)
    if count > max(size, AT_EASE):
        raise InputError(
            f"'{folder}' is not a whole {kind.__name__}: its config.json asks for {count:,} numbers, and '{files.files[0].name}' has "
            f"{size:,} bytes; one of the two is another's"
        )


def _check_numbers(file: Path) -> None:
    """InputError if weights in `file` are whole numbers, which both libraries would take for what they are not, or if it holds code."""
    if file.suffix == ".safetensors":
        whole = [name for name, kind in weight_files.tensors(file).items() if kind.startswith(("I", "U", "BOOL"))]
    else:
        whole = [name for name, value in plain(file).items() if not getattr(value, "is_floating_point", bool)()]
    whole = [name for name in whole if name.endswith((".weight", ".bias"))]
    if whole:
        some = f"{len(whole)} of its tensors are whole numbers ({_few(whole)})"
        raise InputError(f"'{file}' holds a quantised model: {some}; fetch its float16 or float32 form")


def plain(file: Path) -> dict:
    """{name: tensor without numbers} of the pickle `file`. Errors: InputError if it holds anything but tensors; nothing of it is run."""
    try:
        found = torch_files.load(file, map_location="meta")
    except InputError as error:
        raise InputError(f"{error}; fetch the model's .safetensors instead") from error
    if not isinstance(found, dict):
        raise InputError(f"'{file}' holds a {type(found).__name__} and no weights by name; fetch the model's .safetensors instead")
    return found


def _refuse(net: nn.Module, info: dict, folder: Path, files: weight_files.Choice) -> None:
    own = dict(net.named_buffers())
    stored = set(net.state_dict())
    missing = sorted(info["missing_keys"])
    extra = sorted(name for name in info["unexpected_keys"] if not _computed(name, own.keys() - stored))
    misshapen = sorted((str(name), tuple(was), tuple(wanted)) for name, was, wanted in info["mismatched_keys"])
    empty = [name for name, value in [*net.named_parameters(), *own.items()] if value.is_meta and name not in missing]
    kind, where = type(net).__name__, f"'{folder}' is not a whole {type(net).__name__}"
    source = f"'{files.files[0].name}'" + (f" and {len(files.files) - 1} more" if len(files.files) > 1 else "")
    way_out = "fetch it again"
    if misshapen:
        name, was, wanted = misshapen[0]
        more = f" (and {len(misshapen) - 1} more)" if len(misshapen) > 1 else ""
        raise InputError(
            f"{where}: {name} has shape {was} in {source}, and config.json asks for {wanted}{more}; one of the two is another's"
        )
    if missing or extra:
        parts = [f"{source} lacks {len(missing)} of its {len(stored)} tensors ({_few(missing)})"] if missing else []
        parts += [f"{source} has {len(extra)} tensors that {kind} has no place for ({_few(extra)})"] if extra else []
        if prefix := _prefix(missing, extra):
            way_out = f"the names in the file begin with {prefix!r}, save it again without that"
        elif not missing:
            way_out = "it is another model's, or its config.json is"
        raise InputError(f"{where}: {', and '.join(parts)}; {way_out}")
    if empty:
        raise InputError(f"{where}: {source} gives no numbers for {len(empty)} tensors ({_few(empty)}); {way_out}")


def _computed(name: str, computed: set[str]) -> bool:
    """Whether `name` is one of the buffers that the class computes and does not store; older checkpoints may have it under a prefix."""
    return any(name == buffer or name.endswith(f".{buffer}") or buffer.endswith(f".{name}") for buffer in computed)


def _prefix(missing: list[str], extra: list[str]) -> str:
    """What all names of `extra` begin with that those of `missing` lack; "" if that does not explain both."""
    prefix = extra[0][: -len(missing[0])] if missing and extra and extra[0].endswith(missing[0]) else ""
    return prefix if sorted(f"{prefix}{name}" for name in missing) == extra else ""


def _few(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
