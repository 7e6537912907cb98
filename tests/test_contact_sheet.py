"""The grid of examples: right images by class, titles that cannot break it."""

import numpy as np
import pytest
from PIL import Image

from aa_utils import files
from aa_utils.errors import InputError
from aa_utils.reporting import contact_sheet as module
from aa_utils.reporting.contact_sheet import contact_sheet, examples


def test_examples_by_class_and_their_sheet(tmp_path):
    rows = [{"file_name": f"{n % 2}/{n}.png", "label": n % 2, "class_name": "ab"[n % 2], "prompt": f"$1 for $_{n}"} for n in range(7)]
    for row in rows:
        (tmp_path / row["file_name"]).parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), 20 * row["label"], np.uint8)).save(tmp_path / row["file_name"])
    files.write_jsonl(tmp_path / "metadata.jsonl", rows)
    shown = examples(tmp_path, 2)
    assert [row["file_name"] for row in shown] == ["0/0.png", "0/2.png", "1/1.png", "1/3.png"]
    figure = contact_sheet([row["path"] for row in shown], [row["prompt"] for row in shown], columns=3)
    assert len(figure.axes) == 6 and sum(bool(axis.images) for axis in figure.axes) == 4
    figure.savefig(tmp_path / "sheet.png")  # text between dollar signs would fail here


def test_arrays_and_wrong_calls(tmp_path):
    image = np.zeros((128, 64, 3), np.uint8)
    assert contact_sheet([image], ["one"], columns=1).axes[0].images
    for images, titles in (([], []), ([image], [])):
        with pytest.raises(InputError, match="contact sheet"):
            contact_sheet(images, titles, columns=2)
    with pytest.raises(InputError, match=r"no metadata\.jsonl"):
        examples(tmp_path, 1)


def test_a_sheet_of_too_many_pictures_shows_a_part_and_says_so(monkeypatch):
    monkeypatch.setattr(module, "MOST", 6)
    images = [np.full((8, 8, 3), k, np.uint8) for k in range(15)]
    figure = contact_sheet(images, [f"picture {k}" for k in range(15)], columns=4)
    shown = [int(axis.images[0].get_array()[0, 0, 0]) for axis in figure.axes if axis.images]
    assert shown == [0, 2, 5, 7, 10, 12]
    assert [axis.texts[0].get_text() for axis in figure.axes if axis.images] == [f"picture {k}" for k in shown]
    assert figure.get_suptitle() == "6 of 15 images, evenly spread"
    assert contact_sheet(images[:6], ["a"] * 6, columns=4).get_suptitle() == ""
