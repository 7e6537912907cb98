"""CDTrans and its labelling: three streams, losses, pairs; each against explicit loops. And a run that is killed between two pairings."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_train import RECIPE, killed_at, picture_set
from torch import nn
from transformers import CLIPModel

from aa_utils import inter_domain
from aa_utils.classifiers import backbones, pocket_vit
from aa_utils.errors import InputError
from aa_utils.inter_domain import cdtrans, pseudo_labels
from aa_utils.training import loop, registry

VIT = {"backbone": "pocket_vit", "embed_dim": 16, "depth": 2, "num_heads": 2, "patch_size": 8}


def tiny(**architecture):
    """A small classifier. Its first weights are so small that all tokens attend alike; ten times as large, the streams differ."""
    torch.manual_seed(0)
    classifier = backbones.build(num_classes=3, **(VIT | architecture))
    for weight in classifier.backbone.blocks.parameters():
        if weight.ndim > 1:
            weight.data.mul_(10)
    return classifier


def pairs_of_images(n=4, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, 3, 32, 32, generator=generator), torch.rand(n, 3, 32, 32, generator=generator)


def test_pocket_vit_is_as_its_docstring_says():
    vit = backbones.build("pocket_vit", 10).backbone
    assert sum(weight.numel() for weight in vit.parameters()) == 1_820_544
    assert len(vit.blocks) == 4
    assert vit.forward_features(torch.zeros(1, 3, 32, 32)).shape == (1, 17, 192)


def test_pretrained_pocket_vit_is_the_image_tower_of_pocket_clip(monkeypatch):
    x = pairs_of_images()[0]
    clip = CLIPModel.from_pretrained(pocket_vit.WEIGHTS.parent, dtype=torch.float32).eval()
    with torch.no_grad():
        features = backbones.build("pocket_vit", 10, pretrained=True).eval().features(x)
        torch.testing.assert_close(features, clip.vision_model(pixel_values=2 * x - 1).pooler_output)
    with pytest.raises(InputError, match="weights for its own shape; leave out depth"):
        backbones.build("pocket_vit", 10, pretrained=True, depth=2)
    monkeypatch.setattr(pocket_vit, "WEIGHTS", Path("models/nowhere/model.safetensors"))
    with pytest.raises(InputError, match=r"no pocket-clip at .*nowhere.*01_pocket_world"):
        backbones.build("pocket_vit", 10, pretrained=True)


def attend(block, h_query, h_key):
    """What one block adds to a stream by attention, one head and one token at a time."""
    a, d = block.attn, block.attn.head_dim
    w_q, w_k, w_v = a.qkv.weight.chunk(3)
    b_q, b_k, b_v = a.qkv.bias.chunk(3)
    q, k, v = block.norm1(h_query) @ w_q.T + b_q, block.norm1(h_key) @ w_k.T + b_k, block.norm1(h_key) @ w_v.T + b_v
    out = torch.zeros_like(q)
    for i in range(len(q)):
        for head in range(a.num_heads):
            part = slice(head * d, (head + 1) * d)
            for token in range(q.shape[1]):
                weights = torch.softmax(torch.stack([q[i, token, part] @ row / math.sqrt(d) for row in k[i, :, part]]), 0)
                out[i, token, part] = sum(w * row for w, row in zip(weights, v[i, :, part], strict=True))
    return a.proj(out)


@torch.no_grad()
def test_three_streams_by_hand():
    classifier = tiny(bottleneck=8).eval()
    vit, (x_s, x_t) = classifier.backbone, pairs_of_images(2)
    s, t = (vit.norm_pre(vit._pos_embed(vit.patch_embed((x - 0.5) / 0.5))) for x in (x_s, x_t))
    z = t
    for block in vit.blocks:
        s, t, z = s + attend(block, s, s), t + attend(block, t, t), z + attend(block, s, t)
        s, t, z = (h + block.mlp(block.norm2(h)) for h in (s, t, z))
    for got, h in zip(cdtrans.streams_of(classifier, x_s, x_t), (s, t, z), strict=True):
        assert torch.allclose(got, classifier.bottleneck(vit.norm(h)[:, 0]), atol=1e-5)


KINDS = [
    {},
    {"qk_norm": True, "init_values": 0.1, "class_token": False, "global_pool": "avg", "scale_attn_norm": True},
    {"reg_tokens": 2, "no_embed_class": True, "pre_norm": True, "global_pool": "map"},
    {"backbone": "deit_tiny_distilled_patch16_224", "img_size": 32},
]


@pytest.mark.parametrize("kind", KINDS, ids=["plain", "qk_norm", "registers", "distilled"])
@pytest.mark.parametrize("training", [True, False])
@torch.no_grad()
def test_source_and_target_streams_are_the_plain_network(kind, training):
    classifier = tiny(bottleneck=8, **kind).train(training)
    x_s, x_t = pairs_of_images()
    f_s, f_t, f_st = cdtrans.streams_of(classifier, x_s, x_t)
    assert torch.allclose(f_s, classifier.features(x_s), atol=1e-4)
    assert torch.allclose(f_t, classifier.features(x_t), atol=1e-4)
    assert not torch.allclose(f_st, f_t, atol=1e-4)
    f_s, f_t, f_st = cdtrans.streams_of(classifier, x_s, x_s)
    assert torch.allclose(f_st, f_t, atol=1e-5), "of one image with itself, all streams are the same"


def test_dropout_and_drop_path_are_drawn_in_training():
    classifier, (x_s, x_t) = tiny(drop_path_rate=0.5, attn_drop_rate=0.2, proj_drop_rate=0.2), pairs_of_images()
    first, second = (cdtrans.streams_of(classifier.train(), x_s, x_t) for _ in range(2))
    assert all(not torch.equal(a, b) for a, b in zip(first, second, strict=True))
    first, second = (cdtrans.streams_of(classifier.eval(), x_s, x_t) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


SWIN = {"backbone": "swin_tiny_patch4_window7_224", "embed_dim": 8, "depths": (1, 1), "num_heads": (1, 1)}


@pytest.mark.parametrize(("architecture", "kind"), [({"backbone": "pocket_resnet"}, "ResNet"), (SWIN, "SwinTransformer")])
def test_backbones_that_are_no_vit_are_refused(architecture, kind):
    with pytest.raises(InputError, match=rf"needs a ViT .*pocket_vit.; {architecture['backbone']} is a {kind}"):
        cdtrans.networks(backbones.build(num_classes=3, **architecture), cdtrans.Config())


def test_blocks_that_are_not_standard_are_refused():
    from timm.models.vision_transformer import ResPostBlock

    for kind in ({"block_fn": ResPostBlock}, {"attn_layer": "diff"}):
        with pytest.raises(InputError, match=r"standard blocks .*those of pocket_vit differ"):
            cdtrans.networks(tiny(**kind), cdtrans.Config())


def stage_2(classifier, config=None, n=4):
    x_s, x_t = pairs_of_images(n)
    batch = {"x_s": x_s, "x_t": x_t, "y_s": torch.arange(n) % 3, "y_t": torch.arange(n) % 3}
    nets = nn.ModuleDict({"classifier": classifier, **cdtrans.networks(classifier, config or cdtrans.Config())})
    return nets, batch


def log_softmax(z):
    return [v - math.log(sum(math.exp(u) for u in z)) for v in z]


def test_losses_by_hand():
    nets, batch = stage_2(tiny().eval())
    nets["pairs"].latest = {"paired": 0.25, "classes_paired": 0.5}
    got = cdtrans.losses(nets, batch, 0.5, cdtrans.Config(distillation=2.0))
    z_s, z_t, z_st = (nets["classifier"].head(f).tolist() for f in cdtrans.streams_of(nets["classifier"], batch["x_s"], batch["x_t"]))
    y = batch["y_s"].tolist()
    assert float(got.losses["classification"].detach()) == pytest.approx(-sum(log_softmax(z_s[i])[y[i]] for i in range(4)) / 4, rel=1e-5)
    assert float(got.losses["pseudo"].detach()) == pytest.approx(-sum(log_softmax(z_t[i])[y[i]] for i in range(4)) / 4, rel=1e-5)
    distillation = 0.0
    for fusion, target in zip(z_st, z_t, strict=True):
        distillation -= sum(math.exp(a) * b for a, b in zip(log_softmax(fusion), log_softmax(target), strict=True)) / 4
    assert float(got.losses["distillation"].detach()) == pytest.approx(2 * distillation, rel=1e-5)
    assert {name: float(value) for name, value in got.metrics.items()} == {"paired": 0.25, "classes_paired": 0.5}


def test_stage_1_is_cross_entropy_with_label_smoothing():
    nets, batch = stage_2(tiny().eval())
    del batch["y_t"]
    got = cdtrans.losses(nets, batch, 0.0, cdtrans.Config(label_smoothing=0.3))
    expected = 0.0
    for z, y in zip(nets["classifier"](batch["x_s"]).tolist(), batch["y_s"].tolist(), strict=True):
        expected -= sum((0.7 * (k == y) + 0.1) * value for k, value in enumerate(log_softmax(z))) / 4
    assert float(got.losses["classification"].detach()) == pytest.approx(expected, rel=1e-5)
    assert list(got.losses) == ["classification", "pseudo", "distillation"], "as in stage 2: one table"
    assert not any(float(value) for value in (got.losses["pseudo"], got.losses["distillation"], *got.metrics.values()))


def test_at_uniform_logits_each_term_is_ln_k():
    nets, batch = stage_2(tiny())
    nn.init.zeros_(nets["classifier"].head.weight), nn.init.zeros_(nets["classifier"].head.bias)
    got = cdtrans.losses(nets, batch, 0.5, cdtrans.Config())
    assert [float(got.losses[name].detach()) for name in ("classification", "pseudo", "distillation")] == pytest.approx([math.log(3)] * 3)


def test_each_term_reaches_the_images_it_should():
    def reached(term, **options):
        config = cdtrans.Config(**options)
        nets, batch = stage_2(tiny(), config)
        batch["x_s"].requires_grad_(), batch["x_t"].requires_grad_()
        cdtrans.losses(nets, batch, 0.5, config).losses[term].backward()
        return tuple(bool(batch[name].grad.abs().sum() > 0) for name in ("x_s", "x_t"))

    assert reached("classification") == (True, False)
    assert reached("pseudo") == (False, True)
    assert reached("distillation") == (True, True), "the teacher looks at both, and is taught"
    assert reached("distillation", detach_teacher=True) == (False, True)


@pytest.mark.parametrize("stage", [1, 2])
def test_losses_are_finite_and_reach_every_weight(stage):
    nets, batch = stage_2(tiny(bottleneck=8).train(), n=6)
    if stage == 1:
        del batch["y_t"]
    terms = cdtrans.losses(nets, batch, 0.5, cdtrans.Config())
    assert all(value.ndim == 0 and value.isfinite() for value in (*terms.losses.values(), *terms.metrics.values()))
    sum(terms.losses.values()).backward()
    for name, weight in nets.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name


def test_bfloat16_losses_are_finite():
    nets, batch = stage_2(tiny())
    with torch.autocast("cpu", torch.bfloat16):
        assert all(value.isfinite() for value in cdtrans.losses(nets, batch, 0.5, cdtrans.Config()).losses.values())


# The labelling.


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def centre_labels_by_loops(p, f):
    g = [[*row, 1.0] for row in f]
    g = [[x / math.sqrt(sum(y * y for y in row)) for x in row] for row in g]
    allowed = sorted({row.index(max(row)) for row in p})
    for _ in range(2):
        centres = {}
        for k in allowed:
            total = sum(row[k] for row in p)
            centres[k] = [sum(row[k] * v[d] for row, v in zip(p, g, strict=True)) / total for d in range(len(g[0]))]
        labels = [max(centres, key=lambda k: cosine(v, centres[k])) for v in g]
        p, allowed = [[float(k == label) for k in range(len(p[0]))] for label in labels], sorted(set(labels))
    return labels


@pytest.mark.parametrize("seed", range(5))
def test_centre_labels_by_loops(seed):
    torch.manual_seed(seed)
    f, p = torch.randn(12, 3), (3 * torch.randn(12, 5)).softmax(1)
    p[:, 4] = 0  # nobody is predicted to be of class 4
    got = pseudo_labels.centre_labels(p, f)
    assert got.tolist() == centre_labels_by_loops(p.double().tolist(), f.double().tolist())
    assert 4 not in got


def test_a_class_that_lost_its_images_gets_none_back():
    # Image 3 alone is predicted to be of class 2, whose centre lies between it and images 0 and 1; that of class 1 is nearer to it.
    f = torch.tensor([[3.0, 0.0], [3.0, 0.3], [0.0, 3.0], [0.3, 3.0]])
    p = torch.tensor([[0.6, 0.0, 0.4], [0.6, 0.0, 0.4], [0.0, 1.0, 0.0], [0.0, 0.48, 0.52]])
    assert pseudo_labels.centre_labels(p, f).tolist() == centre_labels_by_loops(p.tolist(), f.tolist()) == [0, 0, 1, 1]


def test_two_way_pairs_by_loops():
    torch.manual_seed(0)
    f_s, f_t, y_s, pseudo = torch.randn(9, 4), torch.randn(7, 4), torch.arange(9) % 3, torch.arange(7) % 3
    expected = []
    for j, v in enumerate(f_t.tolist()):
        i = max(range(9), key=lambda i: cosine(f_s[i].tolist(), v))
        expected += [(i, j)] if y_s[i] == pseudo[j] else []
    for i, v in enumerate(f_s.tolist()):
        j = max(range(7), key=lambda j: cosine(f_t[j].tolist(), v))
        expected += [(i, j)] if y_s[i] == pseudo[j] else []
    rows_s, rows_t = pseudo_labels.two_way_pairs(f_s, y_s, f_t, pseudo)
    assert list(zip(rows_s.tolist(), rows_t.tolist(), strict=True)) == expected
    assert 0 < len(expected) < 16, "the test must have pairs that agree and pairs that do not"


@pytest.mark.parametrize("chunk", [1, 4, 50, 1000])
def test_chunks_change_nothing(chunk):
    torch.manual_seed(0)
    f_s, f_t, y_s, pseudo = torch.randn(50, 8), torch.randn(31, 8), torch.arange(50) % 3, torch.arange(31) % 3
    assert torch.equal(pseudo_labels.nearest(f_s, f_t, chunk), pseudo_labels.nearest(f_s, f_t))
    for one, other in zip(
        pseudo_labels.two_way_pairs(f_s, y_s, f_t, pseudo, chunk), pseudo_labels.two_way_pairs(f_s, y_s, f_t, pseudo), strict=True
    ):
        assert torch.equal(one, other)


# The streams and the run.


def streams():
    source, target = picture_set(12), picture_set(9, labels=False, seed=1)
    return [loop.Stream("s", source.pixels, source.labels, 4, {"x_s": "none"}), loop.Stream("t", target.pixels, None, 4, {"x_t": "none"})]


def test_pairing_steps():
    assert cdtrans.pairing_steps(100, cdtrans.Config()) == [20, 40, 60, 80]
    assert cdtrans.pairing_steps(50, cdtrans.Config(warm=0.2)) == [10, 20, 30, 40], "the reference's epochs 11, 21, 31, 41 of 50"
    assert cdtrans.pairing_steps(3, cdtrans.Config(warm=0.0, refreshes=2)) == [0, 1]
    assert cdtrans.pairing_steps(1, cdtrans.Config(warm=0.9)) == [0, 0, 0, 0]


@pytest.mark.parametrize(("wrong", "message"), [({"warm": 1.0}, "warm is 1"), ({"refreshes": 0}, "refreshes is 0")])
def test_config_refuses(wrong, message):
    with pytest.raises(InputError, match=message):
        cdtrans.Config(**wrong)


def test_batches_of_stage_2_hold_pairs_and_leave_the_network_as_it_was():
    config, classifier = cdtrans.Config(warm=0.5, refreshes=2), tiny(bottleneck=8).train()
    nets = nn.ModuleDict({"classifier": classifier, **cdtrans.networks(classifier, config)})
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    first = cdtrans.refresh(nets, streams(), 4, 10, config)
    assert "y_t" not in loop._batch(first, 0, 4, False)
    torch.manual_seed(5)
    random_state = torch.get_rng_state()
    found = cdtrans.refresh(nets, first, 5, 10, config)
    assert torch.equal(random_state, torch.get_rng_state()), "else a run that goes on from a checkpoint would see other views"
    assert classifier.training
    assert all(torch.equal(before[name], value) for name, value in classifier.state_dict().items())
    assert cdtrans.refresh(nets, found, 6, 10, config) == found, "the same pairs until the next time"
    source, target = streams()
    pairs = {(i, j) for i, j in zip(found[0].rows.tolist(), found[1].rows.tolist(), strict=True)}
    for step in range(4):
        batch = loop._batch(found, 0, step, False)
        assert torch.equal(batch["y_s"], batch["y_t"])
        for x_s, x_t in zip(batch["x_s"], batch["x_t"], strict=True):
            i = next(i for i in range(12) if torch.equal(source.pixels[i] / 255, x_s))
            j = next(j for j in range(9) if torch.equal(target.pixels[j] / 255, x_t))
            assert (i, j) in pairs
    assert nets["pairs"].latest["paired"] == len({j for _, j in pairs}) / 9
    assert nets["pairs"].latest["classes_paired"] == len({i % 3 for i, _ in pairs}) / 3


def test_pairs_are_made_of_evaluation_features():
    config, classifier = cdtrans.Config(warm=0.0, refreshes=1), tiny(drop_path_rate=0.5).train()
    nets = nn.ModuleDict({"classifier": classifier, **cdtrans.networks(classifier, config)})
    source, target = cdtrans.refresh(nets, streams(), 0, 10, config)
    classifier.eval()
    with torch.no_grad():
        f_s, f_t = (classifier.features(stream.pixels / 255) for stream in (source, target))
        pseudo = pseudo_labels.centre_labels(classifier.head(f_t).softmax(1), f_t)
    rows_s, rows_t = pseudo_labels.two_way_pairs(f_s, source.labels, f_t, pseudo)
    assert torch.equal(source.rows, rows_s)
    assert torch.equal(target.rows, rows_t)
    assert torch.equal(target.labels, pseudo)


def test_no_pair_at_all_is_said(monkeypatch):
    nets, _ = stage_2(tiny())
    monkeypatch.setattr(pseudo_labels, "two_way_pairs", lambda *_: (torch.zeros(0).long(),) * 2)
    with pytest.raises(InputError, match=r"no pair .step 2 of 10.*larger warm"):
        cdtrans.refresh(nets, streams(), 2, 10, cdtrans.Config())


class Poison:
    """Stands where target labels could be: any use of it fails the test."""

    def __getattribute__(self, name):
        raise AssertionError(f"target labels were read ({name})")


OPTIONS = {"warm": 0.25, "refreshes": 2}  # of 8 steps: pairs before the steps 2 and 5


def adapt(folder, seed=0):
    target = replace(picture_set(9, labels=False, seed=1), labels=Poison())
    architecture = VIT | {"drop_path_rate": 0.2}
    return inter_domain.adapt(picture_set(12), target, "cdtrans", OPTIONS, architecture, replace(RECIPE, steps=8), seed, folder)


def test_same_seed_same_bits_and_target_labels_are_never_read(tmp_path):
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        adapt(tmp_path / folder, seed)
    a, b, c = (load_file(tmp_path / folder / "model.safetensors") for folder in "abc")
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert not all(torch.equal(a[key], c[key]) for key in a)
    header, *rows = (line.split(",") for line in (tmp_path / "a/history.csv").read_text().splitlines())
    history = [dict(zip(header, map(float, row), strict=True)) for row in rows]
    assert [row["step"] for row in history] == [2, 4, 6, 8]
    assert [row["pseudo"] > 0 for row in history] == [False, True, True, True]
    assert [row["metric_paired"] > 0 for row in history] == [False, True, True, True]


def test_a_run_killed_between_two_pairings_continues_to_the_same_bits(tmp_path, monkeypatch):
    adapt(tmp_path / "whole")
    paired = []
    killed_at(monkeypatch, 6, lambda: adapt(tmp_path / "halves"))  # step 5; the checkpoint is of step 4, its pairs were made before step 2
    real_pair = cdtrans._pair
    monkeypatch.setattr(cdtrans, "_pair", lambda *arguments: (paired.append(arguments[-1]), real_pair(*arguments))[1])
    adapt(tmp_path / "halves")
    assert paired == ["step 5 of 8"], "the pairs of step 2 come from the checkpoint"
    whole, halves = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "halves"))
    assert all(torch.equal(whole[name], halves[name]) for name in whole)


def test_the_result_is_a_classifier_like_any_other(tmp_path):
    classifier = adapt(tmp_path)
    loaded, about = backbones.load(tmp_path)
    x = torch.rand(2, 3, 32, 32)
    assert torch.equal(loaded(x), classifier(x))
    assert about["method"] == "inter_domain.cdtrans"


def test_it_says_where_it_comes_from():
    assert "L = " in cdtrans.__doc__
    assert "cdtrans" in registry.names(inter_domain)
    assert registry.configure(inter_domain, "cdtrans", {"warm": 0.5}) == cdtrans.Config(warm=0.5)
