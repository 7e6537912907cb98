"""CIFAR-10 in both variants and with nine classes, some classes of a photo benchmark, and the manifests of the image sets."""

import os
import pickle
from dataclasses import replace

import made_datasets
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import CIFAR10
from torchvision.datasets.utils import calculate_md5

from aa_utils import benchmarks, files
from aa_utils.benchmarks import _manifests, cifar10, office31
from aa_utils.benchmarks.__main__ import main
from aa_utils.errors import InputError

NAMES = cifar10.CLASS_NAMES


@pytest.fixture
def data(tmp_path, monkeypatch):
    """An empty AA_DATA; nothing is downloaded."""
    monkeypatch.setenv("AA_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("AA_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.delenv("AA_DOWNLOAD", raising=False)
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def archive(root, monkeypatch, training=40, test=20):
    """torchvision's files with a few pictures, whose checksums torchvision is told; {part: (pixels NHWC, labels)}."""
    folder, made = root / "cifar-10-batches-py", {}
    folder.mkdir()
    for part, names, n in (("train", [f"data_batch_{k}" for k in range(1, 6)], training), ("test", ["test_batch"], test)):
        labels = np.arange(n) * 7 % 10
        pixels = np.stack([np.asarray(made_datasets.picture(label, part, i, (32, 32))) for i, label in enumerate(labels)])
        made[part] = pixels, labels
        for name, rows in zip(names, np.array_split(np.arange(n), len(names)), strict=True):
            batch = {"data": pixels[rows].transpose(0, 3, 1, 2).reshape(len(rows), -1), "labels": labels[rows].tolist()}
            (folder / name).write_bytes(pickle.dumps(batch))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": NAMES}))
    sums = {path.name: calculate_md5(path) for path in folder.iterdir()}
    monkeypatch.setattr(CIFAR10, "train_list", [[name, sums[name]] for name, _ in CIFAR10.train_list])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": sums["batches.meta"]})
    return made


def folder(root, per_class=2, suffix="jpg", parts=("train", "test")):
    """CIFAR-10 as class folders."""
    for part in parts:
        for label, name in enumerate(NAMES):
            (root / "cifar10" / part / name).mkdir(parents=True)
            for number in range(per_class):
                made_datasets.picture(label, part, number, (32, 32)).save(root / f"cifar10/{part}/{name}/{number:04d}.{suffix}")
    return root / "cifar10"


def test_the_originals_are_torchvisions(data, monkeypatch):
    made = archive(data, monkeypatch)
    for part, n in (("train", 40), ("test", 20)):
        target = benchmarks.load(f"cifar10:{part}")
        assert np.array_equal(target.images.pixels.permute(0, 2, 3, 1).numpy(), made[part][0])
        assert target.labels.tolist() == made[part][1].tolist()
        assert target.images.labels is None, "labels stay apart from what training is given"
        assert target.variant.startswith(f"original pixels, {n} of the ")
    assert not set(benchmarks.load("cifar10:train").ids) & set(benchmarks.load("cifar10:test").ids)


def test_both_variants_are_enlarged_alike(data, monkeypatch):
    made = archive(data, monkeypatch)
    for size in (48, 20):
        pixels = benchmarks.load("cifar10:test", size).images.pixels
        for shown, original in zip(pixels, made["test"][0], strict=True):
            expected = np.asarray(Image.fromarray(original).resize((size, size), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
            assert np.array_equal(shown.numpy(), expected)


@pytest.mark.parametrize(("suffix", "variant", "other"), [("jpg", "JPEG copies", "png"), ("png", "original pixels", "jpeg")])
def test_a_folder_says_which_variant_it_is(data, suffix, variant, other):
    folder(data, suffix=suffix)
    target = benchmarks.load("cifar10:test-partial", 16)
    assert target.images.pixels.shape == (20, 3, 16, 16)
    assert target.labels.tolist() == [k for k in range(10) for _ in range(2)]
    assert target.variant == f"{variant}, 20 of the 10,000 test images"
    own = {"png": "jpeg", "jpeg": "png"}[other]
    assert benchmarks.load(f"cifar10:{own}-test-partial", 8).variant == target.variant
    with pytest.raises(InputError, match=f"asks for .*holds {variant}"):
        benchmarks.load(f"cifar10:{other}-test-partial", 8)


def test_two_variants_in_one_place_are_refused_until_one_is_named(data, monkeypatch):
    archive(data, monkeypatch)
    folder(data)
    with pytest.raises(InputError, match=r"has CIFAR-10 twice.*'cifar10:nine-png-test'.*'cifar10:nine-jpeg-test'"):
        benchmarks.load("cifar10:nine-test")
    assert benchmarks.load("cifar10:png-test").variant.startswith("original pixels")
    assert benchmarks.load("cifar10:jpeg-test-partial").variant.startswith("JPEG copies")
    (data / "cifar10/test/cat/9.png").write_bytes((data / "cifar10/test/cat/0000.jpg").read_bytes())
    with pytest.raises(InputError, match="PNG and JPEG files in one folder"):
        benchmarks.load("cifar10:jpeg-test-partial")


def test_nine_classes_are_those_of_stl10(data, monkeypatch):
    made = archive(data, monkeypatch)
    nine = benchmarks.load("cifar10:nine-train")
    assert nine.class_names == [name for name in NAMES if name != "frog"]
    keep = made["train"][1] != 6
    assert np.array_equal(nine.images.pixels.permute(0, 2, 3, 1).numpy(), made["train"][0][keep])
    assert [nine.class_names[k] for k in nine.labels.tolist()] == [NAMES[k] for k in made["train"][1][keep]]
    some = benchmarks.load("cifar10:train[truck,cat]")
    assert some.class_names == ["cat", "truck"]
    assert len(some.images) == 8


def test_a_draw_for_rehearsals(data, monkeypatch):
    archive(data, monkeypatch)
    few, more = benchmarks.load("cifar10:test-5"), benchmarks.load("cifar10:test-9", 16)
    assert len(few.images) == 5
    assert set(few.ids) < set(more.ids) < set(benchmarks.load("cifar10:test").ids)
    with pytest.raises(InputError, match="asks for 21 images; there are 20"):
        benchmarks.load("cifar10:test-21")


@pytest.mark.parametrize("domain", ["", "nine", "valid", "train-", "train-0", "bmp-test", "nine-test[cat,dog]", "Test"])
def test_unknown_domains_are_refused(data, domain):
    with pytest.raises(InputError, match="is no domain; ask for 'cifar10:train'"):
        benchmarks.load(f"cifar10:{domain}")


def test_missing_damaged_and_undownloaded(data, monkeypatch):
    with pytest.raises(InputError, match=r"no CIFAR-10 in .*AA_DATA.*AA_DOWNLOAD=1"):
        benchmarks.load("cifar10:test")
    fetched = []
    monkeypatch.setattr(CIFAR10, "download", lambda self: fetched.append(self.root))
    monkeypatch.setenv("AA_DOWNLOAD", "1")
    with pytest.raises(InputError, match="cifar10 cannot be downloaded"):  # the stand-in brings no file
        benchmarks.load("cifar10:test")
    assert fetched == [str(data)]
    archive(data, monkeypatch)
    (data / "cifar-10-batches-py/test_batch").write_bytes(b"cut")
    with pytest.raises(InputError, match="cifar10 cannot be read"):
        benchmarks.load("cifar10:test")


def test_counts_of_a_folder(data, monkeypatch):
    folder(data)
    with pytest.raises(InputError, match=r"wrong counts \(10\): airplane 2 instead of 1000") as error:
        benchmarks.load("cifar10:test")
    assert "cifar10:test-partial" in str(error.value)
    half = cifar10.PHOTOS.domains[0]
    monkeypatch.setattr(cifar10, "PHOTOS", replace(cifar10.PHOTOS, domains=(replace(half, parts=((2,) * 10,)),)))
    assert len(benchmarks.load("cifar10:nine-train").images) == 18, "a part that is published as such is as right as the whole"


def test_command_line_says_the_variant(data, capsys, monkeypatch):
    folder(data)
    assert main(["cifar10:nine-test-partial"]) == 0
    said = capsys.readouterr().out
    assert "cifar10:nine-test-partial: 18 images of 9 classes" in said
    assert "JPEG copies, 18 of the 10,000 test images" in said
    archive(data, monkeypatch)
    assert main(["cifar10:png-test", "cifar10:png-train"]) == 1, "these are a few pictures, not CIFAR-10"
    assert "original pixels, 20 of the 10,000 test images" in capsys.readouterr().out


def test_some_classes_of_a_photo_benchmark(data):
    made_datasets.make("office31", data, None, ["webcam"])
    whole = benchmarks.load("office31:webcam", 16)
    some = benchmarks.load("office31:W[Pen, laptop computer,mouse]", 16)
    assert some.name == "office31:webcam[laptop_computer,mouse,pen]", "one spelling, in the order of the labels"
    assert some.class_names == ["laptop computer", "computer mouse", "pen"]
    rows = [i for i, k in enumerate(whole.labels.tolist()) if whole.class_names[k] in some.class_names]
    assert torch.equal(some.images.pixels, whole.images.pixels[rows])
    assert [some.class_names[k] for k in some.labels.tolist()] == [whole.class_names[k] for k in whole.labels[rows].tolist()]
    assert some.ids == [whole.ids[i] for i in rows]
    for name in ("pen", "mouse"):
        next((data / f"office31/domain_adaptation_images/webcam/images/{name}").iterdir()).unlink()
    with pytest.raises(InputError, match=r"wrong counts \(1\): mouse 29 instead of 30") as error:
        benchmarks.load("office31:webcam[mouse,mug]", 16)
    assert "ask for 'office31:webcam-partial[mouse,mug]'" in str(error.value)
    assert len(benchmarks.load("office31:webcam-partial[mouse,mug]", 16).images) == 29 + 27


@pytest.mark.parametrize("listed", ["mouse", "mouse,mouse", "mouse,pen", ""])
def test_lists_of_classes_that_say_nothing(data, listed):
    bracket = "" if listed == "mouse,pen" else "]"
    with pytest.raises(InputError, match="give two classes or more"):
        benchmarks.load(f"office31:webcam[{listed}{bracket}")


def test_unknown_classes(data):
    with pytest.raises(InputError, match=r"Office-31 has no class 'zebra'; it has back_pack"):
        benchmarks.load("office31:webcam[zebra,pen]")


@pytest.fixture
def manifest(data, monkeypatch, tmp_path):
    """A manifest of a small set of its own, in place of the committed ones."""
    monkeypatch.setattr(_manifests, "FOLDER", tmp_path / "manifests")
    folder(data, parts=("test",))
    about = _manifests.Manifest("A set", "somewhere", "none", "from there", {"": "cifar10/test"})
    monkeypatch.setattr(_manifests, "MANIFESTS", {"made": about})
    _manifests.write("made", data)
    return data / "cifar10/test"


def test_a_folder_is_compared_with_its_manifest(manifest, data, capsys, tmp_path):
    rows = _manifests.read("made")
    assert [row["class"] for row in rows] == sorted(NAMES)
    assert rows[3] == {"part": "", "class": "cat", "files": 2, "sha256": files.sha256(manifest / "cat")}
    assert main(["made"]) == 0
    said = capsys.readouterr().out
    assert "10 of 10 classes hold the very files" in said
    assert "from there" in said
    made_datasets.picture(1, "other", 5).save(manifest / "cat/0001.jpg")
    (manifest / "dog/0000.jpg").unlink()
    (manifest / "zebra").mkdir()
    assert main(["made"]) == 1
    said = capsys.readouterr().out
    assert "classes that differ from the manifest (2): cat has 2 files, but other ones, dog has 1 files instead of 2" in said
    assert "folders that the manifest lacks (1): cifar10/test/zebra" in said
    assert main(["made", "--folder", str(tmp_path / "none")]) == 1
    assert "folders that are not there (1)" in capsys.readouterr().out
    manifest.rename(tmp_path / "elsewhere")
    assert main(["made", "--folder", str(tmp_path / "elsewhere")]) == 1
    assert "8 of 10 classes hold" in capsys.readouterr().out, "the class folders themselves"
    assert main(["office31:amazon", "--manifest"]) == 1
    assert "has no manifest; there are: made" in capsys.readouterr().err


def test_manifests_agree_with_what_the_benchmarks_know():
    assert {name: sum(row["files"] for row in _manifests.read(name)) for name in _manifests.MANIFESTS} == {
        "cifake": 50_000,
        "cifar10": 35_000,
        "office31": 4_110,
        "flux2": 497,
    }
    for domain in office31.PHOTOS.domains:
        rows = [row for row in _manifests.read("office31") if row["part"] == domain.name]
        assert [row["class"] for row in rows] == list(office31.PHOTOS.classes)
        assert tuple(row["files"] for row in rows) == domain.counts
    assert {row["class"] for row in _manifests.read("flux2")} <= set(office31.PHOTOS.classes)
    assert [row["class"] for row in _manifests.read("cifake")] == NAMES


@pytest.mark.parametrize(("name", "count"), [("cifar10:jpeg-test", 10_000), ("cifar10:nine-jpeg-train", 22_500)])
def test_real_files(name, count):
    if not (os.environ.get("AA_DATA") and os.path.isdir(os.path.join(os.environ["AA_DATA"], "cifar10"))):
        pytest.skip("AA_DATA has no folder cifar10")
    target = benchmarks.load(name)
    assert len(target.images) == count
    assert set(torch.bincount(target.labels).tolist()) == {count // len(target.class_names)}
