"""Sizes, views and selections that no training can mean are refused before an image is read."""

import math

import numpy as np
import pytest
from PIL import Image

from aa_utils import devices, inter_domain, intra_domain
from aa_utils.classifiers import backbones
from aa_utils.data import filtering, images
from aa_utils.errors import InputError
from aa_utils.training import augment, registry
from aa_utils.training.loop import Recipe


def check(bottleneck=0, image_size=32, augment=("none", "none")):
    architecture = {"backbone": "pocket_resnet", "pretrained": False, "bottleneck": bottleneck}
    inter_domain.check("source_only", {}, architecture, Recipe(steps=2), image_size, augment)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("bottleneck", value) for value in (-5, 10**9, 1.5, True)),
        *(("image_size", value) for value in (0, -32, 1, 10**6, 10**5, 32.5)),
    ],
)
def test_a_size_without_sense_is_said_at_once(name, value):
    check()
    with pytest.raises(InputError, match=f"^{name} is {value}; it ") as refusal:
        check(**{name: value})
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["none"], "it names two views"),
        (["none"] * 3, "it names two views"),
        ([], "it names two views"),
        ("none", "it names two views"),
        (["affine", "rotate"], "no augmentation 'rotate'; there are: none, weak"),
        (["affine", None], "no augmentation 'None'"),
    ],
)
def test_views_are_checked_before_an_image_is_read(names, message):
    with pytest.raises(InputError, match=message):
        check(augment=names)
    augment.check(("crop", "strong"))


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ({"shares": 0.8}, "keep has shares=0.8; it takes column, share and at_least"),
        ({"at_least": float("nan")}, "at_least is nan; it is a finite number"),
        ({"at_least": "0.5"}, "at_least is '0.5'; it is a finite number"),
        ({"share": float("nan")}, "share is nan; it is above 0"),
    ],
)
def test_a_selection_of_images_that_cannot_be(tmp_path, keep, message):
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "0.png")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "0.png", "class_name": "mug", "clip_confidence": 0.5}\n')
    with pytest.raises(InputError, match=message):
        filtering.keep(images.load(tmp_path, 8), tmp_path, **keep)


def test_the_largest_that_are_in_use_are_taken():
    assert backbones.build("pocket_resnet", 2, bottleneck=2048).width == 2048


NO_NUMBERS = [math.nan, math.inf, -math.inf, "5", "0.5", None, [], True, np.float32(0.5), np.int64(3), 3 + 0j, 10**400, -1]
METHODS = [(stage, name) for stage in (inter_domain, intra_domain) for name in registry.names(stage)]


@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: repr(value)[:12])
def test_no_option_of_any_method_takes_what_is_no_number_of_its_kind(value):
    for stage, name in METHODS:
        for option, default in vars(registry.load(stage, name).Config()).items():
            if isinstance(default, (int, float)) and not isinstance(default, bool):
                with pytest.raises(InputError, match=option):
                    registry.configure(stage, name, {option: value})


@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: repr(value)[:12])
@pytest.mark.parametrize("name", ["steps", "batch_size", "lr", "backbone_lr", "weight_decay", "clip", "feature_views", "log_every"])
def test_no_number_of_a_recipe_is_another_thing(name, value):
    with pytest.raises(InputError, match=f"^{name} is ") as said:
        Recipe(**{"steps": 2, "freeze_backbone": True, name: value})
    assert len(str(said.value)) < 300


@pytest.mark.parametrize("value", ["false", "", 0, 1, None, [], math.nan, np.True_])
@pytest.mark.parametrize("name", ["flip", "freeze_backbone"])
def test_a_switch_is_true_or_false_and_no_text(name, value):
    with pytest.raises(InputError, match=f"^{name} is .*; it is True or False"):
        Recipe(steps=2, **{name: value})


@pytest.mark.parametrize("value", [[], {}, None, 10**400, math.nan, "SGD", ""])
@pytest.mark.parametrize("name", ["optimizer", "schedule", "amp", "batchnorm"])
def test_a_choice_is_one_of_those_there_are(name, value):
    with pytest.raises(InputError, match=f"^{name} is .*; there are: ") as said:
        Recipe(steps=2, **{name: value})
    assert len(str(said.value)) < 300


@pytest.mark.parametrize(
    "device",
    ["cuda:99", "gpu", "CPU", "cuda:-1", "cpu:1", "", "auto ", "meta", "cuda:", "cpu\n", None, True, [], 10**40, "cuda:" + "9" * 20],
)
def test_a_device_that_is_none_is_one_sentence(device):
    with pytest.raises(InputError, match=r"^(device is|no device)") as said:
        devices.choose(device)
    assert len(str(said.value)) < 300


@pytest.mark.parametrize(("option", "stage", "name"), [("hidden", inter_domain, "dann"), ("mu", intra_domain, "fixmatch")])
def test_a_whole_number_that_no_machine_could_bear(option, stage, name):
    with pytest.raises(InputError, match=f"^{option} is 1000000000000; it must be .*at most 100000"):
        registry.configure(stage, name, {option: 10**12})
