"""What every notebook must be before anything runs it: readable, parameterised, diff-friendly, listed, free of machines and keys."""

import ast
import re
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest

from aa_utils.errors import InputError
from aa_utils.paths import ROOT
from aa_utils.runner import parameters
from aa_utils.runner.normalise_notebooks import TAGS, main, normalised

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# These are steps of every experiment; the others are run by hand, once or for one's own data.
IN_THE_GRAPH = re.compile(r"(10|2\d|30|40|6\d)_")
ABSOLUTE = re.compile(r"""["'](/(?!/)[A-Za-z]|[A-Za-z]:\\|~/)|/(home|Users|root|tmp|mnt|opt|work|projects|data)/""")


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request) -> Path:
    return request.param


@pytest.fixture
def cells(path):
    return nbformat.read(path, as_version=4).cells


def code_of(cells):
    return [cell for cell in cells if cell.cell_type == "code"]


def test_there_are_notebooks():
    assert NOTEBOOKS


def test_is_in_normal_form(path):
    text = path.read_text(encoding="utf-8")
    assert text == normalised(text, path.name), "run: python -m aa_utils.runner.normalise_notebooks"


def test_opens_with_a_title_and_parameters(path, cells):
    assert cells[0].cell_type == "markdown"
    assert cells[0].source.startswith("# ")
    assert "parameters" in cells[1].metadata.get("tags", [])


def test_parameters_are_commented_literals_and_name_the_output(path, cells):
    found = parameters.of_notebook(cells, path.name)
    assert [p.name for p in found if not p.comment] == [], "each parameter says why in a comment"
    assert "out" in [p.name for p in found]
    parameters.checked([p for p in found if not p.is_input], {}, path.name)


def test_default_inputs_ship_with_the_repository(path, cells):
    """Opened alone, on a fresh clone, a notebook runs: nothing that it reads by default was left by another one."""
    for parameter in parameters.of_notebook(cells, path.name):
        defaults = parameter.default if isinstance(parameter.default, list) else [parameter.default]
        for default in defaults if parameter.is_input else []:
            if default:  # False is a switch that may name files, "" is none
                assert Path(default).parts[0] in ("examples", "models", "published", "results"), f"{parameter.name}: {default}"
                assert (ROOT / default).exists(), f"{parameter.name}: nothing at {default}"


def test_tags_are_known(path, cells):
    assert {tag for cell in cells for tag in cell.metadata.get("tags", [])} <= TAGS


def test_cells_are_short_and_plain_python(path, cells):
    for cell in code_of(cells):
        # Parameters are a list, one a line; logic is short.
        longest = 40 if "parameters" in cell.metadata.get("tags", []) else 25
        assert len(cell.source.splitlines()) <= longest, cell.id
        assert not re.search(r"^\s*[%!]", cell.source, re.MULTILINE), f"{cell.id}: magics and shell lines do not run elsewhere"
        ast.parse(cell.source)
    assert sum(len(cell.source.splitlines()) for cell in code_of(cells)) <= 150


def imports(cell) -> bool:
    return any(isinstance(node, (ast.Import, ast.ImportFrom)) for node in ast.walk(ast.parse(cell.source)))


def test_prose_comes_before_code(path, cells):
    """A sentence of prose before each cell of code but the parameters and the imports."""
    told = [cell for cell in cells[2:] if cell.cell_type == "markdown" or not imports(cell)]
    for before, cell in pairwise([cells[0], *told]):
        assert cell.cell_type == "markdown" or before.cell_type == "markdown", f"{cell.id} has no prose before it"


def test_imports_stand_in_one_cell(path, cells):
    importing = [cell.id for cell in code_of(cells) if imports(cell)]
    assert len(importing) <= 1, f"imports in {importing}"


def test_no_absolute_path_and_no_key(path, cells):
    for cell in cells:
        text = cell.source + str(cell.get("outputs", ""))
        assert not parameters.SECRET_VALUE.search(text), cell.id
        assert not ABSOLUTE.search(text), f"{cell.id}: {ABSOLUTE.search(text)}"


def test_readme_lists_it(path):
    assert path.name in (ROOT / "README.md").read_text(encoding="utf-8")


def test_an_experiment_runs_it(path):
    graph = (ROOT / "Snakefile").read_text(encoding="utf-8")
    experiments = [file.read_text(encoding="utf-8") for file in (ROOT / "experiments").glob("*.yaml")]
    if path.name.startswith("5"):  # found by the target's name, or named
        wanted = (f"target: {path.stem.partition('_benchmark_')[2]}", f"notebook: {path.stem}")
        assert any(text in file for file in experiments for text in wanted)
    elif IN_THE_GRAPH.match(path.name):  # or it reads the tables of several experiments
        across = [file.read_text(encoding="utf-8") for file in (ROOT / "experiments/ablations").glob("*.yaml")]
        assert path.stem in graph or any(path.name in text for text in across)


def notebook(*cells) -> str:
    return nbformat.writes(
        nbformat.v4.new_notebook(cells=list(cells), metadata={"authors": ["me"], "kernelspec": {"name": "mine", "display_name": "Mine"}})
    )


def code(source, tags=(), outputs=(), count=None):
    cell = nbformat.v4.new_code_cell(source, outputs=list(outputs), execution_count=count)
    cell.metadata["tags"] = list(tags)
    cell.metadata["collapsed"] = True
    return cell


def printed(text):
    return nbformat.v4.new_output("stream", name="stdout", text=text)


def test_normaliser_keeps_checked_outputs_only():
    text = notebook(
        code("print(1)\n", outputs=[printed("1\n")], count=7), code("print(2)", ["nbval-check-output"], [printed("2\n")], 8), code("  ")
    )
    clean = nbformat.reads(normalised(text), as_version=4)
    assert [cell.id for cell in clean.cells] == ["c00", "c01"]
    assert [cell.execution_count for cell in clean.cells] == [None, 1]
    assert clean.cells[0].outputs == []
    assert clean.cells[1].outputs[0].text == "2\n"
    assert clean.cells[0].metadata == {}
    assert clean.metadata.kernelspec.name == "python3"
    assert "authors" not in clean.metadata
    assert normalised(normalised(text)) == normalised(text)


def test_normaliser_refuses_what_nbval_could_not_check():
    with pytest.raises(InputError, match="no execution count"):
        normalised(notebook(code("print(2)", ["nbval-check-output"], [printed("2\n")])))
    broken = nbformat.v4.new_output("error", ename="ValueError", evalue="bad", traceback=[])
    with pytest.raises(InputError, match="holds an error"):
        normalised(notebook(code("1/0", ["keep-output"], [broken], 1)))
    with pytest.raises(InputError, match="not a notebook"):
        normalised("print(1)")


def test_normaliser_command_checks_then_mends(tmp_path, capsys):
    path = tmp_path / "a.ipynb"
    path.write_text(notebook(code("print(1)", outputs=[printed("1\n")], count=7)))
    assert main(["--check", str(path)]) == 1
    assert "a.ipynb" in capsys.readouterr().err
    assert main([str(path)]) == 0
    assert main(["--check", str(path)]) == 0
