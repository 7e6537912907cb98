"""The runs behind a table, from folders of runs and from records alone."""

import json

import made_records
import pytest

from aa_utils.errors import InputError
from aa_utils.paths import ROOT
from aa_utils.reporting import provenance, records, tables
from aa_utils.runner import record

FULL = "intra_domain-offline-dann-fixmatch"


@pytest.fixture
def grid(tmp_path):
    """(folders of runs, the folder of copies of their records)"""
    folders = made_records.grid(tmp_path / "made")
    provenance.write_copies(tmp_path / "results", provenance.records(folders, "uci_digits"))
    return folders, tmp_path / "results/runs"


def test_records_alone_give_the_table_that_their_runs_give(grid):
    folders, copies = grid
    from_runs, from_records = records.of(folders, "uci_digits"), records.of([str(copies)], "uci_digits")
    assert from_runs == from_records == provenance.records(folders, "uci_digits")
    assert tables.per_seed(from_records).equals(tables.per_seed(from_runs))


def test_one_record_brings_those_behind_it_and_no_other(grid):
    _, copies = grid
    found = records.of([str(copies / f"{FULL}.json")], "uci_digits")
    assert set(found) == {FULL, "inter_domain-offline-dann", "generate-images-offline", "prompts-offline"}


def test_runs_and_records_may_be_mixed_and_come_once(grid):
    folders, copies = grid
    both = records.of([folders[0], str(copies / f"{FULL}.json"), str(copies)], "uci_digits")
    assert both == records.of([str(copies)], "uci_digits")


def test_a_run_of_the_same_name_gets_its_id(grid, tmp_path):
    folders, _ = grid
    other = made_records.inter(tmp_path / "other", made_records.images(tmp_path / "other", "simple", 3), "dann", {0: 0.5}, steps=7)
    provenance.write_copies(tmp_path / "results_other", provenance.records([str(other)], ""))
    found = records.of([*folders, str(tmp_path / "results_other/runs")], "")
    run_id = record.read(other)["run_id"]
    assert found[f"inter_domain-simple-dann-{run_id}"]["metrics"][0]["accuracy"] == 0.5


@pytest.mark.parametrize("target", ["office31:amazon", "usps", "uci_digits:train", ""])
def test_a_table_about_one_benchmark_takes_no_run_on_another(grid, target):
    folders, copies = grid
    for places in (folders, [str(copies)], [str(copies / f"{FULL}.json")]):
        assert records.of_target(places, "uci_digits") == records.of(places, "uci_digits")
        with pytest.raises(InputError, match=f"target is '{target}', and '.*' was adapted to 'uci_digits'; set target=uci_digits"):
            records.of_target(places, target)


def lose(copies, name):
    (copies / f"{name}.json").unlink()
    return f"{FULL}.json"


def spoil(copies, change):
    entry = json.loads((copies / f"{FULL}.json").read_text())
    change(entry)
    (copies / f"{FULL}.json").write_text(json.dumps(entry))
    return f"{FULL}.json"


def write(copies, text, name="mine.json"):
    (copies / name).write_text(text)
    return name


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda copies: lose(copies, "inter_domain-offline-dann"), "was made from run .*, whose record is not in .*; keep the records"),
        (lambda copies: spoil(copies, lambda entry: entry.update(schema=99)), "record schema 99; this code reads 1 and 2"),
        (lambda copies: spoil(copies, lambda entry: entry.pop("metrics")), "is no whole record: it lacks metrics"),
        (lambda copies: write(copies, "{"), "mine.json"),
        (lambda copies: write(copies, "[]"), "record schema None"),
        (lambda copies: write(copies, "a,b\n", "table.csv"), "table.csv"),
        (lambda copies: "nothing.json", "no run at"),
    ],
)
def test_what_is_no_record_is_one_sentence(grid, break_it, message):
    _, copies = grid
    with pytest.raises(InputError, match=message) as caught:
        records.of([str(copies / break_it(copies))], "")
    assert "\n" not in str(caught.value)


def test_a_folder_without_any_is_named(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no run at '.*empty'"):
        records.of([str(tmp_path / "empty")], "")


@pytest.mark.parametrize("results", sorted(path.parent.name for path in (ROOT / "results").glob("*/runs")))
def test_the_committed_records_stand_together(results):
    copies = provenance.read_copies(f"results/{results}")
    assert len(records.of([f"results/{results}/runs"], "")) == len({entry["run_id"] for entry in copies.values()})


def test_numbers_come_from_a_record_as_from_its_run(grid):
    folders, copies = grid
    assert record.read_metrics(copies / "inter_domain-simple-source_only.json") == record.read(folders[0])["metrics"]
