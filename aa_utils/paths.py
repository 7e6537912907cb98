"""Where things lie: the repository, heavy artifacts (`AA_ARTIFACTS`) and benchmark data (`AA_DATA`)."""

import os
import stat
from pathlib import Path

from aa_utils.errors import InputError

COMPUTES_NOTHING = "where things lie"
CHECKOUT = Path(__file__).resolve().parent.parent
# Outside a checkout (the package installed from a wheel) relative paths start where the person is.
ROOT = CHECKOUT if (CHECKOUT / "pyproject.toml").is_file() else Path.cwd()


def resolve(path: str | Path) -> Path:
    """The absolute path of `path`: relative ones start at the repository, so that Jupyter, nbval and papermill agree.

    A path below `artifacts/` follows the environment variable `AA_ARTIFACTS`, which moves the heavy files to another disk.
    """
    path = expanded(path)
    if path.is_absolute():
        return path
    if path.parts[:1] == ("artifacts",) and os.environ.get("AA_ARTIFACTS"):
        return expanded(os.environ["AA_ARTIFACTS"], "AA_ARTIFACTS").absolute().joinpath(*path.parts[1:])
    return ROOT / path


def expanded(path: str | Path, name: str = "") -> Path:
    """`path` with the home folder for ~. Errors: InputError if nobody knows it; `name` says what the path is."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:  # ~name of nobody here, or a user without a home in a container
        what = f"{name}='{path}'" if name else f"'{path}'"
        raise InputError(f"{what} begins with the home folder of a user that this machine does not know; write the path out") from error


def home() -> Path | None:
    """The home folder of who runs this; None for a user without one, as containers have."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def as_text(path: Path | str) -> str:
    """`path` with `/` as text that every file can hold: bytes of a name that is no UTF-8 stand as `\\xe9`, so that names stay apart."""
    return os.fsencode(Path(path).as_posix()).decode("utf-8", "backslashreplace")


def data_root() -> Path:
    """The folder that holds benchmark datasets: `AA_DATA`, by default `data/` in the repository."""
    return expanded(os.environ.get("AA_DATA") or ROOT / "data", "AA_DATA").absolute()


def existing(path: str | Path, what: str, made_by: str = "") -> Path:
    """`resolve(path)`, or an InputError that names `what` was expected there and which notebook makes it, or that nobody may read it."""
    found = resolve(path)
    if is_closed(found):
        raise InputError(f"the {what} at '{path}' cannot be read: no access; give yourself access, or name another")
    if not str(path) or not found.exists():
        hint = f"; {made_by} makes it" if made_by else ""
        raise InputError(f"no {what} at '{path}'{hint}")
    return found


def is_closed(path: Path) -> bool:
    """Whether this user may not read the file or folder at `path`, or may not even look whether there is one."""
    try:
        mode = path.stat().st_mode
    except PermissionError:
        return True
    except (OSError, ValueError):  # nothing there, too long, a NUL
        return False
    return not may_read(path, stat.S_ISDIR(mode))


def may_read(path: Path, folder: bool) -> bool:
    """Whether this user may read the file at `path`, or list and enter the `folder` there."""
    return os.access(path, os.R_OK | (os.X_OK if folder else 0), effective_ids=os.access in os.supports_effective_ids)


def is_half_made(folder: str | Path) -> bool:
    """Whether images were begun in a folder (`generate.made_with.SETTINGS`) whose rows, which come last, are not there."""
    path = resolve(folder)
    return os.path.isfile(path / ".settings.json") and not os.path.isfile(path / "metadata.jsonl")  # in a closed folder neither is
