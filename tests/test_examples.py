"""What ships for notebooks that are opened alone, `examples/digits`: whole, small, and by the rules that hold for every run."""

import json
import re

import pytest
import torch

from aa_utils import benchmarks, files, inter_domain
from aa_utils.classifiers import inference
from aa_utils.data import images
from aa_utils.evaluation import scoring
from aa_utils.paths import ROOT, resolve
from aa_utils.reporting import provenance
from aa_utils.runner import parameters, record

DIGITS = "examples/digits"
RUNS = sorted(path.parent.relative_to(ROOT).as_posix() for path in (ROOT / DIGITS).rglob("record.json"))
CLASSIFIERS = [run for run in RUNS if (ROOT / run / "seed0").is_dir()]


def test_it_is_small():
    shipped = [path for path in (ROOT / DIGITS).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in shipped) < 2_000_000
    assert not [path for path in shipped if path.name.startswith(".") or path.name in ("executed.ipynb", "progress.log")]


def test_runs_and_those_behind_them_are_found_by_their_records():
    entries = provenance.records([DIGITS], "uci_digits")
    assert {provenance.stage(entry) for entry in entries.values()} == {"prompts", "generate", "inter_domain", "intra_domain"}
    assert len(entries) == len(RUNS) == 4
    assert provenance.UNRECORDED not in {entry["run_id"] for entry in entries.values()}


@pytest.mark.parametrize("run", RUNS)
def test_a_record_says_where_its_run_lies_now_and_keeps_its_id(run):
    entry = record.read(run)
    assert entry["parameters"]["out"] == run
    assert "artifacts/" not in re.sub(r'"cache": "[^"]*"', "", json.dumps(entry)), "a path of where it was made"
    assert record.run_id(entry["code"], entry["parameters"], entry["inputs"]) == entry["run_id"], "no path is part of an id"
    for row in entry["inputs"]:
        now = record.describe_input(row["name"], row["path"])
        assert now["parent"] == row["parent"]
        assert row["parent"] or now["sha256"] == row["sha256"]


def test_images_are_those_that_their_metadata_lists():
    rows = files.read_jsonl(resolve(f"{DIGITS}/images/offline/metadata.jsonl"))
    assert len(rows) == 120
    assert all(files.sha256(resolve(f"{DIGITS}/images/offline") / row["file_name"]) == row["sha256"] for row in rows)
    loaded = images.load(f"{DIGITS}/images/offline", 32)
    assert loaded.labels.bincount().tolist() == [12] * 10


@pytest.mark.parametrize("run", CLASSIFIERS)
def test_a_classifier_still_says_what_its_record_says(run):
    """Its weights are rounded to half precision, and code changes: both leave its predictions as they were, but for a few of 1,797."""
    target = benchmarks.load("uci_digits", 32)
    shipped = inference.read_predictions(resolve(run) / "seed0/predictions.parquet", target.ids)
    p, _ = inter_domain.predict(resolve(run) / "seed0", target.images.pixels)
    assert float((p.argmax(1) == shipped.argmax(1)).double().mean()) > 0.995
    assert torch.allclose(p, shipped, atol=0.05)
    (row,) = record.read_metrics(run)
    assert scoring.accuracy(shipped.argmax(1), target.labels) == pytest.approx(row["accuracy"])
    assert row["accuracy"] > 0.5, "worth looking at: chance is 0.1"


def test_what_made_them_are_parameters_of_today():
    """A parameter that was renamed since would make the record one of another notebook."""
    for run in RUNS:
        entry = record.read(run)
        known = parameters.of_notebook(parameters.cells_of(ROOT / entry["notebook"]), entry["notebook"])
        assert set(entry["parameters"]) <= {parameter.name for parameter in known}, run
