"""Is everything here? Packages against the lock file, the machine, the models: rows that `notebooks/00_check.ipynb` shows."""

import re
import shutil
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from aa_utils import devices
from aa_utils.paths import ROOT, resolve

EXTRA = re.compile(r"""extra == ["'](.+?)["']""")


def packages() -> list[dict]:
    """One row a direct dependency: {"package", "extra", "locked", "installed", "same"}.

    `extra` is the optional group that it belongs to, "" for those that the package cannot do without; `locked` the version in `uv.lock`
    (None outside a checkout), `installed` None where it is missing. `same`: is it the locked version, or, without a lock, one in range?
    """
    locked, rows = _locked(), []
    for text in metadata.requires("adapt-anything") or []:
        requirement = Requirement(text)
        group = EXTRA.search(str(requirement.marker)) if requirement.marker else None
        try:
            # A local tag such as +cpu names the build, not the version.
            installed = metadata.version(requirement.name).partition("+")[0]
        except metadata.PackageNotFoundError:
            installed = None
        pin = locked.get(requirement.name)
        same = installed == pin if pin else installed is not None and requirement.specifier.contains(installed)
        row = {"package": requirement.name, "extra": group.group(1) if group else "", "locked": pin, "installed": installed}
        rows.append(row | {"same": same})
    return rows


def _locked() -> dict[str, str]:
    """Package -> version in the lock file; empty where there is none."""
    if not (ROOT / "uv.lock").is_file():
        return {}
    return {row["name"]: row["version"] for row in tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]}


def models(folder: str = "models") -> list[dict]:
    """One row a model folder: {"model", "files", "megabytes", "whole"}; whole is False where a config or weights are missing."""
    rows = []
    for path in sorted(p for p in resolve(folder).glob("*") if p.is_dir()):
        kept = [file for file in path.rglob("*") if file.is_file()]
        whole = any(file.suffix == ".safetensors" for file in kept) and any(file.suffix == ".json" for file in kept)
        size = sum(file.stat().st_size for file in kept) / 1e6
        rows.append({"model": path.name, "files": len(kept), "megabytes": round(size, 1), "whole": whole})
    return rows


def free_disk_gb(folder: str = "artifacts") -> float:
    """Free space, in GB, on the disk that holds `folder` (which need not exist yet)."""
    place: Path = resolve(folder)
    while not place.exists():
        place = place.parent
    return round(shutil.disk_usage(place).free / 1e9, 1)


def device() -> str:
    """What torch would compute on: "cuda" with the card's name, "mps", or "cpu" with its number of threads."""
    return devices.describe()
