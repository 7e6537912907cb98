"""Files that are whole or absent: written under a temporary name, brought to the disk, then renamed.

`text` decodes what people wrote.
"""

import errno
import hashlib
import heapq
import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aa_utils.errors import InputError
from aa_utils.files import text
from aa_utils.paths import may_read
from aa_utils.progress import warn

COMPUTES_NOTHING = "how files get onto a disk"
CLOSED = {"lost+found", "system volume information", "$recycle.bin"}  # a disk has them at its top, and its owner may not look inside


@contextmanager
def atomic(path: Path, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` on success, remove it on any error (a full disk too).

    `durable`: bytes and name are on the disk before this returns, so that a power failure leaves the old file or the new one, never an
    empty one. It costs some milliseconds; False is for files that are cheap to make again and checked before they are used.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Processes on other machines may have the same number.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        if durable:
            _to_disk(temporary)
        os.replace(temporary, path)
        if durable:
            _to_disk(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _to_disk(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF) or not path.is_dir():  # some file systems sync no folders
            raise
    finally:
        os.close(number)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the exclusive lock of the file `path`, waiting for it: of several processes, one makes what all of them need.

    The lock ends with its process, however that ends. The file stays: were it removed, two processes could hold one lock each.
    """
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def write_bytes(path: Path, data: bytes, durable: bool = True) -> None:
    """Write `data` to `path` atomically; `durable` as of `atomic`."""
    with atomic(path, durable) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, content: str, durable: bool = True) -> None:
    """Write `content` to `path` atomically, as UTF-8 with `\\n` line ends; `durable` as of `atomic`."""
    write_bytes(path, content.encode(), durable)


def write_json(path: Path, value: object) -> None:
    """Write `value` to `path` atomically as indented JSON in the order given."""
    write_text(path, text.to_json(value, indent=2) + "\n")


def read_json(path: Path, way_out: str) -> object:
    """The value of a JSON file. Errors: InputError that names the file and the `way_out` if it is empty, cut off or no JSON."""
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        state = "empty" if not path.stat().st_size else f"not whole ({error})"
        raise InputError(f"'{path}' is {state}, as a power failure or a full disk leaves files; {way_out}") from error


def read_json_if_whole(path: Path) -> object | None:
    """The value of a JSON file; None if there is none, and if it is not whole, which is said: it then counts as absent."""
    try:
        return read_json(path, "it counts as absent") if path.is_file() else None
    except InputError as error:
        warn(str(error))
        return None


def write_jsonl(path: Path, rows: list[dict]) -> None:
    """Write one JSON object a line to `path`, atomically."""
    write_text(path, "".join(text.to_json(row) + "\n" for row in rows))


def read_jsonl(path: Path) -> list[dict]:
    """The rows of a JSON-lines file. Errors: InputError naming the first line that is no JSON object, or has a key twice."""
    return [row for _, row in text.json_rows(path)]


def hidden(name: str) -> bool:
    """Whether `name` begins with a dot."""
    return name.startswith(".")


@dataclass(frozen=True)
class Tree:
    """What lies below a folder. `files`: all that is no folder, sorted; `skipped`: what a rule left out, folders unread.

    `links`: links to folders that were followed; `again`: those that were not, for their folder was read by another way, or holds the
    folder itself: following them would never end.
    """

    files: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    links: list[Path] = field(default_factory=list)
    again: list[Path] = field(default_factory=list)


def tree(root: Path, skip: Callable[[str], bool] = hidden) -> Tree:
    """Everything below the folder `root` but for names that `skip`; links to folders are followed, every folder is read once.

    A folder counts by the way without links, where there is one; a link that leads nowhere, or to itself, is a file. Errors: InputError for
    a folder, or the goal of a link, that cannot be read; folders that a system keeps closed (CLOSED) are skipped.
    """
    found, links, seen, top = Tree(), [], set(), root.resolve()

    def read(folder: Path) -> None:
        with readable(folder, "the folder "):
            about = folder.stat()
            if (about.st_dev, about.st_ino) in seen or (folder != root and folder.is_symlink() and top.is_relative_to(folder.resolve())):
                found.again.append(folder)
                return
            seen.add((about.st_dev, about.st_ino))
            if folder != root and folder.name.lower() in CLOSED and not may_read(folder, folder=True):
                found.skipped.append(folder)
                return
            if folder.is_symlink() and folder != root:
                found.links.append(folder)
            with os.scandir(folder) as entries:
                inside = sorted(entries, key=lambda entry: entry.name)
        for entry in inside:
            path = folder / entry.name
            if skip(entry.name):
                found.skipped.append(path)
            elif entry.is_dir(follow_symlinks=False):
                folders.append(path)
            elif entry.is_symlink() and _leads_to_folder(path):
                heapq.heappush(links, path)
            else:
                found.files.append(path)

    folders = [root]
    while folders or links:
        read(folders.pop() if folders else heapq.heappop(links))
    found.files.sort()
    return found


def _leads_to_folder(link: Path) -> bool:
    with readable(link, "what the link ", " leads to"):
        return link.is_dir()


@contextmanager
def readable(path: Path, before: str = "", after: str = "") -> Iterator[None]:
    """Turns an OSError (no access, a path too long, a broken disk) into an InputError that names `path`, `before` and `after` around it.

    Limits of the machine (memory, open files) stay what they are: they say nothing of the path.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            raise
        name = str(path) if len(str(path)) <= 500 else f"{str(path)[:200]} … {str(path)[-200:]}"
        why = error.strerror or type(error).__name__
        raise InputError(f"{before}'{name}'{after} cannot be read: {why}; give yourself access, or move it away") from error


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, or of a folder's sorted (name, SHA-256) pairs; dot-files in a folder do not count.

    Errors: InputError for a file or folder that cannot be read.
    """
    digest = hashlib.sha256()
    with readable(path):
        if path.is_dir():
            for file in tree(path).files:
                if is_regular(file):
                    name = file.relative_to(path)
                    digest.update(os.fsencode(f"{name.as_posix()}\0{sha256(file)}\n"))  # a name may not be UTF-8
        else:
            with path.open("rb") as stream:
                for block in iter(lambda: stream.read(1 << 20), b""):
                    digest.update(block)
    return digest.hexdigest()


def is_regular(path: Path) -> bool:
    """Whether there is a file at `path` that holds bytes, no FIFO and no device. Errors: InputError where nobody may look."""
    with readable(path):
        return path.is_file()
