"""Any network of timm as a backbone: how wide its features are, which images it takes, that it can be exported; names on a hub."""

import json

import pytest
import timm
import torch
from torch import nn

from aa_utils.classifiers import backbones, networks
from aa_utils.data import tensor_files
from aa_utils.errors import InputError
from aa_utils.photos import export

# Networks whose output is wider than `num_features`, or whose head in timm is none or more than one linear layer; tests/timm_families.py
# has a network of every family.
WIDE = ["mobilenetv3_small_050", "mobilenetv4_conv_small_035", "repghostnet_050", "hgnetv2_b0", "efficientvit_b0", "lcnet_035"]
HEADS = ["levit_128s", "repvit_m0_9", "dla46x_c", "crossvit_tiny_240", "efficientvim_m1", "deit_tiny_distilled_patch16_224"]
# A convolution over volumes within, which has no channels-last layout; layers that share their weights.
ODD = ["lambda_resnet26t", "coat_lite_tiny"]
OWN = ["pocket_resnet", "pocket_vit", "wrn_16_2"]


def size_of(name: str) -> int:
    cfg = timm.get_pretrained_cfg(name)
    return 32 if cfg is None else cfg.input_size[-1]


@pytest.mark.parametrize("name", [*WIDE, *HEADS, *ODD, "test_resnet", "test_vit", "test_efficientnet", *OWN])
def test_features_are_as_wide_as_said_and_the_classifier_can_be_saved_and_exported(tmp_path, name):
    torch.manual_seed(0)
    classifier = backbones.check({"backbone": name}, size_of(name), num_classes=3)
    torch.nn.init.normal_(classifier.head.weight)
    export.check(classifier, size_of(name))
    images = torch.rand(2, 3, size_of(name), size_of(name))
    z = classifier.eval()(images)
    assert z.shape == (2, 3)
    backbones.save(classifier, tmp_path, ["a", "b", "c"])
    assert torch.equal(backbones.load(tmp_path)[0](images), z)


@pytest.mark.parametrize("name", WIDE)
def test_the_width_is_not_that_of_the_last_map(name):
    with torch.device("meta"):
        net = networks.create(name)
    assert networks.width(net) != net.num_features


def test_every_network_with_weights_says_how_wide_its_output_is():
    """`head_hidden_size` is what `width` rests on; a network of timm without it would need another look."""
    for name in sorted({full.partition(".")[0] for full in timm.list_pretrained("test_*") + timm.list_pretrained("mobilenetv3*")}):
        with torch.device("meta"):
            assert networks.create(name).head_hidden_size > 0


@pytest.mark.parametrize(
    ("name", "image_size", "sentence"),
    [
        ("vit_tiny_patch16_224", 32, "'vit_tiny_patch16_224' does not take images of 32 pixels: .*; set image_size=224"),
        ("inception_v3", 32, "'inception_v3' does not take images of 32 pixels: .*; set image_size=299"),
        ("levit_128s", 64, "'levit_128s' does not take images of 64 pixels: .*; set image_size=224"),
        ("swin_tiny_patch4_window7_224", 100, "does not take images of 100 pixels: .*; set image_size=224"),
        ("lenet_usps", 32, "set image_size=28"),
    ],
)
def test_images_of_another_size_are_refused_with_the_right_one(name, image_size, sentence):
    with pytest.raises(InputError, match=sentence):
        backbones.check({"backbone": name}, image_size)


def test_a_network_that_gives_maps_is_refused():
    with pytest.raises(InputError, match=r"'maps' gives \(2, 4, 8, 8\) for two images, not \(2, 4\)"):
        networks.check_images(_Maps(), "maps", 8)


class _Maps(nn.Module):
    num_features = 4

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 1)

    def forward(self, x):
        return self.layer(x)


@pytest.mark.parametrize(
    ("architecture", "image_size", "sentence"),
    [
        (
            {"backbone": "pocket_resnet", "bottleneck": 64},
            32,
            "a bottleneck of 64 is normalised by the batch, .* set batch_size=2 or more, or b",
        ),
        ({"backbone": "test_resnet"}, 32, "'test_resnet' at 32 pixels is normalised by the batch"),
    ],
)
def test_a_batch_of_one_that_is_normalised_by_itself(architecture, image_size, sentence):
    with pytest.raises(InputError, match=f"batch_size is 1, and {sentence}"):
        backbones.check(architecture, image_size, batch_size=1)
    backbones.check(architecture, image_size, batch_size=2)


def test_a_batch_of_one_is_no_error_where_there_is_something_to_normalise_by():
    backbones.check({"backbone": "pocket_resnet"}, 32, batch_size=1)
    backbones.check({"backbone": "pocket_vit"}, 32, batch_size=1)


