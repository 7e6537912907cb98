"""Folders of labelled images that exist already: what is read, which class is taken for which, what is used, and what is refused."""

import json
import os
from collections import Counter

import made_datasets
import pandas as pd
import pytest
import torch
from PIL import Image

from aa_utils import benchmarks, experiment, files, sources
from aa_utils.benchmarks.__main__ import main
from aa_utils.data import decode, images
from aa_utils.errors import InputError
from aa_utils.runner import record
from aa_utils.sources import class_names


@pytest.fixture
def data(tmp_path, monkeypatch):
    """An empty AA_DATA."""
    monkeypatch.setenv("AA_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("AA_ARTIFACTS", str(tmp_path / "artifacts"))
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def make(root, names, per_class=3, suffix="jpg"):
    """A folder with a sub-folder for each of `names`."""
    for label, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for number in range(per_class):
            made_datasets.picture(label, root.name, number, (24, 24)).save(root / name / f"{number}.{suffix}")
    return root


SAME = [("airplane", "airplane"), ("back_pack", "back pack"), ("Mobile-Phone", "mobile phone")]
MEANT = [
    *(("mouse", "computer mouse"), ("automobile", "car"), ("plane", "airplane"), ("lorry", "truck"), ("7", "digit seven")),
    *(("taxi", "cab"), ("cellphone", "mobile phone"), ("tv", "television"), ("couch", "sofa"), ("loudspeaker", "speaker unit")),
    *(("punchers", "hole puncher"), ("Bike", "bicycle"), ("aeroplane", "airplane"), ("people", "person")),
]


@pytest.mark.parametrize(("there", "wanted"), [*SAME, *MEANT])
def test_names_that_mean_one_class(there, wanted):
    (match,) = class_names.matched([there, "zebra"], [wanted])
    assert (match.folder, match.class_name) == (there, wanted)
    assert (match.rule == "same name") == ((there, wanted) in SAME)


@pytest.mark.parametrize(
    ("there", "wanted"),
    [
        ("car", "cable car"),
        ("pen", "penitentiary"),
        ("wheel", "bicycle"),
        ("cat", "cats"),
        ("glass", "pair of eyeglasses"),
        ("ship", "boat"),
    ],
)
def test_names_that_only_seem_to(there, wanted):
    with pytest.raises(InputError, match=rf"no images of '{wanted}'; left over are '{there}'.*rename: {{{there}: {wanted}}}"):
        class_names.matched([there], [wanted])
    assert class_names.matched([there], [wanted], {there: wanted})[0].rule == "rename"


@pytest.mark.parametrize(
    ("there", "wanted", "rename", "message"),
    [
        (["car", "auto", "cat"], ["automobile", "cat"], {}, "'car', 'auto' all mean 'automobile'"),
        (["mouse", "x"], ["computer mouse", "Mouse pad"], {}, "no images of 'Mouse pad'; left over are 'x'"),
        (["auto", "cat"], ["automobile", "car"], {}, "'auto' may mean 'automobile' or 'car'; say which with rename: {auto: automobile}"),
        (["a", "b"], ["a", "b"], {"c": "a"}, "rename: there is no 'c'; there are 'a', 'b'"),
        (["a", "b"], ["a", "b"], {"a": "c"}, "rename: 'a' is to be 'c', which is no class"),
        (["a", "b", "c"], ["a", "b"], {"c": "a"}, "rename: 'c' is to be 'a', and there is 'a' too"),
    ],
)
def test_names_that_cannot_be_decided(there, wanted, rename, message):
    with pytest.raises(InputError, match=message):
        class_names.matched(there, wanted, rename)


def test_the_same_name_wins_over_a_synonym():
    matches = class_names.matched(["mouse", "computer mouse", "auto"], ["computer mouse", "mouse"])
    assert [(m.folder, m.class_name) for m in matches] == [("computer mouse", "computer mouse"), ("mouse", "mouse")]


def test_a_folder_is_found_below_aa_data_or_where_it_is_said(data, tmp_path):
    made = make(data / "others/sd", ["cat", "dog"])
    assert sources.place("others/sd") == sources.place(str(made)) == made
    with pytest.raises(InputError, match=r"no folder 'others/gan': looked at .* and .*AA_DATA"):
        sources.place("others/gan")
    make(data / "examples/scans", ["cat", "dog"])
    with pytest.raises(InputError, match="'examples/scans' is two folders"):
        sources.place("examples/scans")
    with pytest.raises(InputError, match="folder is empty"):
        sources.place(" ")


def test_classes_of_sub_folders_are_chosen_and_copied(data, tmp_path):
    root = make(data / "sd", ["automobile", "cat", "frog"], 5)
    (root / "cat/more").mkdir()
    (root / "cat/0.jpg").rename(root / "cat/more/0.jpg")
    (root / "cat/notes.txt").write_text("not a picture")
    chosen = sources.choose("sd", ["cat", "car"], 4, seed=1)
    assert [row["class_name"] for row in chosen.table] == ["cat", "car"]
    assert [(row["in_folder"], row["matched_by"]) for row in chosen.table] == [("cat", "same name"), ("automobile", "synonym")]
    assert [(row["there"], row["used"]) for row in chosen.table] == [(5, 4), (5, 4)]
    assert (chosen.not_used, chosen.listing.others) == (["frog"], 1)
    smaller, other = sources.choose("sd", ["cat", "car"], 2, seed=1), sources.choose("sd", ["cat", "car"], 4, seed=2)
    assert {row[0] for row in smaller.rows} < {row[0] for row in chosen.rows} != {row[0] for row in other.rows}
    read = sources.load("sd", 24, ["cat", "car"], 4, seed=1)
    assert read.class_names == ["cat", "car"]
    assert read.labels.tolist() == [0] * 4 + [1] * 4
    rows = sources.write(chosen, tmp_path / "out", made_by="a generator")
    for row in rows:
        assert (tmp_path / "out" / row["file_name"]).read_bytes() == (root / row["source_file"]).read_bytes()
    assert {row["made_by"] for row in rows} == {"a generator"}
    written = images.load(tmp_path / "out", 24, ["cat", "car"])
    assert torch.equal(written.pixels[written.labels == 1], read.pixels[read.labels == 1])
    assert len({row["file_name"] for row in rows}) == 8
    assert sources.is_written(tmp_path / "out")
    assert not sources.is_written(root)
    assert torch.equal(sources.load(tmp_path / "out", 24, ["cat", "car"]).pixels, written.pixels)


def test_names_alike_do_not_overwrite_each_other(data, tmp_path):
    root = make(data / "sd", ["cat", "dog"], 1)
    (root / "cat/a").mkdir()
    for name in ("a/b.jpg", "a-b.jpg", "a-b.png", "A-B.JPG"):
        made_datasets.picture(0, name, 0, (24, 24)).save(root / "cat" / name)
    rows = sources.write(sources.choose("sd", []), tmp_path / "out")
    shown = {(tmp_path / "out" / row["file_name"]).read_bytes() for row in rows}
    assert len(shown) == len(rows) == 6


def metadata(root, rows, name):
    frame = pd.DataFrame(rows)
    if name.endswith("csv"):
        frame.to_csv(root / name, index=False)
    elif name.endswith("jsonl"):
        (root / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        frame.to_parquet(root / name)


@pytest.fixture
def flat(data):
    """A Hugging Face imagefolder without its metadata: six pictures side by side."""
    (data / "hf/images").mkdir(parents=True)
    for number in range(6):
        made_datasets.picture(number % 2, "hf", number, (24, 24)).save(data / f"hf/images/{number}.png")
    return data / "hf"


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl", "metadata.parquet"])
@pytest.mark.parametrize("column", ["label", "class_name", "category"])
def test_metadata_says_the_classes(flat, name, column):
    rows = [{"file_name": f"images/{k}.png", "text": "a photo", column: ["cat", "mobile_phone"][k % 2]} for k in range(6)]
    metadata(flat, rows, name)
    read = sources.load("hf", 16, ["mobile phone", "cat"])
    assert [read.names[i] for i in (read.labels == 1).nonzero().flatten().tolist()] == ["images/0.png", "images/2.png", "images/4.png"]
    assert sources.listing("hf").labels == f"{name}, column {column}"


HEADERS = {
    "a space after the commas": ("file_name, label", "{}, {}"),
    "a comma at the end of each row": ("file_name,label", "{},{},"),
    "quoted": ('"file_name","label"', '"{}","{}"'),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_tables_as_other_tools_write_them_count_before_sub_folders(data, kind):
    root = make(data / "hf", ["monday", "tuesday"])
    pictures = sorted(path.relative_to(root).as_posix() for path in root.glob("*/*.jpg"))
    header, line = HEADERS[kind]
    lines = [line.format(name, ["cat", "dog"][k % 2]) for k, name in enumerate(pictures)]
    (root / "metadata.csv").write_text("\n".join([header, *lines]))
    found = sources.listing("hf")
    assert {found.name(path): name for path, name in found.rows} == {name: ["cat", "dog"][k % 2] for k, name in enumerate(pictures)}
    assert not found.problems


@pytest.mark.parametrize(
    ("header", "message"),
    [("file_name,Label", "column 'Label'"), ("file_name,CLASS_NAME", "column 'CLASS_NAME'"), ("file_name,label,label", "'label' twice")],
)
def test_columns_that_cannot_be_meant_otherwise_are_no_sub_folders(data, header, message):
    root = make(data / "hf", ["monday", "tuesday"])
    cells = ",cat" * header.count(",")
    lines = [f"{path.relative_to(root).as_posix()}{cells}" for path in root.glob("*/*.jpg")]
    (root / "metadata.csv").write_text("\n".join([header, *lines]))
    with pytest.raises(InputError, match=message):
        sources.listing("hf")


def test_labels_that_are_numbers_need_names(flat):
    rows = [{"file_name": f"images/{k}.png", "label": k % 2} for k in range(6)]
    for name in ("metadata.csv", "metadata.jsonl"):
        metadata(flat, rows, name)
        with pytest.raises(InputError, match=r"labels of .* are numbers \(0, 1, …\); write .*classes.txt"):
            sources.listing("hf")
        (flat / "classes.txt").write_text("cat\n")
        with pytest.raises(InputError, match="has 1 names, and there are labels such as 1; labels are 0 to 0"):
            sources.listing("hf")
        (flat / "classes.txt").write_text("cat\ndog\n")
        assert sources.listing("hf").counts == {"cat": 3, "dog": 3}
        (flat / name).unlink()
        (flat / "classes.txt").unlink()


def test_captions_alone_leave_the_classes_to_the_folders(data):
    root = make(data / "hf", ["cat", "dog"])
    metadata(root, [{"file_name": "cat/0.jpg", "text": "a cat"}], "metadata.jsonl")
    assert sources.listing("hf").counts == {"cat": 3, "dog": 3}


def test_rows_are_not_trusted(flat):
    rows = [{"file_name": f"images/{k}.png", "label": "cat"} for k in range(4)]
    wrong = ["../hf/images/4.png", "images/9.png", "images/0.png", "", str(flat / "images/4.png")]
    rows += [{"file_name": name, "label": "dog"} for name in wrong] + [{"file_name": "images/4.png", "label": ""}]
    metadata(flat, rows, "metadata.csv")
    with pytest.raises(InputError) as error:
        sources.choose("hf", [])
    for said in (
        "rows without a file of the folder (3): metadata.csv:6 '../hf/images/4.png'",
        "files that metadata names and that are no pictures here (1): metadata.csv:7 'images/9.png'",
        "pictures named twice (1): metadata.csv:8 'images/0.png'",
        "rows without a class (1): metadata.csv:11 'images/4.png'",
        "pictures that the metadata lacks (1): images/5.png",
    ):
        assert said in str(error.value)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: (root / "cat/0.jpg").rename(root / "loose.jpg"), r"pictures outside of the class folders \(1\): loose.jpg"),
        (lambda root: (root / "metadata.csv").write_text("name,label\na,b\n"), "has no column file_name"),
        (lambda root: [(root / f"metadata.{kind}").write_text("file_name\n") for kind in ("csv", "jsonl")], "keep the one that is right"),
        (lambda root: [path.rename(root / path.name) for path in sorted(root.glob("*/0.jpg"))[:1]], "outside of the class folders"),
        (lambda root: root.rename(root.with_name("x")) and (root / "train").mkdir(parents=True), "no images in"),
    ],
)
def test_folders_that_are_refused(data, spoil, message):
    spoil(make(data / "sd", ["cat", "dog"]))
    with pytest.raises(InputError, match=message):
        sources.choose("sd", [])


