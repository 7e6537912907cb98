"""What BatchNorm normalises by: frozen statistics stay, the target's are exact, for every method; and who has nothing to choose."""

import json
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from test_methods import TRAINED
from test_train import ARCHITECTURE, RECIPE, picture_set
from torch import nn

from aa_utils import inter_domain, intra_domain
from aa_utils.classifiers import backbones
from aa_utils.errors import InputError
from aa_utils.intra_domain.split import split
from aa_utils.training import batchnorm, registry

NETWORK = ARCHITECTURE | {"bottleneck": 5}
TARGET = picture_set(9, labels=False, seed=1)
NEEDS_A_VIT = {"cdtrans"}
# Every method of stage 3 that takes a network with BatchNorm; those that bring a choice of their own come with it alone.
WITH_BATCHNORM = [name for stage, name in TRAINED if stage is inter_domain and name not in NEEDS_A_VIT]
FREE_TO_CHOOSE = [name for name in WITH_BATCHNORM if not registry.load(inter_domain, name).batchnorm]


def adapt(folder, method, choice, target=TARGET, architecture=NETWORK, **recipe):
    made = replace(RECIPE, steps=3, batchnorm=choice, **recipe)
    return inter_domain.adapt(picture_set(10), target, method, {}, architecture, made, 0, folder)


def refine(folder, initial, method, choice):
    parts = split(F.one_hot(torch.arange(9) % 3).float(), TARGET.class_names)
    recipe = replace(RECIPE, steps=3, batchnorm=choice)
    return intra_domain.refine(initial, TARGET, parts, method, {}, recipe, 0, folder, "adapted")


def statistics(net):
    return {name: value.clone() for name, value in net.named_buffers() if "running" in name}


@pytest.fixture(scope="module")
def initial(tmp_path_factory):
    """A network whose statistics are those of some training."""
    folder = tmp_path_factory.mktemp("initial")
    adapt(folder, "source_only", "train")
    return folder


@pytest.mark.parametrize("method", FREE_TO_CHOOSE)
def test_frozen_statistics_stay_and_everything_else_learns(method, tmp_path, monkeypatch):
    """As pretrained weights would bring them: numbers that a fresh network does not have."""
    torch.manual_seed(0)
    build = backbones.build

    def built(*arguments, **options):
        net = build(*arguments, **options)
        for layer in batchnorm.layers(net.backbone):
            layer.running_mean.uniform_(-0.1, 0.1), layer.running_var.uniform_(0.5, 2)
        before.append({name: value.clone() for name, value in net.state_dict().items()})
        return net

    before: list[dict] = []
    monkeypatch.setattr(inter_domain.backbones, "build", built)
    after = adapt(tmp_path, method, "frozen").state_dict()
    for name, value in before[0].items():
        if name.startswith("backbone.") and ("running" in name or "tracked" in name):
            assert torch.equal(value, after[name]), name
        elif name.startswith("bottleneck.") and "running" in name:
            assert not torch.equal(value, after[name]), "a new layer has no statistics worth keeping"
    assert not torch.equal(before[0]["backbone.bn1.weight"], after["backbone.bn1.weight"]), "scales still learn"
    assert json.loads((tmp_path / "config.json").read_text())["recipe"]["batchnorm"] == "frozen"


@pytest.mark.parametrize("method", registry.names(intra_domain))
def test_frozen_statistics_stay_in_stage_4(method, tmp_path, initial):
    before, after = backbones.load(initial)[0], refine(tmp_path / "frozen", initial, method, "frozen")
    trained = refine(tmp_path / "train", initial, method, "train")
    for name, value in statistics(before).items():
        if name.startswith("backbone."):
            assert torch.equal(value, statistics(after)[name]), name
            assert not torch.equal(value, statistics(trained)[name]), name


def test_frozen_is_used_in_training(tmp_path, monkeypatch):
    """The first step's loss is that of a network in evaluation mode, whose bottleneck alone looks at its batch."""
    seen = []
    real = nn.functional.cross_entropy

    def watched(z, y, **options):
        seen.append(z.detach().clone())
        return real(z, y, **options)

    from aa_utils.training import loop

    drawn = []
    batch_of = loop._batch
    monkeypatch.setattr(loop, "_batch", lambda *arguments: drawn.append(batch_of(*arguments)) or drawn[-1])
    monkeypatch.setattr("aa_utils.inter_domain.source_only.F.cross_entropy", watched)
    built = []
    build = backbones.build
    monkeypatch.setattr(inter_domain.backbones, "build", lambda *a, **options: built.append(build(*a, **options)) or built[-1])
    adapt(tmp_path, "source_only", "frozen", architecture=ARCHITECTURE, lr=1e-9)
    with torch.no_grad():
        assert torch.allclose(built[0].eval()(drawn[0]["x_s"]), seen[0], atol=1e-4)
        assert not torch.allclose(built[0].train()(drawn[0]["x_s"]), seen[0], atol=1e-2)