def test_the_check_leaves_statistics_and_random_state_alone():
    torch.manual_seed(1)
    classifier = backbones.build("pocket_resnet", 3, bottleneck=4)
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    state = torch.random.get_rng_state()
    backbones.check_fit(classifier, 32, 2)
    backbones.check({"backbone": "pocket_resnet"}, 32)
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())
    assert classifier.training


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("resnet5O", "timm has no model 'resnet5O'; near it: .*resnet50"),
        ("resnet18.nonsense", "timm has no weights 'nonsense' of 'resnet18'; it has: .*a1_in1k"),
        ("timm/resnet18", "hf-hub:timm/resnet18"),
        ("ftp:resnet18", "Unknown model source 'ftp'"),
        ("local-dir:no/such/folder", "no config.json in"),
        ("", "timm has no model ''"),
    ],
)
def test_names_that_are_none(name, sentence):
    with pytest.raises(InputError, match=sentence):
        networks.identify(name)


def test_unknown_options_are_one_sentence():
    with pytest.raises(InputError, match=r"timm cannot make 'resnet18' with .*'colour'"):
        networks.create("resnet18", colour=3)


@pytest.mark.parametrize("prefix", ["hf-hub:", "hf_hub:"])
def test_a_name_on_the_hub_becomes_the_network_that_its_config_names(monkeypatch, prefix):
    """What is saved names the network itself, so that loading it needs no hub."""
    monkeypatch.setattr(networks, "load_model_config_from_hf", lambda name: ({}, "test_vit", {"img_size": 32, "num_classes": 7}))
    classifier = backbones.check({"backbone": f"{prefix}timm/test_vit.r160_in1k"}, 32, num_classes=3)
    assert (classifier.config["backbone"], classifier.config["kwargs"]) == ("test_vit", {"img_size": 32})


def test_a_hub_out_of_reach_is_one_sentence(monkeypatch):
    def offline(name):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(networks, "load_model_config_from_hf", offline)
    with pytest.raises(InputError, match=r"cannot get the config of 'hf-hub:timm/x' .*no route to host.*HF_HOME"):
        networks.identify("hf-hub:timm/x")


def test_a_folder_as_timm_writes_it(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "test_resnet", "model_args": {"drop_rate": 0.1}}))
    assert networks.identify(f"local-dir:{tmp_path}") == ("test_resnet", {"drop_rate": 0.1})
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match="is not JSON"):
        networks.identify(f"local-dir:{tmp_path}")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "test_resnet", "model_args": ["drop_rate", 0.1]}))
    with pytest.raises(InputError, match=r"model_args of its config.json are \['drop_rate', 0.1\], not options by name"):
        networks.identify(f"local-dir:{tmp_path}")


def test_weights_that_layers_share_are_written_for_each_of_them(tmp_path):
    """safetensors refuses tensors in one memory; after a training that would be its end."""
    value = torch.arange(6.0).reshape(2, 3)
    tensors = {"a": value, "b": value, "row": value[1], "turned": value.T, "own": torch.ones(2)}
    tensor_files.write_weights(tmp_path, tensors, {})
    again = tensor_files.read_weights(tmp_path, "")
    assert set(again) == set(tensors)
    assert all(torch.equal(again[name], tensors[name]) for name in tensors)


def test_the_layout_is_torch_s_own_where_torch_has_one():
    mine, theirs = (backbones.networks.create("test_resnet") for _ in range(2))
    theirs.load_state_dict(mine.state_dict())
    networks.lay_out(mine)
    theirs.to(memory_format=torch.channels_last)
    assert all(a.stride() == b.stride() for a, b in zip(mine.parameters(), theirs.parameters(), strict=True))
    assert networks.lay_out(nn.Conv3d(2, 3, 1)).weight.is_contiguous()


@pytest.mark.parametrize(
    "name", [None, 5, True, ["resnet18"], b"resnet18", "resnet18\n", "resnet18\0", "x" * 5000, "hf-hub:timm/" + "x" * 500]
)
def test_what_is_no_name_at_all_is_one_short_sentence(name):
    for call in (networks.identify, lambda name: backbones.check({"backbone": name}, 32)):
        with pytest.raises(InputError, match=r"backbone is .*; it is the name of a network of timm") as said:
            call(name)
        assert len(str(said.value)) < 300 and "\n" not in str(said.value)


NO_OPTIONS = [
    *({"pretrained": True}, {"features_only": True}, {"checkpoint_path": "/etc/hostname"}, {"in_chans": 1}, {"in_chans": 4}),
    *(
        {"pretrained_cfg": "x"},
        {"block": "x"},
        {"layers": 5},
        {"stem_width": -1},
        {"colour": 1},
        {"act_layer": "nosuch"},
    ),
]


@pytest.mark.parametrize("options", NO_OPTIONS, ids=str)
def test_options_that_make_no_network_are_one_sentence_from_folders_and_from_calls(tmp_path, options):
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "test_resnet", "model_args": options}))
    with pytest.raises(InputError, match="|".join(options)) as said:
        backbones.check({"backbone": f"local-dir:{tmp_path}"}, 64)
    assert "\n" not in str(said.value)
    with pytest.raises(InputError):
        networks.create("test_resnet", **options)


def test_a_config_of_a_million_brackets_is_no_json(tmp_path):
    (tmp_path / "config.json").write_text("[" * 1_000_000)
    with pytest.raises(InputError, match="is not JSON"):
        networks.identify(f"local-dir:{tmp_path}")


def test_three_channels_are_what_images_have():
    assert networks.create("test_resnet", in_chans=3).conv1 is not None
