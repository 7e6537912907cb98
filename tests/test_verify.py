"""`python -m aa_utils.verify` finds a number that does not follow, compares a fresh run, and names what is older than its code."""

import json
import shutil
import subprocess

import made_records
import pytest

from aa_utils import verify
from aa_utils.paths import ROOT
from aa_utils.reporting import fresh_run, provenance, results
from aa_utils.runner import code_closure, record

HERE = {"environment": {"python": "3.12.0", "torch": "2"}, "hardware": {"cpu": "made up", "threads": 1, "gpu": []}}
METHODS = ("source_only", "dann", "mcd")


def code_of(notebook, **values):
    cells = code_closure.cells(code_closure.NOTEBOOKS / f"{notebook}.ipynb")
    return code_closure.of_notebook(cells, f"notebooks/{notebook}.ipynb", values)


def changed(run, **entries):
    """The folder `run`, its record with other entries."""
    path = run / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | entries), encoding="utf-8")
    return run


def made(root, accuracies=(0.5, 0.6), dann=(), **changes):
    """Runs of three methods, each alone and refined by FixMatch, with the code that makes such runs; returns the folder of the runs.

    `dann`: other accuracies for that method.
    """
    images = changed(made_records.images(root, "offline"), code=code_of("20_generate"), **HERE | changes)
    changed(root / "prompts/offline", code=code_of("10_prompts", writer="offline"), **HERE | changes)
    for method in METHODS:
        seeds = dict(enumerate(dann if dann and method == "dann" else accuracies))
        code = code_of("30_inter_domain", method=method, target="uci_digits")
        first = changed(made_records.inter(root, images, method, seeds), code=code, run_id=f"{method}-inter", **HERE | changes)
        code = code_of("40_intra_domain", method="fixmatch", target="uci_digits")
        changed(made_records.intra(root, first, "fixmatch", seeds), code=code, run_id=f"{method}-intra", **HERE | changes)
    return root


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A results folder, whose runs are not in artifacts."""
    monkeypatch.setenv("AA_ARTIFACTS", str(tmp_path / "artifacts"))
    runs = made(tmp_path / "elsewhere")
    results.write(tmp_path / "results/small", "accuracy", provenance.records([str(runs)], "uci_digits"))
    return tmp_path / "results/small"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package and the notebooks that a test may edit; code is looked up there."""
    for name in ("aa_utils", "notebooks"):
        shutil.copytree(ROOT / name, tmp_path / "copy" / name, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code_closure, "ROOT", tmp_path / "copy")
    monkeypatch.setattr(code_closure, "NOTEBOOKS", tmp_path / "copy/notebooks")
    return tmp_path / "copy/aa_utils"


def verified(capsys, folder, *options):
    """(exit code, what was printed)"""
    code = verify.main([str(folder), *options])
    return code, capsys.readouterr().out


def test_a_sound_folder_is_said_to_be_sound_and_left_alone(folder, capsys):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    code, said = verified(capsys, folder)
    assert code == 0
    assert "small: tables follow from the records (6 files made again)" in said
    assert "small: no fresh run in artifacts/small to compare with" in said
    assert "small: no result is older than its code" in said
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("tables/accuracy_seeds.csv", "0.500000,0.490000", "0.900000,0.490000", "accuracy_seeds.csv: "),
        ("tables/accuracy.csv", "0.550000", "0.650000", "tables/accuracy.csv is not what its CSV gives"),
        ("tables/accuracy.md", "55.0", "56.0", "tables/accuracy.md is not what its CSV gives"),
        ("tables/claims.csv", "mcd", "dann", "tables/claims.csv is not what its CSV gives"),
        ("runs/inter_domain-offline-mcd.json", "0.6", "0.61", "accuracy_seeds.csv: "),
    ],
)
def test_a_number_changed_by_hand_is_found(folder, capsys, file, old, new, said):
    path = folder / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    code, out = verified(capsys, folder, "--only", "tables")
    assert code == 1
    assert "tables do not follow from the records" in out and said in out


def test_a_row_taken_away_is_found(folder, capsys):
    path = folder / "tables/accuracy_seeds.csv"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:-1]), encoding="utf-8")
    results.from_seeds(folder, "accuracy")
    code, out = verified(capsys, folder, "--only", "tables")
    assert code == 1 and "is missing, and its record in runs/ has it" in out


def test_an_edited_statement_names_what_depends_on_it_and_nothing_else(package, folder, capsys):
    path = package / "inter_domain/dann.py"
    text = path.read_text(encoding="utf-8")
    path.write_text(f"# A comment.\n{text}", encoding="utf-8")
    assert "small: no result is older than its code" in verified(capsys, folder, "--only", "code")[1]
    path.write_text(f"{text}\nWEIGHT = 2\n", encoding="utf-8")
    code, out = verified(capsys, folder, "--only", "code")
    assert code == 0
    assert out.splitlines() == [
        "small: 2 of 8 results are older than their code (commits unknown)",
        "    inter_domain-offline-dann: aa_utils/inter_domain/dann.py",
        "    intra_domain-offline-dann-fixmatch: aa_utils/inter_domain/dann.py (through inter_domain-offline-dann)",
        "    tables with such results: accuracy, claims",
    ]


