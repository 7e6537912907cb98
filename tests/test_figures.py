"""Figures: the same bytes in another process, drawn from their CSV and nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_generators_ablation import points as of_generators

from aa_utils import files
from aa_utils.errors import InputError
from aa_utils.evaluation import without_labels
from aa_utils.reporting import (
    ablation_points,
    discarding,
    diversity_tables,
    estimate_figures,
    figures,
    hard_shift_tables,
    image_sets,
    image_sheets,
    source_tables,
    stop_signs,
    style,
    tables,
    task_tables,
)

TESTS = Path(__file__).parent


def per_seed(images=(1200,)) -> pd.DataFrame:
    """A small per-seed table: two kinds of prompts, two methods, one refinement, both references."""
    rows = []
    for i, (prompts, method, refinement) in enumerate(
        (p, m, r) for p in ("simple", "offline") for m in ("source_only", "dann") for r in ("none", "fixmatch")
    ):
        for count in images:
            for seed in range(2):
                about = ["uci_digits", "pipeline", prompts, "pocket-diffusion", method, refinement, count, seed]
                rows.append([*about, 0.6 + 0.04 * i + 0.01 * seed + count / 1e5, 0.5, "run", "id"])
    rows.append(["uci_digits", "zero_shot", "", "pocket-clip", "", "", 0, 0, 0.61, 0.6, "zero_shot", "id"])
    rows.append(["uci_digits", "oracle", "", "", "", "", 0, 0, 0.98, 0.97, "oracle", "id"])
    return tables.rounded(pd.DataFrame(rows, columns=tables.PER_SEED))


def diverse() -> pd.DataFrame:
    """Two kinds of prompts, two stages, six classes."""
    rows = []
    for p, prompts in enumerate(("simple", "offline")):
        for m, (inter, intra) in enumerate((("source_only", "none"), ("dann", "fixmatch"))):
            for k, name in enumerate(("digit zero", "digit one", "deer", "dog", "frog", "ship")):
                for seed in range(2):
                    run = ["uci_digits", prompts, inter, intra, 100, f"{prompts}-{inter}", "id", seed, name, 100]
                    rows.append([*run, 0.1, 3 + p + 0.1 * k, 0.2, 5 + 0.1 * k, min(1.0, 0.6 + 0.1 * m + 0.06 * k + 0.01 * seed)])
    return tables.rounded(pd.DataFrame(rows, columns=diversity_tables.PER_CLASS))


def hard() -> pd.DataFrame:
    """Two kinds of corruption beside the target as it is, three methods."""
    rows = []
    for m, (inter, intra) in enumerate((("source_only", "none"), ("dann", "none"), ("dann", "fixmatch"))):
        for kind, severity in [("", 0), *((kind, severity) for kind in ("noise", "blur") for severity in (1, 3, 5))]:
            for seed in range(2):
                accuracy = 0.9 + 0.04 * m + 0.005 * seed - 0.15 * severity
                rows.append([kind, severity, inter, intra, seed, accuracy, accuracy, "uci_digits", "run", "id"])
    return tables.rounded(pd.DataFrame(rows, columns=hard_shift_tables.RUNS))


def discarded() -> pd.DataFrame:
    """Made-up rows of `discarding.RUNS`: two shares of wrong labels, images kept and discarded, and a second selection."""
    rows = []
    for noise, fraction, kept in [(n, 0.5, kept) for n in (0.0, 0.5) for kept in ("kept", "discarded")] + [(0.0, 1.0, "discarded")]:
        for seed in range(2):
            scores = [0.6 - 0.2 * noise, 0.8 - noise * (0.6 if kept == "kept" else 0.2) + 0.01 * seed, 0.9 - 0.3 * fraction, fraction]
            rows.append([noise, f"surest {100 * fraction:g} % of a class", kept, "dann", "fixmatch", seed, *scores, "run", "id"])
    return tables.rounded(pd.DataFrame(rows, columns=discarding.RUNS))


def points() -> dict[str, pd.DataFrame]:
    """Made-up points for every figure that is drawn from points."""
    names = ["digit zero", "digit one"]
    cells = [(i, j, names[i], names[j], 90 if i == j else 10, "offline, seed 0") for i in (0, 1) for j in (0, 1)]
    random = np.random.default_rng(0)
    features = [
        (stage, domain, name, *random.normal(size=2), "offline, seed 0")
        for stage in ("before", "after")
        for name in names
        for domain in ("source", "target")
        for _ in range(5)
    ]
    methods = ("source_only", "dann")
    about = {"benchmark": "uci_digits", "prompts": "offline", "intra_domain": "none", "images": 100, "seed": 0}
    estimated = [
        about | {"estimator": name, "inter_domain": methods[i], "run": methods[i], "x": 0.5 + 0.2 * i, "y": 0.6 + 0.2 * i}
        for name in [*without_labels.SCORES, *without_labels.ACCURACIES]
        for i in range(2)
    ]
    trained = [
        ("synthetic: offline prompts, sd15", "DANN + FixMatch"),
        ("real, mean over sources", "DANN"),
        (task_tables.NONE, "CLIP zero-shot"),
    ]
    means = [
        dict.fromkeys(task_tables.MEANS, "") | {"labelled": labelled, "method": method, "network": "resnet50.tv_in1k", "origin": "this kit"}
        | {"column": column, "mean": 0.1 * i + 0.05 * j, "sd": 0.01, "n": 3}
        for i, (labelled, method) in enumerate(trained)
        for j, column in enumerate(("A", "W", "avg"))
    ]  # fmt: skip
    means = pd.DataFrame(means, columns=task_tables.MEANS)
    stages = [("source only", "source_only", "none"), ("adapted", "dann", "none"), ("refined", "dann", "fixmatch")]
    staged = [
        (
            "results/a",
            "uci_digits",
            "offline",
            inter,
            intra,
            seed,
            0.7 + 0.1 * k + 0.01 * seed,
            10.0 * (k + 1),
            f"{inter}-{intra}",
            "id",
            stage,
        )
        for k, (stage, inter, intra) in enumerate(stages)
        for seed in range(3)
    ]
    staged = pd.DataFrame(staged, columns=[*ablation_points.COLUMNS, "stage"])
    gains = staged.assign(before=0.8, gain=staged["accuracy"] - 0.8, pseudo_label_accuracy=0.9)
    settings = [("DDIMScheduler", "6", "5", 0.06), ("DDIMScheduler", "12", "5", 0.12), ("EulerDiscreteScheduler", "6", "1", 0.03)]
    sampled = [
        per_seed()
        .iloc[:16]
        .query("intra_domain == 'none'")
        .assign(prompts=f"{sampler}-{steps}", sampler=sampler, steps=steps, guidance=guidance, classes=10.0, seconds_per_image=cost)
        for sampler, steps, guidance, cost in settings
    ]
    return {
        "sampling": pd.concat(sampled, ignore_index=True),
        "diversity": diverse(),
        "hard_shift": hard(),
        "discarding": discarded(),
        "generators": of_generators(),
        "image_sets": pd.DataFrame(
            [
                ("usps:test", method, name, seed, 0.8 + 0.01 * seed + 0.02 * k, f"{name}-{method}", "id")
                for method in ("source_only", "dann/mixmatch")
                for k, name in enumerate(("offline", "offline_1"))
                for seed in range(2)
            ],
            columns=image_sets.RUNS,
        ),
        "stop_signs": pd.DataFrame(
            [
                (
                    "results/a",
                    world,
                    "offline",
                    "dann",
                    refined,
                    3,
                    0.7,
                    0.1 * (k - 1),
                    *[0.1 * (k - j) for j in range(8)],
                    f"{world}-{k}",
                    "id",
                )
                for world in ("usps:test", "uci_digits")
                for k, refined in enumerate(("fixmatch", "mixmatch", "fixmatch"))
            ],
            columns=stop_signs.POINTS,
        ),
        "stages": staged,
        "methods": staged[ablation_points.COLUMNS],
        "refinement_gain": gains[ablation_points.GAIN],
        "by_target": means,
        "by_class": means,
        "by_source": pd.DataFrame(
            [
                ("ten classes, WRN-16-2", "SD 1.4", method, seed, 0.4 + 0.1 * k + 0.01 * seed, "")
                for k, method in enumerate(("source only", "DANN"))
                for seed in range(3)
            ]
            + [("ten classes, WRN-16-2", "", "", 0, 0.9, "supervised on target labels")],
            columns=source_tables.POINTS,
        ),
        "accuracy_by_stage": per_seed(),
        "number_of_images": per_seed(images=(100, 200, 400, 800, 1200)),
        "confusion": pd.DataFrame(cells, columns=["true", "predicted", "true_name", "predicted_name", "count", "caption"]),
        "embedding": tables.rounded(pd.DataFrame(features, columns=["stage", "domain", "class_name", "x", "y", "caption"])),
        "estimates": pd.DataFrame(estimated, columns=estimate_figures.COLUMNS),
    }


def draw_all(folder: Path) -> dict[str, str]:
    for name, made in points().items():
        figures.draw(name, made, folder)
    return {path.name: files.sha256(path) for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    """A folder with every figure and its CSV."""
    folder = tmp_path_factory.mktemp("drawn")
    draw_all(folder)
    return folder


def test_every_figure_has_the_same_bytes_in_another_process(drawn, tmp_path):
    here = {path.name: files.sha256(path) for path in sorted(drawn.iterdir())}
    assert len(here) == 2 * len(figures.DRAWN)
    script = (
        f"import sys; sys.path.insert(0, {str(TESTS)!r}); import test_figures, pathlib; test_figures.draw_all(pathlib.Path(sys.argv[1]))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7", "SOURCE_DATE_EPOCH": "1"}
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "there")], check=True, env=environment)
    assert {path.name: files.sha256(path) for path in sorted((tmp_path / "there").iterdir())} == here


def test_a_figure_is_drawn_from_its_csv(tmp_path):
    made = points()["accuracy_by_stage"]
    figures.draw("accuracy_by_stage", made, tmp_path)
    pd.testing.assert_frame_equal(tables.read_csv(tmp_path / "accuracy_by_stage.csv"), made, check_dtype=False)
    before = files.sha256(tmp_path / "accuracy_by_stage.png")
    figures.redraw(tmp_path / "accuracy_by_stage.csv")
    assert files.sha256(tmp_path / "accuracy_by_stage.png") == before


def test_drawn_means_are_those_of_the_points():
    made = points()["number_of_images"]
    made = made[(made["prompts"] == "offline") & (made["inter_domain"] == "dann") & (made["intra_domain"] == "none")]
    axes = figures.number_of_images(made).axes[0]
    line = next(line for line in axes.lines if line.get_label() == "offline + DANN")
    assert list(line.get_xdata()) == [100, 200, 400, 800, 1200]
    assert line.get_ydata() == pytest.approx(100 * made.groupby("images")["accuracy"].mean().to_numpy())
    assert axes.get_xscale() == "log"


def test_drawn_counts_are_those_of_the_points():
    image = figures.confusion(points()["confusion"]).axes[0].images[0]
    assert image.get_array().tolist() == [[0.9, 0.1], [0.1, 0.9]]


def test_captions_say_n():
    assert "n = 2 seeds" in figures.accuracy_by_stage(points()["accuracy_by_stage"]).get_supxlabel()
    assert "n = 2 seeds" in figures.number_of_images(points()["number_of_images"]).get_supxlabel()


def test_a_method_has_one_colour_and_unknown_ones_get_one_too():
    assert style.colour("dann") == style.PALETTE["dann"]
    assert style.colour("tomorrows_method") == style.colour("tomorrows_method")
    assert style.colour("tomorrows_method") in style.SPARE
    assert style.marker("tomorrows_method") in style.SPARE_MARKERS


def test_one_seed_and_one_stage_are_drawn_too():
    made = points()["accuracy_by_stage"]
    few = made[(made["seed"] == 0) & (made["intra_domain"] != "fixmatch") & (made["system"] == "pipeline")]
    assert "n = 1 seed." in figures.accuracy_by_stage(few).get_supxlabel()


def test_nothing_is_cut_off(drawn):
    """Ink at the border of a PNG would be text that runs out of the figure."""
    from PIL import Image

    for name in points():
        pixels = np.asarray(Image.open(drawn / f"{name}.png").convert("L"))
        border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert (border == 255).all(), name
        assert abs(pixels.shape[1] - style.WIDTH * style.DPI) <= 1


def test_a_sheet_says_which_images_it_shows(tmp_path):
    from PIL import Image

    rows = []
    for label in range(2):
        for copy in range(4):
            name = f"class-{label}/p-{label}-{copy}.png"
            (tmp_path / "offline" / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((8, 8, 3), 50 * copy, np.uint8)).save(tmp_path / "offline" / name)
            rows.append({"file_name": name, "label": label, "class_name": f"class {label}", "prompt": f"prompt {copy}", "sha256": "0"})
    files.write_jsonl(tmp_path / "offline/metadata.jsonl", rows)
    image_sheets.generated_by_prompt([str(tmp_path / "offline")], tmp_path / "figures", columns=2)
    shown = tables.read_csv(tmp_path / "figures/generated_by_prompt.csv")
    assert list(shown["id"]) == ["p-0-0", "p-0-3", "p-1-0", "p-1-3"]
    with pytest.raises(InputError, match="no figure is drawn from 'generated_by_prompt"):
        figures.redraw(tmp_path / "figures/generated_by_prompt.csv")
    with pytest.raises(InputError, match="at least one row"):
        image_sheets.sheet([], "empty")


def test_an_svg_is_made_on_demand(tmp_path, monkeypatch):
    frame = pd.DataFrame({"x": [1, 2]})
    figure, axes = style.one_panel(2)
    axes.plot(frame["x"])
    monkeypatch.delenv("AA_SVG", raising=False)
    style.save(figure, "line", tmp_path, frame)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["line.csv", "line.png"]
    monkeypatch.setenv("AA_SVG", "1")
    style.save(figure, "line", tmp_path, frame)
    assert (tmp_path / "line.svg").read_text(encoding="utf-8").startswith("<?xml")
