"""Names of classes and files as rows and folders spell them: spaces, letters in two forms, parts of a set in the place of classes."""

import json
import os
import re

import numpy as np
import pytest
from PIL import Image

from aa_utils import prompts, sources
from aa_utils.benchmarks import image_folder
from aa_utils.data import images, rows
from aa_utils.errors import InputError
from aa_utils.sources.listing import listing

GOOD = {"file_name": "0.png", "label": 0, "class_name": "mug"}


def pictures(folder, n=2):
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(n):
        Image.fromarray(np.full((8, 8, 3), 40 * k, np.uint8)).save(folder / f"{k}.png")
    return folder


def write(folder, *made):
    folder.joinpath(rows.METADATA).write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in made))


SPELLED = {
    "spaces around a label": ([{"file_name": "0.png", "label": " mug"}, {"file_name": "1.png", "label": "mug "}], ["mug"]),
    "spaces around a class": ([GOOD | {"class_name": "mug "}, GOOD | {"file_name": "1.png"}], ["mug"]),
    "two that differ in case": ([{"file_name": "0.png", "label": "A"}, {"file_name": "1.png", "label": "a"}], ["A", "a"]),
}


@pytest.mark.parametrize("kind", SPELLED)
def test_spaces_around_a_name_are_no_part_of_it(tmp_path, kind):
    made, names = SPELLED[kind]
    write(pictures(tmp_path), *made)
    assert images.load(tmp_path, 8).class_names == names


def test_spaces_after_the_commas_of_a_table(tmp_path):
    (pictures(tmp_path) / "metadata.csv").write_text('file_name, label\n0.png, mug\n1.png, "cup, blue"\n')
    assert images.load(tmp_path, 8).class_names == ["cup, blue", "mug"]


ODD = {
    "half a character": ('{"file_name": "\\ud800.png", "label": "a"}', r"row 1 of .*file_name='\\ud800.png', which no file can be called"),
    "a long name": ('{"file_name": "' + "a" * 5000 + '.png", "label": "a"}', "'…, which no file can be called"),
    "a caption as a class": ('{"file_name": "0.png", "label": "' + "a b " * 500 + '"}', "a class of 1,999 characters, 'a b .*at most 500"),
}


@pytest.mark.parametrize("kind", ODD)
def test_names_that_cannot_be_are_named_in_short(tmp_path, kind):
    row, message = ODD[kind]
    write(pictures(tmp_path / "x"), row)
    with pytest.raises(InputError, match=message) as said:
        images.load(tmp_path / "x", 8)
    assert len(str(said.value)) < 500


@pytest.mark.parametrize("label", [["mug"], {"name": "mug"}])
def test_a_label_that_is_no_name_and_no_number(tmp_path, label):
    write(pictures(tmp_path), {"file_name": "0.png", "label": label}, {"file_name": "1.png", "label": "cup"})
    with pytest.raises(InputError, match=r"metadata.jsonl:1 has label=.*mug.*; a class is its name or its number"):
        listing(tmp_path)
    with pytest.raises(InputError, match=r"row 1 of .* has label=.*mug"):
        images.load(tmp_path, 8)


@pytest.mark.parametrize(
    "names",
    [("café", "cafe\u0301"), ("mug", "mug "), ("tea cup", "tea_cup"), ("tea  cup", "tea cup"), ("cat", "c\u200bat"), ("\ufeffcat", "cat")],
)
def test_two_folders_of_one_name_are_no_two_classes(tmp_path, names):
    for name in names:
        pictures(tmp_path / name)
    with pytest.raises(InputError, match=r"two classes of one name.*put their pictures into one folder"):
        image_folder.load(str(tmp_path), 8)


@pytest.mark.parametrize("parts", [("train", "test"), ("Train", "val"), ("training", "validation", "testing")])
@pytest.mark.parametrize("labelled", [False, True])
def test_parts_of_a_set_are_no_classes(tmp_path, parts, labelled):
    for part in parts:
        for name in ("mug", "cup") if labelled else ("",):
            pictures(tmp_path / part / name)
    with pytest.raises(InputError, match=f"parts of a set of images.*image_folder:{tmp_path}/.*classes.txt"):
        image_folder.load(str(tmp_path), 8)
    (tmp_path / "classes.txt").write_text("mug\ncup\n")
    assert image_folder.load(str(tmp_path), 8).labels is None


def test_a_class_may_be_called_as_a_part_of_a_set(tmp_path):
    for name in ("train", "bus"):
        pictures(tmp_path / name)
    assert image_folder.load(str(tmp_path), 8).class_names == ["bus", "train"]


