"""Plain papermill, nbval and Jupyter: a notebook's first cell checks its parameters as the runner does."""

import ast
import re

import nbformat
import papermill
import papermill.cli
import pytest

from aa_utils.errors import InputError
from aa_utils.paths import ROOT
from aa_utils.runner import parameters

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def namespace(notebook: str, tmp_path, **injected: object) -> dict[str, object]:
    """The globals of a notebook's kernel at its first cell, after papermill injected values."""
    cells = nbformat.read(ROOT / "notebooks" / f"{notebook}.ipynb", as_version=4).cells
    found = {p.name: p.default for p in parameters.of_notebook(cells, notebook)}
    (tmp_path / "input").mkdir(exist_ok=True)
    inputs = {p.name: str(tmp_path / "input") for p in parameters.of_notebook(cells, notebook) if p.is_input and isinstance(p.default, str)}
    source = "# Parameters\n" + "".join(f"{name} = {value!r}\n" for name, value in injected.items())
    return found | inputs | injected | {"In": ["", "unrelated = 1", source]}


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("seeds", "[0]", [0]),
        ("seeds", "[0, 1]", [0, 1]),
        ("seeds", [3], [3]),
        ("lr", "1e-4", 1e-4),
        ("lr", 1, 1.0),
        ("steps", "7", 7),
        ("flip", "yes", True),
        ("method_config", '{"wait": 0.1}', {"wait": 0.1}),
        ("augment", "[weak, strong]", ["weak", "strong"]),
        ("method", "mcd", "mcd"),
        ("test", "1e-4", "1e-4"),
    ],
)
def test_text_becomes_what_the_runner_makes_of_it(tmp_path, name, value, meant):
    there = namespace("30_inter_domain", tmp_path, **{name: value})
    parameters.check("30_inter_domain", there)
    assert there[name] == meant
    assert type(there[name]) is type(meant)


@pytest.mark.parametrize(
    ("injected", "message"),
    [
        ({"seeds": 0}, r"'seeds' takes a list, such as \[0\]; got 0 .*; write 'seeds=\[0\]'"),
        ({"seeds": "0"}, "'seeds' takes a list"),
        ({"seeds": "[0.5]"}, r"'seeds\[0\]' takes a whole number"),
        ({"seeds": "[a]"}, r"'seeds\[0\]' takes a whole number"),
        ({"seeds": "[]"}, "'seeds' is an empty list, and the run would do nothing"),
        ({"lr": "high"}, "'lr' takes a number"),
        ({"steps": 2.5}, "'steps' takes a whole number"),
        ({"steps": True}, "'steps' takes a whole number"),
        ({"flip": 1}, "'flip' takes true or false"),
        ({"method": 1}, "'method' takes text; got 1, as papermill's -p reads it: hand it over with -r method"),
        ({"stepz": 2}, "no parameter 'stepz'; did you mean 'steps'"),
        ({"source": "artifacts/nowhere"}, "input 'source': nothing at 'artifacts/nowhere'"),
        ({"api_key": "x"}, "'api_key' looks like a secret"),
    ],
)
def test_what_the_runner_refuses_is_refused(tmp_path, injected, message):
    with pytest.raises(InputError, match=message):
        parameters.check("30_inter_domain", namespace("30_inter_domain", tmp_path, **injected))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_first_cell_of_every_notebook_checks_and_changes_no_default(path, tmp_path):
    code = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    calls = [statement for statement in ast.parse(code[1]).body if not isinstance(statement, (ast.Import, ast.ImportFrom))]
    assert ast.unparse(calls[0]) == f"parameters.check('{path.stem}', globals())"
    there = namespace(path.stem, tmp_path)
    for p in parameters.of_notebook(nbformat.read(path, as_version=4).cells, path.name):
        if p.is_input and isinstance(p.default, list):
            there[p.name] = [str(tmp_path / "input")]
    before = dict(there)
    parameters.check(path.stem, there)
    assert {name: (type(value), value) for name, value in there.items()} == {name: (type(value), value) for name, value in before.items()}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["-p", "resultz", "x"], "no parameter 'resultz'; did you mean 'results'"), (["-p", "out", "7"], "'out' takes text; got 7")],
)
def test_papermill_itself_stops_at_the_first_cell(tmp_path, arguments, message):
    """Its command line, in this process; the kernel is a new one."""
    paths = [str(ROOT / "notebooks/99_figures.ipynb"), str(tmp_path / "done.ipynb")]
    with pytest.raises(papermill.PapermillExecutionError, match=re.escape(message)):
        papermill.cli.papermill.main([*paths, "--cwd", str(ROOT), "-k", "python3", *arguments], standalone_mode=False)
    cells = nbformat.read(tmp_path / "done.ipynb", as_version=4).cells
    executed = [cell for cell in cells if cell.cell_type == "code" and cell.execution_count]
    assert len(executed) == 3, "parameters, what papermill injected, the cell that checks: nothing after it"


