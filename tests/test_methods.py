"""Contracts that every method keeps, found by looking into the folders; and one formula test for each loss."""

import importlib
import math
import os
import sys
import tempfile
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from test_train import ARCHITECTURE, RECIPE, killed_at, picture_set
from torch import nn

from aa_utils import inter_domain, intra_domain, plugins
from aa_utils.classifiers import backbones, inference
from aa_utils.errors import InputError
from aa_utils.inter_domain import dann, source_only
from aa_utils.intra_domain import fixmatch
from aa_utils.intra_domain.split import missing, split
from aa_utils.seeds import stable_hash
from aa_utils.training import registry

STAGES = [(inter_domain, name) for name in registry.names(inter_domain)] + [(intra_domain, name) for name in registry.names(intra_domain)]
TRAINED = [pair for pair in STAGES if not registry.load(*pair).training_free]
TRAINING_FREE = [pair for pair in STAGES if registry.load(*pair).training_free]


def called(pair):
    return f"{pair[0].__name__.rpartition('.')[2]}.{pair[1]}"


@pytest.fixture(params=STAGES, ids=called)
def stage_and_name(request):
    return request.param


@pytest.fixture(params=TRAINED, ids=called)
def trained(request):
    return request.param


@pytest.fixture(params=TRAINING_FREE, ids=called)
def training_free(request):
    return request.param


class Poison:
    """Stands where target labels could be: any use of it fails the test."""

    def __getattribute__(self, name):
        raise AssertionError(f"target labels were read ({name})")

    def __bool__(self):
        raise AssertionError("target labels were read")


def architecture(name):
    """A tiny network that suits the method: CDTrans crosses the blocks of a ViT, and ImageNet's head is one of pretrained weights."""
    vit = {"backbone": "pocket_vit", "embed_dim": 16, "depth": 2, "num_heads": 2, "patch_size": 8}
    own = {"cdtrans": vit, "imagenet_head": {"backbone": "test_resnet", "pretrained": imagenet_weights()}}
    return own.get(name.rpartition(".")[2], ARCHITECTURE)


def options(name):
    """ImageNet has no class called "class 0"."""
    words = [["tench"], ["goldfish", "great white shark"], [3]]
    return {"names": {f"class {k}": mine for k, mine in enumerate(words)}} if name == "imagenet_head" else {}


@cache
def imagenet_weights():
    """A file of weights with a head of 1,000 classes."""
    torch.manual_seed(0)
    path = Path(tempfile.mkdtemp()) / "test_resnet.pth"
    torch.save(timm.create_model("test_resnet").state_dict(), path)
    return str(path)


def run(stage, name, folder, initial, seed=0):
    """A short training run by the stage's own entry point, with poisoned target labels."""
    target = replace(picture_set(9, labels=False, seed=1), labels=Poison())
    recipe = replace(RECIPE, steps=3)
    if stage is inter_domain:
        return inter_domain.adapt(picture_set(10), target, name, options(name), architecture(name), recipe, seed, folder)
    p = torch.full((9, 3), 0.1)
    p[range(9), [i % 3 for i in range(9)]] = 0.8
    return intra_domain.refine(initial, target, split(p, target.class_names), name, {}, recipe, seed, folder)


@pytest.fixture(scope="module")
def initial(tmp_path_factory):
    folder = tmp_path_factory.mktemp("initial")
    torch.manual_seed(0)
    backbones.save(backbones.build(num_classes=3, **ARCHITECTURE), folder, [f"class {k}" for k in range(3)])
    return folder


def tiny_batch(module, stage):
    """(nets, batch, config) of a method, as the loop would make them."""
    torch.manual_seed(0)
    classifier = backbones.build(num_classes=3, **architecture(module.__name__)).train()
    config = module.Config()
    if stage is inter_domain:
        names = {"x_s": 6} | dict.fromkeys(module.target_views or {"x_t": ""}, 6)
    else:
        streams = module.streams(picture_set(6), picture_set(9, labels=False), config, 3)
        names = {view: stream.size for stream in streams for view in stream.views}
    batch = {name: torch.rand(n, 3, 32, 32) for name, n in names.items()}
    batch |= {"y_s": torch.arange(6) % 3, "y_t": torch.arange(6) % 3, "y_l": torch.arange(3)}
    return nn.ModuleDict({"classifier": classifier, **module.networks(classifier, config)}), batch, config


