"""Pretrained weights from files, packages and names: they fit, to the last tensor and with their normalisation, or are refused."""

import json
import pickle
import re
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from aa_utils.classifiers import backbones, weight_names, weights
from aa_utils.errors import InputError

NET = "test_resnet"


def tensors(name: str = NET, **options) -> dict[str, Tensor]:
    torch.manual_seed(5)
    net = timm.create_model(name, **options)
    for buffer in net.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    return net.state_dict()


def write(path: Path, state: object) -> Path:
    if path.suffix == ".safetensors":
        save_file({name: value.contiguous() for name, value in state.items()}, path)
    else:
        torch.save(state, path)
    return path


def built(path: Path | str, name: str = NET, **options) -> backbones.Classifier:
    return backbones.build(name, 3, pretrained=str(path), **options)


def assert_holds(classifier: backbones.Classifier, state: dict[str, Tensor]) -> None:
    for name, value in classifier.backbone.state_dict().items():
        assert torch.equal(value, state[name]), name


@pytest.mark.parametrize("ending", [".safetensors", ".pth", ".pt", ".bin"])
def test_a_file_fills_the_backbone(tmp_path, ending):
    state = tensors()
    classifier = built(write(tmp_path / f"w{ending}", state))
    assert_holds(classifier, state)
    about = classifier.config["weights"]
    assert about["source"] == str(tmp_path / f"w{ending}")
    assert re.fullmatch("[0-9a-f]{64}", about["sha256"])
    assert about["normalisation"] == "timm's for test_resnet"


@pytest.mark.parametrize("ending", [".pth", ".pt", ".bin"])
def test_numbers_that_a_download_damaged_are_no_weights(tmp_path, ending):
    """torch.load reads them without a word."""
    file = write(tmp_path / f"w{ending}", {"whole": torch.ones(4), **tensors()})
    data, ones = file.read_bytes(), torch.ones(4).numpy().tobytes()
    assert ones in data
    file.write_bytes(data.replace(ones, ones[:-1] + b"\x40", 1))
    torch.load(file, weights_only=True)
    with pytest.raises(InputError, match=r"is damaged: .* is not what its checksum says; fetch it again"):
        built(file)


@pytest.mark.parametrize("wrapped", ["state_dict", "model", "state_dict_ema", "model_ema"])
def test_of_a_training_checkpoint_its_weights_are_taken(tmp_path, wrapped):
    state = tensors()
    classifier = built(write(tmp_path / "last.pth", {"epoch": 3, wrapped: state}))
    assert_holds(classifier, state)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "backbone.", "encoder.", "module.backbone.", "model.net."])
def test_a_wrapper_is_taken_off(tmp_path, prefix):
    state = tensors()
    named = {f"{prefix}{name}": value for name, value in state.items()}
    assert_holds(built(write(tmp_path / "w.pth", named)), state)


def test_a_classifier_of_this_kit_is_a_file_of_weights_too(tmp_path):
    torch.manual_seed(0)
    taught = backbones.build(NET, 7, bottleneck=4, normalisation={"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]})
    backbones.save(taught, tmp_path, [f"class {k}" for k in range(7)])
    for place in (tmp_path, tmp_path / "model.safetensors"):
        classifier = built(place)
        assert_holds(classifier, taught.backbone.state_dict())
        assert (classifier.config["mean"], classifier.config["std"]) == ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
        assert classifier.config["weights"]["normalisation"] == "config.json beside the file"


def test_a_folder_that_timm_wrote_is_backbone_and_weights(tmp_path):
    state = tensors()
    write(tmp_path / "model.safetensors", state)
    cfg = {"architecture": NET, "pretrained_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}}
    (tmp_path / "config.json").write_text(json.dumps(cfg))
    classifier = backbones.build(f"local-dir:{tmp_path}", 3, pretrained=True)
    assert_holds(classifier, state)
    assert classifier.config["backbone"] == NET
    assert classifier.config["std"] == [0.25, 0.25, 0.25]


def test_normalisation_is_saved_and_kept_in_a_network_drawn_anew(tmp_path):
    classifier = backbones.build(NET, 3, normalisation={"mean": [0.1, 0.1, 0.1], "std": [0.9, 0.9, 0.9]}).eval()
    x = torch.rand(2, 3, 32, 32)
    assert torch.allclose(classifier.features(x), classifier.backbone((x - 0.1) / 0.9), atol=1e-5)
    backbones.save(classifier, tmp_path, ["a", "b", "c"])
    loaded, config = backbones.load(tmp_path)
    assert torch.equal(loaded(x), classifier(x))
    assert torch.equal(backbones.renewed(config).mean, classifier.mean)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"mean": [0.5], "std": [0.5]}, "each is three finite numbers"),
        ({"mean": [0, 0, float("nan")], "std": [1, 1, 1]}, "each is three finite numbers"),
        ({"mean": [0, 0, 0], "std": [0, 1, 1]}, "std is above 0"),
        ({"mean": "half", "std": [1, 1, 1]}, "three numbers each"),
        ([], "three numbers each"),
    ],
)
def test_a_config_that_says_no_normalisation(tmp_path, said, sentence):
    (tmp_path / "config.json").write_text(json.dumps(said))
    with pytest.raises(InputError, match=sentence):
        built(write(tmp_path / "w.pth", tensors()))


