"""The digits benchmarks on tiny files in torchvision's layout, and on the real ones where AA_DATA has them; the protocol's networks."""

import bz2
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.io import savemat
from test_train import RECIPE
from torchvision.datasets import SVHN
from torchvision.datasets.utils import calculate_md5

from aa_utils import benchmarks, inter_domain
from aa_utils.classifiers import backbones, inference
from aa_utils.data import images
from aa_utils.data.images import ImageSet
from aa_utils.errors import InputError
from aa_utils.evaluation import scoring


def idx(path: Path, values: np.ndarray) -> None:
    """The format of LeCun's files: magic number (type ubyte, dimensions), sizes, bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sizes = [0x0800 + values.ndim, *values.shape]
    path.write_bytes(b"".join(size.to_bytes(4, "big") for size in sizes) + values.astype(np.uint8).tobytes())


def libsvm(path: Path, pixels: np.ndarray, labels: np.ndarray) -> None:
    """The format of USPS on the LIBSVM page: labels 1 to 10, then 256 `index:value`, values -1 to 1, white +1."""
    rows = [" ".join([str(k + 1), *(f"{i + 1}:{v:.4f}" for i, v in enumerate(row.ravel()))]) for row, k in zip(pixels, labels, strict=True)]
    path.write_bytes(bz2.compress(("\n".join(rows) + "\n").encode()))


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A folder AA_DATA with 40 + 10 MNIST, 30 + 10 USPS and 20 + 10 SVHN images of noise, each marked in a corner; returns it."""
    random = np.random.default_rng(0)
    for part, n in (("train", 40), ("t10k", 10)):
        pixels = random.integers(0, 256, (n, 28, 28))
        pixels[:, 0, 0] = range(n)
        idx(tmp_path / f"MNIST/raw/{part}-images-idx3-ubyte", pixels)
        idx(tmp_path / f"MNIST/raw/{part}-labels-idx1-ubyte", np.arange(n) % 10)
    for name, n in (("usps.bz2", 30), ("usps.t.bz2", 10)):
        pixels = np.full((n, 16, 16), -1.0)
        pixels[:, 4:12, 7:9] = 1
        libsvm(tmp_path / name, pixels, np.arange(n) % 10)
    for part, n in (("train", 20), ("test", 10)):
        labels = np.arange(n) % 10
        labels[labels == 0] = 10  # as the file has it
        savemat(tmp_path / f"{part}_32x32.mat", {"X": random.integers(0, 256, (32, 32, 3, n), dtype=np.uint8), "y": labels[:, None]})
    made = {part: [url, name, calculate_md5(tmp_path / name)] for part, (url, name, _) in list(SVHN.split_list.items())[:2]}
    monkeypatch.setattr(SVHN, "split_list", SVHN.split_list | made)
    monkeypatch.setenv("AA_DATA", str(tmp_path))
    monkeypatch.delenv("AA_DOWNLOAD", raising=False)
    return tmp_path


@pytest.mark.parametrize(("name", "train", "test"), [("mnist", 40, 10), ("usps", 30, 10), ("svhn", 20, 10)])
def test_domains(data, name, train, test):
    for part, n in (("train", train), ("test", test), ("train-7", 7)):
        target = benchmarks.load(f"{name}:{part}", 28)
        assert target.name == f"{name}:{part}"
        assert target.images.pixels.shape == (n, 3, 28, 28)
        assert target.images.pixels.dtype == torch.uint8
        assert target.images.labels is None, "labels stay apart from what training is given"
        assert target.labels.shape == (n,)
        assert target.labels.dtype == torch.int64
        assert target.class_names == benchmarks.load("uci_digits").class_names
        assert len(set(target.ids)) == n
    assert not set(benchmarks.load(f"{name}:train").ids) & set(benchmarks.load(f"{name}:test").ids)
    assert torch.bincount(benchmarks.load(f"{name}:test").labels).tolist() == [1] * 10


def test_pixels_are_those_of_the_files(data):
    mnist = benchmarks.load("mnist:train", 28)
    assert mnist.images.pixels[:, 0, 0, 0].tolist() == list(range(40)), "at its own size an image is not touched"
    assert torch.equal(mnist.images.pixels[:, 0], mnist.images.pixels[:, 2])
    assert mnist.labels[13] == 3
    usps = benchmarks.load("usps:train", 16)
    assert usps.images.pixels[0, 0, 5, 7] == 255, "ink is white"
    assert usps.images.pixels[0, 0, 0, 0] == 0
    svhn = benchmarks.load("svhn:test", 32)
    assert svhn.labels.tolist() == list(range(10)), "the file's 10 is a zero"
    assert not torch.equal(svhn.images.pixels[:, 0], svhn.images.pixels[:, 2]), "in colour"


def test_another_size_is_bicubic(data):
    small, large = (benchmarks.load("mnist:test", size).images.pixels for size in (28, 32))
    expected = F.interpolate(small.float(), size=(32, 32), mode="bicubic", align_corners=False).clamp(0, 255).round().byte()
    assert torch.equal(large, expected)


