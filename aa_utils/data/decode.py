"""Picture files to pixels of one size: in parallel, and for large sets once, kept as a memory-mapped array.

Small sets are decoded in a moment and stay in memory. Large ones are decoded into `artifacts/cache/images/<folder>-<size>px-<key>.npy`,
which the next run, and every process beside it, maps into memory: that memory is the system's page cache, and only images that are drawn
stay in it. The key covers names, sizes, times of change and decoder, so a changed file is another cache. Each opening compares the cache
with its own checksums (2 GB a second and core) and makes a damaged one again. Any of these files may be deleted at any time. The decoder
itself is `picture.py`; `performance/decode.py` measures all of this, and why it is Pillow.
"""

import fcntl
import io
import os
import re
import shutil
import warnings
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image, features
from torch import Tensor

from aa_utils.data.formats import Unreadable
from aa_utils.data.picture import square
from aa_utils.errors import InputError
from aa_utils.paths import resolve
from aa_utils.progress import note, progress, warn
from aa_utils.runner import code_closure
from aa_utils.seeds import stable_hash

KEEP_FROM = 64 << 20  # bytes of files and pixels together: a second or two of decoding
CHUNK = 512  # images between two syncs to the disk: 100 MB at 256 px
SPARE = 1 << 30  # bytes that stay free on the disk
BLOCK = 1 << 24  # bytes of a cache that have one checksum
MARK = b"aa-crc32"  # ends a cache whose checksums stand before it

Bad = list[tuple[int, str]]


def pixels(paths: Sequence[Path], size: int, name: str, sha256: Sequence[str] = ()) -> tuple[Tensor, Bad]:
    """(uint8 (N, 3, size, size), [(index, reason)] of the files that cannot be read).

    Both sides are squeezed to `size`, bicubic; a picture of that size keeps its pixels. `name` says whose they are, in the cache and in the
    log; `sha256`: the digest that each file must have, "" where it is unknown. Where a file is bad, nothing is kept and its image is black.
    The tensor may be a read-only memory map: index it, never write to it. Errors: InputError for a disk without room.
    """
    stats = [_stat(path) for path in paths]
    image = 3 * size * size
    if sum(bytes_ for bytes_, _ in stats) + len(paths) * image < KEEP_FROM:
        return _in_memory(paths, size, name, sha256)
    root = os.path.commonpath([path.parent for path in paths])
    files = [(os.path.relpath(path, root), *stat) for path, stat in zip(paths, stats, strict=True)]
    turbo = features.version("libjpeg_turbo") or features.version("jpg")
    key = stable_hash("decode", code_closure.fingerprint(__name__), Image.__version__, turbo, size, files, list(sha256))
    kept = resolve("artifacts/cache/images") / f"{re.sub(r'[^A-Za-z0-9_-]', '_', name)}-{size}px-{key:016x}.npy"
    header = _header(len(paths), size)
    if not _is_whole(kept, len(header) + len(paths) * image):
        with _locked(kept.with_suffix(".lock")):
            bad = [] if _is_whole(kept, len(header) + len(paths) * image) else _keep(kept, header, paths, size, name, sha256)
        if bad:
            return torch.zeros(1, dtype=torch.uint8).expand(len(paths), 3, size, size), bad
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable")
        return torch.from_numpy(np.load(kept, mmap_mode="r")), []


def unreadable(paths: Sequence[Path], name: str) -> Bad:
    """[(index, reason)] of the files that cannot be read: each is decoded to its end, and nothing is kept."""
    decoded = progress(_decoded(paths, 8, ()), f"check {name}", len(paths), "image")
    return [(i, found) for i, found in enumerate(decoded) if isinstance(found, str)]


def read(path: Path, size: int, sha256: str = "") -> np.ndarray | str:
    """uint8 (3, size, size), or in a few words why there is none. `sha256`, where given, is the digest that the file must have."""
    try:
        image, _ = square(path, size, sha256)
    except Unreadable as error:
        return str(error)
    return np.asarray(image).transpose(2, 0, 1)