def test_losses_are_finite_and_reach_every_weight(trained):
    stage, name = trained
    module = registry.load(stage, name)
    nets, batch, config = tiny_batch(module, stage)
    reached = {}

    def update(*parts):
        """As in the training loop, but nothing moves: which weights does a batch reach, and by how much?"""
        for loss, weights in parts:
            weights = list(weights)
            gradients = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
            reached.update({w: gradient for w, gradient in zip(weights, gradients, strict=True) if gradient is not None})

    losses, metrics = module.step(nets, batch, 0.5, config, update)
    assert losses
    assert all(value.ndim == 0 and value.isfinite() for value in (*losses.values(), *metrics.values()))
    assert not any(value.requires_grad for value in metrics.values()), "a metric is watched; it trains nothing"
    for label, weight in nets.named_parameters():
        assert weight in reached, label
        assert reached[weight].isfinite().all(), label
    assert any(reached[weight].abs().sum() > 0 for weight in nets["classifier"].backbone.parameters())


def test_same_seed_same_bits_and_target_labels_are_never_read(stage_and_name, tmp_path, initial):
    stage, name = stage_and_name
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(stage, name, tmp_path / folder, initial, seed)
    a, b, c = (load_file(tmp_path / folder / "model.safetensors") for folder in "abc")
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert not all(torch.equal(a[key], c[key]) for key in a)


def test_a_killed_run_goes_on_to_the_same_weights(trained, tmp_path, initial, monkeypatch):
    stage, name = trained
    run(stage, name, tmp_path / "whole", initial)
    killed_at(monkeypatch, 3, lambda: run(stage, name, tmp_path / "halves", initial))
    assert (tmp_path / "halves/checkpoint.pt").is_file()
    run(stage, name, tmp_path / "halves", initial)
    whole, halves = (load_file(tmp_path / folder / "model.safetensors") for folder in ("whole", "halves"))
    assert all(torch.equal(value, halves[key]) for key, value in whole.items())


def test_a_method_without_training_names_the_target_by_itself(training_free, tmp_path, initial):
    stage, name = training_free
    run(stage, name, tmp_path, initial)
    pixels = picture_set(9, seed=1).pixels
    p, f = inter_domain.predict(tmp_path, pixels)
    assert p.shape == (9, 3) and len(f) == 9
    assert torch.allclose(p.sum(1), torch.ones(9), atol=1e-5)
    assert torch.equal(inference.read_predictions(tmp_path / "predictions.parquet", picture_set(9).names), p)
    assert (tmp_path / "history.csv").read_text().splitlines() == ["step,lr,images_per_second"], "no step was taken"
    # What is saved is the network as it is built: where stage 4 starts.
    torch.manual_seed(stable_hash("classifier", 0))
    built = backbones.build(num_classes=3, **architecture(name)).state_dict()
    assert all(torch.equal(value, built[key]) for key, value in load_file(tmp_path / "model.safetensors").items())
    assert not torch.allclose(inference.predict(backbones.load(tmp_path)[0], pixels)[0], p)


def test_a_method_without_training_sees_no_image_of_the_source(training_free, tmp_path, initial):
    for folder, seed in (("a", 0), ("b", 5)):
        recipe, target = replace(RECIPE, steps=3), picture_set(9, labels=False, seed=1)
        name = training_free[1]
        source, how = picture_set(10, seed=seed), (name, options(name), architecture(name))
        inter_domain.adapt(source, target, *how, recipe, 0, tmp_path / folder)
    a, b = (inference.read_predictions(tmp_path / folder / "predictions.parquet", target.names) for folder in "ab")
    assert torch.equal(a, b)


def test_stage_4_refines_what_a_method_without_training_says(training_free, tmp_path, initial):
    run(*training_free, tmp_path / "before", initial)
    target = picture_set(9, labels=False, seed=1)
    p = inference.read_predictions(tmp_path / "before/predictions.parquet", target.names)
    parts = split(p, target.class_names)
    for method in registry.names(intra_domain):
        refined = intra_domain.refine(tmp_path / "before", target, parts, method, {}, replace(RECIPE, steps=2), 0, tmp_path / method)
        assert refined.config["num_classes"] == 3


