"""One picture file to 8-bit RGB, upright: the kit's only decoder, so that a file means the same wherever it is read.

What decides: the format goes by the first bytes (`formats`), the size is checked before anything is decoded, values deeper than 8 bits
follow one rule (`depth`), transparency lies on white, the first frame of an animation counts, and the camera's rotation is applied.
Metadata that cannot be parsed never costs the pixels. Whatever else goes wrong is `formats.Unreadable`, a sentence.
"""

import hashlib
import io
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from aa_utils.data import containers, formats, rgb, sixteen_bits, tiff
from aa_utils.data.formats import Kind, Unreadable
from aa_utils.errors import InputError
from aa_utils.paths import as_text

SMALLEST = 4  # pixels a side: below it lie spacers and tracking pixels
LARGEST = 2 * (Image.MAX_IMAGE_PIXELS or 89_478_485)  # pixels: Pillow's own limit against decompression bombs
TWICE = 1 << 28  # bytes: a larger file is not tried again without its metadata
AT_ONCE = 1 << 30  # bytes that all pictures being decoded may take together; a larger one is decoded alone
BYTES = 12  # that decoding takes a pixel: Pillow's 4, the decoder's own, and a copy
_TURNS = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90"}

# Pillow's remarks on odd files; what is really wrong is said here. Contexts of the warnings module are not safe in threads.
warnings.filterwarnings("ignore", module=r"PIL\.")


@dataclass(frozen=True)
class Picture:
    """`image`: 8-bit RGB, upright, maybe smaller than the file's. `width`, `height`: the file's own, upright; `mode` Pillow's name."""

    image: Image.Image
    width: int
    height: int
    mode: str
    frames: int


def read(path: Path, at_least: int = 0, sha256: str = "", largest: int | None = None) -> Picture:
    """The picture at `path`; with `at_least`, large ones may come smaller, but never below that many pixels a side.

    `sha256`, where given, is the digest that the file must have; `largest` the pixels above which it is not decoded, by default LARGEST.
    Errors: Unreadable.
    """
    try:
        with formats.opened(path) as stream:
            if sha256:
                _compare(stream, sha256)
            found = formats.kind(stream.read(formats.HEAD), path.suffix.lower())
            if found is None or not found.formats:
                raise Unreadable(_not_read(found))
            if found.name == "PNG" and containers.is_damaged(stream):
                raise Unreadable("damaged: a checksum within the PNG is not that of its pixels")
            if found.name == "JPEG" and containers.is_unfinished(stream):
                raise Unreadable("cut short (its end is zeros, space that was reserved for it and never written)")
            stream.seek(0)
            return _decoded(stream, found, at_least, largest or LARGEST)
    except Unreadable:
        raise
    except Exception as error:  # a decoder raises whatever a broken file leads it to
        raise Unreadable(_reason(error)) from error


def array(path: Path, sha256: str = "") -> np.ndarray:
    """The picture as uint8 (height, width, 3). Errors: InputError that names the file and what is wrong with it."""
    try:
        return np.array(read(path, sha256=sha256).image)
    except Unreadable as error:
        raise InputError(f"'{as_text(path)}' cannot be read as an image: {error}") from error


def check(path: Path, sha256: str) -> None:
    """Read the file without decoding it. Errors: Unreadable if there is none, or its digest is not `sha256`."""
    with formats.opened(path) as stream:
        _compare(stream, sha256)


def square(path: Path, size: int, sha256: str = "") -> tuple[Image.Image, Picture]:
    """(the picture with both sides squeezed to `size`, bicubic, as in the adaptation literature; what `read` gives)."""
    picture = read(path, size, sha256)
    if picture.image.size == (size, size):
        return picture.image, picture
    return picture.image.resize((size, size), Image.Resampling.BICUBIC), picture


def _compare(stream: BinaryIO, sha256: str) -> None:
    found = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
    if found != sha256:
        raise Unreadable(f"not the picture that was written: its SHA-256 begins {found[:8]}, and the metadata has {sha256[:8]}")
    stream.seek(0)


