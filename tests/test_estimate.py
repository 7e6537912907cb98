"""Estimates without labels: each formula by explicit loops, and what is made of finished runs."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from test_train import ARCHITECTURE

from aa_utils import benchmarks, files
from aa_utils.classifiers import backbones, inference
from aa_utils.data import images
from aa_utils.errors import InputError
from aa_utils.evaluation import scoring, without_labels
from aa_utils.reporting import estimate_figures, estimate_runs, layout, tables
from aa_utils.runner import record

P = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4], [1.0, 0.0, 0.0]])
P_S = torch.tensor([[0.9, 0.05, 0.05], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1], [0.1, 0.3, 0.6], [0.34, 0.33, 0.33]])
Y_S = torch.tensor([0, 1, 1, 2, 2])  # the third and the last prediction are wrong


def entropy(row):
    return -sum(v * math.log(v) for v in row if v > 0)


def test_negative_entropy_and_information():
    mean = -sum(entropy(row) for row in P.tolist()) / 4
    marginal = [sum(row[k] for row in P.tolist()) / 4 for k in range(3)]
    assert without_labels.negative_entropy(P) == pytest.approx(mean, rel=1e-6)
    assert without_labels.information(P) == pytest.approx(entropy(marginal) + mean, rel=1e-6)


def test_information_tells_a_collapsed_classifier_from_a_good_one():
    collapsed, good = torch.eye(3)[[0, 0, 0]], torch.eye(3)
    assert without_labels.negative_entropy(collapsed) == without_labels.negative_entropy(good) == 0
    assert without_labels.information(collapsed) == pytest.approx(0)
    assert without_labels.information(good) == pytest.approx(math.log(3))
    assert without_labels.information(torch.full((5, 3), 1 / 3)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_neighbourhood_density_in_pieces(rows):
    p = P.tolist()
    total = 0.0
    for i in range(4):
        weights = []
        for j in range(4):
            cosine = sum(a * b for a, b in zip(p[i], p[j], strict=True)) / math.sqrt(sum(a * a for a in p[i]) * sum(b * b for b in p[j]))
            weights.append(math.exp(cosine / 0.05) if i != j else 0.0)
        total += entropy([w / sum(weights) for w in weights]) / 4
    assert without_labels.neighbourhood_density(P, rows=rows) == pytest.approx(total, rel=1e-5)


def test_neighbourhood_density_of_many_images_is_that_of_some_of_them(monkeypatch):
    g = torch.Generator().manual_seed(0)
    sure, unsure = (torch.softmax(scale * torch.randn(600, 5, generator=g), 1) for scale in (9.0, 0.5))
    whole = [without_labels.neighbourhood_density(p) for p in (sure, unsure)]
    monkeypatch.setattr(without_labels, "MOST", 300)
    part = [without_labels.neighbourhood_density(p) for p in (sure, unsure)]
    assert part == [without_labels.neighbourhood_density(p) for p in (sure, unsure)]  # the same images each time
    assert (part[0] > part[1]) == (whole[0] > whole[1])
    # Half as many images are half as many neighbours: ln 2 less.
    assert [value - other for value, other in zip(whole, part, strict=True)] == pytest.approx([math.log(2)] * 2, abs=0.1)


def test_neighbourhood_density_of_equal_images_and_of_one():
    assert without_labels.neighbourhood_density(P[:1].expand(7, -1)) == pytest.approx(math.log(6))
    with pytest.raises(InputError, match="no neighbours"):
        without_labels.neighbourhood_density(P[:1])


def test_rankme():
    f = torch.diag(torch.tensor([3.0, 2.0, 1.0]))
    assert without_labels.rankme(f) == pytest.approx(math.exp(entropy([3 / 6, 2 / 6, 1 / 6])), rel=1e-5)
    assert without_labels.rankme(torch.ones(6, 4)) == pytest.approx(1, abs=1e-4)
    assert without_labels.rankme(torch.eye(4)) == pytest.approx(4, rel=1e-5)


def test_agreement_with_the_other_seeds():
    a, b, c = torch.tensor([0, 1, 2, 0]), torch.tensor([0, 1, 1, 1]), torch.tensor([0, 0, 2, 0])
    assert without_labels.agreement([a, b, c]) == pytest.approx([(0.5 + 0.75) / 2, (0.5 + 0.25) / 2, (0.75 + 0.25) / 2])
    assert math.isnan(without_labels.agreement([a])[0])
    assert without_labels.agreement([a, a]) == [1, 1]


def nll(p, labels, t):
    total = 0.0
    for row, y in zip(p.tolist(), labels.tolist(), strict=True):
        powers = [v ** (1 / t) for v in row]
        total -= math.log(powers[y] / sum(powers)) / len(p)
    return total


def test_temperature_is_the_minimiser():
    t = without_labels.temperature(P_S, Y_S)
    assert 0.05 < t < 20
    assert nll(P_S, Y_S, t) <= min(nll(P_S, Y_S, t * factor) for factor in (0.9, 0.99, 1.01, 1.1)) + 1e-12
    expected = [[v ** (1 / t) / sum(u ** (1 / t) for u in row) for v in row] for row in P_S.tolist()]
    assert torch.allclose(without_labels.tempered(P_S, t), torch.tensor(expected).double(), atol=1e-6)


def test_temperature_stays_in_its_range_and_survives_zeros():
    right = torch.tensor([[0.9, 0.1], [0.2, 0.8]])
    assert without_labels.temperature(right, torch.tensor([0, 1])) == pytest.approx(0.05)
    assert without_labels.temperature(right, torch.tensor([1, 0])) == pytest.approx(20)
    assert math.isfinite(without_labels.temperature(torch.eye(2), torch.tensor([0, 0])))


def test_a_calibrated_classifier_needs_no_temperature():
    generator = torch.Generator().manual_seed(0)
    p = torch.randn(20000, 3, generator=generator).softmax(1)
    y = torch.multinomial(p, 1, generator=generator)[:, 0]
    assert without_labels.temperature(p, y) == pytest.approx(1, abs=0.05)
    assert without_labels.temperature(without_labels.tempered(p, 0.5), y) == pytest.approx(2, abs=0.1)
    assert without_labels.confidence(p) == pytest.approx(scoring.accuracy(p.argmax(1), y), abs=0.01)


def test_confidence_and_their_difference():
    assert without_labels.confidence(P) == pytest.approx((0.7 + 0.8 + 0.4 + 1) / 4)
    on_source = (0.9 + 0.7 + 0.5 + 0.6 + 0.34) / 5
    assert without_labels.difference_of_confidences(P, P_S, Y_S) == pytest.approx(3 / 5 - (on_source - 0.725), rel=1e-5)
    assert without_labels.difference_of_confidences(torch.full((2, 3), 1 / 3), torch.eye(3), torch.tensor([1, 1, 1])) == 0, "never below 0"


def test_atc_by_hand():
    surety = sorted(-entropy(row) for row in P_S.tolist())
    below = surety[2]  # two of five are wrong: two lie below
    expected = sum(-entropy(row) >= below for row in P.tolist()) / 4
    assert 0 < expected < 1, "the test must have images on both sides of the threshold"
    assert without_labels.atc(P, P_S, Y_S) == pytest.approx(expected)
    assert without_labels.atc(P_S, P_S, Y_S) == pytest.approx(3 / 5), "on the source itself it is the accuracy"


def test_atc_at_its_ends():
    assert without_labels.atc(P_S, P_S, P_S.argmax(1)) == 1
    assert without_labels.atc(P, P_S, (P_S.argmax(1) + 1) % 3) == 0
    assert without_labels.threshold(torch.tensor([0.3, 0.1, 0.2]), torch.tensor([True, False, False])) == pytest.approx(0.3)


def test_accuracies_are_those_after_temperature_scaling():
    t = without_labels.temperature(P_S, Y_S)
    found = without_labels.accuracies(P, P_S, Y_S)
    assert found["confidence"] == pytest.approx(sum(max(row) for row in without_labels.tempered(P, t).tolist()) / 4)
    assert set(found) | {"agreement"} == set(without_labels.ACCURACIES)
    assert set(without_labels.scores(P, torch.rand(4, 2))) == set(without_labels.SCORES)


def test_interval_and_range():
    low, high = without_labels.interval(0.5, 100)
    assert (low, high) == (pytest.approx(0.4038, abs=1e-4), pytest.approx(0.5962, abs=1e-4))  # Wilson's, as in any table
    assert without_labels.interval(0.0, 10)[0] == 0
    assert without_labels.interval(1.0, 10)[1] == 1
    both = {"atc": 0.6, "agreement": 0.8, "confidence": 0.99}
    assert without_labels.range_of(both, 200) == (without_labels.interval(0.6, 200)[0], without_labels.interval(0.8, 200)[1])
    assert without_labels.range_of({"atc": 0.6, "agreement": math.nan}, 200) == without_labels.interval(0.6, 200)
    assert without_labels.range_of(both, 50)[0] < without_labels.range_of(both, 5000)[0] < 0.6
    with pytest.raises(InputError, match="atc and agreement"):
        without_labels.range_of({"atc": math.nan}, 10)


def test_spearman_with_ties():
    assert estimate_runs.spearman(pd.Series([1, 2, 3]), pd.Series([10, 20, 15])) == pytest.approx(0.5)
    assert estimate_runs.spearman(pd.Series([1, 2, 2, 4]), pd.Series([1, 3, 3, 9])) == pytest.approx(1)
    assert math.isnan(estimate_runs.spearman(pd.Series([1, 2]), pd.Series([1, 2])))
    assert math.isnan(estimate_runs.spearman(pd.Series([1, 1, 1]), pd.Series([1, 2, 3])))


COUNT = 30  # synthetic images, three of each class


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Two runs with two seeds each, one of which used two images of each class; and their image folder."""
    root = tmp_path_factory.mktemp("runs")
    target = benchmarks.load("uci_digits", 32)
    rows, noise = [], np.random.default_rng(0)
    for i in range(COUNT):
        name = f"digit/{i}.png"
        (root / "images/offline/digit").mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(root / "images/offline" / name)
        about = {"label": i % 10, "class_name": target.class_names[i % 10], "sha256": files.sha256(root / "images/offline" / name)}
        rows.append({"file_name": name, **about})
    files.write_jsonl(root / "images/offline/metadata.jsonl", rows)
    source = record.describe_input("source", str(root / "images/offline"))
    for method, limit in (("dann", 0), ("source_only", 2)):
        folder = root / "inter_domain/offline" / method
        metrics = []
        for seed in (0, 1):
            torch.manual_seed(10 * limit + seed)
            classifier = backbones.build(num_classes=10, **ARCHITECTURE)
            backbones.save(classifier, folder / f"seed{seed}", target.class_names)
            p, _ = inference.predict(classifier, target.images.pixels)
            inference.write_predictions(folder / f"seed{seed}/predictions.parquet", target.ids, p)
            metrics.append({"seed": seed, **scoring.score(folder / f"seed{seed}/predictions.parquet", target)})
        parameters = {"method": method, "target": "uci_digits", "limit_per_class": limit, "source": source["path"], "out": str(folder)}
        parameters["initial"] = ""  # of stage 3: the pretrained run it goes on from, if any
        known = {"schema": record.SCHEMA, "run_id": f"id of {method}", "notebook": "notebooks/30_inter_domain.ipynb", "code": {}}
        record.write(folder, known | {"parameters": parameters, "inputs": [source], "metrics": metrics})
    return root