@pytest.mark.parametrize(("level", "message"), [("images", "one sub-folder, 'images'"), ("train", "one sub-folder, 'train'")])
def test_a_level_too_high_is_told(data, level, message):
    make(data / "sd" / level, ["cat", "dog"])
    with pytest.raises(InputError, match=rf"{message}; it has sub-folders itself, such as 'cat': ask for 'sd/{level}'"):
        sources.choose("sd", [])
    make(data / "sd/test", ["cat", "dog"])
    if level == "train":
        with pytest.raises(InputError, match="sub-folders that name splits, test, train"):
            sources.choose("sd", [])


def test_images_that_are_not_all_made_are_no_source(tmp_path):
    for name in ("mug", "pen"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name / "0.png")
    assert len(sources.load(tmp_path, 8, ["mug", "pen"])) == 2
    (tmp_path / ".settings.json").write_text("{}")
    with pytest.raises(InputError, match="are not all made; run the call that makes them again"):
        sources.load(tmp_path, 8, ["mug", "pen"])


def test_damaged_pictures_are_all_named_and_nothing_is_written(data, tmp_path):
    root = make(data / "sd", ["cat", "dog"])
    (root / "cat/1.jpg").write_bytes(b"")
    (root / "dog/2.jpg").write_text("<html>")
    for call in (lambda: sources.load("sd", 16), lambda: sources.write(sources.choose("sd", []), tmp_path / "out")):
        with pytest.raises(InputError, match=r"unreadable pictures \(2\): cat/1.jpg .*dog/2.jpg"):
            call()
    assert not (tmp_path / "out").exists()
    assert len(sources.load("sd", 16, per_class=1, seed=3).labels) in (2, 1), "what is not drawn is not decoded"


