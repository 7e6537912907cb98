"""The machine's limits as sentences: a full disk, no memory, too few open files, a folder that cannot be written. Each with the way out."""

import errno
import re
import resource
import shutil
from pathlib import Path

from aa_utils.errors import InputError

ENOUGH_FILES = 4096  # that a run may hold open: more than any here does
FEWEST_FILES = 64  # below that a kernel does not start
ROOM = 1_000_000  # bytes: a disk with less is full
_DISK = re.compile(r"\[Errno (28|122)\]|No space left on device|os error 28|Disk quota exceeded")
_MEMORY = re.compile(
    r"\[Errno 12\]|Can(not|'t) allocate memory|out of memory|failed to map segment|bad_alloc|^MemoryError|Unable to allocate",
    re.IGNORECASE,
)
# What imports, threads and lost answers say where a shell limits the memory.
_LIMITED = re.compile(
    r"ImportError|CellExecutionError|can only be initialized once|can't start new thread|Resource temporarily unavailable"
)
_ERROR_LINE = re.compile(r"^[\w.]*(?:Error|Exception)\b.*", re.MULTILINE)
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_FILES = re.compile(r"\[Errno (23|24)\]|Too many open files")
_SIZE = re.compile(r"\[Errno 27\]|File too large")
_NAMED = re.compile(r"(?:\[Errno \d+\]|left on device|too large|open files)[^'\"/]*['\"]?(/[^'\":]+)")


def sentence(message: str, cell: str = "") -> str:
    """What to say of an error in the cell `cell`, by its `message` ("MemoryError: …"); "" if it is about none of these limits."""
    during = f" (cell {cell})" if cell else ""
    named = _NAMED.search(message)
    if _DISK.search(message):
        return disk_full(named.group(1).strip() if named else None, cell)
    if _MEMORY.search(message) or (limited_memory() and _LIMITED.search(message)):
        gpu = "; on a GPU another process may hold some" if re.search("CUDA|HIP|MPS", message) else ""
        limit = f"; this shell allows {limited_memory()} MB (ulimit -v)" if limited_memory() else ""
        return f"out of memory{during}{limit}{gpu}; use a smaller batch_size or image_size, or a machine with more memory"
    if _FILES.search(message):
        return f"too many open files{during}; raise the limit with ulimit -n {ENOUGH_FILES}, then run the same call again"
    if _SIZE.search(message):
        what = f": could not write {named.group(1).strip()}" if named else ""
        return f"a file is larger than this shell or file system allows{what}{during}; see ulimit -f, or set AA_ARTIFACTS to another disk"
    return ""


def of_cell(name: str, message: str, trace: list[str], cell: str) -> str:
    """What to say of the error `name`: `message` in a cell; the errors that led to it, in its traceback, count too."""
    before = _ERROR_LINE.findall(_COLOURS.sub("", "\n".join(trace)))
    return next(filter(None, (sentence(text, cell) for text in [f"{name}: {message}", *before])), "")


def of_error(error: OSError) -> str:
    """What to say of an OSError of the runner itself; "" for one that says nothing about the machine."""
    where = error.filename or "the run"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"cannot write {where}: {error.strerror}; choose another 'out', or set AA_ARTIFACTS"
    if error.errno in (errno.ENOENT, errno.EINVAL, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP, errno.EIO, errno.ESTALE):
        return f"cannot write {where}: {error.strerror}; choose another 'out', or another folder for AA_ARTIFACTS"
    return sentence(f"[Errno {error.errno}] {error.strerror}: {error.filename!r}" if error.filename else str(error))


def disk_full(where: str | None, cell: str = "") -> str:
    """What to say when there is no space left to write `where`."""
    what = f": could not write {where}" if where else ""
    during = f" (cell {cell})" if cell else ""
    return f"the disk is full{what}{during}; free space or set AA_ARTIFACTS to a larger disk, then run the same call again"


def is_full(folder: Path) -> bool:
    """Whether the disk of `folder` has no room left."""
    return shutil.disk_usage(folder).free < ROOM


def limited_memory() -> int:
    """The most memory that this shell gives a process, in MB; 0 where it gives what there is."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return 0 if limit == resource.RLIM_INFINITY else limit // 2**20


def open_files() -> None:
    """Raise the number of files that may be open as far as a run may want. Errors: InputError if not even a kernel could start."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH_FILES if hard == resource.RLIM_INFINITY else min(ENOUGH_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    if wanted < FEWEST_FILES:
        raise InputError(
            f"only {wanted} files may be open at once here, and a run needs {FEWEST_FILES}; raise the limit: ulimit -n {ENOUGH_FILES}"
        )