@pytest.fixture(scope="module")
def frame(finished):
    return estimate_runs.per_seed([str(finished / "inter_domain")], "uci_digits", 32, str(finished / "images/offline"))


def test_a_run_has_seen_its_images_and_those_of_the_run_it_goes_on_from(finished, tmp_path):
    before, after = finished / "inter_domain/offline/source_only", tmp_path / "dann"
    first = record.read(before)
    alone = first["parameters"] | {"limit_per_class": 1, "out": str(after)}
    for parameters, seen in ((alone, 10), (alone | {"initial": str(before)}, 20), ({"initial": str(before)}, 20)):
        record.write(after, first | {"parameters": parameters})
        assert len(estimate_runs._trained_on(after, 0)) == seen, parameters
    record.write(after, first | {"parameters": alone | {"initial": str(tmp_path / "gone")}})
    assert estimate_runs._trained_on(after, 0) is None


def test_runs_are_estimated_on_images_they_did_not_see(finished, frame):
    assert list(frame.columns) == estimate_runs.PER_SEED
    assert [(row.inter_domain, row.seed, row.held_out) for row in frame.itertuples()] == [
        ("dann", 0, 0),  # it was trained on all of them
        ("dann", 1, 0),
        ("source_only", 0, 10),  # one image of each class was left
        ("source_only", 1, 10),
    ]
    target = benchmarks.load("uci_digits", 32)
    labelled = images.load(finished / "images/offline", 32, target.class_names)
    kept = images.limit(labelled, 2, seed=1)
    rest = torch.tensor([i for i, name in enumerate(labelled.names) if name not in kept.names])
    folder = finished / "inter_domain/offline/source_only/seed1"
    classifier, _ = backbones.load(folder)
    p, f = inference.predict(classifier, target.images.pixels)
    p_s, _ = inference.predict(classifier, labelled.pixels[rest])
    expected = without_labels.accuracies(p, p_s, labelled.labels[rest]) | without_labels.scores(p, f)
    row = frame.iloc[3]
    assert {name: row[name] for name in expected} == pytest.approx(expected, abs=1e-5)
    assert row["accuracy"] == pytest.approx(scoring.score(folder / "predictions.parquet", target)["accuracy"], abs=1e-6)
    assert row["agreement"] == frame.iloc[2]["agreement"], "two seeds agree with each other alike"
    assert row["low"] <= min(row["atc"], row["agreement"]) <= max(row["atc"], row["agreement"]) <= row["high"]