def test_a_large_folder_is_walked_once_and_kept(data, monkeypatch):
    make(data / "sd", ["cat", "dog"], 20)
    monkeypatch.setattr(decode, "KEEP_FROM", 0)
    walks, tree = [], files.tree
    monkeypatch.setattr(files, "tree", lambda *arguments: walks.append(1) or tree(*arguments))
    first = sources.load("sd", 16)
    assert walks == [1]
    monkeypatch.setattr(decode, "read", None)  # any decoding would fail
    assert torch.equal(sources.load("sd", 16).pixels, first.pixels)


def test_command_line(data, capsys):
    make(data / "sd", ["automobile", "cat", "frog"])
    assert main(["folder:sd[car,cat]"]) == 0
    said = capsys.readouterr().out
    assert "folder:sd: 9 images of 3 classes" in said
    assert "automobile       3  car (synonym)" in said
    assert "frog             3  not used" in said
    assert main(["folder:sd", "--classes", "car", "lamp"]) == 1
    assert "no images of 'lamp'; left over are 'cat', 'frog'" in capsys.readouterr().out
    assert main(["folder:sd", "--class=car", "--class=-rf"]) == 1
    assert "no images of '-rf'" in capsys.readouterr().out, "a name, no option of the command"
    Image.new("RGB", (4, 4)).save(data / "sd/loose.png")
    assert main(["folder:sd", "folder:none"]) == 1
    said = capsys.readouterr()
    assert "pictures outside of the class folders (1): loose.png" in said.out
    assert "no folder 'none'" in said.err


