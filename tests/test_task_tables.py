"""Tables as the literature prints them: tasks as columns, both kinds of source, CLIP always, and the numbers of the paper itself."""

import math

import made_datasets
import made_records
import pandas as pd
import pytest
import torch

from aa_utils import benchmarks
from aa_utils.classifiers import inference
from aa_utils.errors import InputError
from aa_utils.paths import ROOT
from aa_utils.reporting import benchmark_figures, benchmark_tables, provenance, task_tables, zero_shot

DOMAINS = ["A", "D", "W"]
FULL = {"A": "office31:amazon", "D": "office31:dslr-partial", "W": "office31:webcam"}
METHODS = ["source only", "DANN", "MCD", "SymNets", "CDTrans", "CLIP zero-shot"]


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    """Every pair from real sources by DANN, W from synthetic images by DANN, FixMatch and, on another network, source only; CLIP on W."""
    root, runs = tmp_path_factory.mktemp("runs"), []
    about = {"backbone": "resnet50", "image_size": 224}
    for source in DOMAINS:
        made = made_records.run(
            root, f"images/{source}", "21_real_source", {"benchmark": FULL[source], "image_size": 224}, {}, [{"images": 9}]
        )
        for target in DOMAINS:
            if target != source:
                right = {0: 0.5 + 0.1 * DOMAINS.index(source), 1: 0.6 + 0.1 * DOMAINS.index(source)}
                runs.append(
                    made_records.inter(root, made, "dann", right, f"inter_domain/{target}/{source}/dann", target=FULL[target], **about)
                )
    images = made_records.images(root, "offline")
    runs.append(made_records.inter(root, images, "dann", {0: 0.8, 1: 0.9}, "inter_domain/W/offline/dann", target=FULL["W"], **about))
    runs.append(made_records.intra(root, runs[-1], "fixmatch", {0: 0.9, 1: 0.92}, target=FULL["W"]))
    deit = {"target": FULL["W"], "backbone": "deit", "image_size": 224}
    for method in ("dann", "cdtrans"):  # DANN on two networks: two tables' worth of settings
        runs.append(made_records.inter(root, images, method, {0: 0.7}, f"inter_domain/W/offline/{method}_deit", **deit))
    entries = provenance.records([str(run) for run in runs], "")
    about = {"target": FULL["W"], "image_size": 224, "model": "openai/clip-vit-large-patch14", "template": "{}"}
    entries["zero_shot-W"] = provenance.measurement("zero_shot", "made", about, {}, [{"accuracy": 0.75, "mean_per_class": 0.7}])
    return benchmark_tables.per_seed(entries)


@pytest.fixture(scope="module")
def cells(seeds):
    theirs = task_tables.published("office31", METHODS, ["ResNet-50", "DeiT-B", "CLIP ViT-B-16"])
    return pd.concat([task_tables.ours(seeds), theirs], ignore_index=True)


def value(means, column, **about):
    for name, wanted in about.items():
        means = means[means[name] == wanted]
    found = means[means["column"] == column]
    assert len(found) == 1, found
    return found.iloc[0]


def test_networks_are_tables_of_their_own(seeds):
    assert set(seeds["network"]) == {"resnet50", "deit", "clip-vit-large-patch14"}
    both = seeds[(seeds["test"] == FULL["W"]) & (seeds["inter_domain"] == "dann") & (seeds["real_source"] == "")]
    assert sorted(set(both["network"])) == ["deit", "resnet50"]


def test_tasks_are_columns(cells):
    means = task_tables.from_real(cells, DOMAINS)
    ours = {"labelled": "real", "method": "DANN", "origin": "this kit"}
    row = value(means, "D->W", **ours)
    assert (row["mean"], row["sd"], row["n"]) == (pytest.approx(0.65), pytest.approx(0.05 * math.sqrt(2), abs=1e-6), 2)
    assert value(means, "avg", **ours)["mean"] == pytest.approx(0.65)
    assert value(means, "A->W", method="CLIP zero-shot", origin="this kit")["mean"] == 0.75
    assert means[(means["method"] == "CLIP zero-shot") & (means["origin"] == "this kit") & (means["column"] == "avg")].empty, "A and D lack"
    assert not means["labelled"].str.startswith("synthetic").any()


