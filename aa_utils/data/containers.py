"""How PNG and JPEG files are put together: what of them decides the pixels, and whether a PNG is as it was written."""

import io
import zlib
from collections.abc import Iterator
from typing import BinaryIO

PNG = b"\x89PNG\r\n\x1a\n"
ZEROS = bytes(64)
# Transparency is part of the picture.
_PNG_PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
# APP0 (JFIF) and APP14 (Adobe) say how colours are stored; the others, and comments, hold text, profiles, EXIF.
_JPEG_METADATA = {*range(0xE1, 0xEE), 0xEF, 0xFE}


def bare(data: bytes) -> bytes:
    """`data` without metadata; as it is if it is neither PNG nor JPEG, or has none."""
    if data.startswith(PNG):
        chunks = [(kind, data[start:end]) for kind, start, end in _chunks(data)]
        return b"".join([PNG, *(chunk for kind, chunk in chunks if kind in _PNG_PIXELS)])
    return _jpeg(data) if data.startswith(b"\xff\xd8\xff") else data


def is_damaged(png: BinaryIO) -> bool:
    """Whether a part that decides the pixels of a PNG has another checksum than was written: Pillow does not look at all of them."""
    png.seek(len(PNG))
    while len(head := png.read(8)) == 8:
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        if kind not in _PNG_PIXELS:
            png.seek(length + 4, 1)
            continue
        value, left = zlib.crc32(kind), length
        while left and (data := png.read(min(left, 1 << 20))):
            value, left = zlib.crc32(data, value), left - len(data)
        said = png.read(4)
        if not left and len(said) == 4 and int.from_bytes(said, "big") != value:
            return True
        if kind == b"IEND":
            break
    return False


def is_unfinished(jpeg: BinaryIO) -> bool:
    """Whether a JPEG ends in zeros and its scan has no end: room that was reserved for a file, of which not all was written."""
    if jpeg.seek(0, io.SEEK_END) < len(ZEROS):
        return False
    jpeg.seek(-len(ZEROS), io.SEEK_END)
    if jpeg.read() != ZEROS:
        return False
    jpeg.seek(0)
    data = jpeg.read()
    return data.find(b"\xff\xd9", _segments(data)[1]) < 0  # within a scan, a zero follows each 0xff that is data


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    place = len(PNG)
    while place + 12 <= len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        yield data[place + 4 : place + 8], place, end
        place = end


def _jpeg(data: bytes) -> bytes:
    kept, place = _segments(data)
    return b"".join([*kept, data[place:]])


def _segments(data: bytes) -> tuple[list[bytes], int]:
    """(the parts before the first scan that are no metadata, where the scan starts)."""
    kept, place = [data[:2]], 2
    while place + 4 <= len(data) and data[place] == 0xFF and data[place + 1] != 0xDA:  # up to the start of the scan
        if data[place + 1] == 0xFF:  # filling
            place += 1
            continue
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        if data[place + 1] not in _JPEG_METADATA:
            kept.append(data[place:end])
        place = end
    return kept, place
