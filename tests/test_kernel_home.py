"""The kernel of a run: nothing of its user's own IPython is part of it, and it needs no home that can be written."""

import pytest

CHECK = 'assert not {"poison", "worse"} & set(globals()), "the user\'s own IPython was read"'


def test_startup_files_and_settings_of_the_user_are_not_read(make_notebook, runner, tmp_path):
    profile = tmp_path / "home/.ipython/profile_default"
    (profile / "startup").mkdir(parents=True)
    (profile / "startup/00.py").write_text("poison = 1")
    (profile / "ipython_config.py").write_text('c = get_config()\nc.InteractiveShellApp.exec_lines = ["worse = 1"]\n')
    (profile / "ipython_kernel_config.py").write_text('c = get_config()\nc.IPKernelApp.exec_lines = ["worse = 1"]\n')
    done = runner(make_notebook('out = "x"', CHECK), "--set", f"out={tmp_path}/out", HOME=str(tmp_path / "home"))
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out/record.json").is_file()


@pytest.mark.parametrize("home", ["/proc", "/proc/nowhere", "/sys"])
def test_a_home_that_nobody_can_write_is_no_matter(make_notebook, runner, tmp_path, home):
    done = runner(make_notebook('out = "x"', CHECK), "--set", f"out={tmp_path}/out", HOME=home)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/record.json").is_file()
