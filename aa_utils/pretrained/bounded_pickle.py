"""Pickles within bounds. A file of a few bytes can ask Python's own reader for gigabytes, for hours, or for more recursion than a process
survives; here what reading costs is bounded by the size of the file.

- Every instruction counts, and so does what a call copies or makes.
- Keys are text or numbers: hashing a deep tuple ends the process, and large whole numbers can be made to collide.
- Only lists, sets and dictionaries are filled; the memo is a dictionary, so a large index is no large table.
What names in the file mean is up to a subclass: `find_class`, `call`, `build`.
"""

import io
import pickle
from pickle import UnpicklingError
from typing import BinaryIO

STEPS = 500_000  # instructions; snapshots of StyleGAN2 and EG3D have some 50,000
TIMES = 3  # what a file may make, in its own size: storages, and tensors that are copied from them
BYTES_MORE = 1 << 20  # and small files beyond that
PLAIN_KEYS = (str, int, float, bool, bytes, type(None))


class OutOfBoundsError(UnpicklingError):
    """A pickle asks for more than a file of its size needs."""


class Unpickler(pickle._Unpickler):  # the reader written in Python: each of its instructions can be replaced
    """Reads one pickle from a stream of `size` bytes."""

    def __init__(self, stream: BinaryIO, size: int, steps: int = STEPS):
        super().__init__(_Whole(stream, size), encoding="latin1")
        self._steps, self._bytes = steps, TIMES * size + BYTES_MORE

    def spend(self, steps: int = 1) -> None:
        """Count `steps` instructions. Errors: OutOfBoundsError if the file has used up its own."""
        self._steps -= steps
        if self._steps < 0:
            raise OutOfBoundsError("it asks for more work than any network needs")

    def take(self, size: int) -> None:
        """Count `size` bytes that are made beside the file's own. Errors: OutOfBoundsError."""
        self._bytes -= size
        if self._bytes < 0:
            raise OutOfBoundsError("it asks for far more memory than it has bytes")

    def call(self, function: object, arguments: tuple) -> object:
        """What a call in the file gives."""
        raise UnpicklingError("it makes a call")

    def build(self, made: object, state: object) -> None:
        """Give `made` its state."""
        raise UnpicklingError(f"it tries to change a {type(made).__name__}")

    def filled(self, made: object, kind: type) -> object:
        """`made`, if the file may fill it as a `kind` (list, set, dict). Errors: UnpicklingError."""
        if not isinstance(made, kind):
            raise UnpicklingError(f"it fills a {type(made).__name__} as if it were a {kind.__name__}")
        return made

    def key(self, value: object) -> object:
        """`value`, if it may be a key. Errors: UnpicklingError."""
        if not isinstance(value, PLAIN_KEYS) or (isinstance(value, int) and abs(value) >= 1 << 62):
            raise UnpicklingError(f"a key is a {type(value).__name__}; keys are text or numbers")
        return value

    def _reduce(self):
        arguments, function = self.stack.pop(), self.stack.pop()
        self.append(self.call(function, _arguments(arguments)))

    def _new(self):
        arguments, kind = self.stack.pop(), self.stack.pop()
        self.append(self.call(kind, _arguments(arguments)))

    def _new_with_names(self):
        raise UnpicklingError("it makes an object from named arguments")

    def _instantiate(self, kind, arguments):
        self.append(self.call(kind, _arguments(tuple(arguments))))

    def _build(self):
        state = self.stack.pop()
        self.build(self.stack[-1], state)

    def _append_one(self):
        value = self.stack.pop()
        self.filled(self.stack[-1], list).append(value)

    def _append_many(self):
        values = self.pop_mark()
        self.filled(self.stack[-1], list).extend(values)

    def _add(self):
        values = self.pop_mark()
        self.filled(self.stack[-1], set).update(self.key(value) for value in values)

    def _set(self):
        self.append(frozenset(self.key(value) for value in self.pop_mark()))

    def _set_one(self):
        value, key = self.stack.pop(), self.stack.pop()
        self.filled(self.stack[-1], dict)[self.key(key)] = value

    def _set_many(self):
        items = self.pop_mark()
        held = self.filled(self.stack[-1], dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            held[self.key(key)] = value

    def _dictionary(self):
        items = self.pop_mark()
        self.append({self.key(key): value for key, value in zip(items[::2], items[1::2], strict=True)})

    def _refused(self):
        raise UnpicklingError("it has an instruction that no network needs")


def _arguments(given: object) -> tuple:
    if type(given) is not tuple:
        raise UnpicklingError("the arguments of a call are no tuple")
    return given


class _Whole:
    """A stream of `size` bytes of which no more is read than it has: an announced length makes no buffer."""

    def __init__(self, stream: BinaryIO, size: int):
        self._stream, self._left = stream, size

    def read(self, count: int) -> bytes:
        if not 0 <= count <= self._left:
            raise EOFError("it is cut off")
        data = self._stream.read(count)
        self._left -= len(data)
        return data

    def readline(self) -> bytes:
        data = self._stream.readline(min(self._left, io.DEFAULT_BUFFER_SIZE))
        self._left -= len(data)
        return data


def _counted(instruction):
    def step(unpickler):
        unpickler.spend()
        instruction(unpickler)

    return step


_OWN = {
    pickle.REDUCE: Unpickler._reduce, pickle.NEWOBJ: Unpickler._new, pickle.NEWOBJ_EX: Unpickler._new_with_names,
    pickle.BUILD: Unpickler._build, pickle.APPEND: Unpickler._append_one, pickle.APPENDS: Unpickler._append_many,
    pickle.ADDITEMS: Unpickler._add, pickle.FROZENSET: Unpickler._set, pickle.SETITEM: Unpickler._set_one,
    pickle.SETITEMS: Unpickler._set_many, pickle.DICT: Unpickler._dictionary,
}  # fmt: skip
_REFUSED = (pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.BYTEARRAY8, pickle.NEXT_BUFFER, pickle.READONLY_BUFFER)
_STOP = pickle.STOP[0]
Unpickler.dispatch = {code: step if code == _STOP else _counted(step) for code, step in pickle._Unpickler.dispatch.items()}
Unpickler.dispatch |= {code[0]: _counted(step) for code, step in _OWN.items()}
Unpickler.dispatch |= {code[0]: Unpickler._refused for code in _REFUSED}  # type: ignore[misc]