def _decoded(stream: BinaryIO, kind: Kind, at_least: int, largest: int) -> Picture:
    try:
        return _picture(stream, kind, at_least, largest)
    except (Unreadable, Image.DecompressionBombError, MemoryError):
        raise
    except Exception:
        if stream.seek(0, io.SEEK_END) > TWICE:
            raise
        stream.seek(0)
        data = stream.read()
        without = containers.bare(data)
        if without == data:
            raise
        return _picture(io.BytesIO(without), kind, at_least, largest)


def _picture(stream: BinaryIO, kind: Kind, at_least: int, largest: int) -> Picture:
    with Image.open(stream, formats=kind.formats) as opened:
        width, height = opened.size
        if min(width, height) < SMALLEST:
            raise Unreadable(f"only {width}x{height} pixels")
        if width * height > largest:
            raise Unreadable(_too_many(f"{width}x{height} pixels are more than {largest:,}"))
        if at_least:
            opened.draft(None, (2 * at_least, 2 * at_least))  # a JPEG is decoded at a half, quarter or eighth: many times faster
        bytes_ = opened.size[0] * opened.size[1] * BYTES
        with _room(bytes_):
            if bytes_ <= AT_ONCE:
                return _upright(opened, (width, height), stream, at_least)
            # Memory that a thread freed stays its own for a while; one that ends leaves it to the next.
            with ThreadPoolExecutor(1) as alone:
                return alone.submit(_upright, opened, (width, height), stream, at_least).result()


def _upright(opened: Image.Image, size: tuple[int, int], stream: BinaryIO, at_least: int) -> Picture:
    (width, height), mode, deep = size, opened.mode, sixteen_bits.of_colours(opened)
    tiff.check(opened)
    opened.load()
    image = rgb.converted(sixteen_bits.brightened(opened, stream) if deep else opened, at_least)
    orientation = _orientation(opened)
    if orientation in _TURNS:
        image = image.transpose(Image.Transpose[_TURNS[orientation]])
    if orientation in (5, 6, 7, 8):
        width, height = height, width
    frames = _frames(opened)
    opened.close()  # gives its memory back before another picture takes the room
    return Picture(image, width, height, mode, frames)


def _orientation(opened: Image.Image) -> int:
    try:
        found = opened.getexif().get(0x0112, 1)
    except Exception:  # broken metadata costs its rotation, never the picture
        return 1
    found = found[0] if isinstance(found, tuple) and found else found
    return found if isinstance(found, int) else 1


def _frames(opened: Image.Image) -> int:
    if opened.format == "MPO":  # a photo with a preview or a depth map behind it
        return 1
    try:
        return int(getattr(opened, "n_frames", 1))
    except Exception:  # what comes after the first frame may be broken
        return 1


def _not_read(kind: Kind | None) -> str:
    if kind is None:
        return "not a picture, or broken from its first bytes"
    if kind.name.startswith(("a ", "an ")) and "raw" not in kind.name:
        return f"not a picture but {kind.name}"
    return f"{kind.name} is not read here, convert it to JPEG"


def _too_many(what: str) -> str:
    return f"{what}, too many to decode safely: make it smaller"


def _reason(error: Exception) -> str:
    said = str(error).partition("\n")[0][:150]
    if isinstance(error, Image.DecompressionBombError):
        return _too_many(f"more than {LARGEST:,} pixels")
    if isinstance(error, MemoryError):
        return "too little memory to decode it: make it smaller"
    if isinstance(error, Image.UnidentifiedImageError):
        return "broken from its first bytes, or a variety of its format that is not read here: save it as an 8-bit PNG"
    if "truncated" in said.lower() or isinstance(error, EOFError):
        return f"cut short ({said or 'its end is missing'})"
    # Of the others (KeyError, struct.error, IndexError) the text is a number or a word out of the decoder, which tells nobody anything.
    told = isinstance(error, (OSError, SyntaxError, ValueError)) and len(said.split()) > 1
    return f"broken ({said})" if told else "broken: what its bytes say of the picture makes no sense; fetch or export it again"


_used, _freed = 0, threading.Condition()


@contextmanager
def _room(bytes_: int) -> Iterator[None]:
    """Wait until `bytes_` fit into AT_ONCE beside what other threads decode, or until nothing else is decoded."""
    global _used
    with _freed:
        _freed.wait_for(lambda: _used == 0 or _used + bytes_ <= AT_ONCE)
        _used += bytes_
    try:
        yield
    finally:
        with _freed:
            _used -= bytes_
            _freed.notify_all()