def test_method_says_where_it_comes_from(stage_and_name):
    module = registry.load(*stage_and_name)
    assert "L = " in module.__doc__, "the equation stands in the docstring"
    assert module.Config.__dataclass_params__.frozen


def test_unknown_methods_and_options_are_refused():
    with pytest.raises(InputError, match=r"no inter-domain method 'dan'; there are: .*dann, "):
        registry.load(inter_domain, "dan")
    with pytest.raises(InputError, match="option 'lambda' is unknown; 'dann' has: weight"):
        registry.configure(inter_domain, "dann", {"lambda": 1})
    with pytest.raises(InputError, match="takes a value such as 1024"):
        registry.configure(inter_domain, "dann", {"hidden": "wide"})
    assert "split" not in registry.names(intra_domain)


def options_of_others():
    """(stage, method, an option of another method of its stage that this one lacks, its default)."""
    for stage in (inter_domain, intra_domain):
        configs = {name: registry.load(stage, name).Config() for name in registry.names(stage)}
        for name, own in configs.items():
            strange = {key: value for other in configs.values() for key, value in vars(other).items() if key not in vars(own)}
            yield from ((stage, name, key, value) for key, value in strange.items())


@pytest.mark.parametrize(("stage", "name", "option", "default"), options_of_others())
def test_options_of_other_methods_are_refused(stage, name, option, default):
    with pytest.raises(InputError, match=rf"option '{option}' is one of [a-z_, ]+, not of '{name}'; '{name}' has: "):
        registry.configure(stage, name, {option: default})


@pytest.fixture
def made_method(request):
    """made_method(source): the name of a method with that source in `inter_domain/`, gone after the test."""
    name = f"made_{os.getpid()}"
    path = Path(inter_domain.__file__).parent / f"{name}.py"

    def remove():
        path.unlink(missing_ok=True)
        sys.modules.pop(f"aa_utils.inter_domain.{name}", None)

    request.addfinalizer(remove)

    def make(source: str) -> str:
        path.write_text("from dataclasses import dataclass\nfrom aa_utils.training.method import Terms\n" + source, encoding="utf-8")
        importlib.invalidate_caches()
        return name

    return make


CONFIG = "@dataclass(frozen=True)\nclass Config:\n    weight: float = 1.0\n"
LOSSES = "def losses(nets, batch, progress, config):\n    z = nets['classifier'](batch['x_s'])\n"


@pytest.mark.parametrize("name", ["share_of_it", "metric_of_it"])
def test_what_a_file_calls_a_loss_trains_whatever_its_name(made_method, tmp_path, name):
    terms = f"    return Terms({{'{name}': config.weight * z.square().mean()}}, {{'mean': z.detach().mean()}})\n"
    method = made_method(CONFIG + LOSSES + terms)
    assert method in registry.names(inter_domain)

    def head(weight):
        recipe, target = replace(RECIPE, steps=3, weight_decay=0.0), picture_set(7, labels=False, seed=1)
        options, folder = {"weight": weight}, tmp_path / str(weight)
        return inter_domain.adapt(picture_set(10), target, method, options, ARCHITECTURE, recipe, 0, folder).head.weight

    assert not torch.equal(head(1.0), head(0.0))
    assert (tmp_path / "1.0/history.csv").read_text().splitlines()[0] == f"step,lr,{name},metric_mean,images_per_second"


@pytest.mark.parametrize(
    ("source", "lacking"),
    [
        ("def predict(classifier, pixels, class_names, config, device):\n    return None\n", "`losses`"),
        ("training_free = True\n" + LOSSES, "`predict`"),
    ],
)
def test_a_file_that_lacks_what_its_stage_calls_is_refused_before_training(made_method, source, lacking):
    method = made_method(CONFIG + source)
    with pytest.raises(InputError, match=f"method '{method}' .* defines no {lacking}"):
        registry.load(inter_domain, method)


@pytest.mark.parametrize("name", ["step", "lr", "images_per_second", "metric_mean"])
def test_a_loss_with_the_name_of_another_column_is_refused(made_method, tmp_path, name):
    method = made_method(CONFIG + LOSSES + f"    return Terms({{'{name}': z.square().mean()}}, {{'mean': z.detach().mean()}})\n")
    with pytest.raises(InputError, match=f"a loss is called '{name}'"):
        inter_domain.adapt(picture_set(10), picture_set(7, labels=False), method, {}, ARCHITECTURE, RECIPE, 0, tmp_path)


