"""A finished run in a folder that another call enters: refused calls leave it untouched, and two calls at once make it once."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from aa_utils import files, run
from aa_utils.runner import finished_run, record

KEPT = ("record.json", "metrics.json", "progress.log", "executed.ipynb")


def notebook(make_notebook, out):
    """One that writes where `guidance` is 5, refuses 7 as a stage does, fails at 8 before and at 9 after it has written."""
    source = """from pathlib import Path
from aa_utils import progress
from aa_utils.errors import InputError
from aa_utils.runner import record
progress.note(f"guidance {guidance}")
if guidance == 7:
    raise InputError("holds images with guidance 5, and this call has 7; choose another 'out'")
if guidance == 8:
    raise ValueError("before")
Path(out, "image.png").write_text(str(guidance))
if guidance == 9:
    raise ValueError("after")
record.write_metrics(out, [{"guidance": guidance}])"""
    return make_notebook(f'guidance = 5  # of the images\nout = "{out}"  # folder', source)


def state(out):
    return {name: (out / name).read_bytes() for name in KEPT}


@pytest.fixture
def run_here(tmp_path, monkeypatch, capsys):
    """run_here(*arguments, **environment) -> how `python -m aa_utils.run` ends, called in this process; the kernel is a new one."""
    monkeypatch.setenv("AA_PROGRESS", "")  # the runner sets it for its kernel, and it must not outlive the test
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object, **environment: str) -> subprocess.CompletedProcess:
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            code = run.main([*map(str, arguments)])
        return subprocess.CompletedProcess(arguments, code, *capsys.readouterr())

    return call


def test_a_call_that_writes_nothing_leaves_the_finished_run_as_it_was(make_notebook, run_here, tmp_path):
    out = tmp_path / "out"
    path = notebook(make_notebook, out)
    assert run_here(path).returncode == 0
    before = state(out)
    for guidance, message in ((7, "holds images with guidance 5"), (8, f"ValueError: before (cell c02; see {out}/failed.ipynb)")):
        done = run_here(path, "--set", f"guidance={guidance}")
        assert done.returncode == 1
        assert message in done.stderr
        assert state(out) == before
        assert record.read(out)["parameters"]["guidance"] == 5
        assert "guidance = " + str(guidance) in (out / "failed.ipynb").read_text().replace('"', "")
        assert not (out / ".before").exists()
    assert run_here(path).returncode == 0, "and the first call runs again"
    assert not (out / "failed.ipynb").exists()


def test_a_call_that_fails_after_it_wrote_leaves_no_record(make_notebook, run_here, tmp_path):
    out = tmp_path / "out"
    path = notebook(make_notebook, out)
    assert run_here(path).returncode == 0
    assert run_here(path, "--set", "guidance=9").returncode == 1
    assert not any((out / name).exists() for name in (*finished_run.RECORDS, "metrics.json", "failed.ipynb", ".before"))
    assert "guidance 9" in (out / "progress.log").read_text()


def test_what_a_killed_call_had_set_aside_comes_back(make_notebook, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    finished_run.write(out, {"run_id": "first"})
    (out / "metrics.json").write_text("[1]")
    slept = make_notebook(f'out = "{out}"  # folder', f"import time\nopen({str(tmp_path / 'begun')!r}, 'w').close()\ntime.sleep(60)")
    process = subprocess.Popen([sys.executable, "-m", "aa_utils.run", str(slept)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (tmp_path / "begun").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not (out / "record.json").exists(), "while a call works in the folder it is no whole run"
    os.kill(process.pid, signal.SIGKILL)
    process.wait(30)
    with finished_run.set_aside(out):
        assert json.loads((out / ".before/record.json").read_text())["run_id"] == "first"
        assert not (out / "record.json").exists()
    with pytest.raises(KeyError), finished_run.set_aside(out):
        raise KeyError
    assert not (out / "record.json").exists(), "the call before this one succeeded, and left no record"


@pytest.mark.parametrize("kind", ["", "{", "[]", "null"])
def test_a_record_that_cannot_be_read_counts_as_absent_and_blocks_nothing(make_notebook, run_here, tmp_path, kind):
    out = tmp_path / "out"
    out.mkdir()
    for name in ("record.json", ".record.json", "metrics.json", "progress.log", "executed.ipynb"):
        (out / name).write_text(kind)
    done = run_here(notebook(make_notebook, out))
    assert done.returncode == 0, done.stderr
    assert record.read(out)["metrics"] == [{"guidance": 5}]
    if kind in ("", "{"):
        assert "record.json' is " in done.stderr


def test_an_input_whose_record_cannot_be_read_has_no_parent_and_says_so(tmp_path, capsys):
    (tmp_path / "prompts.jsonl").write_text("{}\n")
    (tmp_path / "record.json").write_text("")
    assert record.describe_input("prompts", str(tmp_path / "prompts.jsonl"))["parent"] is None
    assert "record.json' is empty" in capsys.readouterr().err


def test_the_second_of_two_calls_at_once_keeps_what_the_first_has_made(make_notebook, tmp_path):
    out = tmp_path / "out"
    slow = make_notebook(
        f'steps = 1  # number\nout = "{out}"  # folder', "import time\ntime.sleep(3)", f"open({str(tmp_path / 'runs')!r}, 'a').write('x')"
    )
    command = [sys.executable, "-m", "aa_utils.run", str(slow), "--wait", "60"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=100) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert (tmp_path / "runs").read_text() == "x", "it ran once"
    assert len({out_text.rpartition("run ")[2] for out_text, _ in said}) == 1
    other = subprocess.run([*command, "--set", "steps=2"], capture_output=True, text=True)
    assert other.returncode == 0
    assert (tmp_path / "runs").read_text() == "xx", "another call runs"


def test_a_record_of_before_this_call_is_not_kept(make_notebook, run_here, tmp_path):
    out = tmp_path / "out"
    path = notebook(make_notebook, out)
    assert run_here(path).returncode == 0
    first = (out / "record.json").stat().st_mtime_ns
    assert run_here(path).returncode == 0
    assert (out / "record.json").stat().st_mtime_ns > first


def test_a_record_that_snakemake_removed_comes_back_from_its_copy(make_notebook, run_here, tmp_path):
    out = tmp_path / "out"
    path, begun = notebook(make_notebook, out), str(time.time())
    assert run_here(path).returncode == 0
    whole = (out / "record.json").read_bytes()
    (out / "record.json").unlink()
    assert record.describe_input("runs", str(out))["parent"] == json.loads(whole)["run_id"], "whoever reads it meanwhile finds the copy"
    (out / "image.png").write_text("stays: nothing runs")
    assert run_here(path, AA_SINCE=begun).returncode == 0
    assert (out / "record.json").read_bytes() == whole
    assert (out / "image.png").read_text() == "stays: nothing runs"
    (out / "record.json").unlink()
    assert run_here(path).returncode == 0, "a call that began later runs"
    assert (out / "image.png").read_text() == "5"


def test_folders_of_sockets_that_a_killed_runner_left_are_removed(make_notebook, runner, tmp_path):
    import fcntl

    temporary = tmp_path / "t"
    left, used, other = (temporary / f"aa-kernel-{name}" for name in ("left", "used", "made"))
    for folder in (left, used, other):
        folder.mkdir(parents=True)
    (left / "lock").write_text("")
    (left / "kernel-ipc-1").write_text("")
    with (used / "lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        done = runner(make_notebook(f'out = "{tmp_path}/out"', "1 + 1"), TMPDIR=str(temporary))
    if len(str(temporary)) > 70:
        pytest.skip("the temporary folder of these tests is too deep for sockets")
    assert done.returncode == 0
    assert {path.name for path in temporary.iterdir()} == {"aa-kernel-used", "aa-kernel-made"}


def test_files_that_a_write_leaves_do_not_count_as_changes(tmp_path):
    finished_run.write(tmp_path, {"run_id": "first"})
    with pytest.raises(KeyError), finished_run.set_aside(tmp_path):
        (tmp_path / ".image.png.12-ab.tmp").write_text("half")
        (tmp_path / ".lock").write_text("7")
        raise KeyError
    assert files.read_json(tmp_path / "record.json", "") == {"run_id": "first"}