def test_no_estimate_reads_a_target_label(finished, frame, monkeypatch):
    real = benchmarks.load

    def unlabelled(*arguments):
        target = real(*arguments)
        return benchmarks.Target(target.name, target.images, None)  # any use of it fails

    monkeypatch.setattr(benchmarks, "load", unlabelled)
    again = estimate_runs.per_seed([str(finished / "inter_domain")], "uci_digits", 32, str(finished / "images/offline"))
    pd.testing.assert_frame_equal(again, frame)  # true accuracies come from the runs' records


def test_unlabelled_folders_and_strange_runs_are_refused(finished, frame, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="has no labels"):
        estimate_runs.per_seed([str(finished / "inter_domain")], "uci_digits", 32, str(tmp_path))
    with pytest.raises(InputError, match="is not among the runs"):
        estimate_runs.statement(frame.iloc[2:], finished / "inter_domain/offline/dann")


def made(n=4) -> pd.DataFrame:
    """A table of `per_seed` with known answers: ATC 10 points too low everywhere, entropy in reverse order."""
    rows = []
    for i in range(n):
        about = {"benchmark": "uci_digits", "prompts": "offline", "inter_domain": "dann", "intra_domain": "none", "images": 100}
        accuracy = 0.5 + 0.1 * i
        known = dict.fromkeys(without_labels.SCORES, 1.0 * i) | dict.fromkeys(without_labels.ACCURACIES, accuracy)
        known |= {"entropy": -1.0 * i, "atc": accuracy - 0.1, "agreement": math.nan}
        spread = {"low": accuracy - 0.15, "high": accuracy + (0.05 if i else -0.05), "held_out": 20}
        rows.append(about | {"run": f"run{i}", "run_id": str(i), "seed": 0, "accuracy": accuracy} | known | spread)
    return tables.rounded(pd.DataFrame(rows, columns=estimate_runs.PER_SEED))


