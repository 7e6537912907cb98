"""Our numbers beside published ones: tasks kept apart, every row with its protocol and origin, published digits untouched."""

import csv
import math

import made_records
import pytest

from aa_utils.errors import InputError
from aa_utils.paths import ROOT
from aa_utils.reporting import benchmark_tables, layout, provenance

TASK = {"target": "usps:train-1800", "test": "usps:test", "backbone": "lenet_usps"}


def real_source(root, benchmark, name):
    return made_records.run(root, f"images/{name}", "21_real_source", {"benchmark": benchmark, "image_size": 28}, {}, [{"images": 2000}])


@pytest.fixture
def runs(tmp_path):
    """Two tasks from real sources, one of them refined, and one from synthetic images."""
    first = made_records.inter(tmp_path, real_source(tmp_path, "mnist:train-2000", "mnist_2000"), "mcd", {0: 0.94, 1: 0.95}, **TASK)
    refined = made_records.intra(tmp_path, first, "fixmatch", {0: 0.96, 1: 0.98}, target="usps:train-1800", test="usps:test")
    back = {"target": "mnist:train-2000", "test": "mnist:test", "backbone": "lenet_usps", "steps": 10}
    second = made_records.inter(tmp_path, real_source(tmp_path, "usps:train-1800", "usps_1800"), "mcd", {0: 0.9}, **back)
    third = made_records.inter(tmp_path, made_records.images(tmp_path, "offline"), "dann", {0: 0.8, 1: 0.84}, target="uci_digits")
    return [str(path) for path in (first, refined, second, third)]


def test_tasks_are_told_apart(runs):
    frame = benchmark_tables.per_seed(provenance.records(runs, ""))
    assert sorted(set(frame[benchmark_tables.TASK].itertuples(index=False, name=None))) == [
        ("", "uci_digits", "uci_digits"),
        ("mnist:train-2000", "usps:train-1800", "usps:test"),
        ("usps:train-1800", "mnist:train-2000", "mnist:test"),
    ]
    assert len(frame) == 2 + 2 + 1 + 2
    assert set(frame["network"]) == {"lenet_usps", ""}


def test_runs_of_one_task_must_be_alike(runs, tmp_path):
    other = made_records.inter(tmp_path, tmp_path / "images/mnist_2000", "mcd", {2: 0.9}, "inter_domain/other", **(TASK | {"steps": 5}))
    with pytest.raises(InputError, match="differ in steps"):
        benchmark_tables.per_seed(provenance.records([*runs, str(other)], ""))


def test_a_row_of_ours_names_source_protocol_and_run(runs):
    entries = provenance.records(runs, "")
    rows = benchmark_tables.over_seeds(benchmark_tables.per_seed(entries))
    assert list(rows.columns) == benchmark_tables.COLUMNS
    row = rows[rows["method"] == "MCD + FixMatch"].iloc[0]
    assert (row["target"], row["labelled"], row["n"]) == ("USPS", "MNIST", 2)
    assert row["protocol"] == "trained on mnist:train-2000, usps:train-1800; tested on usps:test"
    assert row["mean"] == pytest.approx(0.97)
    assert row["sd"] == pytest.approx(0.02 / math.sqrt(2), abs=1e-6)
    assert row["origin"] == f"this kit: {entries['intra_domain-mnist_2000-mcd-fixmatch']['run_id']}"
    row = rows[rows["method"] == "DANN"].iloc[0]
    assert row["labelled"] == "synthetic: offline prompts, pocket-diffusion"
    assert (row["target"], row["protocol"]) == ("UCI digits", "trained on uci_digits; tested on the same images")


def test_published_rows_are_those_of_the_file():
    with (ROOT / "published/digits.csv").open(encoding="utf-8") as stream:
        file = [row for row in csv.DictReader(stream) if row["task"].startswith("MNIST->USPS") and row["method"] == "MCD"]
    rows = benchmark_tables.published("digits", ["USPS"], ["mcd"])
    assert [row["accuracy"] for row in file] == [f"{100 * mean:.1f}" for mean in rows["mean"]]
    assert [row["source_url_or_path"] for row in file] == list(rows["origin"])
    assert list(rows["protocol"]) == ["2,000 MNIST and 1,800 USPS training images", "whole training sets", "not said"]
    assert set(benchmark_tables.published("digits", ["USPS"], ["DANN"])["method"]) == {"DANN"}, "not BSP+DANN"
    assert "Source only (SHOT)" in set(benchmark_tables.published("digits", ["USPS"], ["Source only"])["method"])
    with pytest.raises(InputError, match=r"nothing published on 'digit'; there are: .*digits"):
        benchmark_tables.published("digit", ["USPS"], ["MCD"])


def test_protocol_notes_belong_to_rows():
    with (ROOT / "published/digits.csv").open(encoding="utf-8") as stream:
        file = list(csv.DictReader(stream))
    with (ROOT / "published/digits_protocols.csv").open(encoding="utf-8") as stream:
        for note in csv.DictReader(stream):
            assert any(row["task"] == note["task"] and row["source_url_or_path"].startswith(note["source"]) for row in file), note


def test_printed_table(runs):
    rows = benchmark_tables.over_seeds(benchmark_tables.per_seed(provenance.records(runs, "")))
    theirs = benchmark_tables.published("digits", ["MNIST", "USPS"], ["Source only", "DANN", "MCD"])
    made = benchmark_tables.layout(rows, theirs, "Digits")
    cells = [(row[0], row[1], row[2], row[5]) for row in made.rows]
    assert ("USPS", "MNIST", "MCD + FixMatch", "97.0 ± 1.4") in cells
    assert ("MNIST", "SVHN", "DANN", "73.85") in cells, "published digits are not rounded"
    assert len(made.rows) == len(rows) + len(theirs)
    ours_first = [row[6] for row in made.rows if row[:2] == ["USPS", "MNIST"] and row[2].startswith("MCD")]
    assert [where.startswith("this kit") for where in ours_first] == [True, True, False, False, False]
    assert sum(note.startswith("[") for note in made.notes) == theirs["origin"].nunique()
    assert "| 97.0 ± 1.4 | this kit, n = 2 |" in layout.markdown(made)
    nothing = benchmark_tables.layout(rows.iloc[:0], theirs, "Digits")
    assert "No run of this kit is of this kind yet." in nothing.notes


def test_a_clip_by_class_names_has_no_labelled_source_and_what_it_teaches_has_a_network(tmp_path):
    source = made_records.images(tmp_path, "offline")
    about = {"target": "usps:test", "backbone": "pocket_resnet"}
    first = made_records.inter(tmp_path, source, "zero_shot", {0: 0.88, 1: 0.88}, **about)
    refined = made_records.intra(tmp_path, first, "mixmatch", {0: 0.95, 1: 0.96}, target="usps:test")
    trained = made_records.inter(tmp_path, source, "dann", {0: 0.8, 1: 0.81}, **about)
    frame = benchmark_tables.over_seeds(benchmark_tables.per_seed(provenance.records([str(first), str(refined), str(trained)], "")))
    rows = frame.set_index("method")
    clip = "CLIP by class names"
    assert rows.loc[clip, ["labelled", "network", "protocol"]].tolist() == ["none: class names", "–", "no training; tested on usps:test"]
    same = "trained on usps:test; tested on the same images"
    assert rows.loc[f"{clip} + MixMatch", ["labelled", "network", "protocol"]].tolist() == ["none: class names", "pocket_resnet", same]
    assert rows.loc["DANN", ["network", "protocol"]].tolist() == ["pocket_resnet", same]
    assert rows.loc["DANN", "labelled"].startswith("synthetic: offline prompts")
