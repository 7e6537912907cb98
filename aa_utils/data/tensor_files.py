"""Tensors on the disk, with the SHA-256 of their bytes: a flipped bit, or a file that is cut off, is never taken for a result."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from aa_utils import files
from aa_utils.errors import InputError
from aa_utils.progress import warn

if TYPE_CHECKING:
    from torch import Tensor

COMPUTES_NOTHING = "how tensors get onto a disk"
WEIGHTS, CONFIG, DIGEST, OWN_DIGEST = "model.safetensors", "config.json", "weights_sha256", "config_sha256"
_MARK = b"\nsha256:"  # then 64 hex digits: the end of a state's file, which torch.load does not read


def write_weights(folder: Path, tensors: dict[str, "Tensor"], config: dict) -> None:
    """Write `model.safetensors`, then `config.json`: `config`, the digest of the weights, and one of `config` itself."""
    from safetensors.torch import save_file

    with files.atomic(folder / WEIGHTS) as temporary:
        save_file(packed(tensors), temporary)
        digest = files.sha256(temporary)
    files.write_json(folder / CONFIG, config | {DIGEST: digest, OWN_DIGEST: _digest(config)})


def packed(tensors: dict[str, "Tensor"]) -> dict[str, "Tensor"]:
    """The tensors as safetensors takes them: on the CPU, contiguous, and none in the memory of another (layers that share weights)."""
    made, taken = {}, set()
    for name, value in tensors.items():
        value = value.detach().cpu().contiguous()
        place = value.untyped_storage().data_ptr()
        made[name] = value.clone() if place in taken else value
        taken.add(place)
    return made


def read_config(folder: Path, way_out: str) -> dict:
    """What `write_weights` wrote beside the weights, without digests. Errors: InputError with the `way_out`."""
    return {name: value for name, value in _config(folder, way_out).items() if name not in (DIGEST, OWN_DIGEST)}


def read_weights(folder: Path, way_out: str) -> dict[str, "Tensor"]:
    """The tensors by name, on the CPU. Errors: InputError with the `way_out` if they are not those that config.json was written for."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    problem = damage(folder, way_out)
    if problem:
        raise InputError(problem)
    try:
        return load_file(folder / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise InputError(f"'{folder / WEIGHTS}' cannot be read ({str(error)[:200]}); {way_out}") from error


def damage(folder: Path, way_out: str) -> str:
    """What is wrong with the weights and their config, as a sentence with the `way_out`; "" if nothing is. Old folders have no digest."""
    try:
        digest = _config(folder, way_out).get(DIGEST)
    except InputError as error:
        return str(error)
    path = folder / WEIGHTS
    if not path.is_file() or not path.stat().st_size:
        return f"'{path}' is {'empty' if path.is_file() else 'missing'}; {way_out}"
    if digest is not None and files.sha256(path) != digest:
        return f"'{path}' is not as it was written: its SHA-256 differs from that in {CONFIG}; {way_out}"
    return ""


def check_finite(tensors: dict[str, "Tensor"], what: str, way_out: str = "a lower lr usually helps, or clipped gradients") -> None:
    """Nothing, if all `tensors` are finite. Errors: InputError that says `what` is not, and which tensor first."""
    import torch

    odd = [name for name, value in tensors.items() if isinstance(value, torch.Tensor) and not value.isfinite().all()]
    if odd:
        raise InputError(f"{what} are not finite ({odd[0]}{f' and {len(odd) - 1} more' if len(odd) > 1 else ''}); {way_out}")


def write_state(path: Path, state: dict) -> None:
    """Write a state of training (plain values and tensors) by torch.save, and its digest behind it."""
    import torch

    with files.atomic(path) as temporary:
        with temporary.open("wb") as stream:  # by its path torch writes itself, and says nothing of a full disk but "file write failed"
            torch.save(state, stream)
        digest = files.sha256(temporary)
        with temporary.open("ab") as stream:
            stream.write(_MARK + digest.encode())


def read_state(path: Path, device: str = "cpu") -> dict | None:
    """The state in `path`, its tensors on `device`; None if there is none, or a damaged one, which is said: it counts as absent."""
    import torch

    if not path.is_file():
        return None
    try:
        if not _is_whole(path):
            raise ValueError("its SHA-256 differs")
        state = torch.load(path, map_location=device, weights_only=True)
        if not isinstance(state, dict):
            raise ValueError(f"it holds a {type(state).__name__}")
        return state
    except MemoryError:
        raise
    except Exception as error:  # torch raises what its unpickler, zip reader or storage reader raises
        reason = str(error).splitlines()[0][:200] if path.stat().st_size else "it is empty"
        warn(f"'{path}' is not as it was written ({reason}); it counts as absent, and the training starts again")
        return None


def _is_whole(path: Path) -> bool:
    """False if the digest at the end is not that of the bytes before it; a file without one is left to torch."""
    size, tail = path.stat().st_size, len(_MARK) + 64
    if size < tail:
        return True
    digest, left = hashlib.sha256(), size - tail
    with path.open("rb") as stream:
        while left:
            block = stream.read(min(1 << 20, left))
            if not block:  # cut by somebody else just now
                return False
            digest.update(block)
            left -= len(block)
        end = stream.read()
    return not end.startswith(_MARK) or end[len(_MARK) :] == digest.hexdigest().encode()


def _config(folder: Path, way_out: str) -> dict:
    path = folder / CONFIG
    if not path.is_file():
        raise InputError(f"no {CONFIG} in '{folder}'; {way_out}")
    found = files.read_json(path, way_out)
    if not isinstance(found, dict):
        raise InputError(f"'{path}' holds no 'name: value' pairs; {way_out}")
    told = {name: value for name, value in found.items() if name not in (DIGEST, OWN_DIGEST)}
    if found.get(OWN_DIGEST, _digest(told)) != _digest(told):
        raise InputError(f"'{path}' is not as it was written; {way_out}; if the change is yours, remove {OWN_DIGEST} from it")
    return found


def _digest(config: dict) -> str:
    """The SHA-256 of the values of a config, as they come back from JSON."""
    return hashlib.sha256(json.dumps(json.loads(json.dumps(config)), sort_keys=True).encode()).hexdigest()
