"""Committed results: every number follows from a committed record, every mean, layout and figure from a committed CSV."""

import shutil

import pytest

from aa_utils import verify
from aa_utils.paths import ROOT
from aa_utils.reporting import benchmark_tables, provenance, tables

EXPERIMENTS = sorted(path.parent for path in (ROOT / "results").glob("*/tables"))


@pytest.fixture(params=EXPERIMENTS, ids=lambda path: path.name)
def folder(request):
    return request.param


def test_every_number_is_traced_to_a_record(folder):
    assert verify.untraced(folder) == []


def test_every_run_named_in_a_table_has_its_record(folder):
    # Tables that compare experiments, as those of the ablations, are of runs whose records lie with each experiment.
    homes = [folder] if (folder / "runs").is_dir() else [other for other in EXPERIMENTS if (other / "runs").is_dir()]
    known = {entry["run_id"] for home in homes for entry in provenance.read_copies(home).values()}
    for path in sorted((folder / "tables").glob("*.csv")):
        frame = tables.read_csv(path)
        column = next(name for name in ("run_ids", "run_id", "origin") if name in frame)
        ids = frame[column]
        if column == "origin":  # a table with published numbers beside ours
            ids = ids[ids.str.startswith(benchmark_tables.OURS)].str.partition(": ")[2]
        named = {one for row in ids for one in row.split()}
        assert named, path.name
        assert named <= known, path.name


def test_tables_and_layouts_follow_from_the_csv(folder, tmp_path):
    """Figures too, where matplotlib is the version that drew them; their bytes are not compared here."""
    copy = tmp_path / folder.name
    shutil.copytree(folder, copy)
    again = verify.again(copy)
    changed = again[~again["unchanged"] & again["file"].str.startswith("tables/")]
    assert list(changed["file"]) == []


def test_figures_have_all_their_files(folder):
    figures = folder / "figures"
    for path in sorted(figures.glob("*.csv")):
        assert path.with_suffix(".png").is_file()


def test_published_numbers_have_their_source():
    for path in sorted((ROOT / "published").glob("*.csv")):
        if path.stem.endswith("_protocols"):
            continue
        frame = tables.pd.read_csv(path)
        assert list(frame.columns) == ["benchmark", "task", "method", "backbone", "accuracy", "source_url_or_path"]
        assert frame.notna().all().all(), path.name
        assert frame["accuracy"].between(0, 100).all(), path.name


def test_protocols_are_those_of_published_numbers():
    published, protocols = (tables.pd.read_csv(ROOT / "published" / f"{name}.csv") for name in ("digits", "digits_protocols"))
    assert protocols.notna().all().all()
    for row in protocols.itertuples():
        same = published[(published["task"] == row.task) & published["source_url_or_path"].str.contains(row.source, regex=False)]
        assert len(same), f"{row.source}, {row.task}: no published number has this protocol"
