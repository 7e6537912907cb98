"""MCD: its two quantities by explicit loops, who is updated by which of its steps, what goes through the network, what is kept."""

import math
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from test_train import ARCHITECTURE, RECIPE, killed_at, picture_set
from torch import nn

from aa_utils import inter_domain
from aa_utils.classifiers import backbones
from aa_utils.errors import InputError
from aa_utils.inter_domain import mcd
from aa_utils.training import optimization


def make(classes=3, **options):
    """(nets, batch, config): a tiny network in training mode, four images of each domain."""
    torch.manual_seed(0)
    config = mcd.Config(**options)
    classifier = backbones.build(num_classes=classes, **ARCHITECTURE).train()
    nets = nn.ModuleDict({"classifier": classifier, **mcd.networks(classifier, config)})
    return nets, {"x_s": torch.rand(4, 3, 32, 32), "x_t": torch.rand(4, 3, 32, 32), "y_s": torch.tensor([0, 2, 1, 1])}, config


def names(nets, weights):
    by_id = {id(weight): name for name, weight in nets.named_parameters()}
    return {by_id[id(weight)] for weight in weights}


def probabilities(z):
    return [[math.exp(v) / sum(math.exp(u) for u in row) for v in row] for row in z.tolist()]


def cross_entropy(z, y):
    return -sum(math.log(p[k]) for p, k in zip(probabilities(z), y.tolist(), strict=True)) / len(y)


def test_discrepancy_by_hand():
    torch.manual_seed(0)
    z_1, z_2 = torch.randn(5, 4), torch.randn(5, 4)
    expected = sum(abs(a - b) for p, q in zip(probabilities(z_1), probabilities(z_2), strict=True) for a, b in zip(p, q, strict=True)) / 5
    assert float(mcd.discrepancy(z_1, z_2)) == pytest.approx(expected, rel=1e-5)
    assert float(mcd.discrepancy(z_1, z_1)) == 0


@pytest.mark.parametrize("classes", [2, 10, 31, 65, 345])
def test_discrepancy_reaches_as_far_with_many_classes_as_with_few(classes):
    sure = 100 * torch.eye(classes)
    assert float(mcd.discrepancy(sure[:1], sure[1:2])) == pytest.approx(2)


@pytest.mark.parametrize(
    ("trade_off", "classes", "weight"), [(1, 10, mcd.Config().weight), (10, 31, 0.3226), (30, 65, 0.4615), (1, 12, 0.0833)]
)
def test_weight_is_a_published_trade_off_over_the_number_of_classes(trade_off, classes, weight):
    torch.manual_seed(0)
    z_1, z_2 = torch.randn(6, classes), torch.randn(6, classes)
    published = trade_off * (z_1.softmax(1) - z_2.softmax(1)).abs().mean()  # over batch and classes, as in the authors' code and TLlib
    assert float(weight * mcd.discrepancy(z_1, z_2)) == pytest.approx(float(published), rel=1e-3)


