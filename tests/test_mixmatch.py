"""MixMatch: its equations by explicit loops, what its label guesses leave behind, what receives gradient, resume."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from test_methods import linear_classifier, log_softmax, value
from test_train import ARCHITECTURE, RECIPE, killed_at, picture_set
from torch import nn

from aa_utils import intra_domain
from aa_utils.classifiers import backbones
from aa_utils.errors import InputError
from aa_utils.intra_domain import mixmatch
from aa_utils.intra_domain.split import split
from aa_utils.training import batchnorm, loop


def batch_of(labelled=2, unlabelled=3, views=2, side=1, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def images(n):
        return torch.rand(n, 3, side, side, generator=generator)

    return {"x_l": images(labelled), "y_l": torch.arange(labelled) % 3} | {f"x_u_{v}": images(unlabelled) for v in range(views)}


def drawn(n, alpha, seed):
    """The numbers that `mix` draws after torch.manual_seed(seed): l' and the order of the partners."""
    torch.manual_seed(seed)
    share = torch.distributions.Beta(alpha, alpha).sample((n,)).tolist()
    return [max(v, 1 - v) for v in share], torch.randperm(n).tolist()


def test_losses_by_hand():
    torch.manual_seed(0)
    net = linear_classifier(3 * torch.randn(3, 2))
    batch, config = batch_of(), mixmatch.Config(temperature=0.5, weight=7.0, ramp=0.4)
    # Guess: mean over the views, squared (1 / T = 2), divided by its sum.
    guesses = []
    for b in range(3):
        views = [[math.exp(v) for v in log_softmax(net(batch[f"x_u_{v}"])[b].tolist())] for v in range(2)]
        powers = [((views[0][k] + views[1][k]) / 2) ** 2 for k in range(3)]
        guesses.append([power / sum(powers) for power in powers])
    x = [batch["x_l"][b] for b in range(2)] + [batch[f"x_u_{v}"][b] for v in range(2) for b in range(3)]
    t = [[float(k == b) for k in range(3)] for b in range(2)] + guesses + guesses
    share, other = drawn(8, 0.75, seed=4)
    labelled, unlabelled = 0.0, 0.0
    for i in range(8):
        mixed = share[i] * x[i] + (1 - share[i]) * x[other[i]]
        label = [share[i] * t[i][k] + (1 - share[i]) * t[other[i]][k] for k in range(3)]
        log_p = log_softmax(net(mixed[None])[0].tolist())
        if i < 2:
            labelled -= sum(label[k] * log_p[k] for k in range(3)) / 2
        else:
            unlabelled += sum((label[k] - math.exp(log_p[k])) ** 2 for k in range(3)) / (6 * 3)
    torch.manual_seed(4)
    got = mixmatch.losses({"classifier": net}, batch, 0.1, config)
    assert value(got.losses["labelled"]) == pytest.approx(labelled, rel=1e-5)
    assert value(got.losses["unlabelled"]) == pytest.approx(0.1 / 0.4 * 7 * unlabelled, rel=1e-4)
    assert value(got.metrics["guess_confidence"]) == pytest.approx(sum(max(q) for q in guesses) / 3, rel=1e-5)


def test_values_at_uniform_logits():
    net = linear_classifier(torch.zeros(3, 2))
    got = mixmatch.losses({"classifier": net}, batch_of(), 1.0, mixmatch.Config())
    assert value(got.losses["labelled"]) == pytest.approx(math.log(3)), "cross-entropy of a uniform prediction, whatever the mixed label"
    batch = batch_of()
    assert torch.allclose(mixmatch.guess(net, [batch["x_u_0"], batch["x_u_1"]], 0.5), torch.tensor(1 / 3)), "sharpened, and uniform still"
    # A sure guess against a uniform prediction: (K - 1) / K^2 in the mean over K classes, not (K - 1) / K.
    p, q = torch.full((4, 10), 0.1), F.one_hot(torch.arange(4), 10).float()
    assert float((p - q).square().mean()) == pytest.approx(9 / 100)