@pytest.mark.parametrize(("stage", "name"), STAGES, ids=map(called, STAGES))
def test_options_are_known_without_an_import(stage, name):
    """An experiment is checked in every job of a cluster; importing torch for that would take seconds."""
    assert plugins.options(stage.__name__.rpartition(".")[2], name) == [field.name for field in fields(registry.load(stage, name).Config)]


def test_own_options_are_taken():
    assert registry.configure(inter_domain, "dann", {"lambda_max": 0.5}) == dann.Config(lambda_max=0.5)
    assert registry.configure(inter_domain, "source_only", {}) == source_only.Config()


def linear_classifier(weight):
    """A classifier whose features are the first two pixels: small enough to compute by hand."""
    head = nn.Linear(2, 3, bias=False)
    head.weight.data = weight
    net = nn.Module()
    net.features, net.head, net.width = lambda x: x.flatten(1)[:, :2] * net.scale, head, 2
    net.scale = nn.Parameter(torch.ones(1))
    net.forward = lambda x: head(net.features(x))
    return net


def value(loss):
    return float(loss.detach())


def log_softmax(z):
    return [v - math.log(sum(math.exp(u) for u in z)) for v in z]


def test_source_only_is_cross_entropy():
    torch.manual_seed(0)
    net, x, y = linear_classifier(torch.randn(3, 2)), torch.randn(4, 3, 1, 1), [0, 2, 1, 1]
    expected = -sum(log_softmax(net(x)[i].tolist())[y[i]] for i in range(4)) / 4
    got = source_only.losses({"classifier": net}, {"x_s": x, "y_s": torch.tensor(y)}, 0.0, source_only.Config())
    assert value(got.losses["classification"]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("together", [True, False])
def test_dann_loss_by_hand(together):
    torch.manual_seed(0)
    net, d = linear_classifier(torch.randn(3, 2)), nn.Linear(2, 1)
    x_s, x_t, y = torch.randn(4, 3, 1, 1), torch.randn(4, 3, 1, 1), [0, 2, 1, 1]
    batch = {"x_s": x_s, "x_t": x_t, "y_s": torch.tensor(y)}
    got = dann.losses({"classifier": net, "discriminator": d}, batch, 0.5, dann.Config(weight=2.0, together=together))
    p_s, p_t = (torch.sigmoid(d(net.features(x)))[:, 0].tolist() for x in (x_s, x_t))
    domain = -sum(math.log(p) for p in p_s) / 4 / 2 - sum(math.log(1 - p) for p in p_t) / 4 / 2
    assert value(got.losses["domain"]) == pytest.approx(2 * domain, rel=1e-5)
    expected = -sum(log_softmax(net(x_s)[i].tolist())[y[i]] for i in range(4)) / 4
    assert value(got.losses["classification"]) == pytest.approx(expected, rel=1e-5)
    assert value(got.metrics["domain_accuracy"]) == pytest.approx((sum(p > 0.5 for p in p_s) + sum(p <= 0.5 for p in p_t)) / 8)


def test_dann_normalises_the_domains_together_or_each_by_its_own_statistics():
    """Two domains that differ by an offset alone: BatchNorm leaves it in their mixture, and takes it away in passes of their own."""
    torch.manual_seed(0)
    net = linear_classifier(torch.randn(3, 3))
    x = torch.randn(8, 3, 1, 1)
    net.features = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(3))
    batch = {"x_s": x, "x_t": x + 9, "y_s": torch.zeros(8).long()}
    nets = {"classifier": net, "discriminator": lambda f: 5 * f[:, :1]}
    right = {t: value(dann.losses(nets, batch, 0.0, dann.Config(together=t)).metrics["domain_accuracy"]) for t in (True, False)}
    assert right == {True: 0.0, False: 0.5}, "the target lies above the source, which the discriminator takes for the source"


def test_dann_at_chance_is_ln_2():
    net, d = linear_classifier(torch.zeros(3, 2)), nn.Linear(2, 1)
    nn.init.zeros_(d.weight), nn.init.zeros_(d.bias)
    x = torch.randn(4, 3, 1, 1)
    got = dann.losses({"classifier": net, "discriminator": d}, {"x_s": x, "x_t": x, "y_s": torch.zeros(4).long()}, 0.5, dann.Config())
    assert value(got.losses["domain"]) == pytest.approx(math.log(2))