def test_theirs_are_quoted(cells):
    means = task_tables.from_real(cells, DOMAINS)
    row = value(means, "avg", method="MCD")
    assert (row["mean"], row["derived"]) == (0.854, False), "the printed mean, not one of ours"
    clip = value(means, "avg", method="CLIP zero-shot", network="CLIP ViT-B-16")
    assert clip["derived"], "no mean of tasks is printed there"
    printed = task_tables.layout(means, [*task_tables.pairs(DOMAINS), "avg"], "Office-31")
    lines = [row for row in printed.rows if row[1] == "CLIP zero-shot"]
    assert {row[-2] for row in lines} == {"79.9*", "–"}
    assert "*: mean of printed numbers, computed here." in printed.notes
    assert ["ERM", "76.1"] in [[row[1], row[-2]] for row in printed.rows], "TLlib calls source only ERM"
    assert printed.rows[0][0] == "none: web pairs", "CLIP comes first"


def test_targets_are_columns(cells):
    means = task_tables.by_target(cells, DOMAINS)
    synthetic = "synthetic: offline prompts, pocket-diffusion"
    assert value(means, "W", labelled=synthetic, method="DANN + FixMatch")["mean"] == pytest.approx(0.91)
    assert value(means, "W", labelled="real, mean over sources", method="DANN", origin="this kit")["mean"] == pytest.approx(0.6)
    assert value(means, "W", labelled="real, mean over sources", method="MCD")["mean"] == pytest.approx((0.904 + 0.985) / 2)
    assert value(means, "avg", labelled="real, mean over sources", method="MCD")["mean"] == 0.854
    assert value(means, "W", method="CLIP zero-shot", origin="this kit")["n"] == 1
    printed = task_tables.layout(means, [*DOMAINS, "avg"], "Office-31")
    kinds = list(dict.fromkeys(row[0] for row in printed.rows))
    assert kinds == ["none: web pairs", synthetic, "real, mean over sources"]
    assert ["DANN", "resnet50", "last step", "–", "–", "85.0 ± 7.1", "–", "this kit, n = 2"] in [row[1:] for row in printed.rows]


def test_the_papers_own_numbers_join_once_they_are_there(tmp_path, monkeypatch):
    (tmp_path / "published").mkdir()
    for name in ("office31", "visda17"):
        (tmp_path / f"published/{name}.csv").write_bytes((ROOT / f"published/{name}.csv").read_bytes())
    own = (ROOT / "published/adapt_anything.csv").read_text(encoding="utf-8")
    assert own.count("\n") == 1, "empty but for the header"
    own += 'Office-31,SD->A,Adapt Anything (DANN),ResNet-50,12.5,"made up, table 0 [test]"\n'
    own += 'Office-31,avg,Adapt Anything (DANN),ResNet-50,14.5,"made up, table 0 [test]"\n'
    own += 'VisDA-17,SD->mean_per_class,Adapt Anything (DANN),ResNet-101,15.5,"made up, table 0 [test]"\n'
    (tmp_path / "published/adapt_anything.csv").write_text(own, encoding="utf-8")
    monkeypatch.setattr(task_tables, "ROOT", tmp_path)
    means = task_tables.by_target(task_tables.published("office31", [], []), DOMAINS)
    assert [(row.labelled, row.column, row.mean) for row in means.itertuples()] == [("synthetic", "A", 0.125), ("synthetic", "avg", 0.145)]
    means = task_tables.over_seeds(task_tables.published("visda17", [], [], {"mean_per_class": "mean"}), ["plane"], "mean")
    assert [(row.labelled, row.column, row.mean) for row in means.itertuples()] == [("synthetic", "mean", 0.155)]


