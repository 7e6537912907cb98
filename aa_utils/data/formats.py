"""What a file is, by its first bytes: names and endings lie (a JPEG called .HEIC, a web page called .jpg, a photo without any ending).

Only the formats of READ are ever given to Pillow: the others are kinds of files that nobody needs as a photo, or that call other programs.
"""

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

HEAD = 512  # bytes that say what a file is
TOO_LARGE = 2 << 30  # bytes of one file: 179 million pixels of 16-bit RGB are half of it

# Endings under which pictures are expected that are read, and that a person calls pictures though they are not read here.
ENDINGS = {
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif", ".avif"),
    *(".jp2", ".j2k", ".jpx", ".j2c", ".pgm", ".ppm", ".pbm", ".pnm", ".pfm", ".ico", ".tga"),
}
RAW = {".raw", ".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw"}
FOREIGN = {".heic", ".heif", ".hif", ".psd", ".psb", ".svg", ".svgz", ".jxl", ".eps", ".wmf", ".emf", ".xcf", ".exr", ".hdr", ".qoi", *RAW}


class Unreadable(ValueError):
    """A picture that cannot be had. The message says what is wrong with it, and leaves the file's name to whoever knows it."""


@dataclass(frozen=True)
class Kind:
    """`name` in words; `formats`: what Pillow may take the file for, none for a kind that is not read here."""

    name: str
    formats: tuple[str, ...] = ()


_READ = (
    (rb"\xff\xd8\xff", Kind("JPEG", ("JPEG",))),
    (rb"\x89PNG\r\n\x1a\n", Kind("PNG", ("PNG",))),
    (rb"GIF8[79]a", Kind("GIF", ("GIF",))),
    (rb"RIFF.{4}WEBP", Kind("WebP", ("WEBP",))),
    (rb"II[*+]\x00|MM\x00[*+]", Kind("TIFF", ("TIFF",))),
    (rb".{4}ftyp(?:avif|avis|.{4}.{4}(?:.{4}){0,14}(?:avif|avis))", Kind("AVIF", ("AVIF",))),
    (rb"\x00\x00\x00\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", Kind("JPEG 2000", ("JPEG2000",))),
    (rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\x00\x00\x00", Kind("BMP", ("BMP",))),
    (rb"P[1-6f]\s+(?:#[^\n]*\n\s*)*\d+\s+\d+\s", Kind("PPM", ("PPM",))),
    (rb"\x00\x00\x01\x00[\x01-\x40]\x00.{3}\x00", Kind("ICO", ("ICO",))),
)
_OTHERS = (
    (rb".{4}ftyp(?:heic|heix|heim|heis|hevc|hevx|mif1|msf1)", "HEIC"),
    (rb".{4}ftyp|\x1aE\xdf\xa3|RIFF.{4}AVI ", "a video"),
    (rb"\xff\x0a|\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (rb"8BP[SB]", "Photoshop (PSD)"),
    (rb"%PDF", "a PDF"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "PostScript"),
    (rb"(?i:\s*(?:<\?xml.*)?(?:<!--.*)?<svg)", "SVG"),
    (rb"(?i:\s*<(?:!doctype|html|head|body|\?xml|error))", "a web page"),
    (rb"version https://git-lfs", "a pointer of git-lfs, the picture itself was not fetched (git lfs pull)"),
    (rb"\s*[{\[]", "a JSON text"),
    (rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|Rar!|\xfd7zXZ|BZh", "an archive"),
)
_READ_BY = [(re.compile(pattern, re.DOTALL), kind) for pattern, kind in _READ]
_OTHERS_BY = [(re.compile(pattern, re.DOTALL), Kind(name)) for pattern, name in _OTHERS]
_SPECIAL = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFDIR: "a folder"}
_TGA = Kind("TGA", ("TGA",))  # which has no mark of its own


def kind(head: bytes, ending: str = "") -> Kind | None:
    """The kind of a file that begins with `head`, or None; `ending` (lower case) decides what bytes leave open."""
    found = next((kind for pattern, kind in (*_READ_BY, *_OTHERS_BY) if pattern.match(head)), None)
    if ending in RAW and (found is None or found.name in ("TIFF", "a video")):  # raw files of cameras are TIFF outside
        return Kind(f"a camera's raw file ({ending[1:].upper()})")
    if found is None and ending in FOREIGN:
        return Kind(ending[1:].upper())
    return _TGA if found is None and ending == ".tga" else found


def is_picture(path: Path) -> bool:
    """Whether a person would miss the file among the pictures: by its ending, or by bytes that no other kind of file begins with."""
    ending = path.suffix.lower()
    if ending in ENDINGS or ending in FOREIGN:
        return True
    try:
        with opened(path) as stream:
            found = kind(stream.read(HEAD))
    except (Unreadable, OSError):
        return False
    return found is not None and (bool(found.formats) or found.name == "HEIC")


def is_foreign(path: Path) -> bool:
    """Whether the file is a picture of a kind that is not read here (HEIC, raw, …), by its bytes before its ending."""
    ending = path.suffix.lower()
    try:
        with opened(path) as stream:
            found = kind(stream.read(HEAD), ending)
    except (Unreadable, OSError):
        return ending in FOREIGN
    return found is not None and not found.formats and (ending in FOREIGN or found.name == "HEIC")


def opened(path: Path) -> BinaryIO:
    """The file at `path`, opened for reading. Errors: Unreadable for what is no file of a bounded, positive size."""
    try:
        # A FIFO without a writer would wait for ever, a device may have no end.
        stream = os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)), "rb")
    except FileNotFoundError:
        raise Unreadable("a link that leads nowhere" if path.is_symlink() else "missing") from None
    except ValueError as error:  # a NUL in its name
        raise Unreadable(f"no name of a file: {error}") from None
    except OSError as error:
        special = _special(path)
        raise Unreadable(special or (error.strerror or type(error).__name__).lower()) from None
    try:
        about = os.fstat(stream.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise Unreadable(_special(path) or "no file")
        if not about.st_size:
            raise Unreadable("empty file")
        if about.st_size > TOO_LARGE:
            raise Unreadable(f"a file of {about.st_size / 1e9:.1f} GB is too large to read safely; {TOO_LARGE / 1e9:.1f} GB are the most")
    except BaseException:
        stream.close()
        raise
    return stream


def _special(path: Path) -> str:
    """What lies at `path`, if it is no file; "" where it is one, or nothing."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return ""
    names = {
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFDIR: "a folder",
    }
    name = names.get(stat.S_IFMT(mode))
    return f"{name}, not a file" if name else ""
