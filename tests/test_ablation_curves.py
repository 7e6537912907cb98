"""The curve over the number of images and the settings of the sampler: fits, knees, costs, choices, and tables that follow from records."""

import made_records
import numpy as np
import pandas as pd
import pytest

from aa_utils import verify
from aa_utils.reporting import curve_figures, drawn_images, figures, records, results, sampling, saturation, tables

TRUE = {"top": 0.9, "half": 300.0, "slope": 2.0, "floor": 0.1}
COUNTS = np.array([30, 100, 300, 1000, 2000] * 3, float)


@pytest.mark.parametrize("change", [{}, {"top": 0.6}, {"half": 40.0}, {"slope": 0.7}, {"floor": 0.02}])
def test_a_fit_finds_the_curve_that_the_points_lie_on(change):
    true = TRUE | change
    fitted = saturation.fit(COUNTS, saturation.curve(COUNTS, **true), true["floor"])
    assert {name: fitted[name] for name in true} == pytest.approx(true, rel=1e-2)
    assert fitted["rmse"] < 1e-4


def test_too_few_numbers_of_images_settle_nothing():
    fitted = saturation.fit(COUNTS[:3], np.array([0.2, 0.4, 0.7]), 0.1)
    assert fitted["floor"] == 0.1 and np.isnan([fitted[name] for name in ("top", "half", "slope", "rmse")]).all()


def test_before_the_knee_an_image_brings_more_than_on_average_and_beyond_it_less():
    at, most = saturation.knee(TRUE, 2000), 2000
    height = {n: float(saturation.curve(np.array(float(n)), **TRUE)) for n in (at, at * 0.95, at * 1.05, most)}
    average = (height[most] - TRUE["floor"]) / most
    assert (height[at] - height[at * 0.95]) / (at * 0.05) > average > (height[at * 1.05] - height[at]) / (at * 0.05)


def curve_of_runs(root) -> list[str]:
    """Two stages on 4 numbers of images, with records that say what an image cost."""
    source, folders = made_records.images(root, "offline"), []
    record = source / "record.json"
    record.write_text(record.read_text().replace('"images": 1200', '"images": 1200, "images_per_second": 20.0, "steps": 6'))
    for limit, start in ((3, 0.2), (10, 0.4), (30, 0.7), (0, 0.8)):
        name = str(limit or "all")
        first = made_records.inter(
            root, source, "dann", {0: start, 1: start + 0.02}, path=f"inter_domain/offline/dann/{name}", limit_per_class=limit
        )
        second = made_records.intra(root, first, "fixmatch", {0: start + 0.1, 1: start + 0.11})
        folders += [str(first), str(second)]
    return folders


def test_a_curve_of_several_stages_comes_with_its_returns_and_follows_from_its_records(tmp_path):
    entries = records.of(curve_of_runs(tmp_path / "runs"), "uci_digits")
    frame = results.write(tmp_path / "results/few", "number_of_images", entries)
    curves = tables.read_csv(tmp_path / "results/few/tables/saturation.csv")
    assert list(zip(curves["inter_domain"], curves["intra_domain"], strict=True)) == [("dann", "none"), ("dann", "fixmatch")]
    assert curves["seconds_per_image"].tolist() == [0.05, 0.05] and curves["classes"].tolist() == [10, 10]
    assert (curves["floor"] == 0.1).all() and curves["knee"].between(30, 1200).all()
    spent = curves["knee"] * curves["seconds_per_image"]
    assert curves["rate_before"].tolist() == pytest.approx(((curves["accuracy"] - 0.1) / spent).tolist(), rel=1e-3)
    assert set(frame["images"]) == {30, 100, 300, 1200}
    assert verify.untraced(tmp_path / "results/few") == []
    again = verify.again(tmp_path / "results/few")
    assert again["unchanged"].all(), list(again[~again["unchanged"]]["file"])


def test_one_line_is_drawn_as_before(tmp_path):
    entries = records.of([folder for folder in curve_of_runs(tmp_path / "runs") if "/intra_domain/" not in folder], "uci_digits")
    results.write(tmp_path / "few", "number_of_images", entries)
    assert not (tmp_path / "few/tables/saturation.csv").exists()
    assert list(tables.read_csv(tmp_path / "few/figures/number_of_images.csv").columns) == tables.PER_SEED


def test_a_run_that_found_its_images_standing_says_nothing_of_their_cost(tmp_path):
    entries = records.of([str(made_records.inter(tmp_path, made_records.images(tmp_path, "offline"), "dann", {0: 0.5}))], "uci_digits")
    joined = drawn_images.joined(tables.per_seed(entries), entries)
    assert joined["seconds_per_image"].isna().all() and joined["steps"].tolist() == ["12"]
    assert "these points do not settle a curve" in saturation.sentences(saturation.table(joined))[0]


