"""A frozen backbone: its features stand for the images, are computed once, and nothing of it moves."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from test_methods import STAGES, architecture, called, options
from test_train import ARCHITECTURE, RECIPE, picture_set

from aa_utils import inter_domain, intra_domain
from aa_utils.classifiers import backbones, features, inference
from aa_utils.errors import InputError
from aa_utils.intra_domain.split import split
from aa_utils.reporting import layout, tables
from aa_utils.seeds import stable_hash
from aa_utils.training import batches, registry

FROZEN = replace(RECIPE, freeze_backbone=True, schedule="constant", weight_decay=0.0, clip=0.0, flip=False)
ON_FEATURES = ["source_only", "dann", "mcd", "symnets"]


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    """Features of every set are kept, in a folder of the test's own."""
    monkeypatch.setenv("AA_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setattr(features, "KEEP_FROM", 1)
    return tmp_path / "artifacts/cache/features"


def adapt(folder, method="source_only", bottleneck=0, recipe=FROZEN, views=("none", "none"), seed=0, initial=None, config=None, **network):
    source, target = picture_set(10), picture_set(9, labels=False, seed=1)
    how = (method, config or {}, ARCHITECTURE | network | {"bottleneck": bottleneck})
    return inter_domain.adapt(source, target, *how, recipe, seed, folder, views, initial)


def built(seed=0, **more):
    torch.manual_seed(stable_hash("classifier", seed))
    return backbones.build(num_classes=3, **(ARCHITECTURE | more))


def test_source_only_is_the_head_trained_on_precomputed_features(tmp_path):
    """The training written out: batches of the loop's order, SGD with Nesterov momentum by hand, features of the untouched backbone."""
    recipe = replace(FROZEN, steps=7, lr=0.1)
    result = adapt(tmp_path, recipe=recipe)
    plain, source = built().eval(), picture_set(10)
    with torch.no_grad():
        f = plain.backbone((source.pixels / 255 - plain.mean) / plain.std)
    w, b = plain.head.weight.detach().clone(), plain.head.bias.detach().clone()
    moved = [torch.zeros_like(w), torch.zeros_like(b)]
    for step in range(7):
        rows = batches.shuffled(10, recipe.batch_size, step, ("order", 0, "s"))
        x, y = f[rows], source.labels[rows]
        error = (F.softmax(x @ w.T + b, 1) - F.one_hot(y, 3)) / len(y)
        for value, momentum, gradient in zip((w, b), moved, (error.T @ x, error.sum(0)), strict=True):
            momentum.mul_(0.9).add_(gradient)
            value.sub_(0.1 * (gradient + 0.9 * momentum))
    assert torch.allclose(result.head.weight, w, atol=1e-5)
    assert torch.allclose(result.head.bias, b, atol=1e-5)


@pytest.mark.parametrize("method", ON_FEATURES)
def test_nothing_of_the_backbone_moves_and_the_rest_learns(tmp_path, method):
    bottleneck = 0 if method == "source_only" else 4
    result = adapt(tmp_path, method, bottleneck, replace(FROZEN, steps=4, feature_views=2), ("affine", "affine"))
    before = built(bottleneck=bottleneck)
    for name, value in before.backbone.state_dict().items():
        assert torch.equal(value, result.backbone.state_dict()[name]), name
    for part in ("head", "bottleneck")[: 2 if bottleneck else 1]:
        own = dict(getattr(result, part).named_parameters())
        drawn = dict(getattr(before, part).named_parameters())
        assert all(not torch.equal(own[name], drawn[name]) for name in own if name in drawn), part
    assert all(not weight.requires_grad and weight.grad is None for weight in result.backbone.parameters())
    loaded, config = backbones.load(tmp_path)
    assert config["frozen"] and config["recipe"]["freeze_backbone"] and loaded.frozen
    pixels = picture_set(9, seed=1).pixels
    p, f = inference.predict(loaded, pixels)
    whole = loaded.freeze(False).eval()
    with torch.no_grad():
        x = pixels.float() / 255
        assert torch.allclose(p, whole(x).softmax(1), atol=1e-5)
        assert torch.allclose(f, whole.features(x), atol=1e-4)


@pytest.mark.parametrize("pair", STAGES, ids=called)
def test_every_method_trains_on_features_or_says_why_not(pair, tmp_path):
    stage, name = pair
    module, recipe = registry.load(stage, name), replace(FROZEN, steps=2)
    if stage is intra_domain:
        initial = tmp_path / "before"
        backbones.save(built(), initial, picture_set(9).class_names)
        target = picture_set(9, labels=False, seed=1)
        p = torch.eye(3)[torch.arange(9) % 3] * 0.7 + 0.1

        def run():
            return intra_domain.refine(initial, target, split(p, target.class_names), name, {}, recipe, 0, tmp_path / "out")

    else:
        network = architecture(name) | {"bottleneck": 4}

        def run():
            source, target = picture_set(10), picture_set(9, labels=False, seed=1)
            return inter_domain.adapt(source, target, name, options(name), network, recipe, 0, tmp_path / "out", ("none", "none"))

    if module.needs_images or module.training_free or module.batchnorm == "target":
        with pytest.raises(InputError, match=rf"{name} (works on images|trains nothing)|batchnorm is 'target'"):
            run()
    else:
        assert run().frozen


def test_methods_that_move_features_need_a_bottleneck(tmp_path):
    for method in ("dann", "mcd", "symnets"):
        with pytest.raises(InputError, match=f"{method} moves features, .* set bottleneck=256, or take source_only"):
            adapt(tmp_path, method)
        with pytest.raises(InputError, match=f"{method} moves features"):
            inter_domain.check(method, {}, ARCHITECTURE, FROZEN, 32)


def test_settings_that_contradict_each_other():
    with pytest.raises(InputError, match="feature_views is 2, but freeze_backbone is false"):
        replace(RECIPE, feature_views=2)
    with pytest.raises(InputError, match="feature_views is -1"):
        replace(FROZEN, feature_views=-1)
    with pytest.raises(InputError, match="batchnorm is 'target', but with freeze_backbone"):
        inter_domain.check("source_only", {}, ARCHITECTURE, replace(FROZEN, batchnorm="target"), 32)
    inter_domain.check("source_only", {}, ARCHITECTURE, replace(FROZEN, batchnorm="frozen"), 32)


# Going on from a linear probe


def test_fine_tuning_starts_from_a_linear_probe(tmp_path):
    probe = adapt(tmp_path / "probe", recipe=replace(FROZEN, steps=5))
    small = replace(RECIPE, steps=1, lr=1e-9, weight_decay=0.0)
    tuned = adapt(tmp_path / "tuned", recipe=small, initial=tmp_path / "probe")
    assert torch.allclose(tuned.head.weight, probe.head.weight, atol=1e-6)
    assert not tuned.frozen and "frozen" not in backbones.load(tmp_path / "tuned")[1]
    moved = [not torch.equal(a, b) for a, b in zip(tuned.backbone.buffers(), probe.backbone.buffers(), strict=True)]
    assert any(moved), "its statistics move again"
    learned = adapt(tmp_path / "learned", recipe=replace(small, lr=0.1), initial=tmp_path / "probe")
    assert not torch.equal(next(learned.backbone.parameters()), next(probe.backbone.parameters()))


def test_another_kind_of_classifier_is_no_start(tmp_path):
    adapt(tmp_path / "probe", recipe=replace(FROZEN, steps=1))
    for network, sentence in (
        ({"bottleneck": 4}, "bottleneck is 4, but the classifier in .* has 0; set bottleneck=0"),
        (
            {"backbone": "test_resnet", "channels": None, "layers": None, "stem_width": None},
            "backbone is 'test_resnet', but .* set backbone=pocket_",
        ),
    ):
        with pytest.raises(InputError, match=sentence):
            adapt(tmp_path / "x", initial=tmp_path / "probe", **({"bottleneck": 0} | network))
    backbones.save(built(), tmp_path / "others", ["x", "y", "z"])
    with pytest.raises(InputError, match="knows other classes than the source: x, y, z"):
        adapt(tmp_path / "x", initial=tmp_path / "others")
    with pytest.raises(InputError, match="no classifier in"):
        adapt(tmp_path / "x", initial=tmp_path / "nowhere")


def test_stage_4_refines_the_whole_network(tmp_path):
    adapt(tmp_path / "probe", recipe=replace(FROZEN, steps=2))
    target = picture_set(9, labels=False, seed=1)
    p = torch.eye(3)[torch.arange(9) % 3] * 0.7 + 0.1
    parts = split(p, target.class_names)
    refined = intra_domain.refine(tmp_path / "probe", target, parts, "fixmatch", {"mu": 1}, replace(RECIPE, steps=2), 0, tmp_path / "out")
    assert not refined.frozen
    before = backbones.load(tmp_path / "probe")[0]
    assert not torch.equal(next(refined.backbone.parameters()), next(before.backbone.parameters()))


def test_tables_call_it_what_it_is():
    for parameters, method, printed in (
        ({"method": "source_only", "freeze_backbone": True}, "source_only@features", "linear probe"),
        ({"method": "dann", "freeze_backbone": True, "batchnorm": "frozen"}, "dann@features", "DANN (on frozen features)"),
        ({"method": "dann", "freeze_backbone": False, "batchnorm": "frozen"}, "dann@frozen", "DANN (frozen BN)"),
        ({"method": "zero_shot", "method_config": {"clip": "models/other"}}, "zero_shot@other", "CLIP by class names (other)"),
        ({"method": "fixmatch", "method_config": {"together": False}}, "fixmatch@apart", "FixMatch (a pass for each domain)"),
        ({"method": "zero_shot", "method_config": {}, "pretrained": True}, "zero_shot", "CLIP by class names"),
        ({"method": "cdtrans", "pretrained": "models/other/vit.safetensors"}, "cdtrans@other", "CDTrans (other)"),
        ({"method": "dann", "freeze_backbone": False}, "dann", "DANN"),
    ):
        assert tables.method_of(parameters) == method
        assert layout.printed(method) == printed
