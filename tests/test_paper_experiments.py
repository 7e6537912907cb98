"""Notebooks 30 and 40 on photos that nobody labelled; the experiments at paper scale, rehearsed on small models and small datasets."""

import csv
import os

import made_datasets
import one_process
import pytest

from aa_utils import benchmarks, verify
from aa_utils.paths import ROOT
from aa_utils.runner import record

# Each of them takes a minute or two; AA_TEST_PAPER=1 runs them too.
SLOW = [
    pytest.param(name, marks=pytest.mark.skipif(os.environ.get("AA_TEST_PAPER") != "1", reason="AA_TEST_PAPER=1 runs it"))
    for name in ("imageclef_da", "office31", "office_home")
]


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    """Folders of this test alone for what is read and written."""
    monkeypatch.setenv("AA_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("AA_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setenv("MPLBACKEND", "agg")
    return tmp_path


def test_photos_without_labels_go_through_both_stages(own):
    made_datasets.make("visda17", own / "data", 3, ["train"])
    photos = made_datasets.unlabelled(own / "photos", 24)
    benchmarks.write_source("visda17:train-partial", 32, own / "renders")
    about = {"target": f"image_folder:{photos}", "steps": 2, "batch_size": 4}
    first = one_process.cells("30_inter_domain", {"source": str(own / "renders"), "out": str(own / "inter"), **about})
    assert len(first["unlabelled"].class_names) == 12
    one_process.cells("40_intra_domain", {"initial": str(own / "inter"), "out": str(own / "intra"), **about})
    before, after = record.read_metrics(own / "inter")[0], record.read_metrics(own / "intra")[0]
    assert [row["accuracy"] for row in (before, after)] == [None, None]
    assert (after["pseudo_label_accuracy"], after["accuracy_before"]) == (None, None)
    assert (own / "intra/seed0/predictions.parquet").is_file()


@pytest.mark.parametrize("name", ["visda17", *SLOW])
def test_an_experiment_runs_from_the_archive_to_the_tables(own, name):
    made_datasets.make(name, own / "data", 2)
    one_process.make(own, ROOT / f"experiments/{name}.yaml", "--config", "scale=smoke")
    made = own / f"artifacts/{name}_smoke"
    records = [path.parent.relative_to(made).parts for path in made.rglob("record.json")]
    stages = [parts[0] for parts in records]
    wanted = {"prompts": 1, "images": 2, "inter_domain": 7, "intra_domain": 3, "benchmark": 1}
    assert {stage: stages.count(stage) for stage in wanted} == wanted
    with (made / f"results/tables/{name}_seeds.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert {row["inter_domain"] for row in rows} == {"", "source_only", "dann", "mcd", "symnets", "cdtrans"}
    assert {row["intra_domain"] for row in rows} == {"", "none", "fixmatch", "mixmatch"}
    assert {bool(row["real_source"]) for row in rows} == {True, False}
    assert [row["system"] for row in rows].count("zero_shot") == 1
    printed = next(made.glob("results/tables/*.md")).read_text()
    assert "CLIP zero-shot | pocket-clip" in printed
    assert verify.untraced(made / "results") == []


def test_a_damaged_dataset_stops_before_anything_is_made(own):
    root = made_datasets.make("office31", own / "data", 3, ["amazon", "webcam"]) / "domain_adaptation_images"
    folder = root / "amazon/images"
    said = made_datasets.damage(folder, sorted(folder.iterdir())[:10])
    page = root / "webcam/images/mug/frame_0001.jpg"
    page.write_text("<html>")
    done = one_process.snakemake(own, ROOT / "experiments/office31.yaml", "--config", "scale=smoke", "--keep-going")
    assert done.returncode != 0
    missing = {kind: text for kind, text in said.items() if text not in done.stdout}
    assert not missing, done.stdout
    assert "mug/frame_0001.jpg (" in done.stdout, "of all domains at once"
    assert [path.name for path in (own / "artifacts/office31_smoke").iterdir()] == ["data"], "no prompt, no image, no training"


def test_class_names_must_be_the_benchmarks(own, capsys):
    from aa_utils.benchmarks.__main__ import main

    made_datasets.make("visda17", own / "data", 1, ["validation"])
    names = benchmarks.load("visda17:validation-partial", 8).class_names
    assert main(["visda17:validation-partial", "--classes", *names[:-1], "lorry"]) == 1
    said = capsys.readouterr().out
    assert "- class names of the benchmark that are not given (1): truck" in said
    assert "- class names that the benchmark lacks (1): lorry" in said
    assert main(["visda17:validation-partial", "--classes", *names]) == 0


def test_labelled_images_that_exist_already_are_a_source(own):
    """Notebook 30 on a folder of sub-folders, as somebody sent it, to some classes of a benchmark."""
    root = made_datasets.make("office31", own / "data", 3, ["dslr", "webcam"]) / "domain_adaptation_images"
    about = {"target": "office31:webcam-partial[mouse,pen,mug]", "method": "source_only", "steps": 2, "batch_size": 4}
    about |= {"source": str(root / "dslr/images"), "limit_per_class": 2, "out": str(own / "inter")}
    made = one_process.cells("30_inter_domain", about)
    assert made["synthetic"].class_names == ["computer mouse", "mug", "pen"]
    (row,) = record.read_metrics(own / "inter")
    assert (row["source_images"], row["protocol"]) == (6, "transductive")
