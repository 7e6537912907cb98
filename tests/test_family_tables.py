"""What notebooks 52 to 57 share: from runs on the tasks of a benchmark to its tables and figures."""

from pathlib import Path

import made_records
import pandas as pd
import pytest

from aa_utils.reporting import benchmark_figures, family_tables, tables, task_tables

FULL = {"A": "office31:amazon", "D": "office31:dslr-partial", "W": "office31:webcam"}
DOMAINS = ["A", "D", "W"]


@pytest.fixture
def runs(tmp_path):
    """Every pair of Office-31 from real sources by DANN, and W from synthetic images."""
    about, made = {"backbone": "resnet50", "image_size": 224}, []
    for source in DOMAINS:
        real = {"benchmark": FULL[source], "image_size": 224}
        images = made_records.run(tmp_path, f"images/{source}", "21_real_source", real, {}, [{"images": 9}])
        for target in DOMAINS:
            if target != source:
                path = f"inter_domain/{target}/{source}/dann"
                made.append(made_records.inter(tmp_path, images, "dann", {0: 0.5, 1: 0.7}, path, target=FULL[target], **about))
    drawn = made_records.images(tmp_path, "offline")
    made.append(made_records.inter(tmp_path, drawn, "dann", {0: 0.8, 1: 0.9}, "inter_domain/W/offline/dann", target=FULL["W"], **about))
    return [str(run) for run in made]


@pytest.fixture
def family(tmp_path):
    return family_tables.Family("office31", "Office-31", DOMAINS, tmp_path / "results")


def test_collecting_keeps_the_records_and_every_seed(runs, family, tmp_path):
    entries, seeds = family_tables.collect(runs, "", family)
    assert len(seeds) == 14
    assert len(list((tmp_path / "results/runs").glob("*.json"))) == len(entries)
    again, same = family_tables.collect([str(tmp_path / "results/runs")], "", family)
    assert again == entries and same.equals(seeds), "from the records alone"
    assert tables.read_csv(tmp_path / "results/tables/office31_seeds.csv")["seed"].tolist() == seeds["seed"].tolist()


def test_tables_by_task(runs, family, tmp_path):
    entries, seeds = family_tables.collect(runs, "", family)
    theirs = task_tables.published("office31", ["DANN"], ["ResNet-50"])
    means = family_tables.by_task(entries, seeds, theirs, family)
    ours = family_tables.own(means)
    synthetic = ours[(ours["table"] == "synthetic") & ours["labelled"].str.startswith("synthetic")]
    assert synthetic.set_index("column")["mean"].to_dict() == pytest.approx({"W": 0.85})
    assert set(ours[ours["table"] == "real"]["column"]) == {*task_tables.pairs(DOMAINS), "avg"}
    assert len(means) > len(ours), "published rows stand beside ours"
    for suffix, words in (("_real", "A->W"), ("_synthetic", "synthetic: offline prompts")):
        printed = Path(family.table(suffix)).read_text(encoding="utf-8")
        assert words in printed and printed.startswith("**Office-31 from ")
    assert pd.read_csv(tmp_path / "results/figures/by_target.csv")["origin"].unique().tolist() == [task_tables.OURS]
    assert Path(family.figure("by_target")).read_bytes().startswith(b"\x89PNG")
    assert family_tables.columns(family).splitlines()[1].startswith("office31: table, labelled, method")


def test_tables_by_source(runs, family):
    entries, seeds = family_tables.collect(runs, "", family)
    means = family_tables.by_source(entries, seeds, family)
    assert means[means["labelled"].str.startswith("synthetic")].set_index("column")["mean"].to_dict() == pytest.approx({"W": 0.85})
    assert "source by source" in Path(family.table("_sources")).read_text(encoding="utf-8")
    assert Path(family.figure("by_source")).read_bytes().startswith(b"\x89PNG")


def test_no_two_methods_share_a_place_in_a_figure():
    """Or a set decides which comes first, and the same CSV gives other bytes in another process."""
    methods = ["source only", "source only (frozen BN)", "source only + FixMatch", "DANN", "DANN (on frozen features)", "DANN (frozen BN)"]
    assert len({benchmark_figures._order(method, "lite0") for method in methods}) == len(methods)