def test_classes_are_columns(tmp_path, monkeypatch):
    monkeypatch.setenv("AA_DATA", str(tmp_path / "data"))
    made_datasets.make("visda17", tmp_path / "data", 2, ["validation"])
    target = benchmarks.load("visda17:validation-partial", 32)
    right = torch.nn.functional.one_hot(target.labels, 12).float()
    right[target.labels == 3] = torch.nn.functional.one_hot(torch.tensor(4), 12).float()  # every car a horse
    about = {"target": target.name, "backbone": "resnet101", "image_size": 32}
    run = made_records.inter(tmp_path, made_records.images(tmp_path, "offline"), "dann", {0: 11 / 12}, **about)
    inference.write_predictions(run / "seed0/predictions.parquet", target.ids, right)
    entries = provenance.records([str(run)], "")
    entry = next(entry for entry in entries.values() if provenance.stage(entry) == "inter_domain")
    entry["parameters"]["out"] = str(run)
    classes = [f"class {k}" for k in range(12)]
    cells = task_tables.ours(benchmark_tables.per_seed(entries), task_tables.by_class(entries, classes, 32, tmp_path / "clip"))
    means = task_tables.over_seeds(cells, classes, "mean")
    assert list(means["column"]) == [*classes, "mean", "overall"]
    assert list(means["mean"].round(4)) == [1, 1, 1, 0, *[1] * 8, round(11 / 12, 4), round(11 / 12, 4)]
    figure = benchmark_figures.by_class(means)
    assert [text.get_text() for text in figure.axes[0].texts] == ["100"] * 3 + ["0"] + ["100"] * 8 + ["92"] * 2


def test_published_classes_follow_the_order_of_the_labels():
    from aa_utils.benchmarks import visda17

    tasks = list(dict.fromkeys(pd.read_csv(ROOT / "published/visda17.csv")["task"]))
    classes = [task for task in tasks if task not in ("mean_per_class", "overall")]
    alike = {"bcycl": "bicycle", "mcycl": "motorcycle", "plane": "aeroplane", "sktbrd": "skateboard"}
    assert [alike.get(name, name) for name in classes] == list(visda17.CLASSES)
    assert str(classes).replace("'", '"').strip("[]") in (ROOT / "notebooks/56_benchmark_visda17.ipynb").read_text().replace("\\", "")


def test_zero_shot_needs_names_alone(tmp_path, monkeypatch, tiny_clip):
    monkeypatch.setenv("AA_DATA", str(tmp_path / "data"))
    made_datasets.make("visda17", tmp_path / "data", 1, ["validation"])
    photos = made_datasets.unlabelled(tmp_path / "photos")
    (photos / "classes.txt").write_text("mug\npen\n")
    targets = ["visda17:validation-partial", f"image_folder:{photos}"]
    with pytest.raises(InputError, match="' is longer than the 16 tokens that"):
        zero_shot.records(targets, str(tiny_clip), "a photo of a {}", 32, "cpu", tmp_path / "out", "made")
    found = zero_shot.records(targets, str(tiny_clip), "{}", 32, "cpu", tmp_path / "out", "made")
    assert list(found) == ["zero_shot-visda17-validation-partial"], "what nobody labelled has no accuracy"
    assert 0 <= found["zero_shot-visda17-validation-partial"]["metrics"][0]["accuracy"] <= 1
    ids = benchmarks.load(targets[0], 32).ids
    assert inference.read_predictions(zero_shot.prediction(tmp_path / "out", targets[0]), ids).shape == (12, 12)


def test_figure_shows_every_target_and_source(cells):
    means = task_tables.by_target(cells, DOMAINS)
    figure = benchmark_figures.by_target(means)
    assert [axes.get_title("left") for axes in figure.axes] == ["A", "D", "W", "avg"]
    said = [text.get_text() for text in figure.legends[0].get_texts()]
    assert said == ["synthetic: offline prompts, pocket-diffusion", "real, mean over sources", "CLIP zero-shot"]
