"""Tables and the figure that compare sources: who labelled, which protocol, which network; every number from its record."""

import made_records
import pandas as pd
import pytest

from aa_utils.paths import ROOT
from aa_utils.reporting import benchmark_tables, figures, provenance, source_tables, task_tables

NINE = {"target": "cifar10:nine-train", "test": "cifar10:nine-test", "backbone": "wrn_16_2", "pretrained": False}
TEN = {"target": "cifar10:train", "test": "cifar10:test", "backbone": "efficientnet_lite0", "pretrained": "package:lite0-weights"}
SAID = "JPEG copies, 9,000 of the 10,000 test images"


@pytest.fixture(scope="module")
def entries(tmp_path_factory):
    """SD 1.4 to nine and ten classes, on two networks, a real folder beside it, an oracle; two seeds."""
    root = tmp_path_factory.mktemp("runs")
    folder = {"folder": "cifake/sd14", "made_by": "Stable Diffusion 1.4", "benchmark": ""}
    sd = made_records.run(root, "images/sd14", "21_real_source", folder, {}, [{"images": 90}])
    mine = made_records.run(root, "images/mine", "21_real_source", folder | {"folder": "my/photos", "made_by": ""}, {}, [{"images": 90}])
    runs = []

    def add(path, notebook, parameters, inputs, accuracies):
        rows = [
            {"seed": seed, "accuracy": a, "mean_per_class": a, "transductive_accuracy": a + 0.02, "protocol": "inductive", "variant": SAID}
            for seed, a in enumerate(accuracies)
        ]
        runs.append(made_records.run(root, path, notebook, {"seeds": [0, 1]} | parameters, inputs, rows))
        return runs[-1]

    for name, source, up in (("sd14", sd, 0.0), ("mine", mine, 0.1)):
        dann = add(f"inter_domain/nine/{name}/dann", "30_inter_domain", NINE | {"method": "dann"}, {"source": source}, [0.5 + up, 0.6 + up])
        add(f"inter_domain/nine/{name}/source_only", "30_inter_domain", NINE | {"method": "source_only"}, {"source": source}, [0.4, 0.42])
        refined = {key: NINE[key] for key in ("target", "test")} | {"method": "fixmatch"}
        add(f"intra_domain/nine/{name}/dann/fixmatch", "40_intra_domain", refined, {"initial": dann}, [0.7 + up, 0.7 + up])
    add("inter_domain/ten/sd14/dann", "30_inter_domain", TEN | {"method": "dann"}, {"source": sd}, [0.8, 0.8])
    add("inter_domain/ten/sd14/head", "30_inter_domain", TEN | {"method": "imagenet_head"}, {"source": sd}, [0.55, 0.55])
    add("oracle/nine", "41_oracle", NINE, {}, [0.9, 0.92])
    return provenance.records([str(run) for run in runs], "")


@pytest.fixture(scope="module")
def cells(entries):
    seeds = benchmark_tables.per_seed(entries)
    ours = source_tables.cells(seeds, entries, lambda run: "nine classes" if "nine" in run["target"] else "ten classes")
    theirs = source_tables.published("published/stl_cifar.csv", "nine classes", "STL-10")
    return pd.concat([ours, theirs], ignore_index=True)


def test_rows_say_what_they_rest_on(cells):
    ours = cells[cells["origin"] == task_tables.OURS]
    assert set(ours["labelled"]) == {"synthetic: Stable Diffusion 1.4", "real: photos", "none: class names", "the target's own labels"}
    assert set(ours["network"]) == {"wrn_16_2 (from scratch)", "efficientnet_lite0 (pretrained, lite0-weights)"}
    assert set(ours["protocol"]) == {"inductive", "transductive"}
    dann = ours[(ours["method"] == "DANN") & (ours["labelled"] == "real: photos")].set_index(["protocol", "seed"])["value"]
    assert dann.to_dict() == {("inductive", 0): 0.6, ("inductive", 1): 0.7, ("transductive", 0): 0.62, ("transductive", 1): 0.72}
    refined = ours[(ours["method"] == "DANN + FixMatch") & (ours["protocol"] == "inductive")]
    assert sorted(refined["value"].round(6)) == [0.7, 0.7, 0.8, 0.8]
    assert set(refined["network"]) == {"wrn_16_2 (from scratch)"}, "of the run that it refines"