def test_the_subsample_is_one_draw(data):
    whole, few, more = (benchmarks.load(f"mnist:{part}", 28) for part in ("train", "train-10", "train-20"))
    assert benchmarks.load("mnist:train-10", 32).ids == few.ids
    assert set(few.ids) < set(more.ids) < set(whole.ids)
    assert few.ids == sorted(few.ids) != whole.ids[:10]
    for image_id, pixels, label in zip(few.ids, few.images.pixels, few.labels, strict=True):
        i = whole.ids.index(image_id)
        assert torch.equal(pixels, whole.images.pixels[i])
        assert label == whole.labels[i]


@pytest.mark.parametrize("domain", ["", "valid", "train-", "train-0", "test-5", "train-2000x"])
def test_unknown_domains_are_refused(data, domain):
    with pytest.raises(InputError, match="ask for 'usps:train', 'usps:test', or 'usps:train-<n>'"):
        benchmarks.load(f"usps:{domain}")


def test_more_than_there_is_is_refused(data):
    with pytest.raises(InputError, match=r"'usps:train-31' asks for 31 training images; usps has 30"):
        benchmarks.load("usps:train-31")


@pytest.mark.parametrize(
    ("name", "file"), [("mnist", "MNIST/raw/t10k-labels-idx1-ubyte"), ("usps", "usps.t.bz2"), ("svhn", "test_32x32.mat")]
)
def test_missing_and_broken_files(data, name, file):
    whole = (data / file).read_bytes()
    (data / file).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=rf"{name} cannot be read in .*{file}"):
        benchmarks.load(f"{name}:test")
    (data / file).unlink()
    with pytest.raises(InputError, match=rf"no {name} in .*{file} missing. Set AA_DATA .* or AA_DOWNLOAD=1"):
        benchmarks.load(f"{name}:test")


def test_nothing_is_downloaded_unasked(data, monkeypatch):
    asked = []
    monkeypatch.setattr("torchvision.datasets.usps.download_url", lambda url, *_, **__: asked.append(url))
    (data / "usps.t.bz2").unlink()
    with pytest.raises(InputError, match="missing"):
        benchmarks.load("usps:test")
    assert asked == []
    monkeypatch.setenv("AA_DOWNLOAD", "1")
    benchmarks.load("usps:train")
    assert asked == [], "what is there is read"
    with pytest.raises(InputError, match="usps cannot be downloaded"):  # the stand-in brings no file
        benchmarks.load("usps:test")
    assert len(asked) == 1


def test_a_labelled_source_is_an_image_folder(data, tmp_path):
    written = benchmarks.write_source("mnist:train", 28, tmp_path / "source")
    assert torch.equal(written.labels, benchmarks.load("mnist:train", 28).labels)
    read = images.load(tmp_path / "source", 28, benchmarks.load("usps:test").class_names)
    order = [written.names.index(name) for name in read.names]
    assert torch.equal(read.pixels, written.pixels[order])
    assert torch.equal(read.labels, written.labels[order])


def test_helpers_are_no_benchmarks():
    assert benchmarks.names() == sorted(benchmarks.names())
    assert {"mnist", "svhn", "uci_digits", "usps"} <= set(benchmarks.names())
    assert not [name for name in benchmarks.names() if name.startswith("_")]


def test_usps_as_cogan_splits_it_is_all_of_usps_drawn_anew(data, monkeypatch):
    monkeypatch.setattr("aa_utils.benchmarks.usps_cogan.TRAINING", 32)
    parts = {name: benchmarks.load(name, 16) for name in ("usps:train", "usps:test", "usps_cogan:train", "usps_cogan:test")}
    assert [len(part.labels) for part in parts.values()] == [30, 10, 32, 8]
    whole, again = (
        sorted((bytes(x.numpy().tobytes()), int(y)) for part in chosen for x, y in zip(part.images.pixels, part.labels, strict=True))
        for chosen in (list(parts.values())[:2], list(parts.values())[2:])
    )
    assert whole == again, "every image once, with its own label"
    assert torch.equal(benchmarks.load("usps_cogan:test", 16).labels, parts["usps_cogan:test"].labels)


REAL = [("mnist:train", 60000, 5923), ("mnist:test", 10000, 980), ("usps:train", 7291, 1194), ("usps:test", 2007, 359)]
REAL += [("usps_cogan:train", 7438, 1239), ("usps_cogan:test", 1860, 314)]


@pytest.mark.parametrize(("name", "count", "zeros"), REAL)
def test_real_files(name, count, zeros):
    if not os.environ.get("AA_DATA"):
        pytest.skip("AA_DATA is unset: it names the folder of the real data sets")
    target = benchmarks.load(name, 28)
    assert len(target.images) == count
    assert int((target.labels == 0).sum()) == zeros
    assert target.images.pixels.float().mean() < 100, "white ink on black"


NETWORKS = [("lenet_usps", 28, 768, 39_440, 88_410), ("lenet_svhn", 32, 3072, 25_487_808, 6_318_090)]


