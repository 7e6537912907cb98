"""What stands is read, what stopped goes on; with other settings, data or code it starts anew or is refused, and that is said.

Classifiers: `test_train`; here the pocket models, GANs, the judge, images and their scores.
"""

from dataclasses import replace

import pytest
import test_gan_training as gans
import test_generate as drawing
import torch
from test_generate import model, prompts  # noqa: F401
from torch import nn

from aa_utils.errors import InputError
from aa_utils.generate import clip_score, generate, made_with
from aa_utils.generator_adaptation.evaluation import factors
from aa_utils.generator_adaptation.pretraining import gan_training
from aa_utils.pocket import fit, pool
from aa_utils.runner import code_closure

FIT = fit.Fit(steps=4, batch=2, lr=0.1, warmup=1, every=2)
POINTS = torch.arange(12.0).view(6, 2) / 12


@pytest.fixture
def edited(monkeypatch):
    """edited(): from now on all code is other code."""
    return lambda: monkeypatch.setattr(code_closure, "digest", lambda code: "edited")


def fitted(folder, settings=FIT, points=POINTS, seed=0, name="net"):
    """A small network trained to give its input back; its weights as one tensor."""
    torch.manual_seed(0)
    net = nn.Linear(2, 2)

    def loss(generator):
        x = points[torch.randint(len(points), (settings.batch,), generator=generator)]
        return {"square": (net(x) - x).square().mean()}

    fit.train(net, loss, settings, name, folder, seed, data=[points])
    return nn.utils.parameters_to_vector(net.parameters()).detach()


def test_the_same_training_is_read_or_goes_on(tmp_path, capsys):
    whole = fitted(tmp_path / "whole")
    assert torch.equal(fitted(tmp_path / "whole"), whole)
    fitted(tmp_path / "parts", replace(FIT, steps=2, horizon=4))
    assert torch.equal(fitted(tmp_path / "parts"), whole), "more steps, of the same schedule"
    assert torch.equal(fitted(tmp_path / "whole", replace(FIT, every=1)), whole), "how often it is saved does not count"
    assert capsys.readouterr().err == ""


OTHER = {
    "lr": ({"settings": replace(FIT, lr=0.2)}, "settings"),
    "batch": ({"settings": replace(FIT, batch=3)}, "settings"),
    "weight decay": ({"settings": replace(FIT, weight_decay=0.5)}, "settings"),
    "a longer schedule": ({"settings": replace(FIT, steps=6)}, "settings"),
    "seed": ({"seed": 1}, "settings"),
    "data": ({"points": POINTS.flip(0)}, "data"),
    "code": ({}, "code"),
}


@pytest.mark.parametrize("kind", OTHER)
def test_another_training_starts_anew_and_says_so(tmp_path, capsys, edited, kind):
    changes, said = OTHER[kind]
    fitted(tmp_path / "here")
    if kind == "code":
        edited()
    here = fitted(tmp_path / "here", **changes)
    assert f"the training of '{tmp_path}/here/net' starts anew: what stands there was made with other {said}" in capsys.readouterr().err
    assert torch.equal(here, fitted(tmp_path / "fresh", **changes))


def test_fewer_steps_are_not_more_steps(tmp_path, capsys):
    long = replace(FIT, horizon=4)
    fitted(tmp_path, long)
    short = replace(long, steps=2)
    fitted(tmp_path, short)
    assert "starts anew: it has made 4 steps, and 2 are wanted" in capsys.readouterr().err
    kept = replace(short, keep_at=(1,))
    fitted(tmp_path, kept)
    assert "starts anew: it has made 2 steps, and the weights after step 1 are wanted, and not kept" in capsys.readouterr().err
    assert (tmp_path / "net-1.pt").is_file()
    fitted(tmp_path, kept)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("kind", ["settings", "data", "code"])
def test_a_gan_is_not_continued_by_another_training(tmp_path, edited, kind):
    """It is refused: such a training takes hours."""
    pixels, labels = gans.pictures()
    recipe = gan_training.Recipe(1, batch=8)

    def train(recipe=recipe, pixels=pixels):
        gan_training.train(*gans.networks(), pixels, labels, recipe, "gan", tmp_path)

    train()
    train()
    if kind == "code":
        edited()
    changes = {"settings": {"recipe": replace(recipe, lr=0.1)}, "data": {"pixels": pixels.flip(0)}, "code": {}}[kind]
    with pytest.raises(InputError, match=f"is of a training with other {kind}; remove it, or take another folder"):
        train(**changes)
    if kind == "settings":
        train(replace(recipe, steps=2))
        with pytest.raises(InputError, match="has made 2 steps, and 1 are wanted"):
            train()


def test_a_judge_of_other_code_is_trained_again(tmp_path, capsys, edited, monkeypatch):
    monkeypatch.setattr(pool, "PART", 64)
    factors.train(tmp_path, renders=64, steps=2, batch=4)
    factors.train(tmp_path, renders=64, steps=2, batch=4)
    assert capsys.readouterr().err == ""
    edited()
    factors.train(tmp_path, renders=64, steps=2, batch=4)
    assert f"the training of the judge in '{tmp_path}' starts anew" in capsys.readouterr().err


def test_renders_of_other_code_are_rendered_again(tmp_path, edited, monkeypatch):
    monkeypatch.setattr(pool, "PART", 4)
    first = pool.load(tmp_path, 4, 0)[0]
    assert len(list(tmp_path.rglob("*.npz"))) == 1
    edited()
    assert (pool.load(tmp_path, 4, 0)[0] == first).all(), "the place of a part does not move its seed"
    assert len(list(tmp_path.rglob("*.npz"))) == 2


def test_images_of_other_code_are_set_aside(model, prompts, tmp_path, capsys, edited):  # noqa: F811
    out = tmp_path / "out"
    generate(prompts, model, out, **drawing.TINY)
    assert generate(prompts, model, out, **drawing.TINY)["kept"] == 9
    assert capsys.readouterr().err == ""
    edited()
    made = [generate(prompts, model, out, shard=shard, num_shards=2, **drawing.TINY) for shard in (0, 1)]
    assert [found["kept"] for found in made] == [0, 0]
    assert made[1]["complete"]
    assert f"'{out}' starts anew: its images were made with other code. They lie in '{out / made_with.ASIDE}" in capsys.readouterr().err
    (aside,) = (out / made_with.ASIDE).iterdir()
    before = {path.relative_to(aside): path.read_bytes() for path in aside.rglob("*.png")}
    now = {path.relative_to(out): path.read_bytes() for path in out.glob("*/*.png")}
    assert len(before) == 9 and before == now
    with pytest.raises(InputError, match="holds images with steps 2, and this call has 3"):
        generate(prompts, model, out, **drawing.TINY | {"steps": 3})


def test_scores_of_other_code_are_made_again(model, prompts, tmp_path, tiny_clip, edited):  # noqa: F811
    generate(prompts, model, tmp_path / "out", **drawing.TINY)
    scored = [clip_score.score(tmp_path / "out", str(tiny_clip), device="cpu")["scored"] for _ in range(2)]
    assert scored == [9, 0]
    edited()
    assert clip_score.score(tmp_path / "out", str(tiny_clip), device="cpu")["scored"] == 9
