"""Adapted generators side by side: from folders as 71_adapt_generator leaves them to a table and figures."""

import shutil
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from aa_utils import files
from aa_utils.data import images
from aa_utils.errors import InputError
from aa_utils.generator_adaptation import bridge
from aa_utils.generator_adaptation.evaluation import ablation, comparison, factors, figures, guided, measure, printing, results
from aa_utils.generator_adaptation.evaluation.comparison import BEFORE, GUIDE, RENDERS
from aa_utils.generator_adaptation.generators import checkpoints
from aa_utils.generator_adaptation.generators.stylegan2 import Config, Generator
from aa_utils.generator_adaptation.recipe import recipe
from aa_utils.pocket import reader
from aa_utils.pocket.world import DIGIT_NAMES
from aa_utils.reporting import layout, tables
from aa_utils.runner import code_closure, record

NIGHT = {"style": "handwritten", "ink": "white", "paper": "black", "background": "plain", "quality": "sharp"}
SEEN = "reader:models/pocket-reader"


def tiny(seed, label_dim=10):
    torch.manual_seed(seed)
    return Generator(Config((8, 8, 8, 8), z_dim=8, w_dim=8, mapping_layers=1, label_dim=label_dim)).eval()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two variants of one prompt, two seeds each, and the generator that they started from."""
    root = tmp_path_factory.mktemp("runs")
    checkpoints.save(tiny(0), root / "start")
    for variant, guidance in (("sds", 7.5), ("sds_g30", 30.0)):
        for seed in (0, 1):
            settings = asdict(recipe("sound", {"steps": 4, "guidance": guidance}))
            about = {"generator": str(root / "start"), "prompt": ["a white digit {} on black paper"], "variant": variant}
            net = tiny(10 * seed + int(guidance))
            checkpoints.save(net, root / "run" / "night" / variant / f"seed{seed}", **about, recipe=settings, seed=seed)
    return root / "run"


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    torch.manual_seed(0)
    reader.save(reader.model(sum(factors.SIZES)), folder / factors.FILE)
    return folder


@pytest.fixture(scope="module")
def adapted(runs):
    return comparison.find([runs])


def yardsticks(adapted, work, truth, source_text="a black digit {} on white paper"):
    words = {"source_text": source_text, "templates": ["{}"]}
    return comparison.yardsticks(adapted, truth, DIGIT_NAMES, SEEN, "models/pocket-clip", SEEN, work, judge=str(work), per_digit=6, **words)


def compared(adapted, work, truth, source_text="a black digit {} on white paper", **options):
    return comparison.per_seed(adapted, yardsticks(adapted, work, truth, source_text), 40, work / "measured", **options)


@pytest.fixture(scope="module")
def by(adapted, work):
    return yardsticks(adapted, work, {"night": NIGHT})


@pytest.fixture(scope="module")
def frame(adapted, by, work):
    return comparison.per_seed(adapted, by, 40, work / "measured")


def test_generators_are_found_with_their_settings(adapted):
    assert [(row.prompt, row.variant, row.seed) for row in adapted] == [("night", v, s) for v in ("sds", "sds_g30") for s in (0, 1)]
    assert adapted[0].wordings == ["a white digit {} on black paper"]
    assert adapted[0].run_id == "unrecorded"


def test_what_is_no_adaptation_is_refused(runs, tmp_path, adapted):
    with pytest.raises(InputError, match="71_adapt_generator"):
        comparison.find([tmp_path])
    with pytest.raises(InputError, match="two runs hold night, sds, seed 0"):
        comparison.find([runs, runs])
    checkpoints.save(tiny(0), tmp_path / "a" / "b" / "seed0")
    with pytest.raises(InputError, match="says nothing of a prompt"):
        comparison.find([tmp_path])
    with pytest.raises(InputError, match="prompt 'night'"):
        compared(adapted, tmp_path, {"day": NIGHT})


def test_each_generator_is_a_row_beside_before_and_renders(frame, work, adapted, monkeypatch):
    assert frame["variant"].tolist() == [BEFORE, RENDERS, "sds", "sds", "sds_g30", "sds_g30"]
    assert set(measure.METRICS) <= set(frame.columns)
    before = frame[frame["variant"] == BEFORE].iloc[0]
    assert before["frechet_fall"] == 0
    assert before["diversity_kept"] == before["kept"] == 1
    renders = frame[frame["variant"] == RENDERS].iloc[0]
    assert renders["read"] > 0.9 > before["read"]
    assert renders["paired"] < frame[frame["guidance"].notna()]["paired"].min()
    assert frame["guidance"].dropna().tolist() == [7.5, 7.5, 30.0, 30.0]
    monkeypatch.setattr(measure, "of_images", None)
    pd.testing.assert_frame_equal(compared(adapted, work, {"night": NIGHT}), frame), "what was measured is read"


def test_the_table_and_what_it_is_printed_from(frame, tmp_path):
    means = comparison.over_seeds(frame)
    row = means[(means["variant"] == "sds") & (means["metric"] == "frechet")].iloc[0]
    values = frame[frame["variant"] == "sds"]["frechet"]
    assert (row["mean"], row["sd"], row["n"]) == (pytest.approx(values.mean()), pytest.approx(values.std(ddof=1)), 2)
    printed = printing.printed(frame)
    assert [line[0] for line in printed.rows] == [BEFORE, RENDERS, "sds", "sds_g30"]
    assert "±" in printed.rows[2][printed.header.index("Fréchet")]
    assert "Unrecorded" in " ".join(printed.notes)
    assert "NADA's loss" in printed.header
    bare = printing.printed(frame.drop(columns="direction"))
    assert "NADA" not in " ".join([*bare.header, *bare.notes])
    results.write(tmp_path, "generators", frame)
    record.write_metrics(tmp_path / "run", tables.rows(frame))
    again = comparison.measured([tmp_path / "run"])
    assert comparison.over_seeds(again).equals(means)
    with pytest.raises(InputError, match="no measured generators"):
        comparison.measured([tmp_path])
    assert (tmp_path / "tables" / "generators.md").read_text() == layout.markdown(printed)
    assert "±" not in (tmp_path / "tables" / "generators.tex").read_text().partition("midrule")[2]


def test_tables_and_figures_are_made_again_from_csv_and_traced_to_records(frame, tmp_path):
    results.write(tmp_path, "generators", frame)
    results.write(tmp_path, "generators_guidance", ablation.one_setting(frame, "guidance"), "guidance")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    assert len(before) == 2 * 6  # four tables and two files of the figure
    results.again(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()} == before
    assert len(results.untraced(tmp_path)) == 2 * len(frame)
    results.write_records(tmp_path, "generators", [str(tmp_path)], {}, {}, tables.rows(frame))
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["evaluate_generator-generators.json"]
    said = results.untraced(tmp_path)
    assert len(said) == 2 * 4, "the adaptations themselves were made by hand"
    assert said[0].startswith("generators_guidance_seeds.csv: night, sds, seed 0 does not follow")
    changed = frame.assign(run_id=None, frechet=frame["frechet"] + 1)
    results.write(tmp_path, "generators", changed)
    assert len(results.untraced(tmp_path)) == len(frame) + 4


def test_figures_are_drawn_from_the_tables(frame, by, adapted, tmp_path):
    means = comparison.over_seeds(frame)
    first = figures.trade_off(means)
    assert [axes.get_xscale() for axes in first.axes] == ["linear", "log", "linear"]
    one = means[means["variant"] == "sds"]
    many = pd.concat([means, *(one.assign(variant=f"v{k}", mean=one["mean"] * (k + 2)) for k in range(8))])
    lines = figures.by_variant(many).axes
    assert [text.get_text() for text in lines[0].get_yticklabels()][-1] == "v7" and len(lines[0].get_yticks()) == means[
        "variant"
    ].nunique() + 8
    assert [axes.get_xscale() for axes in lines] == ["log", "linear", "linear", "linear"]
    assert ablation.varied(frame) == ["guidance"]
    chosen = ablation.one_setting(frame, "guidance")
    assert [line[0] for line in ablation.printed(chosen, "guidance").rows] == [BEFORE, RENDERS, "guidance 7.5", "guidance 30.0"]
    runs_only = figures.against_setting(chosen, "guidance")
    assert [text.get_text() for text in runs_only.axes[0].get_xticklabels()] == ["7.5", "30"]
    for setting, message in (("t_range", "differ in t_range alone"), ("colour", "no setting 'colour'")):
        with pytest.raises(InputError, match=message):
            ablation.one_setting(frame, setting)
    shown = figures.same_latents(adapted, by["night"], columns=4)
    assert list(shown) == [BEFORE, "sds", "sds_g30", "oracle"]
    assert torch.equal(shown["sds_g30"], measure.draw(tiny(30), 4, 0)[0])
    path = figures.before_and_after(shown, "Title", "caption", "sheet", tmp_path)
    assert np.asarray(Image.open(path)).ndim == 3


def test_latents_are_the_same_for_every_generator():
    images, classes = measure.draw(tiny(0), 25, 3)
    assert torch.equal(images, measure.draw(tiny(0), 25, 3)[0])
    assert torch.equal(images[:20], measure.draw(tiny(0), 20, 3)[0])
    assert not torch.equal(images, measure.draw(tiny(0), 25, 4)[0])
    assert classes.tolist() == [k % 10 for k in range(25)]


def test_a_folder_of_images_is_a_truth_too(runs, work, tmp_path):
    """As for public generators: no classes, no renders; the domain is a folder of photographs."""
    checkpoints.save(tiny(0, label_dim=0), tmp_path / "start")
    about = {"generator": str(tmp_path / "start"), "prompt": ["a photo of a dog"], "variant": "sds"}
    folder = tmp_path / "run" / "dog" / "sds" / "seed0"
    checkpoints.save(tiny(1, label_dim=0), folder, **about, recipe=asdict(recipe("sound", {"steps": 1})), seed=0)
    (tmp_path / "dogs").mkdir()
    for k, pixels in enumerate(measure.draw(tiny(2, label_dim=0), 12, 0)[0]):
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(tmp_path / "dogs" / f"{k}.png")
    found = compared(comparison.find([tmp_path / "run"]), work, {"dog": str(tmp_path / "dogs")}, source_text="")
    assert found["variant"].tolist() == [BEFORE, "sds"]
    assert found["frechet"].notna().all()
    assert "paired" not in found
    with pytest.raises(InputError, match="draws no classes"):
        compared(comparison.find([tmp_path / "run"]), work, {"dog": NIGHT})


def test_the_bridge_draws_a_labelled_folder_and_goes_on_after_a_kill(adapted, tmp_path, monkeypatch, capsys):
    names = [f"digit {name}" for name in DIGIT_NAMES]
    used = bridge.chosen(adapted, ["night"], ["sds"])
    bridge.draw(used, names, 2, tmp_path / "whole", unadapted=True)
    drawn = images.load(tmp_path / "whole", 32)
    assert len(drawn.pixels) == 2 * 10 * 3
    assert drawn.class_names == names
    rows = files.read_jsonl(tmp_path / "whole" / "metadata.jsonl")
    assert rows[0]["prompt"] == "a white digit zero on black paper"
    assert 0 <= bridge.read(drawn, "models/pocket-reader") <= 1
    assert bridge.read(drawn, "") is None
    (tmp_path / "part").mkdir()
    for kept in (".settings.json", "digit_two"):
        (shutil.copytree if kept == "digit_two" else shutil.copy)(tmp_path / "whole" / kept, tmp_path / "part" / kept)
    bridge.draw(used, names, 2, tmp_path / "part", unadapted=True)
    for row in rows:
        assert files.sha256(tmp_path / "part" / row["file_name"]) == row["sha256"]
    assert (tmp_path / "part" / "metadata.jsonl").read_bytes() == (tmp_path / "whole" / "metadata.jsonl").read_bytes()
    with pytest.raises(InputError, match="noise"):
        bridge.draw(used, names, 2, tmp_path / "whole", unadapted=True, noise="fixed")
    monkeypatch.setattr(code_closure, "digest", lambda code: "edited")
    bridge.draw(used, names, 2, tmp_path / "part", unadapted=True)
    assert f"'{tmp_path / 'part'}' starts anew: its images were made with other code" in capsys.readouterr().err
    with pytest.raises(InputError, match="labels would be guessed"):
        bridge.draw(used, names[:9], 2, tmp_path / "nine")
    with pytest.raises(InputError, match="no variant 'nada'"):
        bridge.chosen(adapted, [], ["nada"])


def test_what_the_guide_itself_draws_is_a_row(adapted, work, tmp_path):
    row = next(row for row in adapted if row.variant == "sds")
    told = replace(row, about=row.about | {"guide": "models/pocket-diffusion"})
    pixels, labels = guided.draw(told, DIGIT_NAMES, 20, tmp_path, 32, steps=1, guidance=1.0, seed=0, device="cpu")
    assert pixels.shape == (20, 3, 32, 32)
    assert labels.bincount().tolist() == [2] * 10
    rows = [row["text"] for row in files.read_jsonl(tmp_path / "prompts.jsonl")]
    assert rows[3] == "a white digit three on black paper"
    frame = compared(adapted, work, {"night": NIGHT}, guided={"night": (pixels, labels)})
    assert frame["variant"].tolist()[:3] == [BEFORE, RENDERS, GUIDE]
    of_guide = frame[frame["variant"] == GUIDE].iloc[0]
    assert of_guide[["frechet", "read", "diversity_kept"]].notna().all()
    assert of_guide[["kept", "paired"]].isna().all(), "there is nothing it could have kept"
    assert "as far as its knowledge goes" in " ".join(printing.printed(frame).notes)
