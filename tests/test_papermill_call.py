"""What papermill's own YAML would change without a word, folders that runs share, and lists of inputs: refused in the first cell."""

import base64
import re
import subprocess
import sys

import pytest
from test_plain_papermill import namespace

from aa_utils.errors import InputError
from aa_utils.paths import ROOT
from aa_utils.reporting import provenance
from aa_utils.runner import papermill_call, parameters

PROMPTS = "10_prompts"


def refusal(monkeypatch, tmp_path, injected: dict, *words: str) -> str:
    given = papermill_call.of_call(["python", "/bin/papermill", "in.ipynb", "out.ipynb", *words], tmp_path)
    monkeypatch.setattr(papermill_call, "values", lambda: given)
    with pytest.raises(InputError) as caught:
        parameters.check(PROMPTS, namespace(PROMPTS, tmp_path, **injected))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("yaml", "injected", "message"),
    [
        ("seed: 010", {"seed": 8}, r"'seed' takes a whole number, such as 0; got '010' \(text\)"),
        ("per_class: 1:30", {"per_class": 90}, "'per_class' takes a whole number, such as 12; got '1:30'"),
        ("domain: !!binary aGVsbG8=", {"domain": "b'hello'"}, "'domain' takes text"),
        ("pin: {quality: [010]}", {"pin": {"quality": [8]}}, "papermill reads .*8.* where YAML of today has .*'010'"),
        ("class_names: !!set {a, b}", {"class_names": ["a", "b"]}, "'class_names' takes a list"),
    ],
)
def test_a_value_that_papermill_reads_as_another_is_refused(monkeypatch, tmp_path, yaml, injected, message):
    assert re.search(message, refusal(monkeypatch, tmp_path, injected, "-y", yaml))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"seed: 1\nseed: 2\n", "'seed' is there twice (first in line 1)"),
        (b"", "must hold 'name: value' lines, and it holds nothing"),
        (b"- seed\n", "must hold 'name: value' lines"),
        ("domain: é\n".encode("latin-1"), "is not UTF-8 text"),
    ],
)
def test_a_file_that_papermill_takes_otherwise_is_refused(tmp_path, content, message):
    (tmp_path / "my.yaml").write_bytes(content)
    with pytest.raises(InputError) as caught:
        papermill_call.of_call(["papermill", "-f", "my.yaml", "in.ipynb"], tmp_path)
    assert "'my.yaml'" in str(caught.value) and message in str(caught.value)


def test_the_call_is_read_in_papermills_order(tmp_path):
    (tmp_path / "my.yaml").write_bytes(b"\xef\xbb\xbfseed: 1\r\nlr: 1e-4\r\n")
    coded = base64.b64encode(b"seed: 0\ntries: 5\n").decode()
    words = ["python3", "-m", "papermill", "in", "out", "-f", "my.yaml", "-b", coded]
    words += ["-y", "per_class: 3", "-p", "per_class", "4", "-p", "k", "v"]
    found = papermill_call.of_call(words, tmp_path)
    assert {name: value for name, (value, _) in found.items()} == {"tries": 5, "seed": 1, "lr": 1e-4}
    assert found["seed"][1] == "'my.yaml'"


@pytest.mark.parametrize("words", [["jupyter", "lab"], ["python", "-m", "aa_utils.run", "-y", "x"], ["jupyter-lab", "papermill"], []])
def test_other_programs_are_no_papermill_call(tmp_path, words):
    assert papermill_call.of_call(words, tmp_path) == {}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="there is no /proc elsewhere")
def test_the_process_above_is_read(tmp_path):
    """A script called papermill that starts a kernel's stand-in."""
    child = "from aa_utils.runner import papermill_call; print(papermill_call.values())"
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    (tmp_path / "papermill").write_text(script)
    call = [sys.executable, str(tmp_path / "papermill"), "in", "out", "-y", "seed: 010"]
    done = subprocess.run(call, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)}, check=True)
    assert done.stdout.strip() == "{'seed': ('010', \"papermill's -y\")}"