def efficientnet_pytorch(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """timm's EfficientNet under the names of EfficientNet-PyTorch, written block by block."""
    net, named = timm.create_model(name), {}
    outer = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1", "classifier": "_fc"}
    first = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
    other = {"conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv", "bn2": "_bn1", "conv_pwl": "_project_conv"}
    other |= {"bn3": "_bn2"}
    squeeze = {"conv_reduce": "_se_reduce", "conv_expand": "_se_expand"}
    for key, value in state.items():
        part = key.split(".")
        if part[0] in outer:
            named[".".join([outer[part[0]], *part[1:]])] = value
            continue
        number = sum(len(stage) for stage in net.blocks[: int(part[1])]) + int(part[2])
        table = other if hasattr(net.blocks[int(part[1])][int(part[2])], "conv_pwl") else first
        layer = squeeze[part[4]] if part[3] == "se" else table[part[3]]
        named[".".join([f"_blocks.{number}", layer, *part[5 if part[3] == "se" else 4 :]])] = value
    return named


@pytest.mark.parametrize("name", ["efficientnet_lite0", "tf_efficientnet_lite0", "efficientnet_b0"])
def test_names_of_efficientnet_pytorch(tmp_path, name):
    state = tensors(name)
    named = efficientnet_pytorch(state, name)
    assert len(named) == len(state)
    mapped = weight_names.translate(named, name, {}, "w")
    assert mapped.keys() == state.keys()
    assert all(torch.equal(mapped[key], value) for key, value in state.items())


def test_the_authors_names_go_through_timms_filter(tmp_path):
    """ConvNeXt as Facebook published it: timm's filter renames its stages and blocks."""
    state = tensors("test_convnext")
    stem = {"stem.0": "downsample_layers.0.0", "stem.1": "downsample_layers.0.1"}
    named = {}
    for key, value in state.items():
        its = re.sub(r"stages\.(\d+)\.blocks\.(\d+)", r"stages.\1.\2", key)
        its = re.sub(r"stages\.(\d+)\.downsample\.(\d+)", r"downsample_layers.\1.\2", its)
        its = its.replace("conv_dw", "dwconv").replace("mlp.fc1", "pwconv1").replace("mlp.fc2", "pwconv2")
        its = its.replace("head.fc.", "head.").replace("head.norm.", "norm.")
        for ours, theirs in stem.items():
            its = its.replace(ours, theirs)
        named[its] = value
    mapped = weight_names.translate(named, "test_convnext", {}, "w")
    assert all(torch.equal(mapped[key], value) for key, value in state.items())


def without(state: dict, *names: str) -> dict:
    return {name: value for name, value in state.items() if name not in names}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda s: without(s, "conv1.0.weight"), r"missing 1: conv1\.0\.weight"),
        (lambda s: without(s, "bn1.weight", "bn1.bias"), r"missing 2: bn1\.weight, bn1\.bias"),
        (lambda s: s | {"aux.weight": torch.zeros(3)}, r"left over 1: aux\.weight"),
        (lambda s: s | {"bn1.weight": torch.zeros(3)}, r"of another shape 1: bn1\.weight \(3,\) instead of \(\d+,\)"),
        (lambda s: {f"strange.{name}": value for name, value in s.items()}, r"missing \d+: .* …; left over \d+"),
        (lambda s: tensors("test_vit"), r"do not fit 'test_resnet' \(missing"),
    ],
)
def test_what_does_not_fit_is_listed(tmp_path, change, sentence):
    path = write(tmp_path / "w.pth", change(tensors()))
    with pytest.raises(InputError, match=sentence):
        built(path)


