"""The loop that adapts a generator: what it trains, that a killed run goes on exactly, and that it can do what the official code does."""

from dataclasses import replace
from pathlib import Path
from typing import get_type_hints

import nbformat
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from aa_utils.errors import InputError
from aa_utils.generator_adaptation import adapt, clip_direction, fusion, guide, layers, runs, samples
from aa_utils.generator_adaptation.adapt import Watch
from aa_utils.generator_adaptation.generators import checkpoints
from aa_utils.generator_adaptation.generators.stylegan2 import Config, Generator
from aa_utils.generator_adaptation.recipe import Recipe, recipe
from aa_utils.paths import ROOT
from aa_utils.runner import parameters
from aa_utils.seeds import torch_generator

WATCH = Watch(log_every=2, samples_every=4, checkpoint_every=2, samples=3)


@pytest.fixture(scope="module")
def known(tiny_diffusion):
    return guide.load(tiny_diffusion)


@pytest.fixture
def net():
    return tiny()


def tiny(label_dim=0):
    torch.manual_seed(0)
    return Generator(Config((8, 8, 8), z_dim=8, w_dim=8, mapping_layers=1, label_dim=label_dim))


def asking(known, preset="sound", **settings):
    return fusion.objective(known, ["digit one"], recipe(preset, {"steps": 4, "batch_size": 3}, settings))


def changed(before, after):
    return {name for (name, a), b in zip(before.named_parameters(), after.parameters(), strict=True) if not torch.equal(a, b)}


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_a_run_changes_the_chosen_weights_and_no_other(known, net, tmp_path):
    first = {name: value.clone() for name, value in net.state_dict().items()}
    objective = asking(known, directional=0.5, reconstruction=0.5, layers="b(8|16)", biases=False)
    found = adapt.adapt(net, objective, 0, tmp_path, WATCH, {"prompt": "digit one"})
    assert changed(net, found) == set(layers.named(net, objective.recipe))
    assert all(torch.equal(value, first[name]) for name, value in net.state_dict().items()), "the generator itself stays as it is"
    assert not any(weight.requires_grad for weight in found.parameters())
    assert not found.training
    about = checkpoints.about(tmp_path)
    assert about["recipe"]["directional"] == 0.5
    assert about["prompt"] == "digit one"
    assert same(found, checkpoints.load(tmp_path))
    history = (tmp_path / "history.csv").read_text().splitlines()
    assert history[0] == "step,lr,sds,directional,reconstruction"
    assert [line.split(",")[0] for line in history[1:]] == ["2", "4"]


def test_sample_grids_show_the_same_latents_before_and_after(known, net, tmp_path):
    adapt.adapt(net, asking(known), 0, tmp_path, WATCH)
    first, last = (np.asarray(Image.open(tmp_path / "samples" / f"step{k:06d}.png")) for k in (0, 4))
    assert first.shape == (32, 48, 3)
    assert np.array_equal(first[:16], first[16:])
    assert np.array_equal(last[:16], first[:16])
    assert not np.array_equal(last[16:], first[16:])


class Killed(Exception):
    pass


def kill_at(step, monkeypatch):
    real, count = adapt._step, iter(range(100))

    def step_or_die(*arguments):
        if next(count) >= step:
            raise Killed
        return real(*arguments)

    monkeypatch.setattr(adapt, "_step", step_or_die)