@pytest.mark.parametrize("name", ["pd", "Counter", "record", "parameters", "print", "__name__", "In"])
def test_a_name_that_is_no_parameter_is_refused_whatever_the_cell_makes_of_it(tmp_path, name):
    there = namespace(PROMPTS, tmp_path, **{name: 5}) | {name: 5 if name == "In" else sys}
    with pytest.raises(InputError, match=f"has no parameter '{name}'"):
        parameters.check(PROMPTS, there)


@pytest.mark.parametrize("target", ["class_names[0]", 'pin["template"]', "record.x"])
def test_a_part_of_a_parameter_is_refused(tmp_path, target):
    there = namespace(PROMPTS, tmp_path)
    there["In"] = ["", f"# Parameters\n{target} = 5\n"]
    with pytest.raises(InputError, match="papermill sets whole parameters, and got "):
        parameters.check(PROMPTS, there)


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("", "is empty, and files would be written into"),
        ("  ", "is empty"),
        ("aa_utils", "'aa_utils' belongs to the project"),
        ("models/pocket-clip", "'models' belongs to the project"),
        ("results", "'results' belongs to the project"),
        ("results/../tests", "goes up by '..'"),
        ("../up", "goes up by '..'"),
        ("a\nb", "control characters"),
        ("x/" + "y" * 300, "is too long"),
        ("~", "cannot be a run's folder"),
        ("README.md/x", "is a file"),
    ],
)
@pytest.mark.parametrize(("notebook", "name"), [("60_ablation_number_of_images", "results"), (PROMPTS, "cache"), ("99_figures", "results")])
def test_a_folder_that_runs_share_is_no_part_of_the_project(tmp_path, notebook, name, folder, message):
    with pytest.raises(InputError) as caught:
        parameters.check(notebook, namespace(notebook, tmp_path) | {"runs": [str(tmp_path)], name: folder})
    assert message in str(caught.value) and name in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("folder", ["results/mine", "artifacts/smoke/results", "mine", "{w} 日本"])
def test_results_of_ones_own_may_be_written(tmp_path, folder):
    parameters.check("65_ablation_methods", namespace("65_ablation_methods", tmp_path, sources=[str(tmp_path)]) | {"results": folder})


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([], "'sources' is an empty list, and the run would do nothing"),
        (["{0}", "{0}"], "holds '{0}' twice"),
        (["{0}", "{0}/."], "holds '{0}' twice"),
        (["{0}", "{0}/link"], "holds '{0}' twice"),
        (["{0}", "a\nb"], r"nothing at 'a\nb'"),
    ],
)
def test_a_list_of_inputs_holds_each_once(tmp_path, sources, message):
    (tmp_path / "link").symlink_to(tmp_path)
    given = [one.replace("{0}", str(tmp_path)) for one in sources]
    with pytest.raises(InputError) as caught:
        parameters.check("65_ablation_methods", namespace("65_ablation_methods", tmp_path, sources=given))
    assert message.replace("{0}", str(tmp_path)) in str(caught.value)


@pytest.mark.parametrize(("name", "value"), [("per_class", 10**400), ("class_names", 10**400), ("prices", "9" * 500), ("domain", 10**300)])
def test_a_huge_number_is_not_printed_in_full(tmp_path, name, value):
    with pytest.raises(InputError) as caught:
        parameters.check(PROMPTS, namespace(PROMPTS, tmp_path, **{name: value}))
    assert "bits" in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize("place", ["", "below", "nowhere"])
def test_a_folder_that_is_no_run_of_its_own_has_no_name(tmp_path, place):
    (tmp_path / "below/run").mkdir(parents=True)
    (tmp_path / "below/run/record.json").write_text("{}")
    with pytest.raises(InputError, match="is not the folder of one run"):
        provenance.run_name(tmp_path / place)