def settings(costs, means, sd=0.01) -> pd.DataFrame:
    rows = []
    for i, (cost, mean) in enumerate(zip(costs, means, strict=True)):
        for seed, off in enumerate((-sd, 0.0, sd)):
            about = dict.fromkeys(tables.PER_SEED, "x") | {"system": "pipeline", "prompts": f"s{i}", "inter_domain": "dann", "images": 100}
            about |= {"intra_domain": "none", "seed": seed, "accuracy": mean + off, "sampler": "DDIMScheduler", "steps": str(i + 1)}
            rows.append(about | {"guidance": "5", "classes": 10.0, "seconds_per_image": cost})
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("means", "chosen"),
    [([0.5, 0.795, 0.80], "s1"), ([0.5, 0.78, 0.80], "s2"), ([0.801, 0.80, 0.80], "s0"), ([0.9, 0.5, 0.4], "s0")],
    ids=["the cheaper within the spread", "the best where none is near", "the cheapest of equals", "the best is cheapest"],
)
def test_the_choice_is_the_cheapest_within_the_spread_of_the_best(means, chosen):
    table = sampling.table(settings([0.1, 0.2, 0.4], means))
    assert table[table["choice"]]["prompts"].tolist() == [chosen]
    assert table["seconds_per_image"].is_monotonic_increasing


@pytest.mark.parametrize(
    ("sampler", "steps", "guidance", "said"),
    [
        ("DPMSolverMultistepScheduler", "6", "5", "DPM-Solver++, 6 steps, guidance 5"),
        ("DDIMScheduler", "1", "1", "DDIM, 1 step, no guidance"),
        ("LCMScheduler", "2", "1", "LCM, 2 steps, guidance distilled"),
        ("LCMScheduler", "4", "8", "LCM, 4 steps, guidance 8"),
    ],
)
def test_a_setting_says_what_became_of_guidance(sampler, steps, guidance, said):
    points = settings([0.1], [0.5]).assign(sampler=sampler, steps=steps, guidance=guidance)
    assert {sampling.name(row) for row in points.itertuples()} == {said}
    (row,) = sampling.layout(sampling.table(points)).rows
    assert row[2] == ("distilled" if "distilled" in said else guidance)


def test_sampling_tables_take_images_of_other_settings_and_name_them(tmp_path):
    folders = []
    for steps, accuracy in ((3, 0.6), (12, 0.8)):
        source = made_records.images(tmp_path / "runs", f"steps_{steps}")
        record = source / "record.json"
        made = f'"images": 1200, "images_per_second": {60 / steps}, "scheduler": "DDIMScheduler", "guidance": 5.0'
        record.write_text(record.read_text().replace('"steps": 12', f'"steps": {steps}').replace('"images": 1200', made))
        folders.append(str(made_records.inter(tmp_path / "runs", source, "dann", {0: accuracy, 1: accuracy})))
    results.write(tmp_path / "results/s", "sampling", records.of(folders, "uci_digits"))
    points = tables.read_csv(tmp_path / "results/s/figures/sampling.csv")
    assert points.drop_duplicates("prompts")[["steps", "seconds_per_image"]].values.tolist() == [["12", 0.2], ["3", 0.05]]
    text = (tmp_path / "results/s/tables/sampling.md").read_text()
    assert "| DDIM | 3 | 5 | 0.050 | 60.0 ± 0.0 |" in text and "| DDIM | 12 | 5 | 0.200 | 80.0 ± 0.0 * |" in text
    assert verify.untraced(tmp_path / "results/s") == [] and verify.again(tmp_path / "results/s")["unchanged"].all()
    # A table of other images in the same folder, with the records of all of them beside it, follows too.
    results.write(tmp_path / "results/s", "number_of_images", records.of(folders[:1], "uci_digits"))
    assert verify.untraced(tmp_path / "results/s") == []
    assert set(figures.DRAWN) >= {"sampling", "number_of_images"}


@pytest.mark.parametrize(
    ("heights", "expected"),
    [([], []), ([50, 90], [50, 90]), ([14, 15, 10], [15, 20, 10]), ([99, 98, 97], [100, 95, 90]), ([50, 99, 98], [50, 100, 95])],
)
def test_names_at_the_ends_of_lines_stand_apart(heights, expected):
    assert curve_figures._apart(heights, 5) == expected


def test_the_same_prompts_drawn_with_other_settings_are_sources_of_their_own(tmp_path):
    """Their runs of 10 have one id, whatever their folder is called."""
    folders = []
    for name, scheduler in (("offline", "DDIMScheduler"), ("euler", "EulerDiscreteScheduler")):
        prompts = made_records.run(tmp_path, f"prompts/{name}", "10_prompts", {"writer": "offline"}, {}, [{"prompts": 10}])
        (prompts / "made.txt").write_text("the same")
        about = {"model": "models/pocket-diffusion", "scheduler": scheduler}
        source = made_records.run(tmp_path, f"images/{name}", "20_generate", about, {"prompts": prompts}, [{"images": 10}])
        folders.append(str(made_records.inter(tmp_path, source, "dann", {0: 0.5})))
    entries = records.of(folders, "uci_digits")
    assert len({entry["run_id"] for entry in entries.values() if entry["notebook"].endswith("10_prompts.ipynb")}) == 1
    assert tables.per_seed(entries, results.VARY["sampling"])["prompts"].tolist() == ["euler", "offline"]
