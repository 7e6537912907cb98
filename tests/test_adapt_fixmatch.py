"""FixMatch between domains: its loss by explicit loops, the views and sizes it is given, and that it shares the refinement's term."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from test_methods import linear_classifier, log_softmax, value
from test_train import ARCHITECTURE, RECIPE, killed_at, picture_set
from torch import nn

from aa_utils import inter_domain
from aa_utils.classifiers import backbones
from aa_utils.errors import InputError
from aa_utils.inter_domain import fixmatch
from aa_utils.intra_domain import fixmatch as refinement
from aa_utils.training import consistency, loop


def batch_of(n_s=2, n_t=6, side=1):
    x = {name: torch.randn(n, 3, side, side) for name, n in (("x_s", n_s), ("x_t_weak", n_t), ("x_t_strong", n_t))}
    return x | {"y_s": torch.tensor([2, 0][:n_s])}


def test_loss_by_hand():
    torch.manual_seed(0)
    net, batch = linear_classifier(3 * torch.randn(3, 2)), batch_of()
    got = fixmatch.losses({"classifier": net}, batch, 0.0, fixmatch.Config(mu=3, threshold=0.8, weight=0.5))
    expected = -sum(log_softmax(net(batch["x_s"])[i].tolist())[label] for i, label in enumerate([2, 0])) / 2
    assert value(got.losses["classification"]) == pytest.approx(expected, rel=1e-5)
    total, over, named = 0.0, 0, set()
    for weak, strong in zip(net(batch["x_t_weak"]).tolist(), net(batch["x_t_strong"]).tolist(), strict=True):
        q = [math.exp(v) for v in log_softmax(weak)]
        if max(q) >= 0.8:
            over += 1
            named.add(q.index(max(q)))
            total -= log_softmax(strong)[q.index(max(q))]
    assert 0 < over < 6, "the test must have images on both sides of the threshold"
    assert value(got.losses["consistency"]) == pytest.approx(0.5 * total / 6, rel=1e-5), "divided by all target images"
    assert value(got.metrics["confident"]) == pytest.approx(over / 6)
    assert value(got.metrics["classes_named"]) == pytest.approx(len(named) / 3)


def test_the_term_is_the_refinements():
    torch.manual_seed(0)
    net, batch = linear_classifier(3 * torch.randn(3, 2)), batch_of()
    between = fixmatch.losses({"classifier": net}, batch, 0.0, fixmatch.Config(threshold=0.8))
    renamed = {"x_l": batch["x_s"], "y_l": batch["y_s"], "x_u_weak": batch["x_t_weak"], "x_u_strong": batch["x_t_strong"]}
    within = refinement.losses({"classifier": net}, renamed, 0.0, refinement.Config(threshold=0.8))
    assert value(between.losses["consistency"]) == value(within.losses["unlabelled"])
    assert value(between.losses["classification"]) == value(within.losses["labelled"])
    assert value(between.metrics["confident"]) == value(within.metrics["confident"])


@pytest.mark.parametrize(("threshold", "expected"), [(1.0, 0.0), (0.25, math.log(4))])
def test_values_at_uniform_logits(threshold, expected):
    loss, mask, _ = consistency.masked(torch.zeros(5, 4), torch.zeros(5, 4), threshold)
    assert value(loss) == pytest.approx(expected)
    assert mask.tolist() == [float(expected > 0)] * 5, "the threshold itself is enough"


def test_weak_views_give_labels_and_take_no_gradient():
    z_weak, z_strong = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3, requires_grad=True)
    consistency.masked(z_weak, z_strong, 0.0)[0].backward()
    assert z_weak.grad is None
    expected = (z_strong.softmax(1) - nn.functional.one_hot(z_weak.argmax(1), 3)) / 4
    assert torch.allclose(z_strong.grad, expected)


def test_without_a_confident_image_only_the_source_teaches():
    torch.manual_seed(0)
    net, batch = linear_classifier(torch.zeros(3, 2)), batch_of()
    got = fixmatch.losses({"classifier": net}, batch, 0.0, fixmatch.Config())
    assert value(got.metrics["confident"]) == value(got.metrics["classes_named"]) == 0
    got.losses["consistency"].backward(retain_graph=True)
    assert float(net.head.weight.grad.abs().sum()) == 0
    got.losses["classification"].backward()
    assert float(net.head.weight.grad.abs().sum()) > 0


@pytest.mark.parametrize(("together", "passes"), [(True, 1), (False, 3)])
def test_parts_are_normalised_together_or_each_by_its_own_statistics(together, passes):
    torch.manual_seed(0)
    net = backbones.build(num_classes=3, **ARCHITECTURE).train()
    fixmatch.losses({"classifier": net}, batch_of(side=32), 0.0, fixmatch.Config(together=together))
    counters = [int(buffer) for name, buffer in net.named_buffers() if "num_batches_tracked" in name]
    assert set(counters) == {passes}


def test_apart_each_part_is_what_it_is_alone_and_the_strong_view_is_the_last():
    """An offset between the domains is gone where each is normalised by itself, and stays where one batch holds both."""
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(2, affine=False)
    net = linear_classifier(torch.randn(3, 2))
    net.features = lambda x: norm(x.flatten(1)[:, :2])
    net.forward = lambda x: net.head(net.features(x))
    batch = batch_of(n_s=4, n_t=4) | {"y_s": torch.tensor([2, 0, 1, 1])}
    batch["x_t_weak"] = batch["x_t_strong"] = 5 * batch["x_s"] + 90
    apart = fixmatch.losses({"classifier": net}, batch, 0.0, fixmatch.Config(threshold=0.0, together=False)).losses
    pseudo = net(batch["x_s"]).argmax(1)
    assert value(apart["consistency"]) == pytest.approx(value(F.cross_entropy(net(batch["x_s"]), pseudo)), rel=1e-4)
    together = fixmatch.losses({"classifier": net}, batch, 0.0, fixmatch.Config(threshold=0.0)).losses
    assert value(together["consistency"]) != pytest.approx(value(apart["consistency"]), rel=1e-2)
    norm.reset_running_stats(), setattr(norm, "momentum", 1.0)
    batch["x_t_strong"] = batch["x_s"] + 20
    fixmatch.losses({"classifier": net}, batch, 0.0, fixmatch.Config(together=False))
    assert torch.allclose(norm.running_mean, batch["x_t_strong"].flatten(1)[:, :2].mean(0), atol=1e-5)


def test_apart_the_weak_views_leave_no_gradient_behind_in_low_precision_either():
    torch.manual_seed(0)
    net = backbones.build(num_classes=3, **ARCHITECTURE).train()
    with torch.autocast("cpu", torch.bfloat16):
        terms = fixmatch.losses({"classifier": net}, batch_of(side=32), 0.0, fixmatch.Config(threshold=0.0, together=False))
    sum(terms.losses.values()).backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in net.parameters())


def adapt(folder, method="fixmatch", options=None, recipe=RECIPE, augment=("weak", "weak")):
    target = picture_set(7, labels=False, seed=1)
    return inter_domain.adapt(picture_set(10), target, method, options or {}, ARCHITECTURE, recipe, 0, folder, augment)


def seen_streams(monkeypatch, tmp_path, *arguments, **options):
    class Seen(Exception):
        pass

    def fit(module, config, classifier, streams, *rest):
        raise Seen(streams)

    monkeypatch.setattr(loop, "fit", fit)
    with pytest.raises(Seen) as seen:
        adapt(tmp_path, *arguments, **options)
    return seen.value.args[0]


def test_a_method_names_the_target_views_it_needs(monkeypatch, tmp_path):
    source, target = seen_streams(monkeypatch, tmp_path, "fixmatch", {"mu": 3}, augment=("affine", "affine"))
    assert source.views == {"x_s": "affine"}
    assert target.views == {"x_t_weak": "weak", "x_t_strong": "strong"}
    assert (source.size, target.size) == (4, 12)
    assert target.labels is None
    batch = loop._batch([target], 0, 0, flip=False)
    assert batch["x_t_weak"].shape == batch["x_t_strong"].shape == (12, 3, 32, 32)


def test_other_methods_keep_one_view_and_one_size(monkeypatch, tmp_path):
    _, target = seen_streams(monkeypatch, tmp_path, "dann", augment=("affine", "crop"))
    assert (target.views, target.size) == ({"x_t": "crop"}, 4)
    assert len(seen_streams(monkeypatch, tmp_path, "source_only")) == 1


def test_defaults_are_tllibs():
    config = fixmatch.Config()
    assert (config.mu, config.threshold, config.weight, getattr(config, "ema", 0.0)) == (1, 0.9, 1.0, 0.0)


@pytest.mark.parametrize(("wrong", "message"), [({"mu": 0}, "mu is 0"), ({"threshold": 1.5}, "a probability")])
def test_config_refuses(wrong, message):
    with pytest.raises(InputError, match=message):
        fixmatch.Config(**wrong)


def test_a_killed_run_continues_to_the_same_bits(tmp_path, monkeypatch):
    adapt(tmp_path / "whole", options={"threshold": 0.3})
    killed_at(monkeypatch, 6, lambda: adapt(tmp_path / "halves", options={"threshold": 0.3}))
    adapt(tmp_path / "halves", options={"threshold": 0.3})
    whole, halves = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "halves"))
    assert all(torch.equal(whole[name], halves[name]) for name in whole)
    other = adapt(tmp_path / "other", options={"threshold": 0.3}, recipe=replace(RECIPE, steps=5))
    assert not torch.equal(whole["head.weight"], other.head.weight)
