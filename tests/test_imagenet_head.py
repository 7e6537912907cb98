"""The ImageNet head read by class names: the table, the formula, and what is refused."""

import pytest
import timm
import torch
import yaml

from aa_utils import inter_domain
from aa_utils.classifiers import backbones, imagenet
from aa_utils.errors import InputError
from aa_utils.inter_domain import imagenet_head
from aa_utils.paths import ROOT
from aa_utils.training import registry

TABLE = yaml.safe_load((ROOT / "aa_utils/classifiers/imagenet_names.yaml").read_text(encoding="utf-8"))
CIFAR_10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
STL_10 = ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"]
FIVE = ["laptop_computer", "mouse", "pen", "mobile_phone", "bottle"]
OFFICE_31 = "back_pack bike bookcase bottle desk_lamp desktop_computer file_cabinet keyboard laptop_computer mobile_phone monitor mouse mug"
OFFICE_31 += " pen printer projector ring_binder ruler speaker trash_can bike_helmet"


def weights_file(folder, name="test_resnet", **options):
    torch.manual_seed(3)
    torch.save(timm.create_model(name, **options).state_dict(), folder / f"{name}.pth")
    return str(folder / f"{name}.pth")


def pretrained(folder, name="test_resnet", **options):
    return backbones.build(name, 3, pretrained=weights_file(folder, name), **options).eval()


@pytest.mark.parametrize("names", [CIFAR_10, STL_10, FIVE, OFFICE_31.split()], ids=["CIFAR-10", "STL-10", "five", "Office-31"])
def test_names_of_the_benchmarks(names):
    found = imagenet.classes_of(names, {})
    assert list(found) == names
    assert all(classes and classes == sorted(set(classes)) for classes in found.values())


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("laptop_computer", {620, 681}),
        ("Mouse", {673}),
        ("mobile phone", {487}),
        ("ring-binder", {446}),
        ("ashcan", {412}),
        ("dog", set(range(151, 269))),
        ("aeroplane", {404, 895}),
        ("car", {407, 436, 468, 511, 609, 627, 656, 661, 751, 817}),
    ],
)
def test_what_a_name_stands_for(name, classes):
    assert set(imagenet.classes_of([name], {})[name]) == classes


@pytest.mark.parametrize("name", sorted(TABLE))
def test_every_row_of_the_table_says_how_and_names_classes_that_are_there(name):
    row = TABLE[name]
    assert imagenet.classes_of([name], {})[name]
    if "same as" not in row:
        assert row["is"] in ("kinds", "same", "relatives")
        firsts = [words[0] for words in imagenet._words()]
        assert all(firsts.count(word) == 1 for word in row.get("words", ()))
        assert all(0 <= first < last < 1000 for first, last in row.get("ranges", ()))


def test_ranges_hold_their_kind_and_nothing_else():
    """Their ends and their neighbours in ImageNet's order, which goes by WordNet's tree."""
    words = [entry[0] for entry in imagenet._words()]
    for name, first, last in (("bird", "cock", "albatross"), ("dog", "Chihuahua", "Mexican hairless"), ("cat", "tabby", "Egyptian cat")):
        found = imagenet.classes_of([name], {})[name]
        assert (words[found[0]], words[found[-1]]) == (first, last)
    assert [words[k] for k in (6, 25, 79, 101, 126, 147)] == [
        "stingray",
        "European fire salamander",
        "centipede",
        "tusker",
        "isopod",
        "grey whale",
    ]
    assert [words[k] for k in (150, 269, 280, 286)] == ["sea lion", "timber wolf", "grey fox", "cougar"]
    assert [words[k] for k in (369, 383)] == ["siamang", "Madagascar cat"]


@pytest.mark.parametrize("name", ["scissors", "tape_dispenser", "paper_notebook", "digit zero"])
def test_names_without_a_class_are_refused_with_the_nearest(name):
    with pytest.raises(InputError, match=rf"no class of ImageNet-1k is called '{name}'.*method_config=.*'{name}'.*or leave the class out"):
        imagenet.classes_of([name], {})