@pytest.mark.parametrize(("p", "expected"), [(0, 0), (0.1, 0.46212), (0.5, 0.98661), (1, 0.99991)])
def test_dann_coefficient(p, expected):
    assert dann.coefficient(p, dann.Config()) == pytest.approx(expected, abs=1e-5)
    assert dann.coefficient(p, dann.Config(lambda_max=0.3)) == pytest.approx(0.3 * expected, abs=1e-5)


def test_dann_waits_then_ramps_over_the_rest():
    config = dann.Config(wait=0.5)
    assert [dann.coefficient(p, config) for p in (0, 0.25, 0.5)] == [0, 0, 0]
    assert dann.coefficient(0.55, config) == pytest.approx(dann.coefficient(0.1, dann.Config()))
    assert dann.coefficient(1, config) == pytest.approx(0.99991, abs=1e-5)


def test_reversal_scales_the_gradient_into_the_features_only():
    def gradients(reverse):
        torch.manual_seed(0)
        f, d = torch.randn(4, 2, requires_grad=True), nn.Linear(2, 1)
        d(dann.Reverse.apply(f, 0.25) if reverse else f).square().mean().backward()
        return f.grad, d.weight.grad

    (f_plain, d_plain), (f_reversed, d_reversed) = gradients(False), gradients(True)
    assert torch.allclose(f_reversed, -0.25 * f_plain)
    assert torch.equal(d_reversed, d_plain)


def test_dann_domain_gradient_vanishes_at_the_start():
    torch.manual_seed(0)
    net, d = linear_classifier(torch.randn(3, 2)), nn.Linear(2, 1)
    batch = {"x_s": torch.randn(4, 3, 1, 1), "x_t": torch.randn(4, 3, 1, 1), "y_s": torch.zeros(4).long()}
    dann.losses({"classifier": net, "discriminator": d}, batch, 0.0, dann.Config()).losses["domain"].backward()
    assert float(net.scale.grad.abs()) == 0
    assert float(d.weight.grad.abs().sum()) > 0


def test_fixmatch_loss_by_hand():
    torch.manual_seed(0)
    net = linear_classifier(3 * torch.randn(3, 2))
    x_l, x_weak, x_strong, y = torch.randn(2, 3, 1, 1), torch.randn(6, 3, 1, 1), torch.randn(6, 3, 1, 1), [2, 0]
    config = fixmatch.Config(mu=3, threshold=0.8, weight=0.5)
    batch = {"x_l": x_l, "y_l": torch.tensor(y), "x_u_weak": x_weak, "x_u_strong": x_strong}
    got = fixmatch.losses({"classifier": net}, batch, 0.0, config)
    assert value(got.losses["labelled"]) == pytest.approx(-sum(log_softmax(net(x_l)[i].tolist())[y[i]] for i in range(2)) / 2, rel=1e-5)
    total, over = 0.0, 0
    for weak, strong in zip(net(x_weak).tolist(), net(x_strong).tolist(), strict=True):
        q = [math.exp(v) for v in log_softmax(weak)]
        if max(q) >= 0.8:
            over += 1
            total -= log_softmax(strong)[q.index(max(q))]
    assert 0 < over < 6, "the test must have images on both sides of the threshold"
    assert value(got.losses["unlabelled"]) == pytest.approx(0.5 * total / 6, rel=1e-5), "divided by all mu*B images"
    assert value(got.metrics["confident"]) == pytest.approx(over / 6)


def test_fixmatch_threshold_is_inclusive_and_pseudo_labels_have_no_gradient():
    z_weak = torch.tensor([[math.log(0.75), math.log(0.25)]], requires_grad=True)
    z_strong = torch.zeros(1, 2, requires_grad=True)
    outputs = torch.cat([torch.zeros(1, 2), z_weak, z_strong])
    threshold = float(z_weak.detach().softmax(1).max())
    x = torch.zeros(1, 3, 1, 1)
    batch = {"x_l": x, "y_l": torch.tensor([0]), "x_u_weak": x, "x_u_strong": x}
    got = fixmatch.losses({"classifier": lambda _: outputs}, batch, 0.0, SimpleNamespace(threshold=threshold, weight=1.0))
    assert value(got.losses["unlabelled"]) == pytest.approx(math.log(2))
    got.losses["unlabelled"].backward()
    assert z_weak.grad is None or not z_weak.grad.any()
    assert torch.allclose(z_strong.grad, torch.tensor([[-0.5, 0.5]]))