def test_estimators_are_judged():
    summary = estimate_runs.judged(made()).set_index("estimator")
    assert list(summary.index) == [*without_labels.SCORES, *without_labels.ACCURACIES]
    assert summary.loc["atc", ["n", "spearman", "error", "bias", "picks", "regret"]].tolist() == [4, pytest.approx(1), 0.1, -0.1, "run3", 0]
    assert summary.loc["entropy", ["spearman", "picks", "regret"]].tolist() == [pytest.approx(-1), "run0", 0.3]
    assert math.isnan(summary.loc["entropy", "error"]), "a score has no error"
    assert summary.loc["agreement", "n"] == 0
    text = layout.markdown(estimate_runs.table(summary.reset_index(), made()))
    assert "| ATC | 4 | 1.00 | 10.0 | -10.0 | run3 | 0.0 |" in text.replace("−", "-")
    assert "agreement of seeds | 0 | – | – | – | – | – |" in text


def test_the_line_of_a_run(finished, frame):
    text = estimate_runs.statement(frame, finished / "inter_domain/offline/source_only")
    first = frame.iloc[2]
    assert f"Seed 0: {100 * first['low']:.0f} to {100 * first['high']:.0f} % right, without a label" in text
    assert "10 held-out images" in text
    inside = sum(row.low <= row.accuracy <= row.high for row in frame.itertuples())
    assert "Of 4 such ranges here, " in text
    assert text.endswith(f", {inside} held the true accuracy.")
    assert "too high" in estimate_runs.statement(frame, finished / "inter_domain/offline/dann")