def test_the_nearest_words_are_named():
    with pytest.raises(InputError, match=r"near it: .*soap dispenser"):
        imagenet.classes_of(["tape dispenser"], {})


def test_a_word_of_two_classes_and_a_class_of_two_names_are_refused():
    with pytest.raises(InputError, match=r"'crane' is more than one class of ImageNet-1k: 134 \(crane\) and 517 \(crane\)"):
        imagenet.classes_of(["crane"], {})
    assert imagenet.classes_of(["crane"], {"crane": [517]}) == {"crane": [517]}
    with pytest.raises(InputError, match="'laptop' and 'laptop_computer' are both ImageNet's 'laptop'"):
        imagenet.classes_of(["laptop", "laptop_computer"], {})


def test_what_the_caller_says_goes_before_the_table():
    assert imagenet.classes_of(["pen"], {"pen": ["quill", 418]}) == {"pen": [418, 749]}
    with pytest.raises(InputError, match="no class of ImageNet-1k is called 'qill'"):
        imagenet.classes_of(["pen"], {"pen": ["qill"]})


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "mobilenetv3_small_050", "levit_128s"])
def test_probabilities_by_explicit_loops(tmp_path, name):
    size = 224 if name == "levit_128s" else 160
    classifier = pretrained(tmp_path, name)
    pixels = torch.randint(0, 256, (4, 3, size, size), dtype=torch.uint8)
    p, f = imagenet.predict(classifier, pixels, FIVE)
    whole = timm.create_model(name, checkpoint_path=weights_file(tmp_path, name)).eval()
    with torch.no_grad():
        q = whole((pixels / 255 - classifier.mean) / classifier.std).double().softmax(1)
    classes = imagenet.classes_of(FIVE, {})
    for i in range(4):
        total = sum(float(q[i, j]) for mine in classes.values() for j in mine)
        for k, mine in enumerate(classes.values()):
            assert float(p[i, k]) == pytest.approx(sum(float(q[i, j]) for j in mine) / total, rel=1e-3, abs=1e-6)
    assert f.shape == (4, classifier.backbone_width)


def test_a_bottleneck_is_not_in_the_way_and_the_classifier_is_left_alone(tmp_path):
    pixels = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    plain, other = pretrained(tmp_path), pretrained(tmp_path, bottleneck=4)
    assert torch.equal(imagenet.predict(plain, pixels, FIVE)[0], imagenet.predict(other, pixels, FIVE)[0])
    assert not plain.frozen and plain.head.out_features == 3


def test_networks_without_such_a_head_are_refused(tmp_path):
    pixels = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    with pytest.raises(InputError, match="'test_resnet' is not pretrained, so it has no ImageNet head: set pretrained=true"):
        imagenet.predict(backbones.build("test_resnet", 3), pixels, FIVE)
    for options in ({"num_classes": 11}, {"num_classes": 0}):
        file = weights_file(tmp_path, **options)
        with pytest.raises(InputError, match=r"have no head of ImageNet's 1000 classes \('fc\.weight' is missing or other\)"):
            imagenet.predict(backbones.build("test_resnet", 3, pretrained=file), pixels, FIVE)
    with pytest.raises(InputError, match="the ImageNet head of 'crossvit_tiny_240' is not a function of its features alone"):
        imagenet.head_of(pretrained(tmp_path, "crossvit_tiny_240"), 240)
    with pytest.raises(InputError, match="have no head"):
        imagenet.predict(backbones.build("pocket_vit", 3, pretrained=True), pixels, FIVE)


def test_the_method_needs_neither_source_nor_training():
    method = registry.load(inter_domain, "imagenet_head")
    assert method.training_free and not method.uses_source and not method.uses_target
    config = registry.configure(inter_domain, "imagenet_head", {"names": {"pen": ["quill"]}})
    assert config == imagenet_head.Config(names={"pen": ["quill"]})