def test_refine_starts_where_it_is_told(initial, tmp_path):
    target = picture_set(9, labels=False)
    parts = split(F.one_hot(torch.arange(9) % 3).float(), target.class_names)
    recipe = replace(RECIPE, steps=1, lr=1e-12)
    before = load_file(initial / "model.safetensors")
    for start, features, head in (("adapted", True, True), ("head", True, False), ("scratch", False, False)):
        intra_domain.refine(initial, target, parts, "fixmatch", {}, recipe, 0, tmp_path / start, start)
        after = load_file(tmp_path / start / "model.safetensors")
        first = "backbone.conv1.0.weight"
        assert torch.allclose(before[first], after[first], atol=1e-6) == features, start
        assert torch.allclose(before["head.weight"], after["head.weight"], atol=1e-6) == head, start
    with pytest.raises(InputError, match="start is 'warm'"):
        intra_domain.refine(initial, target, parts, "fixmatch", {}, recipe, 0, tmp_path / "x", "warm")
    with pytest.raises(InputError, match="other classes"):
        intra_domain.refine(initial, replace(target, class_names=["a", "b", "c"]), parts, "fixmatch", {}, recipe, 0, tmp_path / "x")


def test_images_of_the_source_teach_stage_4_only_where_they_are_kept(initial, tmp_path, monkeypatch):
    """Every labelled image that is drawn is one of the confident ones, or of the source where it is kept; the rest is the target's."""
    target, source = picture_set(9, labels=False), picture_set(6, seed=5)
    parts = split(F.one_hot(torch.arange(9) % 3).float(), target.class_names)
    streams = []
    monkeypatch.setattr(intra_domain.loop, "fit", lambda method, config, classifier, given, *others: streams.append(given))
    for kept in (None, source):
        intra_domain.refine(initial, target, parts, "fixmatch", {}, RECIPE, 0, tmp_path / "x", "head", kept)
    (discarded, rest), (both, rest_beside) = streams
    assert discarded.rows.tolist() == parts.labelled.tolist()
    assert torch.equal(discarded.pixels, target.pixels)
    assert torch.equal(both.pixels[both.rows], torch.cat([target.pixels[parts.labelled], source.pixels]))
    assert torch.equal(both.labels[both.rows], torch.cat([parts.pseudo, source.labels]))
    assert torch.equal(rest.pixels, target.pixels)
    assert torch.equal(rest_beside.pixels, target.pixels), "the unlabelled images are the target's alone"


P = torch.tensor([[0.9, 0.1, 0.0], [0.5, 0.3, 0.2], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.4, 0.5, 0.1]])


@pytest.mark.parametrize("score", ["entropy", "max_probability"])
def test_split_by_share_of_each_predicted_class(score):
    parts = split(P, ["a", "b", "c"], score, fraction=0.5)
    assert parts.labelled.tolist() == [0, 2, 3]
    assert parts.pseudo.tolist() == [0, 0, 1]
    assert [(row["predicted"], row["confident"], row["unconfident"]) for row in parts.counts] == [(3, 2, 1), (2, 1, 1), (0, 0, 0)]
    assert missing(parts.counts) == ["c"]


def test_split_by_threshold():
    parts = split(P, ["a", "b", "c"], "max_probability", threshold=0.6)
    assert parts.labelled.tolist() == [0, 2, 3]
    by_entropy = split(torch.tensor([[1.0, 0.0], [0.5, 0.5]]), ["a", "b"], "entropy", threshold=1.0)
    assert by_entropy.labelled.tolist() == [0]
    with pytest.raises(InputError, match=r"no target image reaches confidence 0.95 .highest: 0.900"):
        split(P, ["a", "b", "c"], "max_probability", threshold=0.95)


@pytest.mark.parametrize(
    ("wrong", "message"), [({"fraction": 0.0}, "fraction is 0"), ({"threshold": 2.0}, "threshold is 2"), ({"score": "x"}, "score")]
)
def test_split_refuses(wrong, message):
    with pytest.raises(InputError, match=message):
        split(P, ["a", "b", "c"], **wrong)