@pytest.mark.parametrize(("p", "ramp", "expected"), [(0, 0.5, 0), (0.25, 0.5, 0.5), (0.5, 0.5, 1), (0.9, 0.5, 1), (0, 0, 1), (0.3, 1, 0.3)])
def test_the_weight_rises_over_the_first_share_of_training(p, ramp, expected):
    torch.manual_seed(0)
    net = linear_classifier(3 * torch.randn(3, 2))

    def unlabelled(progress, share):
        torch.manual_seed(1)
        return value(mixmatch.losses({"classifier": net}, batch_of(), progress, mixmatch.Config(ramp=share)).losses["unlabelled"])

    assert unlabelled(p, ramp) == pytest.approx(expected * unlabelled(1.0, 0.0), rel=1e-6)


def test_default_ramp_is_that_of_the_authors_code():
    assert mixmatch.Config().ramp == 2**14 / 2**20


def test_sharpening():
    p = torch.tensor([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]])
    assert mixmatch.sharpen(p, 1.0).tolist() == [pytest.approx(row) for row in p.tolist()]
    assert mixmatch.sharpen(p, 0.5)[0].tolist() == pytest.approx([0.25 / 0.38, 0.09 / 0.38, 0.04 / 0.38])
    assert mixmatch.sharpen(p, 0.5)[1].tolist() == [1, 0, 0]
    assert mixmatch.sharpen(p, 1e-3)[0].tolist() == [1, 0, 0], "no underflow of all powers at once"


@pytest.mark.parametrize(("alpha", "mean"), [(0.1, 0.942), (0.25, 0.882), (0.5, 0.818), (0.75, 0.778)])
def test_mixing_keeps_the_larger_share_and_draws_it_for_each_image(alpha, mean):
    torch.manual_seed(0)
    n = 4000
    x, t = mixmatch.mix(torch.arange(n).double().view(n, 1, 1, 1), F.one_hot(torch.arange(n) % 2, 2).double(), alpha)
    share, other = drawn(n, alpha, seed=0)
    assert sum(share) / n == pytest.approx(mean, abs=0.008)
    assert len(set(share)) > n / 2, "one number for each image, not one for the batch"
    assert sorted(other) == list(range(n))
    expected = [share[i] * i + (1 - share[i]) * other[i] for i in range(n)]
    assert max(abs(a - b) for a, b in zip(x.flatten().tolist(), expected, strict=True)) < 0.01  # shares are float32
    assert torch.allclose(t.sum(1), torch.ones(n).double())
    assert min(t[i, i % 2] for i in range(n)) >= 0.5, "a mixture is nearer to its own label"


def test_the_smallest_alpha_hardly_mixes():
    torch.manual_seed(0)
    x, _ = mixmatch.mix(torch.arange(1000).double().view(-1, 1, 1, 1), torch.eye(2).double().repeat(500, 1), 0.01)
    assert (x.view(-1) - torch.arange(1000)).abs().mean() < 5  # half of 333, were all shares one half


def test_images_and_labels_are_mixed_alike():
    torch.manual_seed(0)
    t = torch.rand(6, 3).softmax(1)
    x, mixed = mixmatch.mix(t.view(6, 3, 1, 1), t, 0.75)
    assert torch.equal(x.view(6, 3), mixed)


def network():
    torch.manual_seed(0)
    return backbones.build(num_classes=3, bottleneck=4, **ARCHITECTURE).train()


def test_guesses_leave_batchnorm_alone_and_use_the_batch():
    net, x = network(), torch.rand(5, 3, 32, 32)
    before = {name: buffer.clone() for name, buffer in net.named_buffers()}
    with torch.no_grad(), batchnorm.untouched(net):
        z = net(x)
    assert all(torch.equal(before[name], buffer) for name, buffer in net.named_buffers())
    assert net.training
    with torch.no_grad():
        assert torch.equal(net(x), z), "the statistics of the batch, as in any training pass"
    changed = [name for name, buffer in net.named_buffers() if not torch.equal(before[name], buffer)]
    assert any("running_mean" in name for name in changed), "afterwards the running statistics are followed again"
    assert any("num_batches_tracked" in name for name in changed)
    with torch.no_grad():
        assert not torch.allclose(net.eval()(x), z), "in evaluation the running statistics are used"


