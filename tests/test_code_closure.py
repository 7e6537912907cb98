"""The code of a result: prose does not move its digest, any statement does, and what is named at run time is in it."""

import ast
import json
import re
import shutil
from pathlib import Path

import pytest

from aa_utils.errors import InputError
from aa_utils.paths import ROOT
from aa_utils.runner import code_closure, record, source_digest


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package's sources and notebooks that a test may edit; closures are those of the copy."""
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("aa_utils", "notebooks"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignore)
    monkeypatch.setattr(code_closure, "ROOT", tmp_path)
    monkeypatch.setattr(code_closure, "NOTEBOOKS", tmp_path / "notebooks")
    return tmp_path


def of_run(notebook, **values):
    cells = code_closure.cells(code_closure.NOTEBOOKS / f"{notebook}.ipynb")
    return code_closure.of_notebook(cells, f"notebooks/{notebook}.ipynb", values)


def digest(text):
    return source_digest.of_trees([ast.parse(text)]).digest


PROSE = {
    "a comment": "# so\ndef f(x):\n    return x + 1  # one more\n",
    "a docstring": 'def f(x):\n    """One more."""\n    return x + 1\n',
    "a text about the module": '"""What it is for."""\n\n\ndef f(x):\n    return x + 1\n',
    "types of arguments": "def f(x: int | None) -> int:\n    return x + 1\n",
    "formatting": "def f( x ) :\n\n    return (x\n        + 0x1)\n",
}


@pytest.mark.parametrize("kind", PROSE)
def test_prose_does_not_move_a_digest(kind):
    assert digest(PROSE[kind]) == digest("def f(x):\n    return x + 1\n")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x = 1", "x = 2"),
        ("x = 1", "x = 1.0"),
        ("x = 1", "x = True"),
        ("x = 'a'", "x = b'a'"),
        ("x = None", "x = ..."),
        ("f(a, b)", "f(b, a)"),
        ("f(a=1)", "f(1)"),
        ("x = {**a, 'b': c}", "x = {None: a, 'b': c}"),
        ("def f(a, *, b): pass", "def f(a, b): pass"),
        ("def f(*, a, b=1): pass", "def f(*, a=1, b): pass"),
        ("@cache\ndef f(): pass", "def f(): pass"),
        ("if a:\n    b()\n    c()", "if a:\n    b()\nc()"),
        ("x: int = 1", "x: float = 1"),
        ("class A:\n    x: int = 1", "class A:\n    x: float = 1"),
        ("x = f'{a!r}'", "x = f'{a!s}'"),
        ("from a import b", "from .a import b"),
    ],
)
def test_a_statement_moves_a_digest(before, after):
    assert digest(before) != digest(after)


def test_words_count_by_what_they_hold(tmp_path):
    def of(text, name="bank.yaml"):
        (tmp_path / name).write_text(text)
        return source_digest.of_file(tmp_path / name).digest

    first = of("tool: [pen, chalk]  # what writes\n")
    assert of("# words\ntool:\n- pen\n- chalk\n") == first
    assert of("tool: [chalk, pen]\n") != first
    assert of("<p>", "page.html") != of("<p >", "page.html")


def test_cells_count_as_ipython_runs_them():
    of = source_digest.of_cells
    first = of(["%matplotlib inline\nx = 1", "x"]).digest
    assert of(["%matplotlib inline\nx = 1  # one", "", "# nothing yet", "x"]).digest == first
    assert of(["%matplotlib agg\nx = 1", "x"]).digest != first
    assert of(["x ="]).digest != of(["y ="]).digest, "a cell that is no Python is what is written"


def test_every_module_of_a_run_counts_and_no_other(package):
    """One statement more, module by module: the closure differs in that module alone."""
    before = of_run("30_inter_domain", method="dann", target="uci_digits")
    for name in [name for name in before if name.endswith(".py")]:
        file = package / name
        text = file.read_text(encoding="utf-8")
        file.write_text(f"{text}\n# a comment\n", encoding="utf-8")
        assert of_run("30_inter_domain", method="dann", target="uci_digits") == before, name
        file.write_text(f"{text}\n_ONE_MORE = 1\n", encoding="utf-8")
        now = of_run("30_inter_domain", method="dann", target="uci_digits")
        assert code_closure.changes(before, now) == [name] == code_closure.edited(before)
        file.write_text(text, encoding="utf-8")
    assert code_closure.edited(before) == []


def test_a_run_has_what_it_uses_and_nothing_else():
    code = of_run("30_inter_domain", method="dann", target="uci_digits")
    used = ("inter_domain/dann", "training/loop", "training/augment", "classifiers/backbones", "benchmarks/uci_digits", "seeds")
    assert {"notebooks/30_inter_domain.ipynb", *(f"aa_utils/{name}.py" for name in used)} <= code.keys()
    left_out = ("inter_domain/mcd", "runner/record", "progress", "files", "run", "benchmarks/mnist")
    assert not code.keys() & {f"aa_utils/{name}.py" for name in left_out}
    assert not any("/pocket/" in name or "/generate" in name for name in code)
    assert all((ROOT / name).is_file() for name in code)


