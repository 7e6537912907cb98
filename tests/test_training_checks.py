"""Sizes, views and selections that no training can mean are refused before an image is read."""

import numpy as np
import pytest
from PIL import Image

from aa_utils import inter_domain
from aa_utils.classifiers import backbones
from aa_utils.data import filtering, images
from aa_utils.errors import InputError
from aa_utils.training import augment
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
