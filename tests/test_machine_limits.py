"""A full disk, a folder that cannot be made, a user without a home: one sentence with the way out, whoever met it first."""

import contextlib
import os
import shutil
import traceback
from pathlib import Path

import pytest

from aa_utils import run
from aa_utils.errors import InputError
from aa_utils.runner import machine_limits, notebook_kernel


@pytest.mark.parametrize("out", ["/proc/mine", "/proc/self/mine", "/sys/mine/deep"])
def test_a_folder_that_the_system_does_not_make_is_one_sentence(make_notebook, capsys, out):
    assert run.main([str(make_notebook('out = "x"')), "--set", f"out={out}"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"cannot write {out.partition('/deep')[0]}" in said
    assert "choose another 'out'" in said


def test_a_user_without_a_home_may_run(make_notebook, monkeypatch, tmp_path):
    def unknown():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    made = make_notebook('out = "x"')
    assert run.check(str(made), {"out": str(tmp_path / "o")})[2] == {"out": str(tmp_path / "o")}
    with pytest.raises(InputError, match="cannot be a run's folder"):
        run.check(str(made), {"out": "/"})


def test_a_kernel_that_dies_where_the_disk_is_full_says_so(monkeypatch, tmp_path):
    assert "often: out of memory" in notebook_kernel._kernel_gone(True, ["c08"], tmp_path / "executed.ipynb")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=4096))
    said = notebook_kernel._kernel_gone(True, ["c08"], tmp_path / "executed.ipynb")
    assert said.startswith(f"the disk is full: could not write {tmp_path} (cell c08); free space")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_a_state_of_training_on_a_full_disk_says_so(monkeypatch, tmp_path):
    """By its path torch writes itself: "[enforce fail at inline_container.cc:862] … file write failed"."""
    import torch

    from aa_utils.data import tensor_files

    monkeypatch.setattr(tensor_files.files, "atomic", lambda path: contextlib.nullcontext(Path("/dev/full")))
    with pytest.raises((OSError, RuntimeError)) as caught:
        tensor_files.write_state(tmp_path / "checkpoint.pt", {"weights": torch.zeros(1_000_000)})
    trace = "".join(traceback.format_exception(caught.value))
    said = machine_limits.of_cell(type(caught.value).__name__, str(caught.value), [trace], "c08")
    assert said.startswith("the disk is full (cell c08); free space")
