"""FixMatch's RandAugment: each operation is Pillow's at both ends of its range, and images draw as the paper and its code have it."""

from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from aa_utils.training import augment, rand_augment
from aa_utils.training.rand_augment import RANGES

GREY = (rand_augment.GREY,) * 3
AFFINE = Image.Transform.AFFINE
# Sohn et al. 2020, Table 12, and what Pillow makes of a strength v of an image of side S.
PILLOW = {
    "identity": lambda image, v, side: image,
    "autocontrast": lambda image, v, side: ImageOps.autocontrast(image),
    "equalize": lambda image, v, side: ImageOps.equalize(image),
    "brightness": lambda image, v, side: ImageEnhance.Brightness(image).enhance(v),
    "colour": lambda image, v, side: ImageEnhance.Color(image).enhance(v),
    "contrast": lambda image, v, side: ImageEnhance.Contrast(image).enhance(v),
    "sharpness": lambda image, v, side: ImageEnhance.Sharpness(image).enhance(v),
    "posterize": lambda image, v, side: ImageOps.posterize(image, int(v)),
    "solarize": lambda image, v, side: ImageOps.solarize(image, int(256 * v)),
    "rotate": lambda image, v, side: image.rotate(v, fillcolor=GREY),
    "shear_x": lambda image, v, side: image.transform(image.size, AFFINE, (1, v, 0, 0, 1, 0), fillcolor=GREY),
    "shear_y": lambda image, v, side: image.transform(image.size, AFFINE, (1, 0, 0, v, 1, 0), fillcolor=GREY),
    "translate_x": lambda image, v, side: image.transform(image.size, AFFINE, (1, 0, int(v * side), 0, 1, 0), fillcolor=GREY),
    "translate_y": lambda image, v, side: image.transform(image.size, AFFINE, (1, 0, 0, 0, 1, int(v * side)), fillcolor=GREY),
}


def pictures(side):
    """Noise, noise of few levels, a colour gradient, one flat colour, two colours: (5, 3, side, side) uint8."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (3, side, side), dtype=torch.uint8, generator=generator)
    down, across = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    gradient = torch.stack([across * 3 + 40, down * 4 + 10, (across + down) * 2 + 20]).clamp(0, 230).byte()
    flat = torch.tensor([200, 30, 90], dtype=torch.uint8).view(3, 1, 1).expand(3, side, side)
    halves = torch.where(across < side // 3, 20, 180).byte().expand(3, side, side)
    return torch.stack([noise, noise // 3 + 60, gradient, flat, halves])


def test_the_pool_and_its_ranges_are_those_of_the_paper():
    assert set(RANGES) == set(PILLOW) and len(RANGES) == 14
    assert {RANGES[name] for name in ("brightness", "colour", "contrast", "sharpness")} == {(0.05, 0.95)}
    assert {RANGES[name] for name in ("shear_x", "shear_y", "translate_x", "translate_y")} == {(-0.3, 0.3)}
    assert (RANGES["posterize"], RANGES["solarize"], RANGES["rotate"]) == ((4, 8), (0, 1), (-30, 30))


@pytest.mark.parametrize("side", [32, 48, 96])
@pytest.mark.parametrize("end", [0, 1])
@pytest.mark.parametrize("name", RANGES)
def test_each_operation_is_pillows_at_both_ends_of_its_range(name, end, side):
    x, strength = pictures(side), RANGES[name][end]
    images = [Image.fromarray(picture.permute(1, 2, 0).numpy()) for picture in x]
    theirs = torch.stack([torch.from_numpy(np.array(PILLOW[name](image, strength, side))).permute(2, 0, 1) for image in images])
    ours = rand_augment.apply(x, name, torch.full((len(x),), float(strength)))
    apart = (ours.int() - theirs.int()).abs()
    if name == "rotate":  # a pixel half-way between two falls to either side
        assert (apart > 0).float().mean() < 0.01
    else:
        assert apart.max() <= (name == "autocontrast"), "its table cuts off what rounding left just below a whole level"
    if strength not in (8, 1) and name != "identity":
        assert not torch.equal(ours, x)


@pytest.mark.parametrize("name", RANGES)
def test_every_image_has_a_strength_of_its_own(name):
    x, (low, high) = pictures(32), RANGES[name]
    strengths = torch.linspace(low, high, len(x))
    together = rand_augment.apply(x, name, strengths)
    alone = torch.cat([rand_augment.apply(x[i : i + 1], name, strengths[i : i + 1]) for i in range(len(x))])
    assert torch.equal(together, alone)


def test_an_image_goes_through_its_operations_in_the_order_in_which_they_were_drawn():
    x = pictures(32).repeat(80, 1, 1, 1)
    torch.manual_seed(3)
    got = rand_augment.rand_augment(x)
    torch.manual_seed(3)
    drawn, chance = torch.randint(14, (2, len(x))), torch.rand(2, len(x))
    centre = torch.randint(32, (len(x), 2))
    names = list(RANGES)
    pairs = Counter()
    for i in range(len(x)):
        image = x[i : i + 1]
        for slot in range(2):
            name = names[int(drawn[slot, i])]
            low, high = (torch.tensor(float(end)) for end in RANGES[name])
            image = rand_augment.apply(image, name, (low + (high - low) * chance[slot, i])[None])
        assert torch.equal(rand_augment.cutout(image, centre[i : i + 1]), got[i : i + 1]), i
        pairs[names[int(drawn[0, i])], names[int(drawn[1, i])]] += 1
    assert any(first == second for first, second in pairs), "with replacement"
    assert {name for pair in pairs for name in pair} == set(names)
    assert any((second, first) in pairs for first, second in pairs if first != second), "in either order"


@pytest.mark.parametrize(
    ("centre", "rows", "columns"), [((16, 16), (8, 24), (8, 24)), ((0, 31), (0, 8), (23, 32)), ((31, 3), (23, 32), (0, 11))]
)
def test_cutout_is_a_grey_square_of_half_the_side_cut_at_the_border(centre, rows, columns):
    x = pictures(32)
    expected = x.clone()
    expected[:, :, slice(*rows), slice(*columns)] = rand_augment.GREY
    assert torch.equal(rand_augment.cutout(x, torch.tensor([centre] * len(x))), expected)


def test_a_strong_view_is_the_weak_view_changed():
    x = pictures(32)
    torch.manual_seed(0)
    weak = augment.view(x, "weak", flip=False).mul(255).round().byte()
    strong = rand_augment.rand_augment(weak)
    torch.manual_seed(0)
    assert torch.equal(augment.view(x, "strong", flip=False), strong.float() / 255)
