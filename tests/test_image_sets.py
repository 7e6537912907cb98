"""Spread over sets of images and over seeds: variance components against numbers worked out by hand, and on data made from known ones."""

import numpy as np
import pandas as pd
import pytest

from aa_utils.errors import InputError
from aa_utils.reporting import ablation_points, image_sets


def rows(values: dict, world="mnist:test", sets=("offline", "offline_1", "offline_2")) -> pd.DataFrame:
    """What `ablation_points.of_results` gives; `values`: {(inter, intra): a row a set of images, a column a seed}."""
    made = []
    for (first, second), table in values.items():
        for name, row in zip(sets, table, strict=True):
            for seed, accuracy in enumerate(row):
                about = {"results": "r", "world": world, "prompts": name, "inter_domain": first, "intra_domain": second}
                made.append(about | {"seed": seed, "accuracy": accuracy, "seconds": 1.0, "run": f"{name}/{first}", "run_id": "x"})
    return pd.DataFrame(made, columns=ablation_points.COLUMNS)


@pytest.fixture
def given(monkeypatch):
    def give(frame):
        monkeypatch.setattr(ablation_points, "of_results", lambda folders: frame)
        return image_sets.of_results("r")

    return give


SQUARE = [[0.70, 0.72, 0.74], [0.80, 0.82, 0.84], [0.60, 0.62, 0.64]]  # means .72 .82 .62: sd 0.1; within: sd 0.02


def test_components_by_hand():
    found = image_sets.components(pd.DataFrame(SQUARE))
    assert found["mean"] == pytest.approx(0.72) and found["sd_seeds"] == pytest.approx(0.02)
    assert found["sd_sets"] == pytest.approx(np.sqrt(0.01 - 0.0004 / 3))  # MSB / n - MSW / n
    assert found["high"] - found["mean"] == pytest.approx(4.302653 * 0.1 / np.sqrt(3), rel=1e-5)  # t(0.975, 2)


def test_components_of_known_variances():
    draw = np.random.default_rng(0)
    sd_sets, sd_seeds = 0.03, 0.01
    made = [
        image_sets.components(pd.DataFrame(0.8 + draw.normal(0, sd_sets, (3, 1)) + draw.normal(0, sd_seeds, (3, 3)))) for _ in range(2000)
    ]
    assert np.mean([row["sd_sets"] ** 2 for row in made]) == pytest.approx(sd_sets**2, rel=0.1)
    assert np.mean([row["sd_seeds"] ** 2 for row in made]) == pytest.approx(sd_seeds**2, rel=0.1)
    assert np.mean([row["low"] < 0.8 < row["high"] for row in made]) == pytest.approx(0.95, abs=0.015)


def test_sets_that_do_not_differ_have_no_variance_of_their_own():
    assert image_sets.components(pd.DataFrame([[0.5, 0.7], [0.7, 0.5]]))["sd_sets"] == 0.0


def test_gains_are_paired_and_corrected(given):
    base = np.array(SQUARE)
    values = {("source_only", "none"): base, ("adabn", "none"): base + 0.01, ("dann", "none"): base + np.array([[0.05], [0.06], [0.055]])}
    values[("dann", "mixmatch")] = base + np.array([[0.15], [0.16], [0.155]]) + np.array([[0.01], [-0.01], [0.0]])
    found = image_sets.gains(given(rows(values))).set_index(["claim", "better", "worse"])
    against = found.loc[("adaptation beats AdaBN", "dann", "adabn")]
    assert against["mean"] == pytest.approx(0.045) and against["sd_seeds"] == pytest.approx(0) and against["verdict"] == "holds"
    assert found.loc[("refinement beats its own start", "dann/mixmatch", "dann"), "mean"] == pytest.approx(0.1)
    assert set(found.loc["adaptation beats source only"].index) == {("dann", "source_only")}  # AdaBN trains nothing


def test_a_method_from_one_set_or_with_other_seeds_is_refused(given):
    with pytest.raises(InputError, match="takes two or more sets of images with the same seeds"):
        given(rows({("dann", "none"): SQUARE[:1]}, sets=("offline",)))
    uneven = rows({("dann", "none"): SQUARE})
    with pytest.raises(InputError, match="offline_2: seeds 0, 1"):
        given(uneven[~((uneven["prompts"] == "offline_2") & (uneven["seed"] == 2))])


def test_tables_and_figure_say_where_the_spread_comes_from(given, tmp_path):
    both = pd.concat([rows({("source_only", "none"): SQUARE}), rows({("source_only", "none"): SQUARE}, "usps:test")])
    frame = given(both)
    measured = image_sets.spread(frame)
    assert list(measured["world"]) == ["mnist:test", "usps:test"]
    assert "96 % of the variance" in image_sets.sentences(measured)[0] and image_sets.sentences(measured)[1].endswith(
        "in 2 of 2 conditions."
    )
    printed = image_sets.layout(measured)
    assert printed.rows[0] == ["MNIST", "source only", "72.0", "47.2 to 96.8", "9.9", "2.0"]
    assert "3 sets of images, 3 seeds from each" in printed.notes[0]
    image_sets.write("r", tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.rglob("*.*")}
    image_sets.again(tmp_path)
    assert before == {path.name: path.read_bytes() for path in tmp_path.rglob("*.*")} and "image_sets.png" in before
