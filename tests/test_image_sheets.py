"""The sheet that shows the same classes in several domains."""

import pandas as pd
import pytest
from PIL import Image

from aa_utils.errors import InputError
from aa_utils.reporting import image_sheets

DRAWN = "examples/digits/images/offline"


def test_a_row_a_domain_with_as_many_images_of_each_class(tmp_path):
    path = image_sheets.by_domain({"drawn": DRAWN, "scans": "uci_digits"}, tmp_path, 32, per_class=3, classes=4)
    with Image.open(path) as picture:
        assert picture.width > picture.height > 100
    shown = pd.read_csv(tmp_path / "by_domain.csv")
    assert shown["title"].tolist() == ["drawn"] * 12 + ["scans"] * 12
    assert shown["id"].is_unique and shown["id"].str.startswith("uci-").sum() == 12
    before = path.read_bytes()
    assert image_sheets.by_domain({"drawn": DRAWN, "scans": "uci_digits"}, tmp_path, 32, 3, 4).read_bytes() == before


def test_domains_of_other_classes_are_named(tmp_path):
    for label, name in enumerate(("mug", "pen")):
        (tmp_path / "things" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8), (label, 0, 0)).save(tmp_path / "things" / name / "0.png")
    with pytest.raises(InputError, match="has the classes mug, pen, others than the first"):
        image_sheets.by_domain({"drawn": DRAWN, "things": f"image_folder:{tmp_path / 'things'}"}, tmp_path, 32)
    assert not (tmp_path / "by_domain.png").exists()
