"""May a run write to this folder? It has one of its own: no part of the project, no person's folder, none that it reads from."""

import os
import tempfile
from pathlib import Path

from aa_utils.errors import InputError
from aa_utils.paths import CHECKOUT, ROOT, home, resolve

# What the repository itself holds; artifacts/ and whatever else a person makes in it are theirs.
PROJECT = frozenset(
    {".ci", ".devcontainer", ".git", ".github", "aa_utils", "docs", "examples", "experiments", "models", "notebooks"}
    | {"performance", "profiles", "published", "results", "tests"}
)
LONGEST_NAME, LONGEST_PATH = 200, 3000  # bytes: temporary names and the run's own files come on top of them
OWN = "give a folder of its own, such as artifacts/my/run"


def check_out(out: str, name: str = "out", within: frozenset[str] = frozenset()) -> None:
    """Errors: InputError if no run may write to `out`, or none could; `name` is the parameter's.

    Of the project's own folders it may lie below those of `within`.
    """
    if any(ord(c) < 32 or ord(c) == 127 for c in out):
        raise InputError(f"{name}={out!r} holds control characters; {OWN}")
    if ".." in Path(out).parts:
        raise InputError(f"{name}='{out}' goes up by '..'; name the folder itself, such as {os.path.normpath(out)}")
    path = resolve(out)
    parts = [os.fsencode(part) for part in path.parts]
    if max(map(len, parts)) > LONGEST_NAME or sum(len(part) + 1 for part in parts) > LONGEST_PATH:
        raise InputError(f"{name} is too long: {len(max(parts, key=len))} bytes in a name, {len(os.fsencode(path))} in all; {OWN}")
    real = Path(os.path.realpath(path))
    first = next(there for there in (real, *real.parents) if there.exists())
    if not first.is_dir():
        by = f" (AA_ARTIFACTS is '{os.environ['AA_ARTIFACTS']}')" if os.environ.get("AA_ARTIFACTS") and not Path(out).is_absolute() else ""
        raise InputError(f"{name}='{out}' cannot be a run's folder: '{first}' is a file{by}; {OWN}")
    own = home()
    taken = (ROOT, *ROOT.parents, Path(os.path.realpath(resolve("artifacts"))), *((own, *own.parents) if own else ()))
    if real in taken:
        raise InputError(f"{name}='{out}' cannot be a run's folder; {OWN}")
    below = real.relative_to(CHECKOUT).parts if real.is_relative_to(CHECKOUT) else ()
    if below and below[0] in PROJECT and not (below[0] in within and len(below) > 1):
        raise InputError(f"{name}='{out}' cannot be a run's folder: '{below[0]}' belongs to the project; {OWN}")


def check_writable(name: str, folder: str) -> None:
    """Errors: InputError if nothing can be made in `folder`, the parameter `name`: it is closed, read-only, full, or the system's own."""
    real = Path(os.path.realpath(resolve(folder)))
    parent = next(there for there in (real, *real.parents) if there.exists())
    try:
        os.rmdir(tempfile.mkdtemp(prefix=".aa-probe-", dir=parent))
    except OSError as error:
        raise InputError(
            f"cannot write {name}='{folder}': '{parent}' takes no new folder ({error.strerror}); {OWN}, or set AA_ARTIFACTS"
        ) from error


def check_shared(name: str, folder: str) -> None:
    """Errors: InputError if no run may write to `folder`, which the parameter `name` gives and other runs write to as well."""
    if not folder.strip():
        raise InputError(f"'{name}' is empty, and files would be written into '{ROOT}' itself; give a folder, such as artifacts/my/{name}")
    check_out(folder, name, frozenset({"results"}))


def check_apart(out: str, name: str, path: str, container: bool = False) -> None:
    """Errors: InputError if the run would write into what it reads: `path`, the input `name`. A `container` of runs may hold it."""
    mine, its = (Path(os.path.realpath(resolve(where))) for where in (out, path))
    if mine == its or (mine.exists() and its.exists() and mine.samefile(its)):
        raise InputError(f"'out' and the input '{name}' are both '{path}'; a run must not write over what it reads")
    if its.is_file() and its.parent == mine:
        raise InputError(f"the input '{name}' ('{path}') lies in the folder 'out'; a run must not write over what it reads, {OWN}")
    if its.is_dir() and mine.is_relative_to(its) and not container:
        raise InputError(f"out='{out}' lies inside the input '{name}' ('{path}'), which would change what it reads; {OWN}")
