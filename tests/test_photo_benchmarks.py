"""Photo benchmarks on small trees laid out as their archives: what is read, and that every damage is named, all at once."""

import os
from concurrent.futures import ThreadPoolExecutor

import made_datasets
import pytest
import torch
from PIL import Image

from aa_utils import benchmarks, inter_domain, intra_domain
from aa_utils.benchmarks import imageclef_da, office31, office_home, visda17
from aa_utils.classifiers import inference
from aa_utils.data import decode, images
from aa_utils.errors import InputError
from aa_utils.intra_domain.split import split
from aa_utils.training import loop

MODULES = {"office31": office31, "office_home": office_home, "imageclef_da": imageclef_da, "visda17": visda17}
SUMS = {
    "office31": [2817, 498, 795],
    "office_home": [2427, 4365, 4439, 4357],
    "imageclef_da": [600] * 4,
    "visda17": [152397, 55388],
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """All four benchmarks with two images a class in every domain; treated as read-only."""
    root = tmp_path_factory.mktemp("data")
    for name in MODULES:
        made_datasets.make(name, root)
    return root


@pytest.fixture
def data(made, monkeypatch, tmp_path):
    monkeypatch.setenv("AA_DATA", str(made))
    monkeypatch.setenv("AA_ARTIFACTS", str(tmp_path / "artifacts"))
    return made


@pytest.fixture
def own(monkeypatch, tmp_path):
    """An empty AA_DATA to fill and to damage."""
    monkeypatch.setenv("AA_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("AA_ARTIFACTS", str(tmp_path / "artifacts"))
    return tmp_path / "data"


@pytest.mark.parametrize("name", MODULES)
def test_facts(name):
    photos = MODULES[name].PHOTOS
    assert [sum(domain.counts) for domain in photos.domains] == SUMS[name]
    assert len(photos.classes) == {"office31": 31, "office_home": 65}.get(name, 12)
    assert list(photos.classes) == sorted(photos.classes), "the order of the labels is that of the folders' names"
    names = photos.class_names
    assert len(set(names)) == len(names)
    assert not [each for each in names if "_" in each or each != each.strip() or each.lower() != each]
    assert benchmarks.domains(name) == [domain.name for domain in photos.domains]
    assert "http" in photos.source


def test_names_for_prompts():
    assert office31.CLASS_NAMES[:2] == ["backpack", "bicycle"]
    assert office_home.PHOTOS.classes["Pen"] == "pen"
    assert visda17.PHOTOS.classes["plant"] == "potted plant"
    assert imageclef_da.PHOTOS.classes["people"] == "person"


@pytest.mark.parametrize("name", MODULES)
def test_every_domain_is_read(data, name):
    photos = MODULES[name].PHOTOS
    for domain in photos.domains:
        target = benchmarks.load(f"{name}:{domain.name}-partial", 16)
        k = len(photos.classes)
        assert target.images.pixels.shape == (2 * k, 3, 16, 16)
        assert target.images.labels is None, "labels stay apart from what training is given"
        assert target.labels.tolist() == [label for label in range(k) for _ in range(2)]
        assert target.class_names == photos.class_names
        assert len(set(target.ids)) == 2 * k
        made = made_datasets.picture(1, domain.name, 1).resize((16, 16), Image.Resampling.BICUBIC)
        shown = torch.frombuffer(bytearray(made.tobytes()), dtype=torch.uint8).view(16, 16, 3).permute(2, 0, 1)
        assert (target.images.pixels[2].float() - shown.float()).abs().mean() < 25, "the image of class 1 is where its label is"


@pytest.mark.parametrize(
    "spelled",
    [
        *("office_home:Rw", "office_home:Real World", "office_home:real_world", "office_home:R", "office_home:Re"),
        *("office31:A", "office31:w", "imageclef_da:ImageNet", "imageclef_da:P", "visda17:real", "visda17:synthetic"),
    ],
)
def test_spellings_of_domains(data, spelled):
    target = benchmarks.load(f"{spelled}-partial", 8)
    known = {f"{name}:{domain.name}-partial" for name, module in MODULES.items() for domain in module.PHOTOS.domains}
    assert target.name in known


@pytest.mark.parametrize("folder", ["Real_World", "RealWorld", "Rw", "real world"])
def test_spellings_of_folders(own, folder):
    made_datasets.make("office_home", own, 1, ["RealWorld"])
    (own / "office_home/OfficeHomeDataset_10072016/Real World").rename(own / f"office_home/{folder}")
    assert len(benchmarks.load("office_home:Rw-partial", 8).images) == 65


def test_unknown_domains_and_missing_folders(own):
    with pytest.raises(InputError, match=r"'office31:caltech' is no domain; Office-31 has 'office31:amazon' \(product pictures"):
        benchmarks.load("office31:caltech")
    with pytest.raises(InputError, match=r"'visda17' alone is no domain.*'visda17:validation'"):
        benchmarks.load("visda17")
    with pytest.raises(InputError, match=r"no VisDA-17 at .*csr\.bu\.edu.*non-commercial.*AA_DATA"):
        benchmarks.load("visda17:validation")
    made_datasets.make("visda17", own, 1, ["validation"])
    with pytest.raises(InputError, match=r"no folder 'train' under .*, which holds validation;"):
        benchmarks.load("visda17:train-partial")
    (own / "visda17/again").mkdir()
    (own / "visda17/again/Validation").mkdir()
    assert len(benchmarks.load("visda17:validation-partial", 8).images) == 12, "the folder nearest to the top is meant"
    (own / "visda17/VALIDATION").mkdir()
    with pytest.raises(InputError, match="several folders for 'validation'"):
        benchmarks.load("visda17:validation-partial")


def test_counts_are_those_of_the_original(own):
    made_datasets.make("office31", own, None, ["dslr"])
    assert len(benchmarks.load("office31:dslr", 8).images) == 498
    mugs = own / "office31/domain_adaptation_images/dslr/images/mug"
    (mugs / "frame_0003.jpg").unlink()
    pens = mugs.with_name("pen")
    (pens / "frame_0001 (1).jpg").write_bytes((pens / "frame_0001.jpg").read_bytes())
    with pytest.raises(InputError) as error:
        benchmarks.load("office31:dslr", 8)
    assert "wrong counts (2): mug 7 instead of 8, pen 11 instead of 10" in str(error.value)
    assert "copies (1): pen/frame_0001.jpg is frame_0001 (1).jpg" in str(error.value)
    assert "ask for 'office31:dslr-partial'" in str(error.value)
    assert benchmarks.load("office31:dslr-partial", 8).name == "office31:dslr-partial", "what is not the original says so in every record"


@pytest.mark.parametrize("name", ["office31:webcam", "office_home:Product"])
def test_all_damage_is_named_at_once(own, name):
    module, domain = name.split(":")
    made_datasets.make(module, own, 3, [domain])
    root = own / module / made_datasets.NESTED[module] / domain / ("images" if module == "office31" else "")
    whole = benchmarks.load(f"{name}-partial", 8)
    assert len(whole.images) == 3 * len(whole.class_names)
    said = made_datasets.damage(root, sorted(root.iterdir())[:10])
    assert len(said) >= 12
    with pytest.raises(InputError) as error:
        benchmarks.load(f"{name}-partial", 8)
    assert {kind: text for kind, text in said.items() if text not in str(error.value)} == {}
    assert not list((own.parent / "artifacts").rglob("*.npy")), "nothing of a damaged set is kept"


@pytest.mark.parametrize("name", ["visda17:validation", "imageclef_da:i"])
def test_damaged_lists(own, name):
    module, domain = name.split(":")
    folder = made_datasets.make(module, own, 3, [domain]) / made_datasets.NESTED[module]
    path = folder / (f"{domain}_list.txt" if module == "imageclef_da" else f"{domain}/image_list.txt")
    said = made_datasets.damage_list(path)
    with pytest.raises(InputError) as error:
        benchmarks.load(f"{name}-partial", 8)
    assert {kind: text for kind, text in said.items() if text not in str(error.value)} == {}
    if module == "imageclef_da":
        assert "lists that disagree" in str(error.value)


def test_imageclef_by_folder_or_by_list(own):
    root = made_datasets.make("imageclef_da", own, 2) / "image_CLEF"
    p = benchmarks.load("imageclef_da:p-partial", 8)
    assert len(p.images) == 24
    double = [i for i, name in enumerate(p.ids) if name.endswith("2008_006145")]
    assert p.labels[double].tolist() == [2, 5], "a picture that the list has twice is an image of each class"
    assert torch.equal(*p.images.pixels[double])
    before = benchmarks.load("imageclef_da:c-partial", 8)
    for path in [root / "c_list.txt", root / "list/cList.txt", root / "p_list.txt", root / "list/pList.txt"]:
        path.unlink()
    assert benchmarks.load("imageclef_da:c-partial", 8).ids == before.ids, "category folders of Caltech-256 say the classes"
    with pytest.raises(InputError, match="a list has to say the labels"):
        benchmarks.load("imageclef_da:p-partial")


def test_a_source_for_the_classic_protocol(data, tmp_path):
    written = benchmarks.write_source("office31:dslr-partial", 16, tmp_path / "source")
    target = benchmarks.load("office31:amazon-partial", 16)
    read = images.load(tmp_path / "source", 16, target.class_names)
    assert read.labels.tolist() == sorted(written.labels.tolist())
    assert set(read.names) == set(written.names)
    order = [written.names.index(name) for name in read.names]
    assert torch.equal(read.pixels, written.pixels[order])


def test_image_folder_without_labels(own, tmp_path):
    folder = made_datasets.unlabelled(tmp_path / "photos")
    target = benchmarks.load(f"image_folder:{folder}", 16)
    assert target.images.pixels.shape == (6, 3, 16, 16)
    assert target.images.pixels.float().std() > 20
    assert target.labels is None
    assert target.class_names == []
    assert target.ids[:2] == ["IMG_0000.jpg", "IMG_0001.jpg"]
    assert benchmarks.named(target, ["mug", "pen"]).class_names == ["mug", "pen"]
    (folder / "classes.txt").write_text("mug\n\ncup of tea\n")
    (folder / "2021").mkdir()
    (folder / "IMG_0003.png").rename(folder / "2021/IMG_0003.png")
    again = benchmarks.load(f"image_folder:{folder}", 16)
    assert again.class_names == ["mug", "cup of tea"]
    assert benchmarks.named(again, ["other"]) is again
    assert sorted(again.ids) == sorted([*target.ids[:3], *target.ids[4:], "2021/IMG_0003.png"])
    with pytest.raises(InputError, match="has no labels, so it is no source"):
        benchmarks.source(f"image_folder:{folder}", 16)


def test_image_folder_with_labels(own, tmp_path):
    for label, name in enumerate(["coffee_mug", "bike", "bike/old"]):
        (tmp_path / "things" / name).mkdir(parents=True)
        made_datasets.picture(label, "thing", 0).save(tmp_path / "things" / name / "1.jpg")
    (tmp_path / "things/bike/note.txt").write_text("not a picture")
    target = benchmarks.load(f"image_folder:{tmp_path / 'things'}", 16)
    assert target.class_names == ["bike", "coffee mug"]
    assert list(zip(target.ids, target.labels.tolist(), strict=True)) == [("bike/1.jpg", 0), ("bike/old/1.jpg", 0), ("coffee_mug/1.jpg", 1)]
    (tmp_path / "things/classes.txt").write_text("coffee_mug: mug\nlamp\nBike: bicycle\n")
    assert benchmarks.load(f"image_folder:{tmp_path / 'things'}", 16).labels.tolist() == [2, 2, 0]
    (tmp_path / "things/vase").mkdir()
    (tmp_path / "things/vase/1.jpg").write_bytes(b"")
    (tmp_path / "things/vase/2.HEIC").write_bytes(b"apple")
    made_datasets.picture(0, "thing", 1).save(tmp_path / "things/loose.png")
    with pytest.raises(InputError) as error:
        benchmarks.load(f"image_folder:{tmp_path / 'things'}", 16)
    for text in ("no class (1): vase", "JPEG or PNG (1): vase/2.HEIC", "outside of the class folders (1): loose.png"):
        assert text in str(error.value)
    with pytest.raises(InputError, match="image_folder:' names no folder"):
        benchmarks.load("image_folder")


def test_modes_that_photos_have(tmp_path):
    for mode in ("RGB", "CMYK", "L"):
        Image.new("RGB", (9, 7), (200, 100, 50)).convert(mode).save(tmp_path / f"{mode}.jpg", quality=95)
    for mode in ("P", "LA", "RGBA", "1"):
        Image.new("RGB", (9, 7), (200, 100, 50)).convert(mode).save(tmp_path / f"{mode}.png")
    Image.frombytes("I;16", (9, 7), (b"\x00\x80") * 63).save(tmp_path / "I16.png")
    paths = sorted(tmp_path.iterdir())
    pixels, bad = decode.pixels(paths, 4, "modes")
    assert not bad
    colour = {path.stem: pixels[i].float().mean((1, 2)).tolist() for i, path in enumerate(paths)}
    for mode in ("RGB", "CMYK", "RGBA"):
        assert colour[mode] == pytest.approx([200, 100, 50], abs=6), mode
    assert colour["P"] == pytest.approx([200, 100, 50], abs=26), "the nearest colour of the palette"
    assert colour["I16"] == [128, 128, 128]
    turned = Image.new("RGB", (8, 4), "white")
    turned.paste("black", (0, 0, 4, 4))
    turned.save(
        tmp_path / "turned.jpg",
        exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00",
    )
    assert decode.read(tmp_path / "turned.jpg", 8)[0].mean(1)[0] < 20, "the camera's rotation is applied"


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """20 pictures, and a limit that makes them a large set, kept in chunks of 4."""
    monkeypatch.setenv("AA_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setattr(decode, "KEEP_FROM", 0)
    monkeypatch.setattr(decode, "CHUNK", 4)
    (tmp_path / "set").mkdir()
    for number in range(20):
        made_datasets.picture(number, "kept", 0).save(tmp_path / f"set/{number:02d}.jpg")
    return sorted((tmp_path / "set").iterdir())


def test_a_large_set_is_decoded_once(kept, tmp_path, monkeypatch):
    pixels, bad = decode.pixels(kept, 16, "a set/1")
    assert not bad
    (file,) = (tmp_path / "artifacts/cache/images").glob("*.npy")
    assert file.name.startswith("a_set_1-16px-")
    assert not list(file.parent.glob("*.part"))
    assert all(torch.equal(pixels[i], torch.from_numpy(decode.read(path, 16).copy())) for i, path in enumerate(kept))
    index = torch.tensor([7, 0, 19, 7])
    assert torch.equal(pixels[index], torch.stack([pixels[i] for i in index.tolist()]))
    monkeypatch.setattr(decode, "read", None)  # any decoding would fail
    assert torch.equal(decode.pixels(kept, 16, "a set/1")[0], pixels)


def test_a_changed_file_is_another_cache(kept):
    before, _ = decode.pixels(kept, 16, "set")
    before = before.clone()
    made_datasets.picture(99, "other", 0).save(kept[3])
    after, _ = decode.pixels(kept, 16, "set")
    assert [i for i in range(20) if not torch.equal(before[i], after[i])] == [3]
    assert decode.pixels(kept, 8, "set")[0].shape == (20, 3, 8, 8)


def test_a_killed_decoding_goes_on(kept, tmp_path):
    whole = decode.pixels(kept, 16, "set")[0].clone()
    (file,) = (tmp_path / "artifacts/cache/images").glob("*.npy")
    data = file.read_bytes()
    file.unlink()
    file.with_suffix(".part").write_bytes(data[: len(data) // 2 + 100])  # an image cut in two
    older = kept[0].stat()
    kept[0].write_bytes(b"x" * older.st_size)  # would be read again if the work done were lost
    os.utime(kept[0], ns=(older.st_atime_ns, older.st_mtime_ns))
    assert torch.equal(decode.pixels(kept, 16, "set")[0], whole)
    assert file.read_bytes() == data


def test_bad_files_are_all_named_and_nothing_is_kept(kept, tmp_path):
    kept[2].write_bytes(b"")
    kept[17].unlink()
    _, bad = decode.pixels(kept, 16, "set")
    assert bad == [(2, "empty file"), (17, "missing")]
    assert not [path for path in (tmp_path / "artifacts").rglob("*") if path.suffix in (".npy", ".part")]
    assert decode.unreadable(kept, "set") == bad


def test_a_full_disk_is_said_before(kept, monkeypatch):
    monkeypatch.setattr(decode, "SPARE", 1 << 60)
    with pytest.raises(InputError, match=r"20 images of 'set' at 16 px take .* GB, and .* has .*AA_ARTIFACTS"):
        decode.pixels(kept, 16, "set")


def test_one_decodes_and_the_others_wait(kept, tmp_path, monkeypatch):
    read, decoded = decode.read, []
    monkeypatch.setattr(decode, "read", lambda path, size, sha256: decoded.append(path) or read(path, size, sha256))
    with ThreadPoolExecutor(3) as runs:
        first, *others = runs.map(lambda _: decode.pixels(kept, 16, "set")[0], range(3))
    assert sorted(decoded) == kept
    assert all(torch.equal(first, other) for other in others)
    assert len(list((tmp_path / "artifacts/cache/images").glob("*.npy"))) == 1


def test_unlabelled_photos_are_adapted_to(data, monkeypatch, tmp_path):
    monkeypatch.setattr(decode, "KEEP_FROM", 0)
    source = benchmarks.source("visda17:train-partial", 32)
    photos = made_datasets.unlabelled(tmp_path / "photos", 24)
    target = benchmarks.named(benchmarks.load(f"image_folder:{photos}", 32), source.class_names)
    assert len(list((tmp_path / "artifacts/cache/images").glob("*-32px-*.npy"))) == 2, "training draws from memory maps"
    network = {"backbone": "pocket_resnet", "pretrained": False, "bottleneck": 0}
    recipe = loop.Recipe(steps=2, batch_size=4)
    classifier = inter_domain.adapt(source, target.images, "dann", {}, network, recipe, 0, tmp_path / "inter", ("crop", "weak"))
    p, _ = inference.predict(classifier, target.images.pixels)
    inference.write_predictions(tmp_path / "predictions.parquet", target.ids, p)
    parts = split(inference.read_predictions(tmp_path / "predictions.parquet", target.ids), target.class_names)
    refined = intra_domain.refine(tmp_path / "inter", target.images, parts, "fixmatch", {"mu": 1}, recipe, 0, tmp_path / "intra")
    assert inference.predict(refined, target.images.pixels)[0].shape == (24, 12)


def test_command_line(own, capsys):
    from aa_utils.benchmarks.__main__ import main

    root = made_datasets.make("office31", own, 1, ["webcam"])
    assert main(["office31:webcam-partial"]) == 0
    said = capsys.readouterr().out
    assert "office31:webcam-partial: 31 images of 31 classes" in said
    assert "back_pack              1  backpack" in said
    assert "nothing is wrong" in said
    assert main(["office31"]) == 1
    said = capsys.readouterr()
    assert "mug                    1  mug   instead of 27" in said.out
    assert "- wrong counts (31): back_pack 1 instead of 29" in said.out
    assert "office31:amazon: no folder 'amazon'" in said.err
    assert main(["uci_digits", f"image_folder:{root}"]) == 0
    assert "digit three  " in capsys.readouterr().out


def test_published_numbers_have_one_shape():
    import csv

    from aa_utils.paths import ROOT

    header = ["benchmark", "task", "method", "backbone", "accuracy", "source_url_or_path"]
    rows = {"office31": 710, "office_home": 1274, "imageclef_da": 252, "visda17": 819, "stl_cifar": 13, "adapt_anything": 0}
    for name, count in rows.items():
        with (ROOT / f"published/{name}.csv").open(encoding="utf-8") as stream:
            read = list(csv.reader(stream))
        assert read[0] == header, name
        assert len(read) == count + 1, "the table of the paper itself is for its readers to fill" if not count else name
        assert not [row for row in read[1:] if not 0 <= float(row[4]) <= 100 or not row[5]]
