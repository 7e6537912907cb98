import json

import numpy as np
import pytest
import torch
from PIL import Image

from aa_utils.data import images
from aa_utils.errors import InputError


def folder_of(path, rows, size=8):
    path.mkdir(exist_ok=True)
    for i, row in enumerate(rows):
        (path / row["file_name"]).parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((size, size, 3), 10 * i, np.uint8)).save(path / row["file_name"])
    (path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


ROWS = [{"file_name": f"{name}/{name}-{i}.png", "label": k, "class_name": name} for k, name in enumerate(["mug", "bike"]) for i in range(3)]


def test_reads_rows_in_order(tmp_path):
    loaded = images.load(folder_of(tmp_path / "a", ROWS), 8)
    assert loaded.pixels.shape == (6, 3, 8, 8)
    assert loaded.pixels.dtype == torch.uint8
    assert loaded.pixels[:, 0, 0, 0].tolist() == [0, 10, 20, 30, 40, 50]
    assert loaded.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert loaded.class_names == ["mug", "bike"]
    assert loaded.names[0] == "mug-0"


def test_pixel_values_and_channels_survive(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "x.png")
    loaded = images.load(tmp_path, 8)
    assert torch.equal(loaded.pixels[0].permute(1, 2, 0), torch.from_numpy(noise))
    assert loaded.labels is None
    assert images.load(tmp_path, 4).pixels.shape == (1, 3, 4, 4)


def test_class_names_of_the_target_decide_the_labels(tmp_path):
    loaded = images.load(folder_of(tmp_path / "a", ROWS), 8, ["bike", "mug"])
    assert loaded.labels.tolist() == [1, 1, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [(["mug"], "classes that the target lacks: bike"), (["mug", "bike", "pen", "cup"], "no image of 2 of the 4 classes: pen, cup")],
)
def test_classes_must_fit(tmp_path, wanted, message):
    with pytest.raises(InputError, match=message):
        images.load(folder_of(tmp_path / "a", ROWS), 8, wanted)


def test_every_unreadable_image_is_named(tmp_path):
    path = folder_of(tmp_path / "a", ROWS)
    (path / "mug/mug-1.png").write_bytes(b"no picture")
    (path / "bike/bike-2.png").unlink()
    with pytest.raises(
        InputError, match=r"2 of 6 images .*mug-1.png \(not a picture, or broken from its first bytes\), bike-2.png \(missing\)"
    ):
        images.load(path, 8)


def test_empty_missing_and_gapped_folders(tmp_path):
    with pytest.raises(InputError, match="no images in"):
        images.load(tmp_path, 8)
    with pytest.raises(InputError, match="20_generate"):
        images.load(tmp_path / "nowhere", 8)
    with pytest.raises(InputError, match="no image of label 1"):
        images.load(folder_of(tmp_path / "a", [ROWS[0], {"file_name": "pen/pen.png", "label": 2, "class_name": "pen"}]), 8)


def test_limit_is_nested_and_balanced(tmp_path):
    loaded = images.load(folder_of(tmp_path / "a", ROWS), 8)
    one, two = images.limit(loaded, 1), images.limit(loaded, 2)
    assert one.labels.tolist() == [0, 1]
    assert set(one.names) < set(two.names)
    assert [loaded.names.index(name) for name in two.names] == sorted(loaded.names.index(name) for name in two.names)
    assert images.limit(loaded, 0) is loaded
    assert len(images.limit(loaded, 9)) == 6
    with pytest.raises(InputError, match="limit_per_class is -1"):
        images.limit(loaded, -1)


def of_one_class(number, label, class_names):
    pixels = torch.zeros(number, 3, 2, 2, dtype=torch.uint8)
    return images.ImageSet(pixels, torch.full((number,), label), [str(i) for i in range(number)], class_names)


def test_label_noise_is_exact_nested_and_never_right_by_chance():
    loaded = of_one_class(48, 1, ["mug", "bike"])
    half, quarter = (images.mislabelled(loaded, share).labels for share in (0.5, 0.25))
    assert (half == 0).sum() == 24
    assert (quarter == 0).sum() == 12
    assert not ((quarter == 0) & (half == 1)).any(), "a larger share holds the smaller one"
    assert not torch.equal(half, images.mislabelled(loaded, 0.5, seed=1).labels)
    assert images.mislabelled(loaded, 0.0) is loaded
    with pytest.raises(InputError, match=r"label_noise is 1.5"):
        images.mislabelled(loaded, 1.5)


def test_wrong_labels_are_spread_over_all_other_classes():
    counts = images.mislabelled(of_one_class(3000, 2, list("abcd")), 1.0).labels.bincount(minlength=4)
    assert counts[2] == 0
    assert counts[[0, 1, 3]].min() > 900


def test_joined_sets_stand_one_behind_the_other(tmp_path):
    loaded = images.load(folder_of(tmp_path / "a", ROWS), 8)
    both = images.joined(loaded, images.limit(loaded, 1))
    assert both.labels.tolist() == [0, 0, 0, 1, 1, 1, 0, 1]
    assert len(both) == len(both.names) == 8
    with pytest.raises(InputError, match="of the same classes"):
        images.joined(loaded, images.load(tmp_path / "a", 8, ["bike", "mug"]))
