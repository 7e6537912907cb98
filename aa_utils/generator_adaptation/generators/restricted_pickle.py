"""A pickle reader that can build nothing but plain data and tensors. NVIDIA's `.pkl` networks are pickles that carry Python source, which
their own loader executes (`torch_utils.persistence`); here the source is never looked at, and of every object only its class name and its
state are kept.

Anything else that a file names (`os.system`, `builtins.eval`, …) stops the reading before it is built, and what reading costs is bounded
by the size of the file (`bounded_pickle`).
"""

import io
import pickle
from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor

from aa_utils.errors import InputError
from aa_utils.pretrained import bounded_pickle, torch_files, weight_files

# Modules of which objects may occur besides the persistent ones (EG3D's decoder and renderer); each becomes a `Record`. Their code is
# neither imported nor run.
MODULES = ("torch.nn.modules.", "training.")
LEGACY = ("dnnlib.tflib.network", "Network")
NAMES = 10_000  # of tensors in a network, and of different classes; StyleGAN2 and EG3D have some hundred
LONGEST = 200  # letters of a name
STORAGE_STEPS = 100  # what opening a storage counts for


class Record:
    """What is left of a pickled object: the name of its class and its attributes."""

    def __init__(self, name: str, state: dict | None = None):
        self.name, self.state = name, state or {}

    def tensors(self) -> dict[str, Tensor]:
        """Parameters and buffers of a network and of the networks in it, by dotted name, as `torch.nn.Module.state_dict` names them.

        Errors: InputError for networks nested deeper or wider than any is, and for parts that are no mapping of names.
        """
        found: dict[str, Tensor] = {}
        waiting, visited = [("", self)], 0
        while waiting:
            prefix, record = waiting.pop()
            visited += 1
            if prefix.count(".") > 12 or visited + len(waiting) > NAMES:
                raise InputError(f"its networks are nested too deeply or too often: {prefix[:100]}")
            for kind in ("_parameters", "_buffers"):
                found |= {f"{prefix}{name}": value for name, value in record.named(kind).items() if isinstance(value, Tensor)}
            waiting += [(f"{prefix}{name}.", inner) for name, inner in record.named("_modules").items() if isinstance(inner, Record)]
            if len(found) > NAMES:
                raise InputError(f"it has more than {NAMES} tensors")
        return found

    def named(self, attribute: str) -> dict[str, object]:
        """The mapping from names that is the attribute, {} if there is none. Errors: InputError if it is something else."""
        held = self.state.get(attribute, {})
        if not isinstance(held, dict) or not all(isinstance(name, str) and len(name) <= LONGEST for name in held):
            raise InputError(f"its {attribute} is no mapping from names")
        return held


def _persistent(meta: dict) -> Record:
    """An object as `torch_utils.persistence` writes it; `module_src` stays unread."""
    if meta.get("type") != "class" or not isinstance(meta.get("state"), dict):
        raise pickle.UnpicklingError(f"a persistent object of type {meta.get('type')!r}")
    return Record(str(meta["class_name"]), meta["state"])


def _storage(data: bytes) -> torch.storage.TypedStorage:
    if not isinstance(data, bytes) or not data.startswith(torch_files.LEGACY):
        raise pickle.UnpicklingError("a tensor's storage is not as torch writes it")
    found = torch_files.read(io.BytesIO(data), len(data))
    if not isinstance(found, torch.storage.TypedStorage):
        raise pickle.UnpicklingError("a tensor's storage is something else")
    return found


def _tensor(storage: torch.storage.TypedStorage, offset: int, size: tuple, stride: tuple, *_: object) -> Tensor:
    """What a tensor shows of its storage. (`Tensor.set_` would enlarge a storage that is too small.)"""
    if not isinstance(storage, torch.storage.TypedStorage):
        raise pickle.UnpicklingError("a tensor without a storage")
    whole = torch.empty(0, dtype=storage.dtype).set_(storage._untyped_storage)
    numbers = [offset, *size, *stride]
    if len(size) != len(stride) or len(size) > 8 or not all(type(n) is int and 0 <= n < 1 << 40 for n in numbers):
        raise pickle.UnpicklingError(f"a tensor's shape {str(size)[:60]} does not fit its storage")
    count = 1
    for n in size:
        count *= n
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    # Where steps are 0 a tensor has more numbers than its storage: gigabytes, once it is copied.
    if count and (last >= whole.numel() or count > whole.numel()):
        raise pickle.UnpicklingError(f"a tensor of shape {tuple(size)} does not fit its storage of {whole.numel()} numbers")
    return whole.as_strided(size, stride, offset)


def _dtype(name: str, *_: object) -> "_NumberType":
    if name not in ("f8", "f4", "f2", "i8", "i4", "b1"):
        raise pickle.UnpicklingError(f"a NumPy number of type {name!r}")
    return _NumberType(name)


