"""The runner: every mistake is one sentence before a kernel starts; a run is whole or has no record; no kernel outlives its runner."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from aa_utils import run
from aa_utils.errors import InputError
from aa_utils.runner import parameters, record

LITERALS = """method = "dann"  # inter-domain method
lr = 0.1  # learning rate
steps = 10  # training steps
seeds = [0]  # one classifier each
fast = False  # half precision
limit = None  # images used
out = "artifacts/tests/run"  # folder this run writes"""


def wanted(notebook, *settings, file=None):
    return run.check(str(notebook), parameters.overrides(list(settings), file))[2]


@pytest.mark.parametrize(
    ("setting", "name", "value"),
    [
        ("lr=1", "lr", 1.0),
        ("lr=1e-4", "lr", 1e-4),
        ("lr=2.5E3", "lr", 2500.0),
        ("steps=3", "steps", 3),
        ("seeds=[0,1]", "seeds", [0, 1]),
        ("seeds=[]", "seeds", []),
        ("fast=true", "fast", True),
        ("method=yes", "method", "yes"),
        ("method=1", "method", "1"),
        ("method=1e-4", "method", "1e-4"),
        ("method='quoted: text'", "method", "quoted: text"),
        ("method=a=b", "method", "a=b"),
        ("limit=5", "limit", 5),
        ("limit=1e-3", "limit", 1e-3),
    ],
)
def test_values_take_the_type_of_their_default(make_notebook, setting, name, value):
    found = wanted(make_notebook(LITERALS), setting)[name]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("lrr=1", "no parameter 'lrr'; did you mean 'lr'?"),
        ("zebra=1", "no parameter 'zebra'; it has method, lr"),
        ("lr=high", "'lr' takes a number, such as 0.1; got 'high' (text)"),
        ("lr=true", "'lr' takes a number"),
        ("steps=2.5", "'steps' takes a whole number, such as 10; got 2.5 (a number)"),
        ("steps=true", "'steps' takes a whole number"),
        ("seeds=1", "'seeds' takes a list, such as [0]; got 1 (a whole number); write 'seeds=[1]'"),
        ("seeds=[0, a]", r"'seeds[1]' takes a whole number"),
        ("fast=1", "'fast' takes true or false"),
        ("seeds=[0", "the value of 'seeds', line 1 is not YAML"),
        ("out=", "'out' is empty"),
        ("api_key=1", "'api_key' looks like a secret"),
        ("method=sk-abcdefgh12345678", "'method' looks like a secret"),
        ("just-text", "--set takes name=value; got 'just-text'"),
    ],
)
def test_mistakes_are_one_sentence(make_notebook, setting, message):
    with pytest.raises(InputError) as caught:
        wanted(make_notebook(LITERALS), setting)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "sk-abc" not in str(caught.value)


def test_a_name_given_twice_is_refused(make_notebook):
    with pytest.raises(InputError, match="'lr' is set twice"):
        wanted(make_notebook(LITERALS), "lr=1", "lr=2")


def test_parameter_file_reads_1e_4_as_a_number_and_the_command_line_wins(make_notebook, tmp_path):
    file = tmp_path / "values.yaml"
    file.write_text("lr: 1e-4\nsteps: 7\nseeds: [1, 2]\n")
    values = wanted(make_notebook(LITERALS), "steps=8", file=str(file))
    assert (values["lr"], values["steps"], values["seeds"]) == (1e-4, 8, [1, 2])


@pytest.mark.parametrize(
    ("text", "message"), [("- a\n", "must hold 'name: value' lines"), ("a: [", "is not YAML"), ("method: 3", "takes text")]
)
def test_bad_parameter_files(make_notebook, tmp_path, text, message):
    file = tmp_path / "values.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        wanted(make_notebook(LITERALS), file=str(file))
    with pytest.raises(InputError, match="no parameter file"):
        wanted(make_notebook(LITERALS), file="nowhere.yaml")


