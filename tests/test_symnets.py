"""SymNets: both losses by explicit loops and at uniform logits, which weights each of them moves, what is kept."""

import math

import pytest
import torch
from safetensors.torch import load_file
from test_train import ARCHITECTURE, RECIPE, killed_at, picture_set
from torch import nn

from aa_utils import inter_domain
from aa_utils.classifiers import backbones
from aa_utils.errors import InputError
from aa_utils.inter_domain import symnets
from aa_utils.training import optimization

V1, V2 = symnets.Config(), symnets.Config(version=2)


def make(config=V1):
    """(nets, batch): a tiny network in training mode, four source and six target images."""
    torch.manual_seed(0)
    classifier = backbones.build(num_classes=3, **ARCHITECTURE).train()
    nets = nn.ModuleDict({"classifier": classifier, **symnets.networks(classifier, config)})
    return nets, {"x_s": torch.rand(4, 3, 32, 32), "x_t": torch.rand(6, 3, 32, 32), "y_s": torch.tensor([0, 2, 1, 1])}


def softmax(row):
    total = sum(math.exp(u) for u in row)
    return [math.exp(v) / total for v in row]


def mean(values):
    values = list(values)
    return sum(values) / len(values)


@pytest.mark.parametrize(("classes", "total"), [(31, 8.2543), (65, 9.7351), (12, 6.3561), (10, 5.9915)])
def test_uniform_logits(classes, total):
    z, y = torch.zeros(5, 2 * classes), torch.arange(5)
    k = math.log(classes)
    assert float(sum(symnets.head_terms(z, z, y, V1).values())) == pytest.approx(total, abs=1e-4)
    assert total == pytest.approx(2 * k + 2 * math.log(2), abs=1e-4)
    features = {name: float(value) for name, value in symnets.feature_terms(z, z, y, 1.0, V1).items()}
    assert features == pytest.approx({"category_confusion": math.log(2 * classes), "domain_confusion": math.log(2), "entropy": k}, abs=1e-5)
    assert float(sum(symnets.head_terms(z, z, y, V2).values())) == pytest.approx(2 * k + math.log(2 * classes) + math.log(2), abs=1e-5)
    features = {name: float(value) for name, value in symnets.feature_terms(z, z, y, 1.0, V2).items()}
    # p^s_k = p^t_k = 1 / 2K: half of twice K terms of ln(2K) / 2K.
    assert features == pytest.approx({"category_confusion": math.log(2 * classes), "domain_confusion": math.log(2 * classes) / 2}, abs=1e-5)


@pytest.mark.parametrize("config", [V1, V2])
def test_losses_by_hand(config):
    torch.manual_seed(0)
    z_s, z_t, y, strength = 2 * torch.randn(4, 6), 2 * torch.randn(5, 6), [0, 2, 1, 1], 0.3
    p_s, p_t = [softmax(row) for row in z_s.tolist()], [softmax(row) for row in z_t.tolist()]
    own = [(softmax(row[:3]), softmax(row[3:])) for row in z_s.tolist()]
    heads = {"classification": mean(-math.log(a[i]) - math.log(b[i]) for (a, b), i in zip(own, y, strict=True))}
    heads["domain"] = mean(-math.log(sum(p[3:])) for p in p_t)
    if config.version == 1:
        heads["domain"] += mean(-math.log(sum(p[:3])) for p in p_s)
    else:
        heads["domain"] += mean(-math.log(p[i]) for p, i in zip(p_s, y, strict=True))
    features = {"category_confusion": mean(-(math.log(p[i]) + math.log(p[i + 3])) / 2 for p, i in zip(p_s, y, strict=True))}
    if config.version == 1:
        features["domain_confusion"] = strength * mean(-(math.log(sum(p[:3])) + math.log(sum(p[3:]))) / 2 for p in p_t)
        features["entropy"] = strength * mean(-sum((p[i] + p[i + 3]) * math.log(p[i] + p[i + 3]) for i in range(3)) for p in p_t)
    else:
        crossed = (-sum(p[i + 3] * math.log(p[i]) + p[i] * math.log(p[i + 3]) for i in range(3)) / 2 for p in p_t)
        features["domain_confusion"] = strength * mean(crossed)
    got = symnets.head_terms(z_s, z_t, torch.tensor(y), config)
    assert {name: float(value) for name, value in got.items()} == pytest.approx(heads, rel=1e-5)
    got = symnets.feature_terms(z_s, z_t, torch.tensor(y), strength, config)
    assert {name: float(value) for name, value in got.items()} == pytest.approx(features, rel=1e-5)


@pytest.mark.parametrize(("p", "expected"), [(0, 0), (0.1, 0.46212), (0.5, 0.98661), (1, 0.99991)])
def test_coefficient(p, expected):
    assert symnets.coefficient(p, V1) == pytest.approx(expected, abs=1e-5)
    assert symnets.coefficient(p, symnets.Config(lambda_max=0.3)) == pytest.approx(0.3 * expected, abs=1e-5)