def test_imbalance_by_hand_and_at_equal_shares():
    torch.manual_seed(0)
    z = torch.randn(5, 4)
    shares = [sum(p[k] for p in probabilities(z)) / 5 for k in range(4)]
    assert float(mcd.imbalance(z)) == pytest.approx(-sum(math.log(s + 1e-6) for s in shares) / 4, rel=1e-5)
    sure = 100 * torch.eye(7)
    assert float(mcd.imbalance(sure)) == pytest.approx(math.log(7), abs=1e-4)  # every image sure, all classes equally often
    assert float(mcd.imbalance(torch.zeros(3, 7))) == pytest.approx(math.log(7), abs=1e-4)
    assert float(mcd.imbalance(sure[:1])) == pytest.approx(-6 / 7 * math.log(1e-6), abs=1e-4)  # one class takes all


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("balance", [0.0, 0.5])
def test_steps_by_hand(joint, balance):
    """Each loss from the logits of a network that stands still, and the weights that it is given to."""
    nets, batch, config = make(num_k=2, weight=0.3, balance=balance, joint=joint)
    seen = []

    def update(*parts):
        ((loss, weights),) = parts
        weights = list(weights)
        features = [weight for name, weight in nets.named_parameters() if ".backbone." in name]
        reaches = torch.autograd.grad(loss, features, retain_graph=True, allow_unused=True)
        seen.append((float(loss.detach()), names(nets, weights), any(gradient is not None for gradient in reaches)))

    losses, metrics = mcd.step(nets, batch, 0.5, config, update)
    losses = {name: value.detach() for name, value in losses.items()}
    net, second = nets["classifier"], nets["second_head"]
    parts = net.features(torch.cat([batch["x_s"], batch["x_t"]])).split(4) if joint else [net.features(batch[x]) for x in ("x_s", "x_t")]
    (s_1, s_2), (t_1, t_2) = [(net.head(f), second(f)) for f in parts]
    supervised = cross_entropy(s_1, batch["y_s"]) + cross_entropy(s_2, batch["y_s"])
    shares = [[sum(p[k] for p in probabilities(z)) / 4 for k in range(3)] for z in (t_1, t_2)]
    balanced = balance * sum(-sum(math.log(s + 1e-6) for s in row) / 3 for row in shares)
    d = sum(abs(a - b) for p, q in zip(probabilities(t_1), probabilities(t_2), strict=True) for a, b in zip(p, q, strict=True)) / 4
    assert d > 0.01
    every = {name for name, _ in nets.named_parameters()}
    heads = {"classifier.head.weight", "classifier.head.bias", "second_head.weight", "second_head.bias"}
    assert [loss for loss, _, _ in seen] == pytest.approx(
        [supervised + balanced, supervised + balanced - 0.3 * d, 0.3 * d, 0.3 * d], rel=1e-4
    )
    assert [weights for _, weights, _ in seen] == [every, heads, every - heads, every - heads]
    assert [reaches for _, _, reaches in seen] == [True, False, True, True]
    assert float(losses["classification"]) == pytest.approx(supervised, rel=1e-4)
    assert float(losses["discrepancy_heads"]) == float(losses["discrepancy"]) == pytest.approx(0.3 * d, rel=1e-4)
    assert ("balance" in losses) == (balance > 0)
    assert float(metrics["agreement"]) == sum(a.argmax() == b.argmax() for a, b in zip(t_1, t_2, strict=True)) / 4


def test_heads_move_apart_in_b_and_features_bring_them_together_in_c():
    nets, batch, config = make(num_k=3, weight=1.0)
    optimizer, scaler = torch.optim.SGD(nets.parameters(), lr=0.1, weight_decay=0.1), torch.amp.GradScaler("cpu", enabled=False)
    losses, moved = [], []

    def update(*parts):
        before = {name: weight.detach().clone() for name, weight in nets.named_parameters()}
        optimization.update(parts, optimizer, scaler, 0.0)
        losses.append(float(parts[0][0].detach()))
        moved.append({name for name, weight in nets.named_parameters() if not torch.equal(weight, before[name])})

    terms = mcd.step(nets, batch, 0.5, config, update).losses
    # The features' discrepancy gradient is taken anew at each repetition, from where the last one left them.
    assert losses[2] > losses[3] > losses[4] == pytest.approx(float(terms["discrepancy"].detach()))
    assert losses[2] > float(terms["discrepancy_heads"].detach()), "B has moved the heads apart"
    assert all("head" in name for name in moved[1]) and len(moved[1]) == 4, "weight decay too leaves the features alone in B"
    assert all(not any("head" in name for name in step) and step for step in moved[2:])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [4, 4, 6, 6, 6]),  # A: source; B: source, target; C: target
        ({"balance": 0.01}, [4, 6, 4, 6, 6, 6]),
        ({"joint": True}, [10, 10, 10, 10]),
    ],
)
def test_what_goes_through_the_network(options, expected):
    nets, batch, config = make(num_k=2, **options)
    batch["x_t"] = torch.rand(6, 3, 32, 32)
    sizes = []
    nets["classifier"].backbone.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
    mcd.step(nets, batch, 0.5, config, lambda *parts: None)
    assert sizes == expected


