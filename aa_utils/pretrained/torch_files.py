"""Files of `torch.save`, read as plain data: nothing in them runs, and they cost no more than their size.

torch's own `weights_only` reader keeps code out. Before it, the file is gone through without making anything: its pickle stays within
`bounded_pickle`, its storages within the file, and nothing in it is compressed, which torch never does and an archive bomb needs.
"""

import io
import pickle
import re
import zipfile
from pathlib import Path
from typing import BinaryIO

from aa_utils.errors import InputError
from aa_utils.pretrained import archive_checksums, bounded_pickle, weight_files

LEGACY = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)  # what files before torch 1.6 begin with
PICKLES = 5  # of a legacy file: magic number, version, machine, content, keys of the storages
WIDEST = 16  # bytes of a number, complex128


def load(file: Path, allowed: tuple[type, ...] = (), map_location: str = "cpu") -> object:
    """What `torch.save` wrote to `file`: tensors on `map_location`, containers, and objects of the classes `allowed`.

    Errors: InputError, in one sentence, for a file that holds anything else, is damaged, asks for more than it has bytes, or is none of
    torch.
    """
    archive_checksums.check(file)
    with file.open("rb") as stream:
        start = stream.read(1024)
        if reason := weight_files.no_weights(start):
            raise InputError(f"'{file}' {reason}")
        try:
            stream.seek(0)
            return read(stream, file.stat().st_size, allowed, map_location)
        except Exception as error:  # torch raises what its unpickler, zip reader or storage reader raises
            raise InputError(
                f"'{file}' was not read, and nothing in it was run: it is not a file of plain weights ({why(error)})"
            ) from error


def read(stream: BinaryIO, size: int, allowed: tuple[type, ...] = (), map_location: str = "cpu") -> object:
    """As `load`, from a stream of `size` bytes. Errors: those of pickle, zipfile and torch."""
    import torch

    _check(stream, size)
    stream.seek(0)
    with torch.serialization.safe_globals(list(allowed)):
        found = torch.load(stream, map_location=map_location, weights_only=True)
    _check_tensors(found, size)
    return found


def why(error: BaseException) -> str:
    """Why a file was not read, in one line: what it asks for, without torch's advice to run it."""
    text = " ".join(str(error).split())
    if match := re.search(r"GLOBAL (\S+)|Unsupported (?:class|global|type|operand) (\S+)", text):
        return f"it asks for {(match[1] or match[2]).rstrip('.,;:')}, which no weights need"
    if isinstance(error, bounded_pickle.OutOfBoundsError):
        return text
    text = text.partition("WeightsUnpickler error: ")[2].partition(" Please file")[0].partition(" Check the documentation")[0] or text
    return f"{type(error).__name__}: {text[:160]}"


def _check(stream: BinaryIO, size: int) -> None:
    """Go through the file without making anything of it. Errors: those of pickle and zipfile, ValueError."""
    start = stream.read(len(LEGACY))
    stream.seek(0)
    if start == LEGACY:
        for number in range(PICKLES):
            reader = _Reader(stream, size - stream.tell())
            reader.load()
            if number == PICKLES - 2:
                reader.check_storages(size)
        return
    if start[:2] != b"PK":
        raise ValueError("torch did not write it")
    with zipfile.ZipFile(stream) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("it is compressed, which torch's files are not; unpack it")
        if sum(entry.file_size for entry in entries) > size:
            raise bounded_pickle.OutOfBoundsError("its parts are larger than the file")
        pickles = [entry for entry in entries if entry.filename.rpartition("/")[2] == "data.pkl"]
        if len(pickles) != 1:
            raise ValueError("it is an archive, and not one of torch")
        data = archive.read(pickles[0])
    reader = _Reader(io.BytesIO(data), len(data))
    reader.load()
    reader.check_storages(size)


def _check_tensors(found: object, size: int) -> None:
    """OutOfBoundsError if the tensors in `found` would be larger than a file of `size` bytes, once each has numbers of its own."""
    import torch

    waiting, seen, total = [found], set(), 0
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, torch.Tensor):
            total += value.numel() * value.element_size()
        elif isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
    if total > bounded_pickle.TIMES * size + bounded_pickle.BYTES_MORE:
        raise bounded_pickle.OutOfBoundsError("its tensors are larger than the file")


class _Name:
    """A class or function that a file names."""


class _Reader(bounded_pickle.Unpickler):
    """Reads a pickle and makes nothing of what it names."""

    def __init__(self, stream: BinaryIO, size: int):
        super().__init__(stream, size)
        self._storages: dict[str, int] = {}

    def find_class(self, module: str, name: str) -> object:
        return dict if (module, name) == ("collections", "OrderedDict") else _Name()

    def call(self, function: object, arguments: tuple) -> object:
        return {} if function is dict else _Name()

    def build(self, made: object, state: object) -> None:
        pass

    def filled(self, made: object, kind: type) -> object:
        return kind() if isinstance(made, _Name) else super().filled(made, kind)

    def key(self, value: object) -> object:
        return value if isinstance(value, _Name) else super().key(value)

    def persistent_load(self, which: object) -> object:
        if isinstance(which, tuple) and len(which) >= 5:
            key, count = which[2], which[4]
            if not isinstance(key, str) or not isinstance(count, int) or count < 0:
                raise pickle.UnpicklingError("a storage of no size")
            self._storages[key] = max(count, self._storages.get(key, 0))
        return _Name()

    def check_storages(self, size: int) -> None:
        """OutOfBoundsError if the storages have more numbers than a file of `size` bytes."""
        if sum(self._storages.values()) > size:
            raise bounded_pickle.OutOfBoundsError("its tensors are larger than the file")
