"""`make notebooks` runs each notebook alone: notebooks/conftest.py gives each an empty artifacts folder, no data and no network."""

import importlib.util
import os
import shutil
import subprocess
import sys

import nbformat
import papermill
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output, writes

from aa_utils.experiment import keys
from aa_utils.paths import ROOT
from aa_utils.runner import keep_outputs

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

LEAVES_AND_LOOKS = """
import os, pathlib, urllib.request
from aa_utils.paths import data_root, resolve
assert not resolve("artifacts").exists() and not data_root().exists()
resolve("artifacts/smoke").mkdir(parents=True)
pathlib.Path(os.environ["SEEN"], "{name}").write_text(str(resolve("artifacts")))
"""
ASKS_THE_NETWORK = """
try:
    urllib.request.urlopen("https://huggingface.co", timeout=20)
except OSError as error:
    print(type(error).__name__)
"""


@pytest.mark.parametrize("workers", [["-p", "no:xdist"], ["-n", "2", "--dist", "loadfile"]], ids=["in order", "in parallel"])
def test_each_notebook_finds_nothing_that_another_left(tmp_path, workers):
    folder, seen = tmp_path / "notebooks", tmp_path / "seen"
    folder.mkdir()
    seen.mkdir()
    shutil.copy(ROOT / "notebooks/conftest.py", folder)
    for name in ("a", "b"):
        cells = [
            new_code_cell(LEAVES_AND_LOOKS.format(name=name)),
            new_code_cell(ASKS_THE_NETWORK, metadata={"tags": ["nbval-check-output"]}),
        ]
        cells[1]["outputs"], cells[1]["execution_count"] = [new_output("stream", name="stdout", text="URLError\n")], 2
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        (folder / f"{name}.ipynb").write_text(writes(new_notebook(cells=cells, metadata={"kernelspec": kernel})), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", folder, "-q", *workers, "--nbval-lax", "--nbval-current-env", "--rootdir", tmp_path]
    python_path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"SEEN": str(seen), "AA_ARTIFACTS": str(tmp_path / "shared"), "PYTHONPATH": python_path}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    places = {path.name: path.read_text(encoding="utf-8") for path in seen.iterdir()}
    assert places.keys() == {"a", "b"} and places["a"] != places["b"]
    assert not (tmp_path / "shared").exists()
    assert not [place for place in places.values() if os.path.exists(place)], "what a notebook made goes with it"


def test_make_runs_them_so():
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\nnotebooks:")[2].partition("\n\n")[0]
    assert "-m pytest notebooks" in recipe and "--nbval-lax" in recipe and "--dist loadfile" in recipe


def test_shorter_trainings_are_those_of_parameters_that_a_notebook_has():
    spec = importlib.util.spec_from_file_location("notebooks_conftest", ROOT / "notebooks/conftest.py")
    conftest = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(conftest)
    for name, shorter in conftest.SHORTER.items():
        defaults = {parameter.name: parameter.default for parameter in keys.of_notebook(name)}
        assert all(0 < value < defaults[parameter] for parameter, value in shorter.items()), name


def test_outputs_are_kept_where_cells_say_so_and_nothing_else_is_written(tmp_path, monkeypatch, make_notebook):
    """And a notebook that fails stays as it was."""
    monkeypatch.setenv("AA_ARTIFACTS", str(tmp_path / "mine"))
    look = "from aa_utils.paths import resolve\nprint(resolve('artifacts').exists())"
    path = make_notebook("out = 'artifacts/x'  # here", look, "print(2)")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[2].metadata["tags"] = ["keep-output"]
    nbformat.write(notebook, path)
    assert keep_outputs.main([str(path)]) == 0
    kept = nbformat.read(path, as_version=4)
    assert [cell.get("outputs") for cell in kept.cells[2:]] == [[new_output("stream", name="stdout", text="False\n")], []]
    assert os.environ["AA_ARTIFACTS"] == str(tmp_path / "mine") and not (tmp_path / "mine").exists()
    first = path.read_bytes()
    keep_outputs.main([str(path)])
    assert path.read_bytes() == first
    notebook.cells[3].source = "1 / 0"
    nbformat.write(notebook, path)
    before = path.read_bytes()
    with pytest.raises(papermill.PapermillExecutionError):
        keep_outputs.main([str(path)])
    assert path.read_bytes() == before


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_kept_pictures_are_small(path):
    outputs = [output for cell in nbformat.read(path, as_version=4).cells for output in cell.get("outputs", [])]
    pictures = [output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    assert all(len(picture) * 3 / 4 < 150_000 for picture in pictures)
    assert path.stat().st_size < 500_000


def test_all_kept_outputs_together_are_small():
    assert sum(path.stat().st_size for path in NOTEBOOKS) < 2_000_000
