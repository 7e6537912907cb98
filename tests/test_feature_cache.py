"""Features that are kept: computed once, found again by all that decides them, made again when damaged; views; batches by the pixels."""

import re
from dataclasses import replace

import pytest
import torch
from test_frozen import FROZEN, adapt, built
from test_train import picture_set
from torch import nn

from aa_utils import inter_domain
from aa_utils.classifiers import backbones, features, inference
from aa_utils.training import augment, feature_streams, loop, registry


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    """Features of every set are kept, in a folder of the test's own."""
    monkeypatch.setenv("AA_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setattr(features, "KEEP_FROM", 1)
    return tmp_path / "artifacts/cache/features"


@pytest.fixture
def passes(monkeypatch):
    """How many images went through a backbone."""
    count = [0]
    real = backbones.Classifier.of_backbone

    def counted(self, x):
        count[0] += len(x)
        return real(self, x)

    monkeypatch.setattr(backbones.Classifier, "of_backbone", counted)
    return count


def test_features_are_computed_once_for_all_seeds_and_methods(tmp_path, passes, kept):
    """From pretrained weights, which are the same for every seed."""
    backbones.save(built(), tmp_path / "weights", ["a", "b", "c"])
    network = {"pretrained": str(tmp_path / "weights")}
    adapt(tmp_path / "a", recipe=replace(FROZEN, steps=2), **network)
    assert passes[0] == 10 + 9
    passes[0] = 0
    for k, (method, bottleneck) in enumerate([("source_only", 0), ("dann", 4), ("mcd", 4), ("symnets", 4)]):
        adapt(tmp_path / method, method, bottleneck, replace(FROZEN, steps=2), seed=k + 1, **network)
    assert passes[0] == 0
    assert len(list(kept.glob("*.npy"))) == 2


def test_what_the_key_holds(kept, passes, monkeypatch):
    pixels, classifier = picture_set(9).pixels, built().freeze()
    first = features.stored(classifier, pixels)
    assert first.shape == (9, 1, classifier.backbone_width)

    def computed(classifier, pixels, **more):
        passes[0] = 0
        features.stored(classifier, pixels, **more)
        return passes[0]

    assert computed(classifier, pixels) == 0
    assert computed(classifier, pixels.clone()) == 0, "the same images"
    assert computed(built(bottleneck=4).freeze(), pixels) == 0, "a bottleneck is no part of it"
    other = pixels.clone()
    other[3, 0, 5, 5] += 1
    assert computed(classifier, other) == 9
    assert computed(built(seed=1).freeze(), pixels) == 9
    assert computed(built(normalisation={"mean": [0.1] * 3, "std": [0.2] * 3}).freeze(), pixels) == 9
    statistics = built().freeze()
    next(layer for layer in statistics.modules() if isinstance(layer, nn.BatchNorm2d)).running_mean += 1
    assert computed(statistics, pixels) == 9
    weak = {"views": 1, "view": lambda x: augment.view(x, "weak", False), "view_key": ("weak",)}
    assert computed(classifier, pixels, **weak) == 18
    assert computed(classifier, pixels, **weak) == 0
    assert computed(classifier, pixels, **(weak | {"views": 2})) == 27
    assert computed(classifier, pixels, **(weak | {"view_key": ("strong",)})) == 18
    monkeypatch.setattr(features.identity.code_closure, "digest", lambda parts: "another code")
    assert computed(classifier, pixels) == 9


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_file_is_made_again(kept, passes, capsys, damage):
    pixels, classifier = picture_set(9).pixels, built().freeze()
    whole = features.stored(classifier, pixels).clone()
    (file,) = kept.glob("*.npy")
    data = bytearray(file.read_bytes())
    data[-7] ^= 4
    file.write_bytes({"flip": bytes(data), "cut": bytes(data[:-40]), "empty": b""}[damage])
    assert torch.equal(features.stored(classifier, pixels), whole)
    assert "is not as it was written" in capsys.readouterr().err


def test_a_killed_computation_leaves_nothing(kept, monkeypatch):
    pixels, classifier = picture_set(9).pixels, built().freeze()

    def killed(self, x):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(backbones.Classifier, "of_backbone", killed)
        with pytest.raises(KeyboardInterrupt):
            features.stored(classifier, pixels)
    assert [path for path in kept.iterdir() if path.suffix != ".lock"] == []
    assert features.stored(classifier, pixels).isfinite().all()


def test_small_sets_are_not_kept(kept, monkeypatch):
    monkeypatch.setattr(features, "KEEP_FROM", 1 << 20)
    features.stored(built().freeze(), picture_set(9).pixels)
    assert not kept.exists()


# Views


def test_the_first_is_the_image_and_the_others_are_views(monkeypatch):
    """Whatever the batches: views are drawn image by image in the batches that memory allows."""
    pixels, classifier = picture_set(9).pixels, built().freeze().eval()
    view = {"views": 3, "view": lambda x: augment.view(x, "affine", False), "view_key": ("affine",)}
    stored = features.stored(classifier, pixels, **view)
    assert stored.shape == (9, 4, classifier.backbone_width)
    with torch.no_grad():
        assert torch.allclose(stored[:, 0], classifier.of_backbone(pixels / 255), atol=1e-4)
    apart = (stored[:, 1:] - stored[:, :1]).abs().amax(2)
    assert (apart > 1e-4).all(), "every view is another picture"
    assert (stored[:, 1] - stored[:, 2]).abs().amax(1).min() > 1e-4


def test_a_batch_draws_among_the_stored_views():
    rows = torch.arange(5.0)[:, None, None] * 10 + torch.arange(3.0)[None, :, None] + torch.zeros(5, 3, 2)
    torch.manual_seed(0)
    drawn = torch.stack([augment.view(rows, "affine", False) for _ in range(200)])
    assert drawn.shape == (200, 5, 2)
    assert torch.equal(drawn // 10, torch.arange(5.0)[None, :, None].expand(200, 5, 2)), "its own row"
    shares = torch.stack([(drawn[..., 0] % 10 == k).float().mean() for k in range(3)])
    assert torch.allclose(shares, torch.full((3,), 1 / 3), atol=0.05)


def test_of_images_as_they_are_there_is_one_view():
    stream = loop.Stream("s", picture_set(9).pixels, None, 4, {"x_s": "none"})
    method, classifier = registry.load(inter_domain, "source_only"), built().freeze()
    (made,) = feature_streams.of_features(method, classifier, [stream], replace(FROZEN, feature_views=5))
    assert made.pixels.shape[1] == 1
    (made,) = feature_streams.of_features(method, classifier, [replace(stream, views={"x_s": "weak"})], replace(FROZEN, feature_views=5))
    assert made.pixels.shape[1] == 6


@pytest.mark.parametrize(
    ("image_size", "device", "number"), [(8, "cpu", 256), (32, "cpu", 256), (128, "cpu", 64), (224, "cpu", 20), (2000, "cpu", 1)]
)
def test_as_many_images_at_once_as_their_pixels_allow(image_size, device, number):
    assert features.batch_size(image_size, device) == number
    assert number == 1 or number * image_size**2 <= features.PIXELS[device]


def test_predictions_do_not_depend_on_the_batches(monkeypatch):
    classifier, pixels, seen = built(), picture_set(9).pixels, []
    whole = inference.predict(classifier, pixels)
    real = backbones.Classifier.of_backbone
    monkeypatch.setattr(backbones.Classifier, "of_backbone", lambda self, x: seen.append(len(x)) or real(self, x))
    monkeypatch.setattr(features, "PIXELS", dict.fromkeys(features.PIXELS, 4 * 32**2))
    for given, sizes in ((0, [4, 4, 1]), (5, [5, 4])):
        seen.clear()
        parts = inference.predict(classifier, pixels, given)
        assert seen == sizes
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(parts, whole, strict=True))


def test_the_name_of_a_file_says_which_network(kept):
    features.stored(built().freeze(), picture_set(9).pixels)
    assert re.fullmatch(r"pocket_resnet-[0-9a-f]{16}\.npy", next(kept.glob("*.npy")).name)