@pytest.mark.parametrize(("name", "size", "width", "backbone", "head"), NETWORKS)
def test_networks_of_the_protocol(name, size, width, backbone, head):
    classifier = backbones.build(name, 10)
    assert classifier.width == width
    assert sum(weight.numel() for weight in classifier.backbone.parameters()) == backbone
    assert sum(weight.numel() for weight in classifier.head.parameters()) == head
    x = torch.rand(3, 3, size, size)
    assert classifier.features(x).shape == (3, width)
    assert classifier(x).shape == (3, 10)
    with pytest.raises(InputError, match=f"set image_size={size}"):
        classifier(torch.rand(3, 3, 24, 24))
    with pytest.raises(InputError, match="no pretrained weights"):
        backbones.build(name, 10, pretrained=True)
    with pytest.raises(InputError, match="brings its own head; set bottleneck=0"):
        backbones.build(name, 10, bottleneck=4)
    with pytest.raises(InputError, match="no option 'channels'"):
        backbones.build(name, 10, channels=4)


def test_lenet_usps_step_by_step():
    """The layers of the reference, written out: BatchNorm before ReLU, pooling after it, dropout before each layer of the head."""
    torch.manual_seed(0)
    net = backbones.build("lenet_usps", 10).eval()
    w = [weight for _, weight in net.state_dict().items() if weight.ndim in (2, 4)]
    b = [net.state_dict()[name] for name in net.state_dict() if name.endswith("bias")]
    x = torch.rand(2, 3, 28, 28)
    h = (x.mean(1, keepdim=True) - 0.5) / 0.5
    shrink = 1 / (1 + 1e-5) ** 0.5  # BatchNorm before any training: mean 0, variance 1
    h = F.max_pool2d(F.relu(F.conv2d(h, w[0], b[0]) * shrink), 2)
    assert h.shape == (2, 32, 12, 12)
    h = F.max_pool2d(F.relu(F.conv2d(h, w[1], b[2]) * shrink), 2).reshape(2, 48 * 4 * 4)
    assert torch.allclose(net.features(x), h, atol=1e-5)
    h = F.relu(F.linear(h, w[2], b[4]) * shrink)
    h = F.relu(F.linear(h, w[3], b[6]) * shrink)
    assert torch.allclose(net(x), F.linear(h, w[4], b[8]), atol=1e-5)
    assert [type(layer).__name__ for layer in net.head].count("Dropout") == 3


def test_a_deep_head_is_drawn_anew():
    torch.manual_seed(0)
    classifier = backbones.build("lenet_usps", 10)
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    classifier.reset_head()
    changed = {name for name, value in classifier.state_dict().items() if not torch.equal(value, before[name])}
    weights = {name for name in before if name.startswith("head.") and before[name].ndim == 2}
    assert weights <= changed
    assert all(name.startswith("head.") for name in changed)


def test_a_linear_head_is_drawn_as_before():
    torch.manual_seed(0)
    classifier = backbones.build("pocket_resnet", 3, channels=[4, 4, 8, 8], stem_width=2)
    torch.manual_seed(1)
    classifier.reset_head()
    torch.manual_seed(1)
    expected = torch.nn.Linear(8, 3)
    assert torch.equal(classifier.head.weight, expected.weight)


@pytest.mark.parametrize(
    "architecture", [{"backbone": "lenet_usps"}, {"backbone": "pocket_resnet", "channels": [4, 4, 8, 8], "stem_width": 2}]
)
def test_joined_heads_average_their_logits_and_are_saved(tmp_path, architecture):
    torch.manual_seed(0)
    classifier, other = (backbones.build(num_classes=3, **architecture).eval() for _ in range(2))
    x = torch.rand(4, 3, 28, 28)
    both = backbones.joined(classifier, other.head)
    f = classifier.features(x)
    assert torch.allclose(both(x), (classifier.head(f) + other.head(f)) / 2, atol=1e-6)
    backbones.save(both, tmp_path, ["a", "b", "c"])
    loaded, config = backbones.load(tmp_path)
    assert config["heads"] == 2
    assert torch.equal(loaded(x), both(x))
    assert "heads" not in classifier.config, "the original is left alone"


def test_adapts_and_comes_back_from_disk(data, tmp_path):
    """The protocol in small: labelled MNIST, unlabelled USPS training images, USPS test images to name."""
    source, target, test = benchmarks.source("mnist:train-20", 28), benchmarks.load("usps:train-10", 28), benchmarks.load("usps:test", 28)
    assert isinstance(source, ImageSet)
    where = tmp_path / "run"
    trained = inter_domain.adapt(
        source, target.images, "dann", {"hidden": 8}, {"backbone": "lenet_usps"}, RECIPE, 0, where, ("none", "none")
    )
    p, _ = inference.predict(trained, test.images.pixels)
    inference.write_predictions(where / "test.parquet", test.ids, p)
    assert set(scoring.score(where / "test.parquet", test)) == {"accuracy", "mean_per_class"}
    assert torch.equal(inference.predict(backbones.load(where)[0], test.images.pixels)[0], p)