@pytest.mark.parametrize(
    ("lost", "instead"), [("steps", "stepz"), ("steps", "step"), ("seeds", "seed"), ("method_config", "config_method")]
)
def test_a_parameter_that_an_edited_cell_misspells_is_named(tmp_path, lost, instead):
    there = namespace("30_inter_domain", tmp_path)
    there[instead] = there.pop(lost)
    if instead == "config_method":  # nobody can tell: it may be anything
        parameters.check("30_inter_domain", there)
        return
    with pytest.raises(InputError, match=f"no parameter '{instead}', and '{lost}' has no value; write '{lost}' in the parameters cell"):
        parameters.check("30_inter_domain", there)


@pytest.mark.parametrize(
    ("notebook", "name", "value"),
    [
        ("30_inter_domain", "target", "offce31"),
        ("62_ablation_without_labels", "target", "uci digits"),
        ("40_intra_domain", "target", "office-31:amazon"),
        ("41_oracle", "target", "_photos"),
        ("21_real_source", "benchmark", "mnist-train"),
        ("60_ablation_number_of_images", "target", "offce31"),
        ("52_benchmark_digits", "target", "UCI_digits"),
    ],
)
def test_a_benchmark_that_is_none_is_said_before_anything_else(tmp_path, notebook, name, value):
    there = namespace(notebook, tmp_path, **{name: value}) | ({"runs": [str(tmp_path)]} if notebook[0] in "56" else {})
    with pytest.raises(InputError, match=f"no benchmark '{value.partition(':')[0]}' \\('{name}'\\); there are: .*uci_digits"):
        parameters.check(notebook, there)


@pytest.mark.parametrize("folder", ["/proc/mine", "/proc/self/mine/deep", "/sys/mine"])
@pytest.mark.parametrize(
    ("notebook", "name"),
    [("10_prompts", "out"), ("10_prompts", "cache"), ("60_ablation_number_of_images", "results"), ("99_figures", "results")],
)
def test_a_folder_that_nobody_can_make_is_said_before_anything_else(tmp_path, notebook, name, folder):
    there = namespace(notebook, tmp_path) | ({"runs": [str(tmp_path)]} if notebook[0] == "6" else {}) | {name: folder}
    there |= {"writer": "llm", "out": str(tmp_path / "out")} if name == "cache" else {}
    with pytest.raises(InputError, match=f"cannot write {name}='{folder}': '/(proc|sys)[^']*' takes no new folder \\(.+\\); give a folder"):
        parameters.check(notebook, there)


def test_a_look_at_where_a_run_writes_leaves_nothing(tmp_path):
    (tmp_path / "own").mkdir()
    parameters.check("10_prompts", namespace("10_prompts", tmp_path) | {"out": f"{tmp_path}/own/a/b", "cache": f"{tmp_path}/own"})
    assert list((tmp_path / "own").iterdir()) == []


def test_a_cache_that_nobody_uses_may_lie_where_nothing_can_be_written(tmp_path):
    parameters.check("10_prompts", namespace("10_prompts", tmp_path) | {"out": str(tmp_path / "out"), "cache": "/proc/mine"})