def test_notebook_21_takes_one_of_the_two(data, tmp_path):
    make(data / "sd", ["automobile", "cat"], 4)
    table, rest = sources.prepare(tmp_path / "a", folder="sd", class_names=["cat", "car"], per_class=2)
    assert [(row["class_name"], row["used"]) for row in table] == [("cat", 2), ("car", 2)]
    assert rest == []
    table, _ = sources.prepare(tmp_path / "b", "uci_digits", 16, per_class=3)
    assert [row["used"] for row in table] == [3] * 10
    assert Counter(images.load(tmp_path / "b", 16).labels.tolist()) == dict.fromkeys(range(10), 3)
    for given in ({"benchmark": "uci_digits", "folder": "sd"}, {}, {"benchmark": "uci_digits", "made_by": "x"}):
        with pytest.raises(InputError, match=r"one of the two|for a folder"):
            sources.prepare(tmp_path / "c", **given)


@pytest.fixture
def photos():
    """An experiment from a folder of images and a real source to some classes of a photo benchmark."""
    return {
        "name": "photos",
        "class_names": ["computer mouse", "pen", "mug"],
        "seeds": [0],
        "sources": {
            "flux": {"folder": "flux", "per_class": 3, "made_by": "FLUX.2 Pro", "class_names": ["computer mouse", "pen"]},
            "amazon": {"benchmark": "office31:amazon[mouse,pen]", "image_size": 32},
        },
        "tasks": {"webcam": {"sources": ["flux", "amazon"], "target": "office31:webcam[mouse,pen]"}},
        "inter_domain": {"methods": ["source_only"]},
        "benchmark": {"notebook": "53_benchmark_office31"},
    }


