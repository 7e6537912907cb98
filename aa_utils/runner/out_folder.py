"""May a run write to this folder? It has one of its own: no part of the project, no person's folder, none that it reads from."""

import os
from pathlib import Path

from aa_utils.errors import InputError
from aa_utils.paths import CHECKOUT, ROOT, resolve

# What the repository itself holds; artifacts/ and whatever else a person makes in it are theirs.
PROJECT = frozenset(
    {".ci", ".devcontainer", ".git", ".github", "aa_utils", "docs", "examples", "experiments", "models", "notebooks"}
    | {"performance", "profiles", "published", "results", "tests"}
)
LONGEST_NAME, LONGEST_PATH = 200, 3000  # bytes: temporary names and the run's own files come on top of them
OWN = "give a folder of its own, such as artifacts/my/run"


def check_out(out: str) -> None:
    """Errors: InputError if no run may write to `out`, or none could."""
    if any(ord(c) < 32 or ord(c) == 127 for c in out):
        raise InputError(f"out={out!r} holds control characters; {OWN}")
    if ".." in Path(out).parts:
        raise InputError(f"out='{out}' goes up by '..'; name the folder itself, such as {os.path.normpath(out)}")
    path = resolve(out)
    names = [os.fsencode(part) for part in path.parts]
    if max(map(len, names)) > LONGEST_NAME or sum(len(name) + 1 for name in names) > LONGEST_PATH:
        raise InputError(f"out is too long: {len(max(names, key=len))} bytes in a name, {len(os.fsencode(path))} in all; {OWN}")
    real = Path(os.path.realpath(path))
    first = next(there for there in (real, *real.parents) if there.exists())
    if not first.is_dir():
        by = f" (AA_ARTIFACTS is '{os.environ['AA_ARTIFACTS']}')" if os.environ.get("AA_ARTIFACTS") and not Path(out).is_absolute() else ""
        raise InputError(f"out='{out}' cannot be a run's folder: '{first}' is a file{by}; {OWN}")
    if real in (ROOT, Path.home(), Path(os.path.realpath(resolve("artifacts")))) or real in ROOT.parents or real in Path.home().parents:
        raise InputError(f"out='{out}' cannot be a run's folder; {OWN}")
    if real.is_relative_to(CHECKOUT) and real != CHECKOUT and real.relative_to(CHECKOUT).parts[0] in PROJECT:
        raise InputError(f"out='{out}' cannot be a run's folder: '{real.relative_to(CHECKOUT).parts[0]}' belongs to the project; {OWN}")


def check_apart(out: str, name: str, path: str, container: bool = False) -> None:
    """Errors: InputError if the run would write into what it reads: `path`, the input `name`. A `container` of runs may hold it."""
    mine, its = (Path(os.path.realpath(resolve(where))) for where in (out, path))
    if mine == its or (mine.exists() and its.exists() and mine.samefile(its)):
        raise InputError(f"'out' and the input '{name}' are both '{path}'; a run must not write over what it reads")
    if its.is_file() and its.parent == mine:
        raise InputError(f"the input '{name}' ('{path}') lies in the folder 'out'; a run must not write over what it reads, {OWN}")
    if its.is_dir() and mine.is_relative_to(its) and not container:
        raise InputError(f"out='{out}' lies inside the input '{name}' ('{path}'), which would change what it reads; {OWN}")
