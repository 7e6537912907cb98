"""A pickle reader that can build nothing but plain data and tensors. NVIDIA's `.pkl` networks are pickles that carry Python source, which
their own loader executes (`torch_utils.persistence`); here the source is never looked at, and of every object only its class name and its
state are kept.

Anything else that a file names (`os.system`, `builtins.eval`, …) stops the reading before it is built.
"""

import io
import pickle
from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor

from aa_utils.errors import InputError

# Modules of which objects may occur besides the persistent ones (EG3D's decoder and renderer); each becomes a `Record`. Their code is
# neither imported nor run.
MODULES = ("torch.nn.modules.", "training.")
LEGACY = ("dnnlib.tflib.network", "Network")


class Record:
    """What is left of a pickled object: the name of its class and its attributes."""

    def __init__(self, name: str = "", state: dict | None = None):
        self.name, self.state = name or type(self).__name__, state or {}

    def __setstate__(self, state: dict):
        if not isinstance(state, dict):
            raise pickle.UnpicklingError("an object's state is not a mapping")
        self.__init__(type(self).__name__, state)

    def tensors(self, prefix: str = "") -> dict[str, Tensor]:
        """Parameters and buffers of a network and of the networks in it, by dotted name, as `torch.nn.Module.state_dict` names them.

        Errors: InputError for networks nested deeper than any is.
        """
        if prefix.count(".") > 12:
            raise InputError(f"networks are nested too deeply: {prefix}")
        found = {}
        for kind in ("_parameters", "_buffers"):
            found |= {f"{prefix}{name}": value for name, value in self.state.get(kind, {}).items() if isinstance(value, Tensor)}
        for name, inner in self.state.get("_modules", {}).items():
            if isinstance(inner, Record):
                found |= inner.tensors(f"{prefix}{name}.")
        return found


class _Function:
    """A function that a pickle may call. It has no attributes that a pickle could set."""

    __slots__ = ("_call",)

    def __init__(self, call):
        self._call = call

    def __call__(self, *arguments):
        return self._call(*arguments)

    def __setstate__(self, state):
        raise pickle.UnpicklingError("it tries to change a function")


def _persistent(meta: dict) -> Record:
    """An object as `torch_utils.persistence` writes it; `module_src` stays unread."""
    if meta.get("type") != "class" or not isinstance(meta.get("state"), dict):
        raise pickle.UnpicklingError(f"a persistent object of type {meta.get('type')!r}")
    return Record(str(meta["class_name"]), meta["state"])


def _storage(data: bytes) -> torch.storage.TypedStorage:
    found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    if not isinstance(found, torch.storage.TypedStorage):
        raise pickle.UnpicklingError("a tensor's storage is something else")
    return found


def _tensor(storage: torch.storage.TypedStorage, offset: int, size: tuple, stride: tuple, *_: object) -> Tensor:
    """A copy of what a tensor shows of its storage. (`Tensor.set_` would enlarge a storage that is too small.)"""
    whole = torch.empty(0, dtype=storage.dtype).set_(storage._untyped_storage)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if min((offset, *size, *stride)) < 0 or (0 not in size and last >= whole.numel()):
        raise pickle.UnpicklingError(f"a tensor of shape {tuple(size)} does not fit its storage of {whole.numel()} numbers")
    return whole.as_strided(size, stride, offset).clone()


def _dtype(name: str, *_: object) -> "_NumberType":
    if name not in ("f8", "f4", "f2", "i8", "i4", "b1"):
        raise pickle.UnpicklingError(f"a NumPy number of type {name!r}")
    return _NumberType(name)


class _NumberType:
    """A NumPy number type while it is read; which byte order it has is all that matters of its state."""

    def __init__(self, name: str):
        self.name = name

    def __setstate__(self, state: tuple) -> None:
        if state[1] not in ("<", "|", "="):
            raise pickle.UnpicklingError("NumPy numbers of another byte order")


def _number(kind: _NumberType, data: bytes) -> float | int | bool:
    import numpy as np

    return np.frombuffer(data, "<" + kind.name, count=1)[0].item()


def _bytes(text: str, coding: str) -> bytes:
    if coding != "latin1":
        raise pickle.UnpicklingError(f"bytes written as {coding!r}")
    return text.encode("latin1")


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
CLASSES = {
    ("collections", "OrderedDict"): OrderedDict,
    ("dnnlib.util", "EasyDict"): dict,
    ("dnnlib", "EasyDict"): dict,
}


class _Refused(pickle.UnpicklingError):
    pass


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        if (module, name) in FUNCTIONS:
            return _Function(FUNCTIONS[module, name])
        if (module, name) in CLASSES:
            return CLASSES[module, name]
        if module.startswith(MODULES) and name.isidentifier():
            return type(name, (Record,), {})
        if (module, name) == LEGACY:
            raise _Refused(
                "it is a TensorFlow network of the first StyleGAN2 release, which holds code instead of plain weights; take the PyTorch "
                "release of the same network, or convert it with legacy.py of NVlabs/stylegan2-ada-pytorch where you trust it"
            )
        raise _Refused(f"it asks for {module}.{name}, which no network needs; nothing of it was run")


def load(path: Path) -> object:
    """What the pickle at `path` holds: dictionaries, lists, numbers, text, tensors on the CPU, and a `Record` for every other object.

    Errors: InputError for a file that holds anything else or is not a pickle.
    """
    try:
        with path.open("rb") as stream:
            return _Unpickler(stream).load()
    except _Refused as error:
        raise InputError(f"'{path}' was not read: {error}") from None
    except Exception as error:  # a broken or hostile pickle makes Python raise anything
        raise InputError(f"'{path}' is not a network that can be read safely ({type(error).__name__}: {str(error)[:200]})") from error