@pytest.mark.parametrize("config", [V1, V2])
def test_probabilities_of_zero_do_no_harm(config):
    z = torch.zeros(2, 6)
    z[0, 0], z[1, 5] = 1000.0, -1000.0
    z.requires_grad_()
    y = torch.tensor([1, 2])
    terms = symnets.head_terms(z, z, y, config) | symnets.feature_terms(z, z, y, 1.0, config)
    assert all(value.isfinite() for value in terms.values())
    (gradient,) = torch.autograd.grad(sum(terms.values()), z)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("config", [V1, V2])
def test_each_loss_moves_its_own_weights_only(config):
    nets, batch = make(config)
    seen = []
    symnets.step(nets, batch, 0.5, config, lambda *parts: seen.append([(loss, list(weights)) for loss, weights in parts]))
    ((features, heads),) = seen  # one update, of two parts
    by_id = {id(weight): name for name, weight in nets.named_parameters()}
    of_features, of_heads = ({by_id[id(weight)] for weight in weights} for _, weights in (features, heads))
    assert of_heads == {"classifier.head.weight", "classifier.head.bias", "source_head.weight", "source_head.bias"}
    assert of_features == set(by_id.values()) - of_heads
    # Either loss would reach all weights: it is the parts that keep them apart.
    assert all(
        gradient is not None and gradient.any()
        for loss, weights in ((features[0], heads[1]), (heads[0], features[1]))
        for gradient in [torch.autograd.grad(loss, weights[:1], retain_graph=True)[0]]
    )
    expected = [torch.autograd.grad(loss, weights, retain_graph=True) for loss, weights in (features, heads)]
    optimization.update((features, heads), torch.optim.SGD(nets.parameters(), lr=0.1), torch.amp.GradScaler("cpu", enabled=False), 0.0)
    for (_, weights), gradients in zip((features, heads), expected, strict=True):
        assert all(torch.equal(weight.grad, gradient) for weight, gradient in zip(weights, gradients, strict=True))


def test_history_names_every_term():
    nets, batch = make()
    both = {"classification", "domain", "category_confusion", "domain_confusion"}
    for config, losses in ((V1, both | {"entropy"}), (V2, both)):
        terms = symnets.step(nets, batch, 0.5, config, lambda *parts: None)
        assert (set(terms.losses), set(terms.metrics)) == (losses, {"domain_accuracy"})
    start = {name: float(value.detach()) for name, value in symnets.step(nets, batch, 0.0, V1, lambda *parts: None).losses.items()}
    assert start["domain_confusion"] == start["entropy"] == 0 < start["category_confusion"]


def test_source_head_is_the_first_half():
    nets, batch = make()
    with torch.no_grad():
        nets["source_head"].bias += 50
    terms = symnets.step(nets, batch, 0.5, V1, lambda *parts: None)
    assert float(terms.losses["domain"].detach()) == pytest.approx(50, abs=3), "0 for the source, 50 for a target taken for the source"
    assert float(terms.metrics["domain_accuracy"]) == 0.5


def test_domains_go_through_the_network_one_after_the_other():
    nets, batch = make()
    sizes = []
    nets["classifier"].backbone.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
    symnets.step(nets, batch, 0.5, V1, lambda *parts: None)
    assert sizes == [4, 6]


def test_heads_start_apart_whatever_their_form():
    nets, _ = make()
    assert not torch.equal(nets["source_head"].weight, nets["classifier"].head.weight)
    classifier = backbones.build(num_classes=3, **ARCHITECTURE)
    classifier.head = nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3))
    source_head = symnets.networks(classifier, V1)["source_head"]
    assert [weight.shape for weight in source_head.parameters()] == [weight.shape for weight in classifier.head.parameters()]
    assert not any(torch.equal(source_head[i].weight, classifier.head[i].weight) for i in (0, 3))


def test_an_unknown_version_is_refused():
    with pytest.raises(InputError, match=r"version is 3; there are: 1 .CVPR 2019., 2"):
        symnets.Config(version=3)


def test_a_killed_run_continues_to_the_same_bits(tmp_path, monkeypatch):
    def adapt(folder):
        source, target = picture_set(10), picture_set(7, labels=False, seed=1)
        return inter_domain.adapt(source, target, "symnets", {}, ARCHITECTURE, RECIPE, 0, folder)

    adapt(tmp_path / "whole")
    killed_at(monkeypatch, 6, lambda: adapt(tmp_path / "halves"))
    assert (tmp_path / "halves/checkpoint.pt").exists()
    adapt(tmp_path / "halves")
    whole, halves = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "halves"))
    assert all(torch.equal(whole[name], halves[name]) for name in whole)
