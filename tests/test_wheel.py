"""The package as people install it: a wheel, in a folder of their own, without the repository. The Python of the README runs there."""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aa_utils.paths import ROOT

BUILD = "from setuptools import build_meta; build_meta.build_wheel('dist')"


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder with the unpacked wheel; made from a copy, for building leaves files beside the sources."""
    copy = tmp_path_factory.mktemp("sources")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    shutil.copytree(ROOT / "aa_utils", copy / "aa_utils", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, "-c", BUILD], cwd=copy, check=True, capture_output=True)
    site = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(next((copy / "dist").glob("*.whl"))) as wheel:
        wheel.extractall(site)
    return site


def python(code: str, installed: Path, folder: Path) -> subprocess.CompletedProcess:
    environment = {"PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1", "PATH": "", "HOME": str(folder)}
    return subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)


def pictures(folder: Path, colours: dict[str, int], number: int, ending: str, seed: int) -> None:
    """`number` noisy pictures of a square for each class; its colour channel is the class."""
    rng = np.random.default_rng(seed)
    for name, channel in colours.items():
        for k in range(number):
            x = rng.integers(0, 90, (40, 40, 3))
            x[8:32, 8:32, channel] += 160
            path = folder / name.format(k)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(x.astype(np.uint8)).save(path.with_suffix(ending))


def test_every_file_of_the_package_is_in_the_wheel(installed):
    wanted = {path.relative_to(ROOT) for path in (ROOT / "aa_utils").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert wanted == {path.relative_to(installed) for path in (installed / "aa_utils").rglob("*") if path.is_file()}


def code_of(page: str) -> str:
    return re.search(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL).group(1)


@pytest.fixture
def folders(tmp_path) -> Path:
    """`drawn` and `photos`, as the pages call them: two classes that a colour tells apart."""
    pictures(tmp_path / "drawn", {"mug/{}": 0, "desk_lamp/{}": 2}, 20, ".png", seed=0)
    pictures(tmp_path / "photos", {"a{}": 0, "b{}": 2}, 12, ".jpg", seed=1)
    return tmp_path


DEFAULTS = """
import aa_utils
from aa_utils.photos import stages

print(Path(aa_utils.__file__).parent.parent)
print(stages.settings("inter_domain", {"method": "mcd"})["steps"], stages.settings("writer", {})["bank"])
"""


def test_the_python_of_the_readme_runs_outside_the_repository(installed, folders):
    """And stages know their defaults, where there is no notebook."""
    code = code_of("README.md")
    assert "steps=500" in code
    done = python(code.replace("steps=500", "steps=60") + DEFAULTS, installed, folders)
    assert done.returncode == 0, done.stderr
    *lines, place, defaults = done.stdout.splitlines()
    assert (place, defaults) == (str(installed), "1000 photo")
    named = dict(line.split(" ", 1) for line in lines)
    assert sorted(named) == sorted(path.name for path in (folders / "photos").iterdir())
    assert set(named.values()) <= {"mug", "desk lamp"}
    right = [named[name] == ("mug" if name.startswith("a") else "desk lamp") for name in named]
    assert sum(right) / len(right) > 0.9
    assert {"model.safetensors", "config.json", "predictions.parquet"} <= {path.name for path in (folders / "adapted").iterdir()}


def test_a_method_of_ones_own_trains_outside_the_package(installed, folders):
    """The tutorial's method, by the lines of the page on methods."""
    (folders / "mine.py").write_text(code_of("docs/tutorial.md"), encoding="utf-8")
    code = code_of("docs/how-to/add_a_method.md")
    assert "steps=500" in code
    done = python(code.replace("steps=500", "steps=3"), installed, folders)
    assert done.returncode == 0, done.stderr
    about = json.loads((folders / "adapted/config.json").read_text())
    assert about["method"] == "mine" and about["class_names"] == ["desk lamp", "mug"]
    assert (folders / "adapted/history.csv").read_text().startswith("step,lr,classification,entropy,")