DEEP = {"backbone": "lenet_usps"}  # brings a head of three layers, with BatchNorm and dropout


@pytest.mark.parametrize(("architecture", "side"), [(ARCHITECTURE, 32), (DEEP, 28)])
def test_heads_start_apart_and_the_mean_of_both_is_kept(architecture, side, tmp_path):
    torch.manual_seed(0)
    classifier = backbones.build(num_classes=5, **architecture)
    nets = nn.ModuleDict({"classifier": classifier, **mcd.networks(classifier, mcd.Config())}).eval()
    first, second = classifier.head, nets["second_head"]
    layers = [(a, b) for a, b in zip(first.modules(), second.modules(), strict=True) if isinstance(a, nn.Linear)]
    assert layers and not any(torch.equal(a.weight, b.weight) for a, b in layers)
    before = {name: weight.clone() for name, weight in nets.state_dict().items()}
    kept = mcd.result(nets, mcd.Config())
    assert all(torch.equal(weight, before[name]) for name, weight in nets.state_dict().items()), "the run's networks are left as they are"
    x = torch.rand(6, 3, side, side)
    f = classifier.features(x)
    assert torch.allclose(kept(x), (first(f) + second(f)) / 2, atol=1e-6)
    assert torch.equal(kept(x).argmax(1), (first(f) + second(f)).argmax(1))
    backbones.save(kept, tmp_path, list("abcde"))
    assert torch.equal(backbones.load(tmp_path)[0](x), kept(x))


def test_both_heads_are_in_the_saved_model(tmp_path, monkeypatch):
    """The loop keeps what `result` returns, and reads it when it is called again."""
    kept = []
    real = mcd.result
    monkeypatch.setattr(mcd, "result", lambda nets, config: kept.append(nets) or real(nets, config))

    def adapt():
        recipe = replace(RECIPE, steps=2)
        source, target = picture_set(10), picture_set(7, labels=False, seed=1)
        return inter_domain.adapt(source, target, "mcd", {"num_k": 1}, ARCHITECTURE, recipe, 0, tmp_path)

    classifier = adapt()
    (nets,) = kept
    x = torch.rand(4, 3, 32, 32)
    f = nets.eval()["classifier"].features(x)
    mean = (nets["classifier"].head(f) + nets["second_head"](f)) / 2
    assert torch.allclose(classifier(x), mean, atol=1e-6)
    assert torch.equal(adapt()(x), classifier(x))
    assert len(kept) == 1


@pytest.mark.parametrize(
    ("wrong", "message"), [({"num_k": 0}, "num_k is 0"), ({"weight": -1.0}, "weight is -1"), ({"balance": -0.1}, "balance is -0.1")]
)
def test_options_out_of_range_are_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        mcd.Config(**wrong)


def test_a_killed_run_continues_to_the_same_bits(tmp_path, monkeypatch):
    def adapt(folder):
        source, target = picture_set(10), picture_set(7, labels=False, seed=1)
        options = {"num_k": 2, "balance": 0.01}
        return inter_domain.adapt(source, target, "mcd", options, ARCHITECTURE, replace(RECIPE, optimizer="adam"), 0, folder)

    adapt(tmp_path / "whole")
    killed_at(monkeypatch, 6, lambda: adapt(tmp_path / "halves"))
    assert (tmp_path / "halves/checkpoint.pt").exists()
    adapt(tmp_path / "halves")
    whole, halves = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "halves"))
    assert all(torch.equal(whole[name], halves[name]) for name in whole)