@pytest.mark.parametrize("tagged", [0, 2])
def test_exactly_one_parameters_cell(make_notebook, tagged):
    with pytest.raises(InputError, match=f"has {tagged} cells tagged 'parameters'"):
        wanted(make_notebook(LITERALS, "x = 1", tagged=tagged))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("out = 'a'\nb = len('x')", "line 2 .* computed"),
        ("out = 'a'\nimport os", "line 2 .* is not 'name = literal'"),
        ("out = 'a'\nout = 'b'", "second time"),
        ("out = (", "is not Python"),
        ("lr = 1", "no parameter 'out'"),
    ],
)
def test_a_parameters_cell_holds_literals(make_notebook, source, message):
    with pytest.raises(InputError, match=message):
        wanted(make_notebook(source))


def test_not_a_notebook(tmp_path):
    (tmp_path / "a.ipynb").write_text("print(1)")
    with pytest.raises(InputError, match="is not a notebook"):
        wanted(tmp_path / "a.ipynb")
    with pytest.raises(InputError, match="no notebook at"):
        wanted(tmp_path / "b.ipynb")


def test_inputs_must_be_there(make_notebook, tmp_path):
    (tmp_path / "there").mkdir()
    text = f"""source = "{tmp_path}/there"  # input: image folder made by 20_generate
runs = ["{tmp_path}/there"]  # input: runs
model = "owner/name"  # input or hub id: generator
extra = ""  # optional input: a bank of words
out = "{tmp_path}/out"  # folder this run writes"""
    notebook = make_notebook(text)
    assert wanted(notebook)["model"] == "owner/name"
    for setting, message in [
        (f"source={tmp_path}/absent", r"input 'source': nothing at '.*absent' \(image folder made by 20_generate\)"),
        ("source=", "input 'source': nothing at ''"),
        (f"runs=[{tmp_path}/there, {tmp_path}/absent]", "input 'runs': nothing at '.*absent'"),
        ("model=models/absent", "input 'model': nothing at 'models/absent'"),
        ("extra=nowhere.yaml", "input 'extra'"),
        (f"out={tmp_path}/there", "'out' and the input 'source' are both"),
        ("out=.", "cannot be a run's folder"),
        ("out=README.md", "cannot be a run's folder"),
    ]:
        with pytest.raises(InputError, match=message):
            wanted(notebook, setting)


def test_a_wrong_call_exits_2_with_one_line_and_starts_nothing(make_notebook, runner, tmp_path):
    done = runner(make_notebook(LITERALS), "--set", "lrr=1", f"out={tmp_path}/out")
    assert done.returncode == 2
    assert done.stderr.strip().count("\n") == 0
    assert "did you mean 'lr'" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_run_leaves_a_record_and_the_executed_notebook(make_notebook, runner, tmp_path):
    (tmp_path / "source.txt").write_text("words")
    notebook = make_notebook(
        f'source = "{tmp_path}/source.txt"  # input: words\nlr = 0.1  # rate\nout = "artifacts/x/y"  # folder',
        "import os, sys\nfrom pathlib import Path\nfrom aa_utils.progress import progress\nfrom aa_utils.runner import record",
        'list(progress(range(3), what="count", unit="thing"))\nprint(sys.executable, Path.cwd(), os.environ["FAKE_API_KEY"])',
        'record.write_metrics(out, [{"seed": 0, "accuracy": lr}])',
    )
    done = runner(notebook, "--set", "lr=1e-4", AA_ARTIFACTS=str(tmp_path / "disk"), FAKE_API_KEY="very-secret-value")
    assert (done.returncode, done.stderr) == (0, "")
    out = tmp_path / "disk/x/y"
    kept = json.loads((out / "record.json").read_text())
    assert kept["parameters"] == {"source": f"{tmp_path}/source.txt", "lr": 1e-4, "out": "artifacts/x/y"}
    assert kept["metrics"] == [{"seed": 0, "accuracy": 1e-4}]
    assert kept["inputs"][0]["name"] == "source"
    assert kept["peak_memory_mb"] > 20
    assert 0 < kept["seconds"] < 60
    assert kept["run_id"] in done.stdout
    executed = (out / "executed.ipynb").read_text()
    printed = nbformat.reads(executed, as_version=4).cells[4].outputs[0].text
    assert printed.startswith(f"{sys.executable} {run.ROOT} ***"), "kernel of this interpreter, in the repository, secrets masked"
    assert "very-secret-value" not in executed
    assert "count: 3/3 things" in (out / "progress.log").read_text()
    assert record.read(out)["run_id"] == kept["run_id"]