def test_a_list_of_classes_may_have_comments(tmp_path):
    for name in ("mug", "cup"):
        pictures(tmp_path / name)
    (tmp_path / "classes.txt").write_text("# in the order of the labels\n\n mug \ncup\t\n")
    target = image_folder.load(str(tmp_path), 8)
    assert (target.class_names, target.labels.tolist()) == (["mug", "cup"], [1, 1, 0, 0])


def test_a_list_of_classes_that_is_no_file(tmp_path):
    pictures(tmp_path / "mug")
    os.mkfifo(tmp_path / "classes.txt")
    with pytest.raises(InputError, match=r"classes.txt' is no file"):
        image_folder.load(str(tmp_path), 8)


UNSEEN = [
    "\u00ad",
    "\u034f",
    "\u061c",
    "\u115f",
    "\u180e",
    "\u200b",
    "\u200c",
    "\u200d",
    "\u200e",
    "\u202e",
    "\u2060",
    "\u2068",
    "\u3164",
    "\ufe0f",
]


def folders(root, names):
    for name in names:
        pictures(root / name)
    image_folder.load(str(root), 8)


def table(root, names):
    rows_ = "".join(f'{k}.png,"{name}"\n' for k, name in enumerate(names))
    (pictures(root) / "metadata.csv").write_text(f"file_name,class_name\n{rows_}", encoding="utf-8")
    images.load(root, 8)


def listed_table(root, names):
    (pictures(root) / "metadata.csv").write_text("file_name,label\n0.png,0\n1.png,1\n")
    (root / "classes.txt").write_text("\n".join(names), encoding="utf-8")
    listing(root)


def classes_file(root, names):
    for name in ("one", "two"):
        pictures(root / name)
    (root / "classes.txt").write_text("".join(f"{k}: {name}\n" for k, name in zip(("one", "two"), names, strict=True)), encoding="utf-8")
    image_folder.load(str(root), 8)


def labelled_folder(root, names):
    for name in names:
        pictures(root / name)
    sources.choose(root, [])


def prompt_names(root, names):
    prompts.write(list(names), "simple", 1, 0)


def given_names(root, names):
    pictures(root / names[0])
    image_folder.load(str(root), 8, list(names))


DOORS = [folders, table, listed_table, classes_file, labelled_folder, prompt_names, given_names]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("letter", UNSEEN, ids=ascii)
def test_two_names_that_look_alike_never_are_two_classes(tmp_path, door, letter):
    """Whoever names the classes: folders, rows, classes.txt, parameters. A table may also spell both the same."""
    try:
        door(tmp_path / "x", ("cat", f"c{letter}at"))
    except InputError as error:
        assert re.search("of one name|same class|all mean", str(error)), error
    else:
        assert door is table, "two spellings of one row's class become one class"
        assert images.load(tmp_path / "x", 8).class_names == ["cat"]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("name", "sentence"), [("\u200b", "name shows nothing"), ("x" * 120 + " y" * 300, "characters"), ("a\x07b", "control")]
)
def test_a_name_that_is_none(tmp_path, door, name, sentence):
    if door in (folders, labelled_folder, given_names) and len(name) > 255:
        pytest.skip("no folder can be called so")
    if door is given_names:
        pytest.skip("names from the prompts, which went through the door already")
    with pytest.raises(InputError, match=sentence):
        door(tmp_path / "x", ("cat", name))


@pytest.mark.parametrize("names", [("👨\u200d👩\u200d👧", "👨"), ("می\u200cخواهم", "b"), ("❤\ufe0f", "x"), ("日本", "{b}"), ("A", "a")])
def test_names_that_differ_stay_as_they_are(tmp_path, names):
    table(tmp_path / "t", names)
    assert images.load(tmp_path / "t", 8).class_names == sorted(names)
    folders(tmp_path / "f", names)
    assert image_folder.load(str(tmp_path / "f"), 8).class_names == sorted(names)


def test_a_comment_in_a_list_of_classes_moves_no_label(tmp_path):
    """Both readers of classes.txt: with a comment read as a class, every picture would have the class before its own."""
    (pictures(tmp_path) / "metadata.csv").write_text("file_name,label\n0.png,0\n1.png,1\n")
    (tmp_path / "classes.txt").write_text("# in the order of the labels\n\nmug\ncup\n")
    assert [name for _, name in sorted(listing(tmp_path).rows)] == ["mug", "cup"]
