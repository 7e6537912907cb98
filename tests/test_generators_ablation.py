"""Notebook 64: the quality of generators against what classifiers learn from their images."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from aa_utils import files
from aa_utils.errors import InputError
from aa_utils.generator_adaptation.evaluation import features, image_quality
from aa_utils.pocket.render import render
from aa_utils.reporting import generators, tables

DISTANCES = [90.0, 40.0, 12.0, 5.0]


def points(means=(0.5, 0.6, 0.7, 0.8)) -> pd.DataFrame:
    rows = []
    for k, (distance, mean) in enumerate(zip(DISTANCES, means, strict=True)):
        about = {"benchmark": "uci_digits", "prompts": f"step_{k}", "model": f"step_{k}", "drawn": 100, "frechet": distance}
        about |= {"kernel": distance / 100, "floor_frechet": 2.0, "read": 1 - distance / 100, "inter_domain": "dann", "images": 100}
        for refinement, gain in (("none", 0.0), ("fixmatch", 0.1)):
            for seed in range(3):
                own = {"intra_domain": refinement, "seed": seed, "accuracy": mean + gain + 0.01 * (seed - 1)}
                rows.append(about | own | {"run": f"r{k}-{refinement}", "run_id": f"id{k}{refinement}"})
    return pd.DataFrame(rows)[generators.RUNS]


def folder(path, pictures, labels):
    rows = []
    for i, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        path.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path / f"{i}.png")
        rows.append({"file_name": f"{i}.png", "label": int(label), "class_name": f"digit {label}"})
    files.write_jsonl(path / "metadata.jsonl", rows)
    return str(path)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Renders of digits as one generator, the same buried in noise as another."""
    pictures, _, factors = render(600, 5, style="handwritten")
    digit = np.char.isdigit(factors["character"])
    pictures, labels = pictures[digit], factors["character"][digit].astype(int)
    chosen = np.concatenate([np.flatnonzero(labels == k)[:8] for k in range(10)])
    noise = np.random.default_rng(0).integers(0, 256, pictures[chosen].shape)
    noisy = (0.2 * pictures[chosen] + 0.8 * noise).astype(np.uint8)
    place = tmp_path_factory.mktemp("drawn")
    return folder(place / "good", pictures[chosen], labels[chosen]), folder(place / "bad", noisy, labels[chosen])


def test_noise_is_farther_from_the_references_and_less_often_read(drawn):
    space = features.load("reader:models/pocket-reader")
    frame = image_quality.measure(drawn, space, {"style": "handwritten"}, "models/pocket-reader")
    good, bad = frame.set_index("source").loc[list(drawn)].to_dict("records")
    assert good["drawn"] == bad["drawn"] == 80
    assert good["read"] > 0.9 > 0.5 > bad["read"]
    assert bad["frechet"] > 2 * good["frechet"] and bad["kernel"] > 10 * abs(good["kernel"])
    assert 0 < good["floor_frechet"] < bad["frechet"]


def test_references_are_two_sets_and_unknown_factors_are_named(drawn):
    one, other = image_quality.references({"style": "chalk"}, 40)
    assert one.shape == other.shape == (40, 3, 32, 32) and not torch.equal(one, other)
    one, other = image_quality.references({"folder": drawn[0]}, 40)
    assert one.shape == (40, 3, 32, 32) and not {x.numpy().tobytes() for x in one} & {x.numpy().tobytes() for x in other}
    for wrong, said in (
        ({"folder": drawn[0]}, "has 80 images, and two sets of 50 are needed"),
        ({"styl": "chalk"}, "references has 'styl'"),
        ({"style": "chalky"}, "references.style is 'chalky'; there are: .*chalk"),
    ):
        with pytest.raises(InputError, match=said):
            image_quality.references(wrong, 50)


def test_accuracy_that_follows_the_generator_has_a_rank_correlation_of_one():
    found = generators.correlations(points()).set_index(["intra_domain", "measure"])
    assert found.loc[("none", "read"), "spearman"] == pytest.approx(1) and found.loc[("fixmatch", "frechet"), "spearman"] == pytest.approx(
        -1
    )
    assert found.loc[("none", "read"), "p"] == pytest.approx(2 / 24)  # of 24 orders two are as extreme
    assert "rank correlation with the distance -1.00 (p = 0.083)" in generators.sentences(points())[0]
    flat = generators.correlations(points((0.7, 0.7, 0.7, 0.7)))
    assert flat["spearman"].isna().all()


def test_two_generators_are_no_curve():
    few = points()[lambda rows: rows["prompts"].isin(["step_0", "step_3"])]
    assert generators.sentences(few) == ["Fewer than three generators: nothing to compare."]


def test_the_table_has_the_best_images_first_and_comes_back_from_its_csv(tmp_path):
    tables.write_csv(tmp_path / "tables/generators_runs.csv", tables.rounded(points()))
    (tmp_path / "runs").mkdir()
    generators.again(tmp_path)
    lines = [line for line in (tmp_path / "tables/generators.md").read_text().splitlines() if line.startswith("| step")]
    assert lines[0].startswith("| step_3 | step_3 | 95.0 | 5.0 | 0.050 | 80.0 ± 1.0 | 90.0 ± 1.0 |") and "step_0" in lines[-1]
    assert (tmp_path / "figures/generators.png").stat().st_size > 10_000
    assert generators.untraced(tmp_path)[0] == "generators_runs.csv: r0-none, seed 0 does not follow from a record in runs/"
    quality = generators.measured(tmp_path / "tables/generators_runs.csv")
    assert quality["source"].tolist() == ["step_0", "step_1", "step_2", "step_3"] and quality["frechet"].tolist() == DISTANCES