FAILURES = {
    "value": ('raise ValueError("bad\\nsecond line")', "ValueError: bad (cell c02; see {out}/executed.ipynb)\n"),
    "input": ("from aa_utils.errors import InputError\nraise InputError(\"no class 'mug'\")", "no class 'mug'\n"),
    "full": ('open("/dev/full", "w").write("x" * 100_000)', "the disk is full (cell c02); free space"),
    "dead": ("import os\nos._exit(9)", "the kernel died (often: out of memory) in cell c02; see {out}/executed.ipynb\n"),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_failing_cell_is_one_sentence_and_leaves_no_record(make_notebook, runner, tmp_path, kind):
    source, message = FAILURES[kind]
    out = tmp_path / "out"
    out.mkdir()
    (out / "record.json").write_text("{}")  # of an earlier run
    (out / "metrics.json").write_text("[]")
    done = runner(make_notebook(f'out = "{out}"  # folder', source))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(message.format(out=out).strip("\n"))
    assert len(done.stderr.splitlines()) == 1
    assert (out / "executed.ipynb").exists()
    assert not (out / "record.json").exists()
    assert not (out / "metrics.json").exists()


def test_full_disk_while_the_record_is_written(make_notebook, monkeypatch, capsys, tmp_path):
    def full(path, value):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(run.notebook_kernel, "run", lambda *args: None)
    monkeypatch.setattr(run.record.files, "write_json", full)
    assert run.main([str(make_notebook(f'out = "{tmp_path}/out"'))]) == 1
    error = capsys.readouterr().err
    assert error.startswith("the disk is full: could not write")
    assert error.count("\n") == 1


def test_full_disk_while_papermill_saves(make_notebook, monkeypatch, capsys, tmp_path):
    def full(path, text):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(run.notebook_kernel.files, "write_text", full)
    assert run.main([str(make_notebook(f'out = "{tmp_path}/out"'))]) == 1
    assert capsys.readouterr().err.startswith("the disk is full")
    assert [p.name for p in (tmp_path / "out").iterdir()] == [".lock"]


def test_a_kernel_that_does_not_start_is_tried_once_more(make_notebook, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(run.notebook_kernel.sys, "executable", "/bin/false")
    assert run.main([str(make_notebook(f'out = "{tmp_path}/out"'))]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert "trying once more" in lines[0]
    assert lines[-1].startswith("the kernel did not start, twice")


def start(notebook: Path, *arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "aa_utils.run", str(notebook), *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def sleeping(make_notebook, tmp_path) -> Path:
    """A notebook that says its kernel's process id, then sleeps."""
    source = f'import os, time\nfrom pathlib import Path\nPath("{tmp_path}/pid").write_text(str(os.getpid()))\ntime.sleep(60)'
    return make_notebook(f'out = "{tmp_path}/out"  # folder', source)


def kernel_of(tmp_path) -> int:
    def pid():
        return (tmp_path / "pid").read_text() if (tmp_path / "pid").exists() else ""

    assert waited_for(pid, 60)
    return int(pid())


def waited_for(condition, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)
    return bool(condition())


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # An orphan in a container without an init that reaps stays listed as a zombie.
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_no_kernel_outlives_its_runner(make_notebook, tmp_path, number, code):
    process = start(sleeping(make_notebook, tmp_path))
    kernel = kernel_of(tmp_path)
    process.send_signal(number)
    assert process.wait(timeout=30) == code
    if number == signal.SIGKILL:
        with pytest.raises(InputError, match="another run"), run.locked(tmp_path / "out"):
            pytest.fail("the kernel lives and may write: the folder must stay locked")
    assert waited_for(lambda: gone(kernel), 10)
    with run.locked(tmp_path / "out", wait=10):  # the kernel's open files end a moment after it is listed as a zombie
        pass
    _, error = process.communicate(timeout=30)
    if number != signal.SIGKILL:
        assert error.startswith(f"stopped by {number.name}; ")
        assert error.count("\n") == 1
    assert not (tmp_path / "out/record.json").exists()


def test_two_runs_never_write_the_same_folder(make_notebook, tmp_path, capsys):
    notebook = sleeping(make_notebook, tmp_path)
    process = start(notebook)
    try:
        kernel_of(tmp_path)
        assert run.main([str(notebook), "--wait", "0"]) == 2
        assert f"another run (process {process.pid}) is writing" in capsys.readouterr().err
    finally:
        process.terminate()
        process.communicate(timeout=30)
    with run.locked(tmp_path / "out"):
        assert (tmp_path / "out/.lock").read_text() == str(os.getpid())


def test_waiting_for_the_lock(make_notebook, tmp_path):
    notebook = make_notebook(f'out = "{tmp_path}/out"')
    with run.locked(tmp_path / "out"):
        process = start(notebook, "--wait", "60")
        time.sleep(2)
        assert process.poll() is None
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (0, "")


def test_braces_and_spaces_in_paths(make_notebook, runner, tmp_path):
    folder = tmp_path / "a {b} c"
    folder.mkdir()
    notebook = make_notebook('out = "x"', "1 + 1").rename(folder / "n {o}.ipynb")
    done = runner(notebook, "--set", f"out={folder}/out")
    assert (done.returncode, done.stderr) == (0, "")
    assert (folder / "out/record.json").exists()


def test_check_only_prints_the_values(make_notebook, runner, tmp_path):
    done = runner(make_notebook(LITERALS), "--check", "--set", f"out={tmp_path}/out")
    assert json.loads(done.stdout)["out"] == f"{tmp_path}/out"
    assert not (tmp_path / "out").exists()


def test_a_file_system_without_locks_is_one_sentence(monkeypatch, tmp_path):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(run.fcntl, "flock", no_locks)
    with pytest.raises(InputError, match=r"cannot be locked \(No locks available\); put AA_ARTIFACTS on"), run.locked(tmp_path, 0):
        pass


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("true", True),
        ("False", False),
        ("package:some-weights", "package:some-weights"),
        ("hf-hub:timm/x", "hf-hub:timm/x"),
        ("here", "here"),
    ],
)
def test_a_switch_that_may_name_files_takes_text_too(tmp_path, monkeypatch, value, wanted):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.pth").write_bytes(b"weights")
    known = parameters.parse('pretrained = False  # optional input or name: weights\nout = ""  # output', "x.ipynb")
    value, wanted = (str(tmp_path / "w.pth") if v == "here" else v for v in (value, wanted))
    given = parameters.overrides([f"pretrained={value}", "out=artifacts/x"], None)
    found = parameters.checked(known, given, "x.ipynb")
    assert found["pretrained"] == wanted
    assert type(found["pretrained"]) is type(wanted) or isinstance(wanted, str)
    assert parameters.inputs(known, found) == ([("pretrained", str(tmp_path / "w.pth"))] if value.endswith("w.pth") else [])


def test_a_switch_that_names_a_file_that_is_not_there():
    known = parameters.parse('pretrained = False  # optional input or name: weights\nout = ""  # output', "x.ipynb")
    with pytest.raises(InputError, match=r"input 'pretrained': nothing at 'no/such\.pth' \(weights\)"):
        parameters.checked(known, {"pretrained": "no/such.pth", "out": "artifacts/x"}, "x.ipynb")
    with pytest.raises(InputError, match="'pretrained' takes true or false"):
        parameters.checked(known, {"pretrained": 3, "out": "artifacts/x"}, "x.ipynb")
    assert parameters.checked(known, {"pretrained": "no/such.pth", "out": "a"}, "x.ipynb", paths=False)["pretrained"] == "no/such.pth"