@pytest.mark.parametrize(
    ("notebook", "values", "module"),
    [
        ("30_inter_domain", {"method": "mcd"}, "inter_domain/mcd.py"),
        ("30_inter_domain", {"target": "mnist:train-2000"}, "benchmarks/mnist.py"),
        ("40_intra_domain", {"method": "mixmatch"}, "intra_domain/mixmatch.py"),
        ("10_prompts", {"writer": "llm"}, "prompts/llm.py"),
        ("10_prompts", {"writer": "offline"}, "prompts/banks/handwriting.yaml"),
        ("21_real_source", {"benchmark": "svhn"}, "benchmarks/svhn.py"),
        ("30_inter_domain", {"target": "office31[bike,mug]:amazon"}, "benchmarks/office31.py"),
        ("90_adapt_your_images", {"inter_domain": {"method": "cdtrans"}}, "inter_domain/cdtrans.py"),
        ("90_adapt_your_images", {}, "prompts/offline.py"),  # the default of photos/settings.py
        ("01_pocket_world", {}, "prompts/offline.py"),  # named in a cell
        ("71_adapt_generator", {}, "generator_adaptation/generators/eg3d.py"),  # named in a file that is read
        ("71_adapt_generator", {}, "generator_adaptation/imagenet_templates.yaml"),
    ],
)
def test_what_is_named_at_run_time_is_code_of_the_run(notebook, values, module):
    assert f"aa_utils/{module}" in of_run(notebook, **values)


def test_the_parameters_cell_of_a_notebook_is_no_code(package):
    """Its values are in a run's record, and no other notebook takes them."""
    runs = ("30_inter_domain", "90_adapt_your_images", "74_bridge")
    before = [of_run(notebook) for notebook in runs]
    path = package / "notebooks/30_inter_domain.ipynb"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    tagged = next(cell for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", []))
    tagged["source"] = [*tagged["source"], "\nmore = 1"]
    path.write_text(json.dumps(notebook), encoding="utf-8")
    assert [of_run(notebook) for notebook in runs] == before
    assert of_run("30_inter_domain") == of_run("30_inter_domain", more=1)


def test_the_benchmarks_behind_a_table_are_code_of_the_table(tmp_path):
    (tmp_path / "record.json").write_text(json.dumps({"run_id": "a", "parameters": {"target": "usps:test", "method": "dann"}}))
    inputs = [{"name": "runs", "path": str(tmp_path), "sha256": "", "parent": "a"}]
    code = record.code_of(ROOT / "notebooks/53_benchmark_office31.ipynb", {"runs": [str(tmp_path)]}, inputs)
    assert "aa_utils/benchmarks/usps.py" in code
    own = record.code_of(ROOT / "notebooks/40_intra_domain.ipynb", {"target": "mnist", "method": "mixmatch"}, inputs)
    assert "aa_utils/benchmarks/usps.py" not in own


def test_a_method_from_elsewhere_counts_with_its_file(tmp_path, monkeypatch):
    (tmp_path / "my_method.py").write_text("from aa_utils.inter_domain import dann\nWEIGHT = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = code_closure.of_modules("my_method")
    assert {"my_method", "aa_utils/inter_domain/dann.py", "aa_utils/training/loop.py"} <= before.keys()
    assert code_closure.edited(before) == []
    (tmp_path / "my_method.py").write_text("from aa_utils.inter_domain import dann\nWEIGHT = 20\n")
    assert code_closure.edited(before) == ["my_method"]
    with pytest.raises(InputError, match="'nowhere' lies in no file"):
        code_closure.of_modules("nowhere")


def test_what_is_gone_or_broken_is_edited(package):
    before = code_closure.of_modules("aa_utils.inter_domain.dann")
    (package / "aa_utils/inter_domain/dann.py").unlink()
    (package / "aa_utils/training/loop.py").write_text("def fit(\n")
    assert code_closure.edited(before) == ["aa_utils/inter_domain/dann.py", "aa_utils/training/loop.py"]


def test_modules_that_compute_nothing_say_why():
    """The one rule for what is left out; a module of numbers among them would be a hole."""
    texts = {path.relative_to(ROOT / "aa_utils"): path.read_text(encoding="utf-8") for path in (ROOT / "aa_utils").rglob("*.py")}
    exempt = {path: text for path, text in texts.items() if re.search(r"^COMPUTES_NOTHING = ", text, re.MULTILINE)}
    assert all(re.search(r'^COMPUTES_NOTHING = "(\w+ ?){3,}', text, re.MULTILINE) for text in exempt.values()), "in words"
    rooms = {path.parts[0] for path in exempt if len(path.parts) > 1}
    assert rooms <= {"runner", "data", "files"}, "no room where numbers are made"
    assert {Path("progress.py"), Path("files/__init__.py"), Path("runner/record.py")} <= exempt.keys()
