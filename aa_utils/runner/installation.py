"""Is everything here? Packages against their pins, the machine, the models: rows that `notebooks/00_check.ipynb` shows."""

import shutil
import tomllib
from importlib import metadata
from pathlib import Path

from aa_utils import devices
from aa_utils.paths import ROOT, resolve


def packages() -> list[dict]:
    """One row a dependency: {"package", "pinned", "installed", "same"}; installed is None where it is missing."""
    rows = []
    for pin in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]:
        name, _, pinned = pin.partition("==")
        try:
            # A local tag such as +cpu names the build, not the version.
            installed = metadata.version(name).partition("+")[0]
        except metadata.PackageNotFoundError:
            installed = None
        rows.append({"package": name, "pinned": pinned, "installed": installed, "same": installed == pinned})
    return rows


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