def test_statistics_are_followed_again_after_an_error():
    net = nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(2, track_running_stats=False))
    with pytest.raises(RuntimeError), batchnorm.untouched(net):
        raise RuntimeError
    assert [norm.track_running_stats for norm in net] == [True, False]


def test_running_statistics_come_from_the_mixed_batch_alone():
    net, batch = network(), batch_of(side=32)
    mixmatch.losses({"classifier": net}, batch, 0.5, mixmatch.Config())
    counters = [buffer for name, buffer in net.named_buffers() if "num_batches_tracked" in name]
    assert counters
    assert [int(counter) for counter in counters] == [1] * len(counters), "one pass counts: that of the mixtures"


def test_guesses_have_no_gradient():
    torch.manual_seed(0)
    net, batch = linear_classifier(torch.randn(3, 2)), batch_of()
    q = mixmatch.guess(net, [batch["x_u_0"], batch["x_u_1"]], 0.5)
    assert not q.requires_grad
    torch.manual_seed(2)
    mixmatch.losses({"classifier": net}, batch, 1.0, mixmatch.Config()).losses["unlabelled"].backward()
    # The same with guesses that are plain numbers.
    weight = net.head.weight.grad.clone()
    net.zero_grad()
    torch.manual_seed(2)
    y = F.one_hot(batch["y_l"], 3).float()
    x, t = mixmatch.mix(torch.cat([batch["x_l"], batch["x_u_0"], batch["x_u_1"]]), torch.cat([y, q, q]), 0.75)
    (75 * (net(x)[2:].softmax(1) - t[2:]).square().mean()).backward()
    assert torch.allclose(net.head.weight.grad, weight)


@pytest.mark.parametrize("term", ["labelled", "unlabelled"])
def test_both_terms_reach_backbone_and_head(term):
    net = network()
    mixmatch.losses({"classifier": net}, batch_of(side=32), 1.0, mixmatch.Config()).losses[term].backward()
    assert all(weight.grad is not None for weight in net.parameters())
    assert float(net.head.weight.grad.abs().sum()) > 0
    assert any(float(weight.grad.abs().sum()) > 0 for weight in net.backbone.parameters())


def test_streams():
    labelled, unlabelled = mixmatch.streams(picture_set(6), picture_set(9, labels=False), mixmatch.Config(views=3), 4)
    assert (labelled.size, labelled.balanced, labelled.views) == (4, True, {"x_l": "weak"})
    assert (unlabelled.size, unlabelled.labels) == (4, None)
    assert unlabelled.views == {"x_u_0": "weak", "x_u_1": "weak", "x_u_2": "weak"}
    batch = loop._batch([unlabelled], 0, 0, flip=False)
    assert not torch.equal(batch["x_u_0"], batch["x_u_1"]), "views differ"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"views": 0}, "views is 0"),
        ({"temperature": 0.0}, "temperature"),
        ({"alpha": -1.0}, "alpha"),
        ({"alpha": 1e-6}, "alpha is 1e-06"),
        ({"ramp": 16384.0}, "a share"),
    ],
)
def test_config_refuses(wrong, message):
    with pytest.raises(InputError, match=message):
        mixmatch.Config(**wrong)


def test_a_killed_run_continues_to_the_same_bits(tmp_path, monkeypatch):
    initial = tmp_path / "initial"
    backbones.save(network(), initial, [f"class {k}" for k in range(3)])
    target = picture_set(9, labels=False)
    parts = split(F.one_hot(torch.arange(9) % 3).float(), target.class_names)

    def refine(folder):
        return intra_domain.refine(initial, target, parts, "mixmatch", {}, replace(RECIPE, steps=6), 0, tmp_path / folder)

    refine("whole")
    killed_at(monkeypatch, 6, lambda: refine("halves"))
    refine("halves")
    whole, halves = (load_file(tmp_path / folder / "model.safetensors") for folder in ("whole", "halves"))
    assert all(torch.equal(whole[name], halves[name]) for name in whole)
