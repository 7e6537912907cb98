"""Notebooks 30 and 40 on photos that nobody labelled; the experiments at paper scale."""

import made_datasets
import nbformat
import pytest

from aa_utils import benchmarks, record
from aa_utils.paths import ROOT


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    """Folders of this test alone for what is read and written."""
    monkeypatch.setenv("AA_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("AA_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setenv("MPLBACKEND", "agg")
    return tmp_path


def execute(notebook, **values):
    """The cells of a notebook with these parameters, without a kernel; returns its variables."""
    cells = [cell for cell in nbformat.read(ROOT / f"notebooks/{notebook}.ipynb", 4).cells if cell.cell_type == "code"]
    space = {}
    exec(cells[0].source, space)
    assert not set(values) - set(space)
    space.update(values)
    for cell in cells[1:]:
        exec(cell.source, space)
    return space


def test_photos_without_labels_go_through_both_stages(own):
    made_datasets.make("visda17", own / "data", 3, ["train"])
    photos = made_datasets.unlabelled(own / "photos", 24)
    benchmarks.write_source("visda17:train-partial", 32, own / "renders")
    about = {"target": f"image_folder:{photos}", "steps": 2, "batch_size": 4}
    first = execute("30_inter_domain", source=str(own / "renders"), out=str(own / "inter"), **about)
    assert len(first["unlabelled"].class_names) == 12
    execute("40_intra_domain", initial=str(own / "inter"), out=str(own / "intra"), **about)
    before, after = record.read_metrics(own / "inter")[0], record.read_metrics(own / "intra")[0]
    assert [row["accuracy"] for row in (before, after)] == [None, None]
    assert (after["pseudo_label_accuracy"], after["accuracy_before"]) == (None, None)
    assert (own / "intra/seed0/predictions.parquet").is_file()
