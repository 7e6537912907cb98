"""`adapt-anything`, the command for people: each subcommand reaches its module with the right arguments."""

import json
import subprocess
import sys

from aa_utils import __main__ as command
from aa_utils import __version__
from aa_utils.paths import ROOT


def test_help_and_version_in_a_process_of_their_own():
    done = subprocess.run([sys.executable, "-m", "aa_utils", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "adapt-anything photos my/folder" in done.stdout
    done = subprocess.run([sys.executable, "-m", "aa_utils", "--version"], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == f"adapt-anything {__version__}"


def test_photos_become_the_parameters_of_notebook_90(tmp_path, capsys):
    folder = tmp_path / "mine"
    folder.mkdir()
    call = ["photos", str(folder), "--params", "examples/scans.yaml", "--classes", "mug, chef's knife", "--set", "seeds=[3]"]
    assert command.main([*call, "--out", str(tmp_path / "out"), "--check"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["photos"] == str(folder)
    assert values["class_names"] == ["mug", "chef's knife"]
    assert (values["seeds"], values["per_class"], values["out"]) == ([3], 100, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_photos_of_things_go_to_a_folder_of_their_name(tmp_path, capsys):
    (tmp_path / "mugs").mkdir()
    assert command.main(["photos", str(tmp_path / "mugs"), "--classes", "mug, plate", "--check"]) == 0
    assert json.loads(capsys.readouterr().out)["out"] == "artifacts/mugs"


def test_a_folder_that_is_not_there_is_one_sentence(capsys):
    assert command.main(["photos", "nowhere", "--params", "examples/scans.yaml"]) == 2
    assert "nothing at 'nowhere'" in capsys.readouterr().err


def test_a_home_that_nobody_knows_is_one_sentence(capsys):
    for arguments in (["photos", "~no-such-user-at-all/x"], ["run", "notebooks/10_prompts.ipynb", "--params", "~no-such-user-at-all/x"]):
        assert command.main([*arguments, "--check"]) == 2
        assert "home folder of a user that this machine does not know" in capsys.readouterr().err


def test_photos_of_the_folder_one_stands_in_have_its_name(tmp_path, capsys, monkeypatch):
    (tmp_path / "mugs").mkdir()
    monkeypatch.chdir(tmp_path / "mugs")
    for folder in (".", "../mugs", "./"):
        assert command.main(["photos", folder, "--classes", "mug, plate", "--check"]) == 0
        assert json.loads(capsys.readouterr().out)["out"] == "artifacts/mugs"


def test_a_folder_of_too_long_a_name_is_one_sentence(capsys):
    assert command.main(["photos", "x" * 5000, "--params", "examples/scans.yaml"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_others_get_their_arguments_as_they_are(tmp_path, capsys):
    assert command.main(["run", "notebooks/10_prompts.ipynb", "--check", "--set", "per_class=7", f"out={tmp_path}/p"]) == 0
    assert json.loads(capsys.readouterr().out)["per_class"] == 7
    assert command.main(["data", "uci_digits"]) == 0
    assert "digit" in capsys.readouterr().out


def test_outside_a_checkout_notebooks_are_missed_aloud(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "ROOT", tmp_path)
    assert command.main(["run", "notebooks/10_prompts.ipynb"]) == 2
    assert "clone of the repository" in capsys.readouterr().err
