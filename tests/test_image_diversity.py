"""Diversity of images: the formulas on sets whose answer is known, and the table that sets it against accuracy."""

import math

import pandas as pd
import pytest
import torch

from aa_utils import verify
from aa_utils.errors import InputError
from aa_utils.evaluation import image_diversity
from aa_utils.paths import ROOT
from aa_utils.reporting import diversity_runs, diversity_tables, provenance, tables

RUNS = ["examples/digits/inter_domain/offline/dann", "examples/digits/intra_domain/offline/dann/fixmatch"]


@pytest.mark.parametrize("n", [1, 2, 7])
def test_images_that_are_alike_count_as_one_and_those_that_share_nothing_as_many(n):
    same, apart = torch.ones(n, 9), 3 * torch.eye(n, 9)
    assert image_diversity.vendi(same) == pytest.approx(1.0) and image_diversity.mean_distance(same) == pytest.approx(0.0, abs=1e-12)
    assert image_diversity.vendi(apart) == pytest.approx(n)
    assert image_diversity.mean_distance(apart) == pytest.approx(1.0 if n > 1 else 0.0)


@pytest.mark.parametrize(("n", "d"), [(5, 12), (12, 5)])
def test_scores_are_those_of_the_equations(n, d):
    f = torch.randn(n, d, generator=torch.Generator().manual_seed(0))
    u = (f / f.norm(dim=1, keepdim=True)).double()
    pairs = [1 - float(u[i] @ u[j]) for i in range(n) for j in range(n) if i != j]
    assert image_diversity.mean_distance(f) == pytest.approx(sum(pairs) / len(pairs), rel=1e-5)
    values = [max(0.0, float(v)) / n for v in torch.linalg.eigvalsh(u @ u.T)]
    assert image_diversity.vendi(f) == pytest.approx(math.exp(-sum(v * math.log(v) for v in values if v > 1e-12)), rel=1e-5)


def by_class(vendi: dict[str, list[float]], accuracy: dict[str, list[float]]) -> pd.DataFrame:
    rows = []
    for prompts in vendi:
        for k, (v, a) in enumerate(zip(vendi[prompts], accuracy[prompts], strict=True)):
            about = dict.fromkeys(diversity_tables.PER_CLASS, "x") | {"prompts": prompts, "inter_domain": "dann", "intra_domain": "none"}
            numbers = {"images": 10, "seed": 0, "drawn": 5, "pairwise": v / 10, "target_pairwise": 0.5, "target_vendi": 9.0}
            rows.append(about | numbers | {"class_name": f"class {k}", "vendi": v, "accuracy": a})
    return pd.DataFrame(rows)


def test_the_summary_says_which_prompts_collapse_and_whether_it_costs():
    rising = [0.5, 0.6, 0.7, 0.8, 0.9]
    frame = by_class(
        {"simple": [1.0, 2.0, 3.0, 4.0, 5.0], "offline": [6.0, 7.0, 8.0, 9.0, 10.0]}, {"simple": rising, "offline": rising[::-1]}
    )
    made = diversity_tables.summary(frame).set_index("prompts")
    assert made["spearman"].to_dict() == {"simple": 1.0, "offline": -1.0}
    said = " ".join(diversity_tables.sentences(diversity_tables.summary(frame)))
    assert "Images of simple prompts are the least diverse (Vendi score 3.00), of offline the most (8.00)" in said
    assert "offline minus simple is +0.0 points" in said and "better in 1 and worse in 1 of 2 rows" in said
    few = diversity_tables.summary(by_class({"simple": [1.0, 2.0]}, {"simple": [0.5, 0.6]}))
    assert few["spearman"].isna().all()


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """(rows of the classes, results folder) of the runs that ship."""
    folder = tmp_path_factory.mktemp("made") / "results"
    frame = diversity_runs.per_class(RUNS, "uci_digits", diversity_runs.extractor("models/pocket-clip"))
    diversity_runs.write(folder, RUNS, "uci_digits", frame, {"clip": "models/pocket-clip"})
    return frame, folder


def test_classes_give_the_recorded_mean_and_follow_from_records(measured):
    frame, folder = measured
    recorded = provenance.records(RUNS, "uci_digits")
    for (run, seed), group in frame.groupby(["run", "seed"]):
        known = next(row["mean_per_class"] for row in recorded[run]["metrics"] if row["seed"] == seed)
        assert group["accuracy"].mean() == pytest.approx(known, abs=1e-5)
    assert (frame["drawn"] == 12).all(), "as many of each class as the smallest has"
    assert frame["vendi"].between(1, 12).all() and (frame["vendi"] < frame["target_vendi"] + 12).all()
    assert verify.untraced(folder) == [] and verify.again(folder)["unchanged"].all()
    changed = tables.read_csv(folder / "tables/diversity_classes.csv")
    changed.loc[0, "accuracy"] = 0.123456
    tables.write_csv(folder / "tables/diversity_classes.csv", changed)
    assert len(diversity_runs.untraced(folder)) == 2
    tables.write_csv(folder / "tables/diversity_classes.csv", frame)


@pytest.mark.parametrize("arguments", [("", "", False), ("models/pocket-clip", "resnet18", False)])
def test_features_come_from_one_network(arguments):
    with pytest.raises(InputError, match="features come from one of the two"):
        diversity_runs.extractor(*arguments)


def test_a_backbone_gives_features_too():
    pixels = torch.zeros(3, 3, 32, 32, dtype=torch.uint8)
    assert diversity_runs.extractor("", "pocket_resnet")(pixels, ["a", "b"]).shape[0] == 3
    assert (ROOT / RUNS[0]).is_dir()
