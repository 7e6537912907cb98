"""Picture files to pixels of one size: in parallel, and for large sets once, kept as a memory-mapped array.

Small sets are decoded in a moment and stay in memory. Large ones are decoded into `artifacts/cache/images/<folder>-<size>px-<key>.npy`,
which the next run, and every process beside it, opens without reading it: memory is the system's page cache, and only images that are drawn
are read from the disk. The key covers names, sizes, times of change and decoder, so a changed file is another cache. Any of these files may
be deleted at any time. `performance/decode.py` measures all of this, and why the decoder is Pillow.
"""

import fcntl
import io
import os
import re
import shutil
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError, features
from torch import Tensor

from aa_utils.errors import InputError
from aa_utils.paths import resolve
from aa_utils.progress import note, progress
from aa_utils.seeds import stable_hash

KEEP_FROM = 64 << 20  # bytes of files and pixels together: a second or two of decoding
CHUNK = 512  # images between two syncs to the disk: 100 MB at 256 px
SPARE = 1 << 30  # bytes that stay free on the disk
VERSION = 1  # raise it where the same files give other pixels

Bad = list[tuple[int, str]]


def pixels(paths: Sequence[Path], size: int, name: str, marks: Sequence[str] = ()) -> tuple[Tensor, Bad]:
    """(uint8 (N, 3, size, size), [(index, reason)] of the files that cannot be read).

    Both sides are squeezed to `size`, bicubic; a picture of that size keeps its pixels. `name` says whose they are, in the cache and in the
    log; `marks` are texts that identify contents besides the files' times (hashes, say). Where a file is bad, nothing is kept and its image
    is black. The tensor may be a read-only memory map: index it, never write to it. Errors: InputError for a disk without room.
    """
    stats = [_stat(path) for path in paths]
    image = 3 * size * size
    if sum(bytes_ for bytes_, _ in stats) + len(paths) * image < KEEP_FROM:
        return _in_memory(paths, size, name)
    root = os.path.commonpath([path.parent for path in paths])
    files = [(os.path.relpath(path, root), *stat) for path, stat in zip(paths, stats, strict=True)]
    turbo = features.version("libjpeg_turbo") or features.version("jpg")
    key = stable_hash("decode", VERSION, Image.__version__, turbo, size, files, list(marks))
    kept = resolve("artifacts/cache/images") / f"{re.sub(r'[^A-Za-z0-9_-]', '_', name)}-{size}px-{key:016x}.npy"
    if not kept.is_file():
        with _locked(kept.with_suffix(".lock")):
            bad = [] if kept.is_file() else _keep(kept, paths, size, name)
        if bad:
            return torch.zeros(1, dtype=torch.uint8).expand(len(paths), 3, size, size), bad
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable")
        return torch.from_numpy(np.load(kept, mmap_mode="r")), []


def unreadable(paths: Sequence[Path], name: str) -> Bad:
    """[(index, reason)] of the files that cannot be read: each is decoded to its end, and nothing is kept."""
    decoded = progress(_decoded(paths, 8), f"check {name}", len(paths), "image")
    return [(i, found) for i, found in enumerate(decoded) if isinstance(found, str)]


def read(path: Path, size: int) -> np.ndarray | str:
    """uint8 (3, size, size), or in a word or two why there is none. Whatever Pillow opens becomes RGB; the camera's rotation is applied."""
    try:
        with Image.open(path) as opened:
            picture = ImageOps.exif_transpose(opened)
            if picture.mode.startswith("I;16"):  # Pillow would cut all above 255 to white
                picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
            picture = picture.convert("RGB")
        if picture.size != (size, size):
            picture = picture.resize((size, size), Image.Resampling.BICUBIC)
    except FileNotFoundError:
        return "missing"
    except UnidentifiedImageError:
        return "UnidentifiedImageError" if path.stat().st_size else "empty file"
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return f"{type(error).__name__}: {str(error)[:80]}"
    return np.asarray(picture).transpose(2, 0, 1)


def cores() -> int:
    """The cores this process may use, at most 16: the share that a scheduler gave it, not the whole machine."""
    return min(16, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def _decoded(paths: Sequence[Path], size: int) -> Iterator[np.ndarray | str]:
    """`read` of each path, in order; decoding releases the interpreter lock, so threads work in parallel."""
    with ThreadPoolExecutor(cores()) as threads:
        for start in range(0, len(paths), CHUNK):  # bounded: results wait in memory until they are taken
            yield from threads.map(lambda path: read(path, size), paths[start : start + CHUNK])


def _in_memory(paths: Sequence[Path], size: int, name: str) -> tuple[Tensor, Bad]:
    made, bad = np.zeros((len(paths), 3, size, size), dtype=np.uint8), []
    for i, found in enumerate(progress(_decoded(paths, size), f"read {name}", len(paths), "image")):
        if isinstance(found, str):
            bad.append((i, found))
        else:
            made[i] = found
    return torch.from_numpy(made), bad


def _keep(kept: Path, paths: Sequence[Path], size: int, name: str) -> Bad:
    """Write the array to `kept`. The file grows image by image, so one that was left behind by a kill says itself how far it came."""
    image, header = 3 * size * size, io.BytesIO()
    about = {"descr": "|u1", "fortran_order": False, "shape": (len(paths), 3, size, size)}
    np.lib.format.write_array_header_1_0(header, about)
    part = kept.with_suffix(".part")
    there = part.stat().st_size - header.tell() if part.is_file() else 0
    done = max(0, there) // (CHUNK * image) * CHUNK
    needed, free = (len(paths) - done) * image, shutil.disk_usage(kept.parent).free
    if needed + SPARE > free:
        raise InputError(
            f"{len(paths)} images of '{name}' at {size} px take {needed / 1e9:.1f} GB, and '{kept.parent}' has {free / 1e9:.1f} GB; "
            "make room (files there may be deleted), set AA_ARTIFACTS to a larger disk, or ask for fewer pixels"
        )
    note(f"keeping {len(paths)} images of {name} at {size} px in '{kept}'" + (f", from image {done} on" if done else ""))
    bad: Bad = []
    with part.open("r+b" if done else "wb") as stream:
        stream.write(header.getvalue())
        stream.seek(header.tell() + done * image)
        stream.truncate()
        for i, found in enumerate(progress(_decoded(paths[done:], size), f"read {name}", len(paths) - done, "image"), done):
            if isinstance(found, str):
                bad.append((i, found))
            elif not bad:
                stream.write(found.tobytes())
                if (i + 1) % CHUNK == 0:
                    stream.flush()
                    os.fsync(stream.fileno())
        stream.flush()
        os.fsync(stream.fileno())
    if bad:
        part.unlink()
    else:
        part.replace(kept)
    return bad


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