def cores() -> int:
    """The cores this process may use, at most 16: the share that a scheduler gave it, not the whole machine."""
    return min(16, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def _decoded(paths: Sequence[Path], size: int, sha256: Sequence[str]) -> Iterator[np.ndarray | str]:
    """`read` of each path, in order; decoding releases the interpreter lock, so threads work in parallel."""
    digests = sha256 or [""] * len(paths)
    with ThreadPoolExecutor(cores()) as threads:
        for start in range(0, len(paths), CHUNK):  # bounded: results wait in memory until they are taken
            part = slice(start, start + CHUNK)
            yield from threads.map(lambda path, digest: read(path, size, digest), paths[part], digests[part])


def _in_memory(paths: Sequence[Path], size: int, name: str, sha256: Sequence[str]) -> tuple[Tensor, Bad]:
    made, bad = np.zeros((len(paths), 3, size, size), dtype=np.uint8), []
    for i, found in enumerate(progress(_decoded(paths, size, sha256), f"read {name}", len(paths), "image")):
        if isinstance(found, str):
            bad.append((i, found))
        else:
            made[i] = found
    return torch.from_numpy(made), bad


def _header(number: int, size: int) -> bytes:
    """What a .npy file of uint8 (number, 3, size, size) begins with."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": (number, 3, size, size)})
    return stream.getvalue()


def _keep(kept: Path, header: bytes, paths: Sequence[Path], size: int, name: str, sha256: Sequence[str]) -> Bad:
    """Write the array to `kept`. The file grows image by image, so one that was left behind by a kill says itself how far it came."""
    image = 3 * size * size
    part = kept.with_suffix(".part")
    there = part.stat().st_size - len(header) if part.is_file() else 0
    done = min(len(paths), max(0, there) // image) // CHUNK * CHUNK
    needed, free = (len(paths) - done) * image, shutil.disk_usage(kept.parent).free
    if needed + SPARE > free:
        raise InputError(
            f"{len(paths)} images of '{name}' at {size} px take {needed / 1e9:.1f} GB, and '{kept.parent}' has {free / 1e9:.1f} GB; "
            "make room (files there may be deleted), set AA_ARTIFACTS to a larger disk, or ask for fewer pixels"
        )
    if kept.is_file():
        warn(f"'{kept}' is damaged, and is made again")
    note(f"keeping {len(paths)} images of {name} at {size} px in '{kept}'" + (f", from image {done} on" if done else ""))
    bad: Bad = []
    left = _decoded(paths[done:], size, sha256[done:])
    with part.open("r+b" if done else "wb") as stream:
        stream.write(header)
        stream.seek(len(header) + done * image)
        stream.truncate()
        for i, found in enumerate(progress(left, f"read {name}", len(paths) - done, "image"), done):
            if isinstance(found, str):
                bad.append((i, found))
            elif not bad:
                stream.write(found.tobytes())
                if (i + 1) % CHUNK == 0:
                    stream.flush()
                    os.fsync(stream.fileno())
        stream.flush()
        stream.write(_checksums(part, len(header) + len(paths) * image) + MARK)
        stream.flush()
        os.fsync(stream.fileno())
    if bad:
        part.unlink()
    else:
        part.replace(kept)
    return bad


def _checksums(path: Path, length: int) -> bytes:
    """Four bytes for each BLOCK of the first `length` bytes of a file; threads read it in parallel."""

    def checksum(start: int) -> bytes:
        with path.open("rb") as stream:
            stream.seek(start)
            value, left = 0, min(BLOCK, length - start)
            while left and (data := stream.read(min(left, 1 << 20))):
                value, left = zlib.crc32(data, value), left - len(data)
        return value.to_bytes(4, "big")

    with ThreadPoolExecutor(cores()) as threads:
        return b"".join(threads.map(checksum, range(0, length, BLOCK)))


def _is_whole(kept: Path, length: int) -> bool:
    """Whether `kept` is there with an array of `length` bytes, header included, that has the checksums behind it."""
    trailer = 4 * -(-length // BLOCK) + len(MARK)
    if not kept.is_file() or kept.stat().st_size != length + trailer:
        return False
    with kept.open("rb") as stream:
        stream.seek(length)
        said = stream.read()
    return said == _checksums(kept, length) + MARK


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process decodes, the others wait for it. The lock ends with its process; its file stays, or two could hold one each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _stat(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns
