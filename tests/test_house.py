"""The files around the code agree with each other and with what is installed."""

import re
import shutil
import subprocess
import tomllib

import pytest
import yaml

from aa_utils.paths import ROOT
from aa_utils.runner import installation

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PROMISED = ["jupyterlab", "papermill", "torch", "diffusers", "transformers", "timm", "matplotlib", "seaborn", "openai", "nbval"]


def test_environment_yml_installs_this_package_and_lists_nothing_twice():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    plain = [item for item in environment["dependencies"] if isinstance(item, str)]
    pip = next(item["pip"] for item in environment["dependencies"] if isinstance(item, dict))
    assert pip == ["-e .[test]"], "pyproject.toml holds the one list of pinned packages"
    assert {re.split("[=<>]", item)[0] for item in plain} == {"python", "pip", "make"}
    python = tuple(map(int, re.search(r"python=(\d+)\.(\d+)", " ".join(plain)).groups()))
    low, high = (tuple(map(int, found)) for found in re.findall(r"(\d+)\.(\d+)", PROJECT["requires-python"]))
    assert low <= python < high


def test_every_dependency_is_pinned_and_the_promised_ones_are_there():
    pins = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]
    assert [pin for pin in pins if not re.fullmatch(r"[\w.-]+==[\w.]+", pin)] == []
    names = [pin.partition("==")[0] for pin in pins]
    assert set(PROMISED) <= set(names)
    assert len(names) == len(set(names))


def test_check_sees_the_pins():
    rows = installation.packages()
    assert {row["package"] for row in rows} == {pin.partition("==")[0] for pin in PROJECT["dependencies"]}
    assert [row for row in rows if row["installed"] is None] == []


def test_ci_calls_the_documented_test_command():
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert script.splitlines()[-1] == "make test"
    assert "make test" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
@pytest.mark.parametrize("target", ["help", "setup", "reproduce", "report", "test", "lab", "lint", "clean"])
def test_make_targets_parse(target):
    done = subprocess.run(["make", "-n", target, "PY=python"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_nothing_in_the_repository_names_a_machine():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    # A person's or a workplace's folders; the tests of this very rule write their patterns differently.
    pattern = re.compile("/" + r"(home|Users)/\w+|" + "/opt" + r"/\w+|" + "/work" + r"/\w+")
    found = []
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if (
            path.suffix in {".py", ".md", ".ipynb", ".yaml", ".yml", ".toml", ".csv", ".json", ""}
            and path.is_file()
            and path.stat().st_size < 2**20
        ):
            text = path.read_text(encoding="utf-8", errors="replace")
            found += [f"{name}: {match.group()}" for match in pattern.finditer(text) if name != "tests/test_notebooks_static.py"]
    assert found == []