def test_records_without_code_are_unknown_and_still_verified(folder, capsys):
    for path in (folder / "runs").glob("*.json"):
        entry = json.loads(path.read_text(encoding="utf-8"))
        del entry["code"]
        path.write_text(json.dumps(entry | {"schema": 1, "code_sha256": "f" * 64, "git": {"commit": "a" * 40, "dirty": False}}))
    code, out = verified(capsys, folder)
    assert code == 0
    assert "small: 8 results do not say their code: they are older than such records (commits aaaaaaa: 8 records)" in out


def fresh(tmp_path, **changes):
    """A fresh run of the experiment in its artifacts, later than the committed one."""
    made(tmp_path / "artifacts/small", **{"started": "2001-01-01T00:00:00Z"} | changes)


def test_an_equal_fresh_run_is_said_to_be_equal(folder, tmp_path, capsys):
    fresh(tmp_path)
    code, out = verified(capsys, folder, "--only", "fresh")
    assert (code, out) == (0, "small: 26 of 26 numbers of 8 runs equal the committed ones\n")


def test_the_committed_run_itself_is_no_fresh_run(folder, tmp_path, capsys):
    made(tmp_path / "artifacts/small")
    assert "no fresh run" in verified(capsys, folder, "--only", "fresh")[1]


OTHER_CPU = {"hardware": {"cpu": "another", "threads": 1, "gpu": []}}


@pytest.mark.parametrize(
    ("changes", "exit_code", "said"),
    [
        (
            {"accuracies": (0.5, 0.61)},
            1,
            ["14 of 26 numbers of 8 runs equal the committed ones, 12 differ", "0.6 committed, 0.61 now (+0.01)"],
        ),
        ({"accuracies": (0.5, 0.61)} | OTHER_CPU, 0, ["12 are within 0.03 of them", "other conditions than the committed ones: processor"]),
        ({"accuracies": (0.5, 0.8)} | OTHER_CPU, 0, ["12 differ", "0.6 committed, 0.8 now (+0.2)"]),
        ({"environment": {"python": "3.12.0", "torch": "3"}}, 0, ["26 of 26", "other conditions than the committed ones: torch"]),
        ({"accuracies": (0.5, 0.6, 0.7)}, 0, ["their settings are not those of the committed ones: inter_domain-offline-dann"]),
    ],
)
def test_a_fresh_run_that_differs(folder, tmp_path, capsys, changes, exit_code, said):
    fresh(tmp_path, **changes)
    code, out = verified(capsys, folder, "--only", "fresh")
    assert code == exit_code
    assert all(part in out for part in said), out


def test_a_fresh_run_of_other_code_says_which(package, folder, tmp_path, capsys):
    path = package / "inter_domain/dann.py"
    path.write_text(path.read_text(encoding="utf-8") + "\nWEIGHT = 2\n", encoding="utf-8")
    fresh(tmp_path, dann=(0.5, 0.61))
    code, out = verified(capsys, folder, "--only", "fresh")
    assert "changed since the committed ones: aa_utils/inter_domain/dann.py" in out
    assert "22 of 26 numbers of 8 runs equal the committed ones, 4 differ" in out
    assert code == 0, "the refinement has the code that it had, and another network to start from"
    fresh(tmp_path, accuracies=(0.5, 0.61))
    assert verified(capsys, folder, "--only", "fresh")[0] == 1, "runs of other methods have no such reason"


def test_a_reproduction_is_compared_with_what_git_holds(folder, tmp_path, capsys):
    """`make reproduce` writes over the results folder; measurements of a table's own notebook are nowhere else."""

    def git(*command):
        about = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", "-C", str(tmp_path / "results"), *about, *command], check=True, capture_output=True)

    line = {"name": "zero_shot", "accuracy": 0.5}
    about = {"target": "uci_digits", "model": "models/pocket-clip"}
    measured = provenance.measurement("zero_shot", "none", about, {}, [line])
    provenance.write_copies(folder, {"zero_shot": measured})
    git("init")
    git("add", "-A")
    git("commit", "-m", "results")
    fresh(tmp_path)
    entries = provenance.records([str(tmp_path / "artifacts/small")], "uci_digits")
    again = measured | {"git": {"commit": "b" * 40, "dirty": False}}
    results.write(folder, "accuracy", entries | {"zero_shot": again})
    assert fresh_run.changed_files(folder) != [], "the line of CLIP is in the table now"
    git("checkout", "--", "small/tables", "small/figures")
    shutil.rmtree(folder / "figures")
    git("checkout", "--", "small/figures")
    code, out = verified(capsys, folder, "--only", "fresh")
    assert code == 0
    assert out.splitlines() == [
        "small: 27 of 27 numbers of 9 runs equal the committed ones",
        "    tables and figures: the same bytes as committed",
    ]
    table = folder / "tables/accuracy.md"
    table.write_text(table.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert "changed are tables/accuracy.md" in verified(capsys, folder, "--only", "fresh")[1]


@pytest.mark.parametrize("name", ["nowhere", "tests", "README.md"])
def test_a_wrong_call_is_one_sentence(name, capsys):
    assert verify.main([str(ROOT / name)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_same_code_and_settings_give_the_same_run_id_whatever_the_clock_says(tmp_path):
    """So a table of a fresh run has the same bytes: it names its runs by their ids."""
    ids = []
    for part in ("one", "two"):
        runs = tmp_path / part
        images = made_records.images(runs, "offline")
        described = [record.describe_input("source", str(images))]
        code = code_of("30_inter_domain", method="dann")
        ids.append(record.run_id(code, {"method": "dann", "source": str(images), "out": part}, described))
    assert ids[0] == ids[1]