class _NumberType:
    """A NumPy number type while it is read; which byte order it has is all that matters of its state."""

    def __init__(self, name: str):
        self.name = name

    def order(self, state: tuple) -> None:
        """Errors: UnpicklingError for another byte order than this machine's."""
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", "|", "="):
            raise pickle.UnpicklingError("NumPy numbers of another byte order")


def _number(kind: _NumberType, data: bytes) -> float | int | bool:
    import numpy as np

    return np.frombuffer(data, "<" + kind.name, count=1)[0].item()


def _bytes(text: str, coding: str) -> bytes:
    if coding != "latin1":
        raise pickle.UnpicklingError(f"bytes written as {coding!r}")
    return text.encode("latin1")


def _mapping(pairs: object = ()) -> dict:
    if not isinstance(pairs, list | tuple) or not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):
        raise pickle.UnpicklingError("a mapping is made of something else than pairs")
    return OrderedDict(pairs)


FUNCTIONS = {
    ("_codecs", "encode"): _bytes,  # how pickles of Python 2 and of protocol 2 hold bytes
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): _persistent,
    ("torch.storage", "_load_from_bytes"): _storage,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
    ("numpy", "dtype"): _dtype,
    ("numpy.core.multiarray", "scalar"): _number,
    ("numpy._core.multiarray", "scalar"): _number,
}
MAPPINGS = (("collections", "OrderedDict"), ("dnnlib.util", "EasyDict"), ("dnnlib", "EasyDict"))


class _Refused(pickle.UnpicklingError):
    pass


class _Named:
    """What a file may call: a function of this module, or the class of a `Record`."""

    __slots__ = ("function", "kind")

    def __init__(self, function, kind: str = ""):
        self.function, self.kind = function, kind


class _Unpickler(bounded_pickle.Unpickler):
    def __init__(self, stream, size: int):
        super().__init__(stream, size)
        self._classes: dict[tuple[str, str], _Named] = {}

    def find_class(self, module: str, name: str) -> _Named:
        if (module, name) in self._classes:
            return self._classes[module, name]
        if (module, name) == LEGACY:
            raise _Refused(
                "it is a TensorFlow network of the first StyleGAN2 release, which holds code instead of plain weights; take the PyTorch "
                "release of the same network, or convert it with legacy.py of NVlabs/stylegan2-ada-pytorch where you trust it"
            )
        known = (module, name) in FUNCTIONS or (module, name) in MAPPINGS
        if not known and not (module.startswith(MODULES) and name.isidentifier()):
            raise _Refused(f"it asks for {module[:80]}.{name[:80]}, which no network needs; nothing of it was run")
        if len(self._classes) >= NAMES:
            raise bounded_pickle.OutOfBoundsError(f"it names more than {NAMES} classes")
        function = FUNCTIONS.get((module, name), _mapping if known else Record)
        self._classes[module, name] = _Named(function, name)
        return self._classes[module, name]

    def call(self, function: object, arguments: tuple) -> object:
        if not isinstance(function, _Named):
            raise pickle.UnpicklingError(f"it calls a {type(function).__name__}")
        if function.function is Record:
            return Record(function.kind)
        if function.function is _mapping and arguments:
            self.spend(len(arguments[0]))
            for pair in arguments[0]:
                self.key(pair[0])
        if function.function in (_storage, _bytes) and arguments:
            self.spend(STORAGE_STEPS if function.function is _storage else 1)
            self.take(len(arguments[0]))
        made = function.function(*arguments)
        if isinstance(made, Tensor):
            self.take(made.numel() * made.element_size())  # where many show the same storage, their copies are larger than it
        return made

    def build(self, made: object, state: object) -> None:
        if isinstance(made, Record) and isinstance(state, dict):
            made.state = state
        elif isinstance(made, _NumberType):
            made.order(state)  # type: ignore[arg-type]
        elif state:
            super().build(made, state)


def load(path: Path) -> object:
    """What the pickle at `path` holds: dictionaries, lists, numbers, text, tensors on the CPU, and a `Record` for every other object.

    Errors: InputError for a file that holds anything else or is not a pickle.
    """
    with path.open("rb") as stream:
        if reason := weight_files.no_weights(stream.read(1024)):
            raise InputError(f"'{path}' {reason}")
        stream.seek(0)
        try:
            return _Unpickler(stream, path.stat().st_size).load()
        except _Refused as error:
            raise InputError(f"'{path}' was not read: {error}") from None
        except Exception as error:  # a broken or hostile pickle makes Python raise anything
            why = f"{type(error).__name__}: {str(error)[:200]}"
            raise InputError(f"'{path}' is not a network that can be read safely ({why})") from error