def test_a_head_of_other_classes_and_a_counter_of_old_files_do_not_matter(tmp_path):
    state = tensors(num_classes=11)
    old = {name: value for name, value in state.items() if "num_batches_tracked" not in name}
    for found in (old, without(old, "fc.weight", "fc.bias")):
        classifier = built(write(tmp_path / "w.pth", found))
        assert all(torch.equal(value, state[name]) for name, value in classifier.backbone.named_parameters())


def test_files_that_hold_no_weights(tmp_path):
    ran = tmp_path / "ran"

    class Hostile:
        def __reduce__(self):
            return Path.touch, (ran,)

    bad = {}
    for name, content, sentence in (
        ("page.pth", b"<!DOCTYPE html><html>not found</html>", "is a web page"),
        ("pointer.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "is a git-lfs pointer"),
        ("empty.pth", b"", "is empty"),
        ("code.pth", pickle.dumps({"weight": Hostile()}), "cannot be read as weights"),
        ("cut.pth", write(tmp_path / "whole.pth", tensors()).read_bytes()[:5000], "is cut off"),
        ("cut.safetensors", write(tmp_path / "whole.safetensors", tensors()).read_bytes()[:5000], "fetch it again"),
    ):
        (tmp_path / name).write_bytes(content)
        bad[name] = sentence
    write(tmp_path / "code_in_a_zip.pth", {"state_dict": {"weight": Hostile()}})
    bad["code_in_a_zip.pth"] = "cannot be read as weights"
    write(tmp_path / "pair.pth", {"student": tensors(), "teacher": tensors()})
    bad["pair.pth"] = "no state dict of one network, but: student, teacher"
    write(tmp_path / "list.pth", [torch.zeros(3)])
    bad["list.pth"] = "cannot be read as weights|no state dict"
    write(tmp_path / "nan.pth", tensors() | {"bn1.weight": torch.full((24,), torch.nan)})
    bad["nan.pth"] = r"not finite \('bn1.weight'\)"
    (tmp_path / "w.h5").write_bytes(b"x")
    bad["w.h5"] = r"ends in '\.h5', and these are read"
    for name, sentence in bad.items():
        with pytest.raises(InputError, match=sentence):
            built(tmp_path / name)
    assert not ran.exists(), "code in a file of weights ran"


@pytest.mark.parametrize("value", ["", "no/such/file.pth", 1, None, 0.5])
def test_values_that_name_no_weights(value):
    with pytest.raises(InputError, match="it is True"):
        backbones.build(NET, 3, pretrained=value)


def test_a_name_on_the_hub(monkeypatch):
    monkeypatch.setattr(weights.networks, "load_model_config_from_hf", lambda name: ({}, NET, {}))
    real, seen = timm.create_model, []

    def create(name, pretrained=False, **options):
        seen.append((name, pretrained))
        return real(NET if pretrained else name, **options)

    monkeypatch.setattr(weights.timm, "create_model", create)
    for backbone, pretrained in ((NET, "hf-hub:timm/test_resnet.r160_in1k"), ("hf_hub:timm/test_resnet.r160_in1k", True)):
        classifier = backbones.build(backbone, 3, pretrained=pretrained)
        assert classifier.config["backbone"] == NET
        assert classifier.config["weights"]["source"].endswith("timm/test_resnet.r160_in1k")
    assert [name for name, pretrained in seen if pretrained] == ["hf-hub:timm/test_resnet.r160_in1k", "hf_hub:timm/test_resnet.r160_in1k"]
    with pytest.raises(InputError, match="holds a 'test_resnet', and the backbone is 'test_vit'; set backbone=test_resnet"):
        backbones.build("test_vit", 3, pretrained="hf-hub:timm/test_resnet.r160_in1k")
