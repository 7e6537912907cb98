"""Weight files on disk, without torch: which ones a part of a model is read from, and whether each is a file of weights at all."""

import hashlib
import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

from aa_utils.errors import InputError

STEMS = {"diffusers": ("diffusion_pytorch_model", "diffusion_pytorch_model"), "transformers": ("model", "pytorch_model")}
ENDINGS = ("safetensors", "bin")  # in this order: a safetensors file cannot hold code
SUFFIXES = (".safetensors", ".bin", ".ckpt", ".pt", ".pth", ".msgpack", ".h5")  # of files that hold weights, read here or not
PREFERRED = "fp16"  # of several variants that stand alone
HEADER_LIMIT = 100_000_000  # bytes; what the safetensors library takes


@dataclass(frozen=True)
class Choice:
    """The files that a part of a model is read from: `variant` is None, or such as "fp16"; `ending` is "safetensors" or "bin"."""

    variant: str | None
    ending: str
    files: tuple[Path, ...]


def choose(folder: Path, library: str) -> Choice:
    """The weight files of the part in `folder` that `library` ("diffusers", "transformers") reads: the plain ones, else those of a variant.

    Errors: InputError if there are none, or a shard is missing. Other files in the folder are not looked at: they are not read.
    """
    for variant in (None, *_variants(folder, library)):
        for stem, ending in zip(STEMS[library], ENDINGS, strict=True):
            single, index = (_named(f"{stem}.{ending}{more}", variant) for more in ("", ".index.json"))
            order = (index, single) if library == "diffusers" else (single, index)
            name = next((name for name in order if (folder / name).is_file()), None)
            if name is not None:
                return Choice(variant, ending, (folder / name,) if name == single else _shards(folder / name))
    other = sorted(path.name for path in folder.iterdir() if path.suffix in SUFFIXES)
    wanted = f"{STEMS[library][0]}.safetensors"
    there = f"; of other names there are {', '.join(other[:4])}" if other else ""
    raise InputError(f"model '{folder.parent}' is incomplete: '{folder.name}' has a config.json and no weights ({wanted}){there}")


def check(file: Path) -> None:
    """InputError unless `file` is a whole file of weights, as far as its length and header say; the weights themselves are not read."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = stream.read(1024)
    if reason := no_weights(start):
        wanted = "safetensors file" if file.suffix.lower() == ".safetensors" else "file of weights"
        raise InputError(f"'{file}' is not a {wanted}: it {reason}")
    if file.suffix.lower() == ".safetensors":
        _check_safetensors(file, size)
    elif start[:2] == b"PK" and not zipfile.is_zipfile(file):
        raise InputError(f"'{file}' is cut off, or no file of weights; fetch it again")
    elif start[:2] != b"PK" and start[:1] != b"\x80":
        raise InputError(f"'{file}' is not a file of weights; fetch it again")


def no_weights(start: bytes) -> str:
    """What a file that begins with the bytes `start` is instead of weights, with the way out; "" if nothing speaks against weights."""
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not start:
        return "is empty; fetch it again"
    if start.startswith(b"version https://git-lfs") or start.startswith(b"version "):
        return "is a git-lfs pointer, not the weights themselves; run: git lfs pull"
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<!--", b"<body")):
        return "is a web page, not weights: the download gave a page, such as one that asks to log in or to confirm; fetch it in a browser"
    if text.startswith((b"{", b"[")) and b"error" in text:
        return "is a server's error message, not weights; fetch it again"
    return ""


def tensors(file: Path) -> dict[str, str]:
    """{name: type, such as "F16"} of the tensors of a safetensors file, from its header. Errors: InputError as `check`."""
    return {name: entry["dtype"] for name, entry in _header(file)[0].items() if name != "__metadata__"}


def check_hash_in_name(file: Path, source: str) -> None:
    """InputError if the name of `file` ends in a hash (`vgg16-397923af.pth`) with which its SHA-256 does not begin."""
    named = re.search(r"-([0-9a-f]{8,64})\.\w+$", file.name)
    if named is None:
        return
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if not digest.startswith(named[1]):
        raise InputError(f"'{file}' is not the file of that name: its SHA-256 does not begin with {named[1]}; get it again from {source}")


def read_json(path: Path) -> dict:
    """The JSON object in `path`. Errors: InputError if it is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"'{path}' is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"'{path}' is not a JSON object")
    return content


def _named(name: str, variant: str | None) -> str:
    """`name` with the variant before its last ending, as both libraries write it: model.fp16.safetensors, ….index.fp16.json."""
    start, _, ending = name.rpartition(".")
    return f"{start}.{variant}.{ending}" if variant else name


def _variants(folder: Path, library: str) -> list[str]:
    stems = "|".join(STEMS[library])
    pattern = re.compile(rf"(?:{stems})(?:\.(?:safetensors|bin)\.index)?\.(\w+)(?:-\d+-of-\d+)?\.(?:safetensors|bin|json)")
    found = {match[1] for path in folder.iterdir() if (match := pattern.fullmatch(path.name))} - {"index", *ENDINGS}
    return sorted(found, key=lambda name: (name != PREFERRED, name))


def _shards(index: Path) -> tuple[Path, ...]:
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not names or not all(isinstance(name, str) and name == Path(name).name for name in names.values()):
        raise InputError(f"'{index}' does not say which file holds which weights; fetch it again")
    shards = [index.parent / name for name in sorted(set(names.values()))]
    missing = [shard.name for shard in shards if not shard.is_file()]
    if missing:
        raise InputError(f"model '{index.parent}' is incomplete: no '{missing[0]}', which its {index.name} names; fetch it again")
    return tuple(shards)


def _check_safetensors(file: Path, size: int) -> None:
    header, begin = _header(file)
    end = max([begin, *(begin + entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__")])
    if end != size:
        raise InputError(f"'{file}' is cut off: {size} of {end} bytes; fetch it again")
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "numpy"):  # the library's own rules: no overlap, no gap, sizes that fit shapes
            pass
    except (SafetensorError, OSError) as error:
        raise InputError(f"'{file}' is not a safetensors file ({error}); fetch it again") from error


def _header(file: Path) -> tuple[dict, int]:
    """(The header of a safetensors file, the byte at which its tensors begin)."""
    size = file.stat().st_size
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 0 < length <= min(HEADER_LIMIT, size):
                raise ValueError("no header")
            header = json.loads(stream.read(length))
        for name, entry in header.items():
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                whole = all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in (begin, end, *entry["shape"]))
                if not whole or begin > end or not isinstance(entry["dtype"], str):
                    raise ValueError(name)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"'{file}' is not a safetensors file; fetch it again") from error
    return header, 8 + length