@pytest.mark.parametrize("method", WITH_BATCHNORM)
def test_the_targets_statistics_are_exact(method, tmp_path):
    choice = registry.load(inter_domain, method).batchnorm or "target"
    net = adapt(tmp_path, method, choice)
    inputs = {}
    for name, layer in net.named_modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.register_forward_pre_hook(lambda _, x, name=name: inputs.update({name: x[0]}))
    with torch.no_grad():
        net.eval()(TARGET.pixels.float() / 255)
    assert len(inputs) > 10
    for name, x in inputs.items():
        layer, values = net.get_submodule(name), x.transpose(0, 1).flatten(1)
        assert torch.allclose(layer.running_mean, values.mean(1), atol=1e-5), name
        assert torch.allclose(layer.running_var, values.var(1), rtol=1e-4, atol=1e-6), name
    assert json.loads((tmp_path / "config.json").read_text())["recipe"]["batchnorm"] == "target"
    kept = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(kept[name], value) for name, value in statistics(net).items()), "they are in the file"


@pytest.mark.parametrize("block", [1, 2, 4, 9, 100])
def test_blocks_are_a_matter_of_memory_alone(block):
    torch.manual_seed(0)
    whole = backbones.build(num_classes=3, **NETWORK)
    parts = backbones.build(num_classes=3, **NETWORK)
    parts.load_state_dict(whole.state_dict())
    batchnorm.estimate(whole, TARGET.pixels, "cpu")
    batchnorm.estimate(parts, TARGET.pixels, "cpu", block=block)
    for name, value in statistics(whole).items():
        assert torch.allclose(value, statistics(parts)[name], rtol=1e-4, atol=1e-6), name


def test_the_first_layers_statistics_are_those_of_torch():
    net = backbones.build(num_classes=3, **ARCHITECTURE)
    first = batchnorm.layers(net)[0]
    first.momentum = 1.0
    with torch.no_grad():
        net.train()(TARGET.pixels.float() / 255)
    expected = first.running_mean.clone(), first.running_var.clone()
    batchnorm.estimate(net, TARGET.pixels, "cpu", block=2)
    assert torch.allclose(first.running_mean, expected[0], atol=1e-6)
    assert torch.allclose(first.running_var, expected[1], rtol=1e-5)


def test_adabn_is_source_only_with_the_targets_statistics(tmp_path):
    own, chosen = adapt(tmp_path / "adabn", "adabn", "train"), adapt(tmp_path / "source_only", "source_only", "target")
    assert all(torch.equal(a, b) for a, b in zip(own.state_dict().values(), chosen.state_dict().values(), strict=True))
    plain = adapt(tmp_path / "plain", "source_only", "train")
    weights = [name for name, _ in plain.named_parameters()]
    assert all(torch.equal(plain.state_dict()[name], own.state_dict()[name]) for name in weights), "the training is source-only's"
    assert not torch.equal(plain.backbone.bn1.running_mean, own.backbone.bn1.running_mean)


def test_other_target_images_are_another_run(tmp_path):
    adapt(tmp_path, "adabn", "train")
    before = load_file(tmp_path / "model.safetensors")
    other = adapt(tmp_path, "adabn", "train", target=picture_set(9, labels=False, seed=7))
    assert not torch.equal(before["backbone.bn1.running_mean"], other.backbone.bn1.running_mean)


VIT = {"backbone": "pocket_vit", "embed_dim": 16, "depth": 2, "num_heads": 2, "patch_size": 8}


@pytest.mark.parametrize(
    ("method", "choice", "architecture", "message"),
    [
        ("source_only", "frozen", VIT, "batchnorm is 'frozen', but pocket_vit has no BatchNorm"),
        ("dann", "target", VIT, "batchnorm is 'target', but pocket_vit has no BatchNorm"),
        ("adabn", "train", VIT, "batchnorm is 'target', but pocket_vit has no BatchNorm"),
        ("cdtrans", "frozen", VIT, "batchnorm is 'frozen', but pocket_vit has no BatchNorm"),
        ("adabn", "frozen", NETWORK, "the method is adabn, and part of it is batchnorm=target"),
        ("zero_shot", "frozen", NETWORK, "the method is zero_shot, and it trains nothing"),
        ("zero_shot", "target", NETWORK, "the method is zero_shot, and it trains nothing"),
        ("source_only", "fozen", NETWORK, "batchnorm is 'fozen'; there are: train, frozen, target"),
    ],
)
def test_who_has_nothing_to_choose_is_told(method, choice, architecture, message, tmp_path):
    with pytest.raises(InputError, match=message):
        adapt(tmp_path, method, choice, architecture=architecture)
    assert not (tmp_path / "model.safetensors").exists()


def test_stage_4_has_no_other_statistics_than_the_targets(tmp_path, initial):
    with pytest.raises(InputError, match="stage 4 sees no other images than the target's; it is train or frozen"):
        refine(tmp_path, initial, "fixmatch", "target")


def test_one_image_has_no_statistics(tmp_path):
    with pytest.raises(InputError, match="takes at least 2"):
        adapt(tmp_path, "adabn", "train", target=picture_set(1, labels=False))
    assert not (tmp_path / "model.safetensors").exists()
