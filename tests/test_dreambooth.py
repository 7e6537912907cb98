"""DreamBooth: the loss and its weighting, what of a pipeline changes, resuming, the rare word; the new style that it learns."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny_diffusion
import torch
from diffusers import DiffusionPipeline

from aa_utils import files
from aa_utils.data import images
from aa_utils.data.images import ImageSet
from aa_utils.errors import InputError
from aa_utils.generate import jobs
from aa_utils.generator_adaptation import dreambooth, finished_guide, fusion, guide
from aa_utils.generator_adaptation.dreambooth import Examples, Pictures
from aa_utils.generator_adaptation.evaluation import comparison, factors, new_word, paired
from aa_utils.generator_adaptation.generators import checkpoints
from aa_utils.generator_adaptation.generators.stylegan2 import Config, Generator
from aa_utils.generator_adaptation.recipe import recipe
from aa_utils.pocket import fit, new_style, reader, render, world
from aa_utils.pocket.world import DIGIT_NAMES
from aa_utils.reporting import layout

FIT = fit.Fit(steps=4, batch=2, lr=1e-3, warmup=0, every=2, average=0.9)
YELLOW_ON_BLUE = {"ink": "yellow", "paper": "blue", "background": "plain", "quality": "sharp"}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tiny_diffusion.save(tmp_path_factory.mktemp("tiny") / "sd")


@pytest.fixture
def known(source):
    return guide.load(source)


def some(n=3, seed=0, text="a qvj digit"):
    rng = torch.Generator().manual_seed(seed)
    return Pictures(torch.randint(256, (n, 3, 16, 16), dtype=torch.uint8, generator=rng), [text] * n)


@pytest.fixture(scope="module")
def tuned(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned")
    return dreambooth.fine_tune(source, some(), some(4, 1, "a digit"), FIT, folder / "out")


class Says(torch.nn.Module):
    """A U-Net whose answer depends on all that it is asked: w (z_t + t / 1000 + mean of the text)."""

    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.tensor(0.7))

    def forward(self, z_t, t, encoder_hidden_states):
        from types import SimpleNamespace

        return SimpleNamespace(sample=self.w * (z_t + (t / 1000 + encoder_hidden_states.mean((1, 2)))[:, None, None, None]))


def made(n, seed):
    rng = torch.Generator().manual_seed(seed)
    return Examples(torch.randn(n, 4, 2, 2, generator=rng), torch.arange(n) % 2, torch.randn(2, 3, 5, generator=rng))


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_the_loss_is_the_formula(known, prediction):
    """Both terms with explicit loops, from the same random numbers."""
    asked = replace(known, unet=Says(), prediction=prediction)
    few, prior = made(3, 0), made(5, 1)
    found = dreambooth.denoising(asked, few, prior, batch=4, weight=0.3)(torch.Generator().manual_seed(7))
    rng = torch.Generator().manual_seed(7)
    for name, shown, weight in (("pictures", few, 1.0), ("prior", prior, 0.3)):
        rows = torch.randint(len(shown.latents), (4,), generator=rng)
        noise = torch.randn(4, 4, 2, 2, generator=rng)
        times = torch.randint(1000, (4,), generator=rng)
        total = 0.0
        for row, e, t in zip(rows.tolist(), noise, times.tolist(), strict=True):
            z, a = shown.latents[row], asked.alphas[t].item()
            z_t = a**0.5 * z + (1 - a) ** 0.5 * e
            said = 0.7 * (z_t + t / 1000 + shown.texts[shown.which[row]].mean())
            wanted = {"epsilon": e, "v_prediction": a**0.5 * e - (1 - a) ** 0.5 * z, "sample": z}[prediction]
            total += (said - wanted).square().mean().item() / 4
        assert found[name].item() == pytest.approx(weight * total, rel=1e-5)


def test_without_class_pictures_there_is_no_second_term(known):
    asked = replace(known, unet=Says())
    with_prior, alone = (
        dreambooth.denoising(asked, made(3, 0), prior, 4)(torch.Generator().manual_seed(7)) for prior in (made(5, 1), None)
    )
    assert set(alone) == {"pictures"}
    torch.testing.assert_close(alone["pictures"], with_prior["pictures"])


def test_examples_are_what_the_guide_sees(known):
    shown = Pictures(some().pixels, ["a digit", "a qvj digit", "a digit"])
    found = dreambooth.examples(known, shown, batch=2)
    torch.testing.assert_close(found.latents, known.latents(shown.pixels.float() / 127.5 - 1))
    torch.testing.assert_close(found.texts[found.which], known.texts(shown.texts))
    assert dreambooth.decoded(known, shown.pixels).shape == shown.pixels.shape
    for wrong in (Pictures(shown.pixels, ["a"]), some(0), Pictures(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), ["a"])):
        with pytest.raises(InputError, match="16 px, and a text for each"):
            dreambooth.examples(known, wrong)


def test_only_the_unet_changes(source, tuned):
    theirs = sorted(p.relative_to(source) for p in source.rglob("*") if p.is_file())
    assert set(theirs) <= {p.relative_to(tuned) for p in tuned.rglob("*") if p.is_file()}
    differ = [str(name) for name in theirs if (source / name).read_bytes() != (tuned / name).read_bytes()]
    assert differ == ["unet/diffusion_pytorch_model.safetensors"]
    before, after = guide.load(source).unet.state_dict(), guide.load(tuned).unet.state_dict()
    assert {name: w.shape for name, w in before.items()} == {name: w.shape for name, w in after.items()}
    assert sum(not torch.allclose(before[name], after[name], atol=1e-4) for name in before) > len(before) / 2


def test_the_result_is_an_ordinary_pipeline(source, tuned):
    pipe = DiffusionPipeline.from_pretrained(tuned)
    pipe.set_progress_bar_config(disable=True)
    drawn = pipe("a qvj digit", num_inference_steps=2, output_type="np", generator=torch.Generator().manual_seed(0)).images
    assert drawn.shape == (1, 16, 16, 3)
    assert guide.load(tuned).revision != guide.load(source).revision
    assert list(pd.read_csv(tuned / "history.csv")["step"]) == [2, 4]
    assert json.loads((tuned / dreambooth.ABOUT).read_text())["class_pictures"] == 4
    assert [path.name for path in tuned.parent.iterdir()] == ["out"], "no training state is left"


def test_it_guides_as_any_other(tuned):
    asked = fusion.objective(guide.load(tuned), ["a qvj digit {}"], recipe("sound", {"steps": 1}), class_names=("one", "two"))
    rng, x = torch.Generator().manual_seed(0), torch.zeros(2, 3, 16, 16)
    gradient, _ = asked.gradient(x, None, asked.draw(2, rng, torch.tensor([0, 1])), rng)
    assert gradient.isfinite().all()
    assert gradient.abs().max() > 0


def test_a_finished_run_is_returned_and_another_refused(source, tuned):
    before = (tuned / "unet/diffusion_pytorch_model.safetensors").stat().st_mtime_ns
    assert dreambooth.fine_tune(source, some(), some(4, 1, "a digit"), FIT, tuned) == tuned
    assert (tuned / "unet/diffusion_pytorch_model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(InputError, match="something else"):
        dreambooth.fine_tune(source, some(), some(4, 1, "a digit"), replace(FIT, lr=1e-4), tuned)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *(
            (name, damage)
            for name in ("unet/diffusion_pytorch_model.safetensors", "history.csv")
            for damage in ("empty", "cut", "flip", "gone")
        ),
        *(("dreambooth.json", damage) for damage in ("empty", "cut")),
    ],
)
def test_a_damaged_run_is_said_and_made_again(tuned, tmp_path, capsys, name, damage):
    known = json.loads((tuned / "dreambooth.json").read_text())["identity"]
    copy = shutil.copytree(tuned, tmp_path / "copy")
    assert finished_guide.stands(copy, known)
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    left = {"empty": b"", "cut": bytes(data[: len(data) // 2]), "flip": bytes(data)}
    (copy / name).unlink() if damage == "gone" else (copy / name).write_bytes(left[damage])
    assert not finished_guide.stands(copy, known)
    assert not copy.exists()
    assert "it counts as absent, and the fine-tuning runs again" in capsys.readouterr().err


def test_a_killed_run_goes_on(source, tuned, tmp_path, monkeypatch):
    """Stopped after the checkpoint at step 2, it ends at the same bytes."""
    right = dreambooth.denoising

    def dies(*arguments, **options):
        loss, calls = right(*arguments, **options), iter(range(3))

        def step(rng):
            if next(calls) == 2:
                raise KeyboardInterrupt
            return loss(rng)

        return step

    monkeypatch.setattr(dreambooth, "denoising", dies)
    with pytest.raises(KeyboardInterrupt):
        dreambooth.fine_tune(source, some(), some(4, 1, "a digit"), FIT, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(dreambooth, "denoising", right)
    out = dreambooth.fine_tune(source, some(), some(4, 1, "a digit"), FIT, tmp_path / "out")
    name = "unet/diffusion_pytorch_model.safetensors"
    assert files.sha256(out / name) == files.sha256(tuned / name)


def test_the_pictures_are_learned(source, tmp_path):
    settings = replace(FIT, steps=16, batch=4, lr=5e-3, every=4)
    out = dreambooth.fine_tune(source, some(1), None, settings, tmp_path / "out", weight=0.0, weights="float32", checkpointing=True)
    losses = pd.read_csv(out / "history.csv")["pictures"]
    assert losses.iloc[-1] < 0.9 * losses.iloc[0]


def test_wrong_settings_are_refused_before_hours_are_spent(source, tmp_path):
    few, prior = some(), some(4, 1, "a digit")
    for settings, options, said in (
        (replace(FIT, steps=0), {}, "must be above 0"),
        (FIT, {"weight": -1.0}, "must be above 0"),
        (FIT, {"weight": 0.0}, "there are class pictures"),
        (FIT, {"weights": "int8"}, "no dtype 'int8'"),
    ):
        with pytest.raises(InputError, match=said):
            dreambooth.fine_tune(source, few, prior, settings, tmp_path / "out", **options)
    with pytest.raises(InputError, match="no class pictures"):
        dreambooth.fine_tune(source, few, None, FIT, tmp_path / "out")
    with pytest.raises(InputError, match="no model folder"):
        dreambooth.fine_tune(tmp_path / "none", few, prior, FIT, tmp_path / "out")
    (tmp_path / "full").mkdir()
    with pytest.raises(InputError, match="something else"):
        dreambooth.fine_tune(source, few, prior, FIT, tmp_path / "full")


def test_the_rare_word(known):
    tokens = dreambooth.check_word(known.tokenizer, "qvj", "a qvj digit {}", ["a digit {}"])
    assert "".join(tokens) == "qvj</w>"
    assert dreambooth.check_word(known.tokenizer, "of", "a of digit", ["a digit"]) == ["of</w>"]  # short, as "sks" is
    for word, prompt, old, said in (
        ("z x", "a z x digit", [], "a few letters"),
        ("", "a digit", [], "a few letters"),
        ("qvj", "a digit {}", [], "does not stand in"),
        ("qvj", "a qvjy digit {}", [], "does not stand in"),
        ("qvj", "a qvj digit", ["a digit", "a qvj thing"], "keep its meaning"),
        ("photo", "a photo digit", [], "knows"),
    ):
        with pytest.raises(InputError, match=said):
            dreambooth.check_word(known.tokenizer, word, prompt, old)


def test_how_far_a_word_is_heard(known):
    found = dreambooth.heard(known, "a qvj digit {}", "qvj", ["one", "two", "three"])
    said, silent = ([known.texts([f"a {word}digit {name}"])[0].mean(0) for name in ("one", "two", "three")] for word in ("qvj ", ""))
    moved = sum((a - b).square().sum() for a, b in zip(said, silent, strict=True)) / 3
    apart = sum((silent[i] - silent[j]).square().sum() for i, j in ((0, 1), (0, 2), (1, 2))) / 3
    assert found == pytest.approx((moved / apart).sqrt().item(), rel=1e-4)
    with pytest.raises(InputError, match="two classes"):
        dreambooth.heard(known, "a qvj digit", "qvj", ["one", "two"])


def test_pictures_come_from_image_folders(tmp_path):
    new_style.write(tmp_path / "few", 2, 0, [3, 8], **YELLOW_ON_BLUE)
    shown = dreambooth.read(tmp_path / "few", 32, "a qvj digit {}")
    assert shown.texts == ["a qvj digit three"] * 2 + ["a qvj digit eight"] * 2
    assert np.array_equal(shown.pixels.permute(0, 2, 3, 1).numpy(), new_style.pictures(2, 0, [3, 8], **YELLOW_ON_BLUE)[0])
    assert dreambooth.read(tmp_path / "few", 16, "in qvj style").texts == ["in qvj style"] * 4
    with pytest.raises(InputError, match="from which prompts"):
        dreambooth.read(tmp_path / "few", 32)
    rows = [row | {"prompt": f"picture {k}"} for k, row in enumerate(files.read_jsonl(tmp_path / "few/metadata.jsonl"))]
    files.write_jsonl(tmp_path / "few/metadata.jsonl", rows)
    assert dreambooth.read(tmp_path / "few", 32).texts == [f"picture {k}" for k in range(4)]
    (tmp_path / "few/metadata.jsonl").unlink()
    with pytest.raises(InputError, match="asks for the class"):
        dreambooth.read(tmp_path / "few", 32, "a qvj {}")


def test_prompts_are_rows_of_the_generator(tmp_path):
    rows = dreambooth.prompts({"qvj": "a qvj digit {}", "class": "a digit {}"}, DIGIT_NAMES)
    files.write_jsonl(tmp_path / "prompts.jsonl", rows)
    assert len(jobs.read_prompts(tmp_path)) == 20
    assert rows[13]["text"] == "a digit three"


def test_the_new_style_is_two_renders_of_one_hand():
    factors_ = new_style.sample(6, np.random.default_rng(0), style=new_style.STYLE, character="5", **YELLOW_ON_BLUE)
    assert set(factors_["style"]) == {new_style.STYLE}
    drawn = new_style.draw(factors_, np.random.default_rng(1))
    rows = factors_ | {"style": np.full(6, "handwritten")}
    left = render.draw(rows, np.random.default_rng(1))
    right = render.draw(rows | {"ink": rows["paper"], "paper": rows["ink"]}, np.random.default_rng(1))
    assert np.array_equal(drawn[:, :, :16], left[:, :, :16])
    assert np.array_equal(drawn[:, :, 16:], right[:, :, 16:])


def test_the_world_without_it_is_as_it_was():
    plain = world.sample(4, np.random.default_rng(0), style="chalk")
    same = new_style.sample(4, np.random.default_rng(0), style="chalk")
    assert all(np.array_equal(plain[name], same[name]) for name in plain)
    assert np.array_equal(new_style.draw(plain, np.random.default_rng(1)), render.draw(plain, np.random.default_rng(1)))
    with pytest.raises(ValueError, match="unknown factors"):
        new_style.sample(4, np.random.default_rng(0), style="neon")


def test_who_wears_it():
    worn, labels = new_style.pictures(20, 0, **YELLOW_ON_BLUE)
    assert list(np.unique(labels, return_counts=True)[1]) == [20] * 10
    assert new_style.wears(worn, "yellow", "blue").mean() > 0.97
    assert new_style.wears(worn, "white", "red").mean() == 0
    assert new_style.wears(worn[:, :, ::-1].copy(), "yellow", "blue").mean() < 0.05
    assert new_style.wears(render.render(512, 0)[0], "yellow", "blue").mean() < 0.01
    for wrong in ({"per_digit": 0}, {"digits": []}, {"digits": [12]}, {"ink": "mauve"}):
        with pytest.raises(InputError):
            new_style.pictures(**{"per_digit": 1, "seed": 0} | wrong)


def test_it_can_be_the_truth_of_an_adaptation(tmp_path):
    domain = {"style": new_style.STYLE, "tool": "thick marker", **YELLOW_ON_BLUE}
    bank = paired.twins(tmp_path, domain, 4, seed=0)
    assert new_style.wears(bank.target.permute(0, 2, 3, 1), "yellow", "blue").mean() > 0.9
    assert factors.shares(reader.model(sum(factors.SIZES)).eval(), bank.target, domain) == {}


def test_an_adaptation_to_it_is_measured(tmp_path):
    for seed, name in ((0, "start"), (1, "run/counterchanged/sds/seed0")):
        torch.manual_seed(seed)
        net = Generator(Config((8, 8, 8, 8), z_dim=8, w_dim=8, mapping_layers=1, label_dim=10)).eval()
        about = {"generator": str(tmp_path / "start"), "prompt": ["a qvj digit {}"], "variant": "sds", "seed": 0}
        checkpoints.save(net, tmp_path / name, **about, recipe=asdict(recipe("sound", {"steps": 1})))
    torch.manual_seed(0)
    reader.save(reader.model(sum(factors.SIZES)), tmp_path / factors.FILE)
    truth, seen = {"counterchanged": {"style": new_style.STYLE, **YELLOW_ON_BLUE}}, "reader:models/pocket-reader"
    adapted = comparison.find([tmp_path / "run"])
    by = comparison.yardsticks(adapted, truth, DIGIT_NAMES, seen, "models/pocket-clip", seen, tmp_path, judge=str(tmp_path), per_digit=4)
    frame = comparison.per_seed(adapted, by, 20, tmp_path / "measured").set_index("variant")
    assert list(frame.index) == ["before", "renders", "sds"]
    assert not {"style", "ink", "paper", "quality"} & set(frame.columns)
    assert frame.loc["renders", "frechet"] < frame.loc["sds", "frechet"]
    assert frame.loc["renders", "paired"] < frame.loc["sds", "paired"]


def test_what_a_guide_makes_of_words_is_measured(tmp_path):
    worn, labels = new_style.pictures(2, 0, **YELLOW_ON_BLUE)
    plain = render.render(20, 0, style="handwritten")[0]
    names = [f"qvj-{digit}-{copy:04d}" for digit in range(10) for copy in range(2)] + [
        f"class-{d}-{c:04d}" for d in range(10) for c in range(2)
    ]

    def drawn(word):
        pixels = torch.from_numpy(np.concatenate([word, plain])).permute(0, 3, 1, 2)
        return ImageSet(pixels, torch.from_numpy(np.concatenate([labels, labels])), names, list(DIGIT_NAMES))

    net = reader.load(Path("models/pocket-reader/reader.safetensors").resolve())
    by_guide = {new_word.BEFORE: drawn(plain), "tuned": drawn(worn)}
    colours = {"ink": "yellow", "paper": "blue"}
    frame = new_word.table(by_guide, (worn, labels), "qvj", [0, 1, 2], colours, net)
    at = frame.set_index(["guide", "asked for"])
    assert list(frame.columns) == new_word.COLUMNS
    assert at.loc[("tuned", "qvj, digits with pictures"), "images"] == 6
    assert at.loc[("tuned", "qvj, digits without"), "wears"] > 0.9
    assert at.loc[("tuned", "class"), ["wears", "drift"]].tolist() == [0, 0]
    assert at.loc[("before", "qvj, digits without"), "wears"] == 0
    assert at.loc[("tuned", "qvj, digits without"), "drift"] > 0.1
    assert at.loc[("renders", "qvj, digits without"), "read"] > 0.7
    printed = new_word.printed(frame, new_style.STYLE)
    assert printed.rows[0][:3] == ["qvj, digits with pictures", "before", "6"]
    assert [row[1] for row in printed.rows] == ["before", "tuned", "renders"] * 2 + ["before", "tuned"]
    assert "counterchanged" in layout.markdown(printed)
    shown = new_word.rows(by_guide, "qvj", [3, 4])
    assert [row for row, _ in shown] == ["before", "tuned"]
    assert np.array_equal(shown[1][1][0], worn[6])
    with pytest.raises(InputError, match="no image of each"):
        new_word.rows(by_guide, "qvj", [11])
    fewer = replace(by_guide["tuned"], names=names[::-1])
    with pytest.raises(InputError, match="did not draw what"):
        new_word.table(by_guide | {"tuned": fewer}, (worn, labels), "qvj", [0], colours, net)
    history = pd.DataFrame({"step": [1, 2], "pictures": [0.2, 0.1], "prior": [0.1, 0.1]})
    axes = new_word.curves({"with": history, "without": history.drop(columns="prior")}).axes[0]
    assert len(axes.lines) == 3


def test_the_few_pictures_are_an_image_folder(tmp_path):
    new_style.write(tmp_path / "few", 1, 0, [1, 2], **YELLOW_ON_BLUE)
    assert images.load(tmp_path / "few", 32).class_names == ["one", "two"]