def test_a_folder_is_a_source_of_an_experiment(photos):
    checked = experiment.check(photos)["sources"]["flux"]
    assert (checked["benchmark"], checked["class_names"], checked["per_class"]) == ("", ["computer mouse", "pen"], 3)
    del photos["sources"]["flux"]["class_names"]
    assert experiment.check(photos)["sources"]["flux"]["class_names"] == photos["class_names"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x["sources"]["flux"].update(benchmark="uci_digits"), "sources.flux has both benchmark and folder; a source is one"),
        (lambda x: x["sources"]["flux"].pop("folder"), "sources.flux has neither benchmark nor folder"),
        (lambda x: x["sources"]["flux"].update(class_names="mug"), "sources.flux.class_names is 'mug'; it is a list of names"),
        (lambda x: x["sources"]["flux"].update(per_clas=3), "sources.flux: .* no parameter 'per_clas'; did you mean 'per_class'"),
        (lambda x: x["sources"]["amazon"].update(benchmark="office31:webcam-partial[pen,mug]"), "its labels must not train"),
    ],
)
def test_mistakes_of_sources_are_one_sentence(photos, change, message):
    change(photos)
    with pytest.raises(InputError, match=message) as error:
        experiment.check(photos, "my.yaml")
    assert str(error.value).startswith("my.yaml: ")


def test_other_folders_and_benchmarks_agree(data):
    """The same pictures as a benchmark and as a folder are the same source."""
    root = made_datasets.make("office31", data, 2, ["dslr"])
    one = benchmarks.source("office31:dslr-partial[mouse,pen]", 16)
    other = sources.load(root / "domain_adaptation_images/dslr/images", 16, one.class_names)
    assert torch.equal(one.pixels, other.pixels)
    assert torch.equal(one.labels, other.labels)


def test_names_that_are_no_utf8(data, tmp_path):
    root = make(data / "sd", ["cat", "dog"])
    try:
        (root / "cat/0.jpg").rename(root / "cat" / os.fsdecode(b"caf\xe9.jpg"))
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    rows = sources.write(sources.choose("sd", []), tmp_path / "out")
    assert "cat/caf\\xe9.jpg" in [row["source_file"] for row in rows]
    assert len(images.load(tmp_path / "out", 16)) == 6


def test_the_images_of_a_run_are_those_it_learned_from(data):
    """With its limit and its label noise; other images in the folder since then are refused."""
    folder = make(data / "mine", ["mug", "pen"], per_class=6)
    about = {"source": str(folder), "keep": {}, "limit_per_class": 4, "label_noise": 0.25}
    run = {"parameters": about, "inputs": [record.describe_input("source", str(folder))]}
    found, names = sources.of_run(run, 16, ["mug", "pen"], 0), ["mug", "pen"]
    whole = images.limit(sources.load(folder, 16, names), 4)
    assert found.names == whole.names
    assert (found.labels != whole.labels).sum() == 2
    del about["label_noise"]  # a record of before there was any
    assert torch.equal(sources.of_run(run, 16, names, 0).labels, whole.labels)
    (folder / "mug/0.jpg").write_bytes((folder / "mug/1.jpg").read_bytes())
    with pytest.raises(InputError, match="holds other images than those that stage 3 learned from"):
        sources.of_run(run, 16, names, 0)


def test_a_class_behind_a_link_that_leads_nowhere_is_named(data):
    folder = make(data / "mine", ["mug", "pen"])
    (folder / "lamp").symlink_to(data / "a disk that is not there")
    with pytest.raises(InputError, match=r"links that lead nowhere \(1\): lamp"):
        sources.load(folder, 16, ["mug", "pen"])


LONG = {
    "deep folders": ["/".join(["d" * 60] * 6), "/".join(["d" * 60] * 5 + ["e" * 60])],
    "one long name": ["", "x"],
    "letters of four bytes": ["/".join(["😀" * 50] * 3), "/".join(["😀" * 50] * 3 + ["b"])],
}


@pytest.mark.parametrize("kind", LONG)
def test_copies_of_pictures_with_long_paths_have_names_that_a_disk_takes(data, tmp_path, kind):
    """Their names hold the whole path, which may be longer than a name can be; no two become one."""
    root = data / "own"
    for name in ("mug", "cup"):
        for k, deep in enumerate(LONG[kind]):
            (root / name / deep).mkdir(parents=True)
            for number in range(2):
                path = root / name / deep / f"{'n' * 245}{number}.JPEG"
                made_datasets.picture(k, name, number, (24, 24)).save(path)
    chosen = sources.choose("own", [])
    written = sources.write(chosen, tmp_path / "out")
    assert len({row["file_name"] for row in written}) == len(written) == 8
    assert all(len(os.fsencode(part)) <= 255 for row in written for part in row["file_name"].split("/"))
    again = images.load(tmp_path / "out", 8)
    assert len(set(again.names)) == 8
    assert sorted(again.class_names) == ["cup", "mug"]