@pytest.mark.parametrize("settings", [{}, {"average": 0.9, "noise": "random", "select": 2, "mixing": 0.5, "schedule": "cosine"}])
def test_a_killed_run_goes_on_to_the_same_bits(known, net, tmp_path, monkeypatch, settings):
    objective = asking(known, **settings)
    whole = adapt.adapt(net, objective, 3, tmp_path / "whole", WATCH)
    with monkeypatch.context() as patch:
        kill_at(3, patch)
        with pytest.raises(Killed):
            adapt.adapt(net, objective, 3, tmp_path / "killed", WATCH)
    assert torch.load(tmp_path / "killed" / "checkpoint.pt", weights_only=True)["step"] == 2
    torch.manual_seed(99)
    resumed = adapt.adapt(net, objective, 3, tmp_path / "killed", WATCH)
    assert same(whole, resumed)
    for name in ("model.safetensors", "history.csv", "samples/step000004.png"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not (tmp_path / "killed" / "checkpoint.pt").exists()


def test_a_finished_run_is_read_and_another_is_not_taken_for_it(known, net, tmp_path, monkeypatch):
    done = adapt.adapt(net, asking(known), 0, tmp_path, WATCH)
    with monkeypatch.context() as patch:
        kill_at(0, patch)
        assert same(done, adapt.adapt(net, asking(known), 0, tmp_path, replace(WATCH, log_every=1)))
        others = [(asking(known, lr=1e-3), 0), (asking(known), 1), (fusion.objective(known, ["two"], asking(known).recipe), 0)]
        for objective, seed in others:
            with pytest.raises(Killed):
                adapt.adapt(net, objective, seed, tmp_path, WATCH)
    assert not same(done, adapt.adapt(net, asking(known), 1, tmp_path, WATCH))


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "history.csv"])
@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "gone"])
def test_a_damaged_run_is_said_and_made_again(known, net, tmp_path, monkeypatch, capsys, name, damage):
    adapt.adapt(net, asking(known), 0, tmp_path, WATCH)
    data = bytearray((tmp_path / name).read_bytes())
    data[len(data) // 2] ^= 1
    left = {"empty": b"", "cut": bytes(data[: len(data) // 2]), "flipped": bytes(data)}
    (tmp_path / name).unlink() if damage == "gone" else (tmp_path / name).write_bytes(left[damage])
    with monkeypatch.context() as patch:
        kill_at(0, patch)
        with pytest.raises(Killed):
            adapt.adapt(net, asking(known), 0, tmp_path, WATCH)
    if (name, damage) != ("config.json", "gone"):  # which is no run at all
        assert "it counts as absent, and the adaptation runs again" in capsys.readouterr().err


def literal(known, net, settings, seed, steps):
    """The official iteration for one image, line by line, on the same random numbers."""
    frozen, trained = tiny(), tiny()
    frozen.load_state_dict(net.state_dict())
    trained.load_state_dict(net.state_dict())
    frozen.requires_grad_(False)
    layers.freeze(trained, set(layers.named(trained, settings)))
    optimizer = torch.optim.Adam([p for p in trained.parameters() if p.requires_grad], lr=8e-4, betas=(0.0, 0.992))
    text, empty = known.texts(["digit one"]), known.texts([""])

    def to_latent(image):
        return known.vae.encode(image).latent_dist.mode() * known.vae.config.scaling_factor

    def predict(z_t, t):
        without, given = known.unet(torch.cat([z_t] * 2), t, encoder_hidden_states=torch.cat([empty, text])).sample.chunk(2)
        return without + settings.guidance * (given - without)

    def rescaled(v):
        return v / v.norm() * v.numel() ** 0.5

    for step in range(steps):
        rng = torch_generator("adapt", seed, step)
        torch.randint(1, (1,), generator=rng)  # which of the prompts
        t = torch.randint(settings.t_min, settings.t_max + 1, (1,), generator=rng)
        z = torch.randn(1, 8, generator=rng)
        torch.rand(2, generator=rng)  # style mixing, which is off
        w = frozen.mapping(z)
        image_org, image = (g.synthesis(w, noise="fixed").clamp(-1, 1) for g in (frozen, trained))
        shape = (1, 4, 8, 8)
        a = known.alphas[t].view(1, 1, 1, 1)

        latents = to_latent(image)
        noise = torch.randn(shape, generator=rng)
        with torch.no_grad():
            predicted = predict(a.sqrt() * latents + (1 - a).sqrt() * noise, t)
        grad = torch.nan_to_num(((1 - a) * (predicted - noise)).clamp(-1, 1))
        x = image.detach().clone().requires_grad_()
        to_latent(x).backward(grad)
        limit = torch.quantile(x.grad.view(1, -1).abs(), 0.95, dim=1)
        image.backward(x.grad.clamp(-limit, limit), retain_graph=True)

        crt, org = to_latent(image), to_latent(image_org)
        noise = torch.randn(shape, generator=rng)
        z_t = (a.sqrt() * crt + (1 - a).sqrt() * noise).detach()
        with torch.no_grad():
            e = predict(z_t, t)
            e_org = predict(a.sqrt() * org + (1 - a).sqrt() * noise, t)
        if settings.directional:
            grad = settings.directional * (1 - a) * (e - e_org)
        else:
            e.requires_grad_()
            loss = nn.functional.mse_loss((z_t - (1 - a).sqrt() * e) / a.sqrt(), org)
            (e_reg,) = torch.autograd.grad(loss, e)
            grad = settings.reconstruction * (1 - a) * (rescaled(e.detach()) - rescaled(e_reg))
        crt.backward(torch.nan_to_num(grad.clamp(-1, 1)), retain_graph=True)
        optimizer.step()
        optimizer.zero_grad()
    return trained


@pytest.mark.parametrize("regulariser", ["directional", "reconstruction"])
def test_the_official_preset_takes_the_official_steps(known, net, tmp_path, regulariser):
    settings = recipe("official", {"steps": 3}, {regulariser: 0.5})
    found = adapt.adapt(net, fusion.objective(known, ["digit one"], settings), 0, tmp_path, WATCH)
    expected = literal(known, net, settings, 0, 3)
    assert changed(net, found) == changed(net, expected) == set(layers.named(net, settings))
    # Adam without a first moment turns the sign of a gradient near 0 into a whole step, so few weights may differ by one.
    differ = [(~torch.isclose(a, b, atol=1e-5)).float().mean() for a, b in zip(found.parameters(), expected.parameters(), strict=True)]
    assert float(torch.stack(differ).mean()) < 0.01


def test_selected_layers_alone_train_and_their_share_is_watched(known, net, tmp_path):
    objective = asking(known, steps=1, select=1)
    found = adapt.adapt(net, objective, 0, tmp_path / "1", replace(WATCH, log_every=1))
    names, values = ((tmp_path / "1" / "history.csv").read_text().splitlines()[i].split(",") for i in (0, 1))
    picked = [
        int(name.removeprefix("selected_w")) for name, value in zip(names, values, strict=True) if "selected_w" in name and value == "1"
    ]
    assert len(picked) == 1
    assert changed(net, found) <= set(layers.groups(net)[picked[0]])
    assert changed(net, found)


def test_moments_of_unselected_layers_stand_still_or_decay(known, net, tmp_path, monkeypatch):
    picks = iter([[4], [2], [4]] * 2)
    monkeypatch.setattr(adapt.layers, "chosen", lambda scores, k: next(picks))
    runs = [asking(known, steps=3, select=1, decay_unselected=decay) for decay in (False, True)]
    still, decayed = (adapt.adapt(net, objective, 0, tmp_path / str(i), WATCH) for i, objective in enumerate(runs))
    start, a, b = (dict(found.named_parameters()) for found in (net, still, decayed))
    first, second = "synthesis.b16.conv1.weight", "synthesis.b8.conv1.weight"
    assert not torch.equal(a[first], b[first])
    # Trained in the second step alone, from the same gradient: v̂ of that one, or of it and a zero before.
    moved = [(found[second] - start[second]).detach().abs().median() for found in (a, b)]
    assert float(moved[1] / moved[0]) == pytest.approx((1 - 0.992**2) ** 0.5 / (1 - 0.992) ** 0.5, rel=1e-3)


def test_stylegan_nada_runs_and_moves_towards_its_words(tiny_clip, net, tmp_path):
    settings = recipe("nada", {"steps": 12, "lr": 5e-3, "select": 4, "select_batch": 2, "batch_size": 4})
    objective = clip_direction.objective([clip_direction.load(tiny_clip)], "digit one", "red ink", settings, ["{}"])
    adapt.adapt(net, objective, 0, tmp_path, Watch(log_every=3, samples=2))
    losses = [float(line.split(",")[-1]) for line in (tmp_path / "history.csv").read_text().splitlines()[1:]]
    assert losses[-1] < losses[0]


def test_the_mapping_trains_if_it_is_asked_for(known, net, tmp_path):
    found = adapt.adapt(net, asking(known, layers="all", directional=1.0), 0, tmp_path, WATCH)
    assert "mapping.fc0.weight" in changed(net, found)


def test_classes_get_their_prompts(known, tmp_path):
    net = tiny(label_dim=3)
    settings = recipe("sound", {"steps": 2, "select": 2, "select_batch": 2})
    objective = fusion.objective(known, ["{} in red"], settings, class_names=("digit one", "digit two", "digit three"))
    assert changed(net, adapt.adapt(net, objective, 0, tmp_path, WATCH))
    with pytest.raises(InputError, match="the prompts name 3 classes, and this generator draws 4"):
        adapt.adapt(tiny(label_dim=4), objective, 0, tmp_path / "4", WATCH)


class Turning(Generator):
    """A generator with cameras, each of which makes its image lighter."""

    def sample_cameras(self, n, rng, orbit=""):
        return torch.full((n, 25), 0.3) if orbit == "ellipse" else torch.rand(n, 25, generator=rng)

    def __init__(self):
        super().__init__(Config((8, 8, 8), z_dim=8, w_dim=8, mapping_layers=1, label_dim=25))
        self.synthesis, self.classes = Shifted(self.synthesis), 0


def test_cameras_are_drawn_on_the_orbit_that_the_recipe_names(known, monkeypatch, tmp_path):
    net, seen = Turning(), []
    monkeypatch.setattr(adapt, "render", lambda net, w, noise, cameras: seen.append(cameras) or net.synthesis(w, cameras, noise))
    adapt.adapt(net, asking(known, orbit="ellipse"), 0, tmp_path, WATCH)
    assert seen and all((cameras == 0.3).all() for cameras in seen)


class Shifted(nn.Module):
    def __init__(self, flat):
        super().__init__()
        self.flat = flat

    def forward(self, w, cameras, noise="random"):
        return self.flat(w, noise) + cameras[:, :1, None, None]


def test_a_generator_with_cameras_gets_them(known, tmp_path):
    torch.manual_seed(0)
    net = Turning()
    assert changed(net, adapt.adapt(net, asking(known, directional=1.0), 0, tmp_path, WATCH))
    grid = np.asarray(Image.open(tmp_path / "samples" / "step000000.png"))
    assert np.array_equal(grid[:16], grid[16:])


def test_a_gradient_that_is_not_finite_stops_the_run_and_says_where(known, net, tmp_path):
    broken = replace(known, alphas=torch.full((1000,), float("nan")))
    with pytest.raises(InputError, match="the sds gradient is not finite at step 1; use dtype"):
        adapt.adapt(net, asking(broken), 0, tmp_path, WATCH)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_the_runs_around_it_keep_their_random_state(known, net, tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    adapt.adapt(net, asking(known), 0, tmp_path, WATCH)
    assert torch.equal(torch.rand(1), expected)


def test_a_plan_is_every_prompt_by_every_variant_and_seed(tiny_diffusion, tiny_clip, tmp_path):
    settings = {"steps": 5, "guidance": 3.0, "batch_size": 2}
    variants = {"plain": {}, "spring": {"directional": 0.5}, "nada": {"preset": "nada", "direction_floor": 0.2}}
    prompts = {"red": ["digit one in red", "red digit one"], "blue": ["digit one in blue"]}
    planned = runs.plan("official", settings, variants, prompts, [0, 1])
    assert [(run.prompt, run.variant, run.seed) for run in planned][:3] == [("red", "plain", 0), ("red", "plain", 1), ("red", "spring", 0)]
    assert len(planned) == 12
    assert planned[0].folder(tmp_path) == tmp_path / "red" / "plain" / "seed0"
    recipes = {run.variant: run.recipe for run in planned}
    assert recipes["plain"] == recipe("official", settings)
    assert recipes["spring"] == recipe("official", settings, {"directional": 0.5})
    assert recipes["nada"] == recipe("nada", {"steps": 5, "guidance": 3.0, "direction_floor": 0.2})
    made = runs.objectives(planned, prompts, str(tiny_diffusion), [str(tiny_clip)], "digit", ["{}"], "", [])
    assert set(made) == {(prompt, variant) for prompt in prompts for variant in variants}
    assert len(made["red", "plain"].text) == 2
    assert made["red", "plain"].guide is made["blue", "spring"].guide
    for wrong in (({"a b": {}}, prompts, [0]), ({}, prompts, [0]), (variants, {"../x": []}, [0]), (variants, prompts, [1, 1])):
        with pytest.raises(InputError):
            runs.plan("sound", settings, *wrong)


def test_the_way_of_a_run_is_a_picture(known, net, tmp_path):
    adapt.adapt(net, asking(known), 0, tmp_path, replace(WATCH, samples_every=1))
    way = samples.on_the_way(tmp_path / "samples", rows=2)
    assert way.shape == (48, 48, 3)
    last = np.asarray(Image.open(tmp_path / "samples" / "step000004.png"))
    assert np.array_equal(way[:16], last[:16])
    assert np.array_equal(way[32:], last[16:])
    assert len(samples.figure([way, last], ["way", "last $ step"]).axes) == 2
    with pytest.raises(InputError, match="no sample grids"):
        samples.on_the_way(tmp_path)


@pytest.mark.parametrize("path", sorted((ROOT / "experiments" / "adapt_generator").glob("*.yaml")), ids=lambda path: path.stem)
def test_recipe_files_are_runs_of_the_notebook(path):
    notebook = nbformat.read(ROOT / "notebooks" / "71_adapt_generator.ipynb", as_version=4)
    known = parameters.of_notebook(notebook.cells, "71_adapt_generator")
    given = parameters.read_yaml(path.read_text(encoding="utf-8"), path.name)
    inputs = {p.name for p in known if p.is_input}
    rest = {name: value for name, value in given.items() if name not in inputs}
    v = parameters.checked([p for p in known if not p.is_input], rest, path.name)
    common = {name: v[name] for name in ("steps", "batch_size", "lr", "guidance", "directional", "reconstruction", "perceptual")}
    common |= {"t_min": v["t_range"][0], "t_max": v["t_range"][1]}
    planned = runs.plan(v["preset"], common | v["options"], v["variants"], v["prompts"], v["seeds"])
    assert planned
    Watch(**v["watch"])
    assert Path(v["out"]).parts == ("artifacts", "adapt_generator", path.stem)
    assert f"experiments/adapt_generator/{path.name}" in path.read_text(encoding="utf-8")
    if v["preset"] == "official":
        assert {run.recipe.lr for run in planned} == {8e-4}
        assert {run.recipe.guidance for run in planned} == {100}


BASE = {"steps": 80, "lr": 0.006, "layers": "torgb"}
NUMBERS = [float("nan"), float("inf"), -(10**12), 10**400, "3", "nan", None, [], {}, 1e300]


@pytest.mark.parametrize("value", NUMBERS, ids=lambda value: repr(value)[:8])
@pytest.mark.parametrize("name", [name for name, kind in get_type_hints(Recipe).items() if kind in (int, float)])
def test_a_number_that_no_adaptation_can_have_is_one_short_sentence_wherever_it_stands(name, value):
    for settings, variant in ((BASE | {name: value}, {}), (BASE, {name: value})):
        with pytest.raises(InputError) as caught:
            runs.plan("sound", settings, {"sds": variant}, {"night": ["a digit {}"]}, [0])
        assert name in str(caught.value)
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize("seeds", [[], [0, 0], [-1], [1.5], ["a"], [True], [10**30], [None], None, "0", 0], ids=repr)
def test_seeds_of_an_adaptation_are_whole_numbers(seeds):
    with pytest.raises(InputError, match="seed"):
        runs.plan("sound", BASE, {"sds": {}}, {"night": ["a digit {}"]}, seeds)


@pytest.mark.parametrize("prompts", [None, [], {}, {"a": None}, {"a": []}, {"a": "x"}, {"a": [""]}, {"a": [1]}, {"a/b": ["x"]}], ids=repr)
def test_prompts_of_an_adaptation_are_named_lists_of_texts(prompts):
    with pytest.raises(InputError, match="prompts"):
        runs.plan("sound", BASE, {"sds": {}}, prompts, [0])


@pytest.mark.parametrize(
    "variants", [None, [], {}, {"a": None}, {"a": []}, {"a": 1}, {"..": {}}, {"before": {}}, {"renders": {}}], ids=repr
)
def test_variants_are_named_changes_and_none_is_called_as_what_it_is_compared_with(variants):
    with pytest.raises(InputError, match="variant"):
        runs.plan("sound", BASE, variants, {"night": ["a digit {}"]}, [0])


@pytest.mark.parametrize("value", [*NUMBERS, 0, -1, True], ids=lambda value: repr(value)[:8])
@pytest.mark.parametrize("name", ["log_every", "samples_every", "checkpoint_every", "samples"])
def test_what_a_run_is_watched_by_is_counted_in_whole_numbers(name, value):
    with pytest.raises(InputError, match=name):
        Watch(**{name: value})