def test_published_rows_stand_beside_with_their_source(cells):
    theirs = cells[cells["origin"] != task_tables.OURS]
    assert len(theirs) == 13
    assert set(theirs["labelled"]) == {"real: STL-10"}
    assert theirs["value"].max() == 0.7776
    assert theirs["protocol"].str.contains("secondary").all()


def test_a_table_of_them(cells, entries):
    means = task_tables.over_seeds(cells, ["nine classes", "ten classes"])
    row = means[(means["method"] == "DANN") & (means["labelled"] == "synthetic: Stable Diffusion 1.4") & (means["protocol"] == "inductive")]
    nine = row[(row["column"] == "nine classes")].iloc[0]
    assert (nine["mean"], nine["n"]) == (pytest.approx(0.55), 2)
    printed = task_tables.layout(means, ["nine classes", "ten classes"], "A title", source_tables.variants(entries))
    order = ["none", "synthetic", "real", "the target's own labels"]
    kinds = [order.index(row[0].partition(":")[0]) for row in printed.rows]
    assert kinds == sorted(kinds)
    assert SAID in printed.notes


def test_the_figure_has_headlines_and_lines(cells, tmp_path):
    points = source_tables.points(cells, ["nine classes", "ten classes"])
    assert list(points.columns) == source_tables.POINTS
    nine = points[points["panel"].str.startswith("nine")]
    assert set(nine["reference"]) == {"", "supervised on target labels", "best published, real: STL-10"}
    assert set(points.loc[points["panel"].str.startswith("ten"), "reference"]) == {"", "ImageNet head by class names"}
    assert nine.loc[nine["method"] == "DANN", "accuracy"].max() == pytest.approx(0.7), "inductive, where there is both"
    path = figures.draw("by_source", points, tmp_path)
    first = path.read_bytes()
    assert figures.redraw(tmp_path / "by_source.csv").read_bytes() == first, "from its CSV alone, the same bytes"


def test_office31_pairs_with_an_oracle_and_class_names(tmp_path):
    """Rows without a labelled source have a column a target, those from real ones a column a pair."""
    about = {"backbone": "lite0", "image_size": 128, "target": "office31:webcam[mouse,pen]"}
    made = made_records.run(tmp_path, "images/amazon", "21_real_source", {"benchmark": "office31:amazon[mouse,pen]"}, {}, [{"images": 9}])
    runs = [made_records.inter(tmp_path, made, "dann", {0: 0.7}, "inter_domain/W/amazon/dann", **about)]
    runs.append(made_records.inter(tmp_path, made, "imagenet_head", {0: 0.6}, "inter_domain/W/amazon/head", **about))
    runs.append(made_records.run(tmp_path, "oracle/W", "41_oracle", about, {}, [{"seed": 0, "accuracy": 0.95, "mean_per_class": 0.95}]))
    entries = provenance.records([str(run) for run in runs], "")
    cells = task_tables.ours(benchmark_tables.per_seed(entries), labelled=source_tables.labels(entries))
    assert dict(zip(cells["labelled"], cells["column"], strict=True)) == {
        "real": "A->W",
        "none: class names": "W",
        "the target's own labels": "W",
    }
    by_source = source_tables.cells(benchmark_tables.per_seed(entries), entries, source_tables.target_of)
    assert dict(zip(by_source["labelled"], by_source["protocol"], strict=True)) == {
        "real: amazon": "transductive",
        "none: class names": "transductive",
        "the target's own labels": "cross-validated",
    }
    assert (ROOT / "published/stl_cifar.csv").is_file()
