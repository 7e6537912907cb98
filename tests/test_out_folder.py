"""`out` is a run's own folder; the machine's limits, and values without end, are one sentence with the way out."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from aa_utils import run
from aa_utils.errors import InputError
from aa_utils.generate import made_with
from aa_utils.paths import ROOT
from aa_utils.runner import machine_limits, out_folder, parameters


def refusal(notebook, *settings, file=None) -> str:
    with pytest.raises(InputError) as caught:
        run.check(str(notebook), parameters.overrides(list(settings), file))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "out", ["..", "artifacts/..", "artifacts/../..", "artifacts/x/../y", "../elsewhere", "artifacts/./../notebooks", "~/.."]
)
def test_no_run_goes_up(make_notebook, out):
    assert "goes up by '..'" in refusal(make_notebook('out = "x"'), f"out={out}")


@pytest.mark.parametrize(
    "out",
    [
        ".",
        "./",
        "artifacts",
        "artifacts/./",
        "README.md",
        "/",
        "~",
        "notebooks",
        "notebooks/",
        ".git",
        ".git/x",
        "aa_utils/new",
        "./tests",
        "results",
    ],
)
def test_no_run_writes_into_the_project_or_over_a_persons_folder(make_notebook, out):
    assert "cannot be a run's folder" in refusal(make_notebook('out = "x"'), f"out={out}")


def test_a_link_is_the_folder_that_it_names(make_notebook, tmp_path):
    (tmp_path / "link").symlink_to(ROOT / "notebooks")
    assert "'notebooks' belongs to the project" in refusal(make_notebook('out = "x"'), f"out={tmp_path}/link/run")


def test_the_list_of_the_projects_folders_is_whole():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    assert {name.partition("/")[0] for name in listed.stdout.split("\0") if "/" in name} <= out_folder.PROJECT


@pytest.mark.parametrize("target", ["/dev/zero", "/dev/null", "FIFO"])
def test_an_input_without_an_end_is_none(make_notebook, tmp_path, target):
    path = tmp_path / "input"
    os.mkfifo(path) if target == "FIFO" else path.symlink_to(target)
    notebook = make_notebook(f'prompts = "{path}"  # input: prompts\nout = "x"  # folder')
    assert "is neither a file nor a folder" in refusal(notebook, f"out={tmp_path}/run")


def test_images_that_are_not_all_made_are_no_input(make_notebook, tmp_path):
    folder = tmp_path / "images"
    (folder / "mug").mkdir(parents=True)
    (folder / made_with.SETTINGS).write_text("{}")
    notebook = make_notebook(f'source = "{folder}"  # input: images\nout = "x"  # folder')
    assert "are not all made; run the call that makes them again" in refusal(notebook, f"out={tmp_path}/run")
    (folder / "metadata.jsonl").write_text("{}\n")
    run.check(str(notebook), parameters.overrides([f"out={tmp_path}/run"], None))


def spellings(folder: Path) -> list[str]:
    (folder.parent / "link").symlink_to(folder)
    return [
        str(folder),
        f"{folder}/",
        f"{folder.parent}/./{folder.name}",
        f"{folder.parent}//{folder.name}",
        str(folder.parent / "link"),
        f"{folder}/below/it",
    ]


def test_no_run_writes_into_its_input_however_that_is_spelt(make_notebook, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "prompts.jsonl").write_text("{}\n")
    read = make_notebook(f'source = "{folder}"  # input: images\nout = "x"  # folder')
    for out in spellings(folder):
        said = refusal(read, f"out={out}")
        assert "'out' and the input 'source' are both" in said or "lies inside the input 'source'" in said
    one = make_notebook(f'prompts = "{folder}/prompts.jsonl"  # input: prompts\nout = "x"  # folder')
    assert "lies in the folder 'out'" in refusal(one, f"out={tmp_path}/link")
    run.check(str(read), {"out": f"{tmp_path}/photos2"})
    runs = make_notebook(f'runs = ["{folder}"]  # input: runs of 30 and 40, or folders of runs\nout = "x"  # folder')
    run.check(str(runs), {"out": f"{folder}/benchmark"})


@pytest.mark.parametrize("out", ["artifacts/" + "x" * 300, "artifacts/" + "ü" * 120, "artifacts/" + "deep/" * 900])
def test_too_long(make_notebook, out):
    assert "out is too long" in refusal(make_notebook('out = "x"'), f"out={out}")


@pytest.mark.parametrize("out", ["a\0b", "a\nb", "a\x7fb"])
def test_control_characters(make_notebook, out):
    with pytest.raises(InputError, match="holds control characters"):
        run.check(str(make_notebook('out = "x"')), {"out": out})


def test_artifacts_that_are_a_file(make_notebook, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AA_ARTIFACTS", str(tmp_path / "file"))
    assert f"'{tmp_path}/file' is a file (AA_ARTIFACTS is '{tmp_path}/file')" in refusal(make_notebook('out = "x"'), "out=artifacts/a/b")
    assert "is a file; give" in refusal(make_notebook('out = "x"'), f"out={tmp_path}/file/b")


@pytest.mark.parametrize("text", ["&a [*a]", "&a {b: *a}", "[&x {y: [*x]}]"])
def test_values_that_refer_to_themselves(make_notebook, tmp_path, text):
    notebook = make_notebook('seeds = []  # seeds\nout = "x"  # folder')
    assert "refers to itself" in refusal(notebook, f"seeds={text}")
    (tmp_path / "p.yaml").write_text(f"seeds: {text}\n")
    assert "refers to itself" in refusal(notebook, file=str(tmp_path / "p.yaml"))


def test_values_that_grow_without_end(make_notebook):
    notebook = make_notebook('seeds = []  # seeds\nout = "x"  # folder')
    laughs = "[&a [x,x,x,x,x,x,x,x,x,x], &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]"
    laughs += "".join(f", &{new} [{','.join([f'*{old}'] * 10)}]" for old, new in zip("bcdefgh", "cdefghi", strict=True)) + "]"
    assert "grows beyond" in refusal(notebook, f"seeds={laughs}")
    assert "nested too deeply" in refusal(notebook, "seeds=" + "[" * 500 + "]" * 500)
    assert "nested too deeply" in refusal(notebook, "seeds=" + "[" * 100_000)


@pytest.mark.parametrize("value", [".nan", "1e999", "-1e999", "[1, 1e999]"])
def test_numbers_are_finite(make_notebook, value):
    notebook = make_notebook('lr = 0.1  # rate\noptions = [0.5]  # list\nout = "x"  # folder')
    name = "options" if value.startswith("[") else "lr"
    assert "finite number" in refusal(notebook, f"{name}={value}") or "takes a number" in refusal(notebook, f"{name}={value}")
    with pytest.raises(InputError, match="finite number"):
        run.check(str(notebook), {"lr": float("nan")})


def limited(notebook, tmp_path, **limits) -> subprocess.CompletedProcess:
    def limit():
        for name, value in limits.items():
            resource.setrlimit(getattr(resource, name), (value, value))

    command = [sys.executable, "-m", "aa_utils.run", str(notebook), "--set", f"out={tmp_path}/out"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, preexec_fn=limit)


def test_few_open_files_are_one_sentence(make_notebook, tmp_path):
    done = limited(make_notebook('out = "x"'), tmp_path, RLIMIT_NOFILE=20)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "a run needs 64" in done.stderr and "ulimit -n 4096" in done.stderr


def test_a_low_limit_of_open_files_is_raised(make_notebook, tmp_path):
    notebook = make_notebook('out = "x"', "import os\nfiles = [open('/dev/null') for _ in range(500)]")
    command = [
        "bash",
        "-c",
        'ulimit -Sn 200; exec "$@"',
        "-",
        sys.executable,
        "-m",
        "aa_utils.run",
        str(notebook),
        "--set",
        f"out={tmp_path}/out",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_file_larger_than_allowed_is_one_sentence(make_notebook, tmp_path):
    source = f"with open({str(tmp_path / 'big')!r}, 'wb') as stream:\n    stream.write(bytes(10_000_000))"
    done = limited(make_notebook('out = "x"', source), tmp_path, RLIMIT_FSIZE=1_000_000)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "a file is larger than this shell or file system allows (cell c02); see ulimit -f" in done.stderr


@pytest.mark.parametrize(
    "source", ["bytearray(20 * 2**30)", "import numpy as np\nnp.ones(3 * 2**30)", "import torch\ntorch.ones(3 * 2**30)"]
)
def test_too_little_memory_says_so(make_notebook, tmp_path, source):
    done = limited(make_notebook('out = "x"', source), tmp_path, RLIMIT_AS=8 * 2**30)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("out of memory (cell c02); this shell allows 8192 MB (ulimit -v)")
    assert "smaller batch_size" in done.stderr


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            "SafetensorError: Error while serializing: I/O error: No space left on device (os error 28)",
            "the disk is full (cell c1); free space",
        ),
        ("OSError: [Errno 28] No space left on device: '/a/b c/d.png'", "the disk is full: could not write /a/b c/d.png (cell c1)"),
        ("OSError: [Errno 122] Disk quota exceeded", "the disk is full (cell c1)"),
        ("OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", "on a GPU another process may hold some"),
        ("RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory: you tried", "out of memory (cell c1)"),
        ("OSError: [Errno 24] Too many open files: '/a/b'", "too many open files (cell c1)"),
        ("OSError: [Errno 27] File too large: '/a/b'", "could not write /a/b"),
        ("ValueError: this class has too many members", ""),
    ],
)
def test_messages_of_the_machine(message, said):
    found = machine_limits.sentence(message, "c1")
    assert said in found
    assert bool(said) == bool(found)


def test_a_disk_error_of_the_runner_is_one_sentence(make_notebook, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    (tmp_path / "locked").mkdir(mode=0o500)
    command = [sys.executable, "-m", "aa_utils.run", str(make_notebook('out = "x"')), "--set", f"out={tmp_path}/locked/out"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "choose another 'out', or set AA_ARTIFACTS" in done.stderr