def test_written_tables_and_figure(finished, frame, tmp_path):
    held_out = str(finished / "images/offline")
    summary = estimate_runs.write(tmp_path, [str(finished / "inter_domain")], frame, held_out, {"held_out": held_out})
    assert set(path.name for path in (tmp_path / "tables").iterdir()) == {
        f"estimates{end}" for end in ("_seeds.csv", ".csv", ".md", ".tex")
    }
    names = {path.stem for path in (tmp_path / "runs").glob("*.json")}
    assert names == {"inter_domain-offline-dann", "inter_domain-offline-source_only", "without_labels"}
    written = (tmp_path / "tables/estimates.csv").read_bytes()
    estimate_runs.again(tmp_path)
    assert (tmp_path / "tables/estimates.csv").read_bytes() == written
    assert estimate_runs.untraced(tmp_path) == []
    assert "calibrated on images that they were trained on" in (tmp_path / "tables/estimates.md").read_text()
    record.write_metrics(tmp_path, tables.rows(summary))
    assert len(json.loads((tmp_path / "metrics.json").read_text())) == 8
    seeds = tmp_path / "tables/estimates_seeds.csv"
    tables.write_csv(seeds, frame.assign(atc=0.5))
    assert len(estimate_runs.untraced(tmp_path)) == len(frame), "estimates that no record has"
    files.write_json(tmp_path / "runs/inter_domain-offline-dann.json", {"stage": "inter_domain", "run_id": "id of dann", "metrics": []})
    tables.write_csv(seeds, frame)
    assert [row.split(",")[0] for row in estimate_runs.untraced(tmp_path)] == ["estimates_seeds.csv: inter_domain-offline-dann"] * 2
    path = estimate_figures.draw(frame, tmp_path / "figures")
    first = files.sha256(path)
    # From its CSV alone, the same bytes.
    estimate_figures.save(estimate_figures.estimates(tables.read_csv(path.with_suffix(".csv"))), "again", tmp_path, frame)
    assert files.sha256(tmp_path / "again.png") == first
    pixels = np.asarray(Image.open(path).convert("L"))
    assert (np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]) == 255).all(), "nothing is cut off"


def test_panels_show_the_points():
    figure = estimate_figures.estimates(estimate_figures.points(made()))
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes}
    assert len(panels) == len(without_labels.SCORES) + len(without_labels.ACCURACIES)
    drawn = panels["ATC"].lines[0]
    assert drawn.get_xdata() == pytest.approx([40, 50, 60, 70])
    assert drawn.get_ydata() == pytest.approx([50, 60, 70, 80])
    assert panels["ATC"].get_xlabel() == "r = 1.00, e = 10.0"
    assert panels["negative entropy"].get_xlabel() == "r = -1.00"
    assert panels["agreement of seeds"].get_xlabel() == "too few runs"
    assert "n = 1 seed)" in figure.get_supxlabel()


@pytest.mark.parametrize("methods", [["dann"], ["source_only", "dann", "mcd", "symnets", "fixmatch", "cdtrans"]])
def test_the_legend_stays_in_the_figure(methods):
    rows = [
        made().assign(inter_domain=method, intra_domain=refinement, run=f"{method} {refinement}")
        for method in methods
        for refinement in ("none", "mixmatch", "fixmatch")
    ]
    figure = estimate_figures.estimates(estimate_figures.points(pd.concat(rows, ignore_index=True)))
    figure.canvas.draw()
    box, legend = figure.bbox, figure.legends[0].get_window_extent()
    assert len(figure.legends[0].get_texts()) == len(methods) + 3
    assert box.x0 <= legend.x0 and legend.x1 <= box.x1 and box.y0 <= legend.y0 and legend.y1 <= box.y1


def test_a_refinement_is_kept_unless_seeds_agree_less_after_it():
    apart, alike = [torch.tensor([0, 1, 2, 0]), torch.tensor([0, 1, 0, 1])], [torch.tensor([0, 1, 2, 0]), torch.tensor([0, 1, 2, 1])]
    assert without_labels.keeps_refinement(apart, alike)
    assert without_labels.keeps_refinement(apart, apart)
    assert not without_labels.keeps_refinement(alike, apart)
    assert without_labels.keeps_refinement(alike[:1], apart[:1])  # nobody to agree with
    with pytest.raises(InputError, match="2 classifiers before refinement and 1 after"):
        without_labels.keeps_refinement(apart, alike[:1])
