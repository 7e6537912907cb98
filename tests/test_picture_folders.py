"""What lies in a person's folder: notebook 90 and image folders lose no picture of it, and take none that is not theirs."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from aa_utils.benchmarks import image_folder
from aa_utils.benchmarks.__main__ import main as say
from aa_utils.classifiers import inference
from aa_utils.data import images
from aa_utils.errors import InputError
from aa_utils.photos import findings, intake, judge

NAMES = ["mug", "plate"]


def photo(path: Path, seed: int = 0, kind: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng([seed, *str(path).encode(errors="replace")]).integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(
        path, kind
    )
    return path


def by_intake(folder: Path) -> list[str]:
    return intake.take_in(folder, 16, NAMES, folder.parent / "out/photos").names


def by_image_folder(folder: Path) -> list[str]:
    return image_folder.load(str(folder), 16, ["no", "such"]).ids


def by_images(folder: Path) -> list[str]:
    return images.load(folder, 16).names


READERS = [by_intake, by_image_folder, by_images]


@pytest.fixture
def album(tmp_path):
    """Four photos of one's own."""
    for k in range(4):
        photo(tmp_path / f"in/{k}.png")
    return tmp_path / "in"


@pytest.mark.parametrize("read", READERS)
def test_links_to_folders_lose_no_picture(album, read):
    for k in range(30):
        photo(album.parent / f"disk/mug/m{k}.png")
        photo(album.parent / f"disk/plate/sub/p{k}.png")
    for name in ("mug", "plate"):
        (album / name).symlink_to(f"../disk/{name}")
    (album / "loop").symlink_to(".")
    (album / "up").symlink_to("..")
    (album / "again").symlink_to("mug")
    assert len(read(album)) == 64


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    "name",
    [
        "@eaDir",
        "#recycle",
        "@sharebin",
        "@__thumb",
        "~snapshot",
        "FOUND.000",
        "Recycled",
        "Network Trash Folder",
        "$RECYCLE.BIN",
        "@Recycle",
        "System Volume Information",
        "__MACOSX",
        ".thumbnails",
        ".Trash-1000",
    ],
)
def test_pictures_of_a_system_are_left_out(album, read, name):
    for k in range(3):
        photo(album / name / f"{k}.png/thumb.jpg")
        photo(album / f"deeper/{name}/{k}.jpg")
    (album / "Thumbs.db").write_bytes(b"x")
    (album / "._0.png").write_bytes(b"x")
    assert len(read(album)) == 4


def test_what_was_left_out_is_counted_and_said(album, capsys):
    for k in range(3):
        photo(album / f"@eaDir/{k}/thumb.jpg")
    photo(album / ".hidden.png")
    (album / "loop").symlink_to(".")
    (album / "notes.txt").write_text("x")
    taken = intake.take_in(album, 16, NAMES, album.parent / "out/photos")
    said = [
        "3 pictures in '@eaDir' left out",
        "1 picture in 'hidden files' left out",
        "the link 'loop' leads to a folder that is read already",
    ]
    assert taken.passed == said
    made = {one.title: one for one in findings._photos(taken, [], [])}
    assert all(sentence in made["Pictures of the system"].observation for sentence in said)
    assert "notes.txt" in made["Other files"].observation
    assert say([f"image_folder:{album}"]) == 0
    assert all(sentence in capsys.readouterr().out for sentence in said[:1])


def test_links_alone_are_an_album(album, tmp_path):
    (tmp_path / "links").mkdir()
    (tmp_path / "links/photos").symlink_to(album)
    for k in range(2):
        (tmp_path / f"links/{k}.png").symlink_to(album / f"{k}.png")
    assert len(by_intake(tmp_path / "links")) == 6


def test_labelled_folders_may_be_links(tmp_path):
    for k in range(3):
        photo(tmp_path / f"disk/a/{k}.png")
        photo(tmp_path / f"set/plate/{k}.png")
    (tmp_path / "set/mug").symlink_to("../disk/a")
    (tmp_path / "set/loop").symlink_to(".")
    found = image_folder.load(str(tmp_path / "set"), 16)
    assert (found.class_names, found.labels.tolist()) == (["mug", "plate"], [0, 0, 0, 1, 1, 1])
    (tmp_path / "set/cup").symlink_to("../disk/a")
    with pytest.raises(InputError, match=r"links to folders that are read already \(1\): (cup|mug)"):
        image_folder.load(str(tmp_path / "set"), 16)


def test_the_results_are_never_photos(album, tmp_path):
    (tmp_path / "results/photos").mkdir(parents=True)
    (album / "link").symlink_to(tmp_path / "results")
    with pytest.raises(InputError, match="lies within the folder that the link"):
        intake.take_in(album, 16, NAMES, tmp_path / "results/photos")


ENDINGS = {
    "IMG.HEIC": "JPEG",
    "photo.jpg?w=800": "JPEG",
    "photo.jpg_large": "JPEG",
    "photo": "PNG",
    "photo.txt": "WEBP",
    "scan.jp2": "JPEG2000",
}
ENDINGS |= {"a.gif": "GIF", "a.avif": "AVIF", "a.jfif": "JPEG", "a.ppm": "PPM", "a.ico": "ICO", "a.tga": "TGA", "A.PNG": "PNG"}


@pytest.mark.parametrize("read", READERS)
def test_endings_do_not_decide(album, read):
    for name, kind in ENDINGS.items():
        photo(album / name, kind=kind)
    for name in ("notes.txt", "BMW.txt", "P6 list", "GIF"):
        (album / name).write_text("BM and P6 and GIF are no pictures yet")
    assert len(read(album)) == 4 + len(ENDINGS)


RAW_NAMES = [
    b"caf\xe9.jpg",
    b"caf\xe8.jpg",
    b"\xff\xfe.png",
    "holiday\u2028beach.jpg".encode(),
    "caf\x85.jpg".encode(),
    b"new\nline.jpg",
    "ü😀.jpg".encode(),
]


@pytest.mark.parametrize("folder", [b"", b"Sch\xf6n/", "a\u2029b/".encode()])
@pytest.mark.parametrize("read", READERS)
def test_names_of_any_bytes(album, read, folder):
    try:
        for name in RAW_NAMES:
            photo(album / os.fsdecode(folder + name), kind="PNG")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    found = read(album)
    assert len(set(found)) == 4 + len(RAW_NAMES)
    assert all(name.encode() for name in found)
    inference.write_predictions(album.parent / "p.parquet", found, np_probabilities(len(found)))
    judge.write_csv(album.parent / "p.csv", pd.DataFrame({"file": found}))
    assert pd.read_csv(album.parent / "p.csv")["file"].tolist() == found
    assert inference.read_predictions(album.parent / "p.parquet", found).shape == (len(found), 2)


def np_probabilities(number: int):
    import torch

    return torch.full((number, 2), 0.5)


def test_classes_of_any_names(tmp_path):
    for name in ("C", "C++", "C#", "c-", os.fsdecode(b"caf\xe9"), os.fsdecode(b"caf\xe8"), "杯", "R_B"):
        photo(tmp_path / "set" / name / "1.png")
    found = image_folder.load(str(tmp_path / "set"), 16)
    assert sorted(found.labels.tolist()) == list(range(8)), "no class takes the pictures of another"
    assert len(set(found.class_names)) == 8
    (tmp_path / "set/classes.txt").write_text("C: c\nC++: c plus plus\nC#: c sharp\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"folders that are no class \(5\)"):
        image_folder.load(str(tmp_path / "set"), 16)


def test_a_second_frame_behind_a_photo_is_no_animation(album):
    for k in range(3):
        big = Image.open(photo(album / f"m{k}.png"))
        big.save(album / f"m{k}.jpg", "MPO", save_all=True, append_images=[big.resize((8, 8))])
        (album / f"m{k}.png").unlink()
    big.save(album / "moves.gif", save_all=True, append_images=[big.rotate(90)])
    taken = intake.take_in(album, 16, NAMES, album.parent / "out/photos")
    assert {row["file"]: row["frames"] for row in taken.rows} == {f"{k}.png": 1 for k in range(4)} | {f"m{k}.jpg": 1 for k in range(3)} | {
        "moves.gif": 2
    }


def test_unreadable_pictures_are_no_formulas(album):
    for name in ("=cmd()|' '.jpg", "+1.jpg", "-1.jpg", "@x.jpg", "\t=1.jpg"):
        (album / name).write_bytes(b"no picture")
    with pytest.raises(InputError, match="5 of 9 pictures"):
        by_intake(album)
    table = (album.parent / "out/photos/unreadable.csv").read_text().splitlines()
    assert len(table) == 6
    assert all(line.lstrip('"').startswith("'") for line in table[1:])
    for path in album.glob("*.jpg"):
        path.unlink()
    assert len(by_intake(album)) == 4
    assert not (album.parent / "out/photos/unreadable.csv").exists(), "what was mended is not listed any more"


def test_special_files_are_named(album):
    os.mkfifo(album / "x.jpg")
    (album / "y.png").symlink_to("/dev/zero")
    (album / "z.png").symlink_to("nowhere")
    with pytest.raises(InputError, match=r"x.jpg: a FIFO, not a file; y.png: a device, not a file; z.png: a link that leads nowhere"):
        by_intake(album)
    with pytest.raises(InputError, match=r"x.jpg \(a FIFO, not a file\), y.png \(a device, not a file\), z.png \(a link"):
        by_image_folder(album)


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "another", "none"])
def test_a_copy_that_is_not_its_photos_is_made_again(album, damage):
    out = album.parent / "out/photos"
    before = intake.take_in(album, 16, NAMES, out)
    copies = sorted((out / "16").iterdir())
    whole = copies[0].read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 4]) + whole[middle + 1 :]
    copies[0].write_bytes({"flip": flipped, "cut": whole[:-40], "empty": b"", "another": copies[1].read_bytes(), "none": whole}[damage])
    after = intake.take_in(album, 16, NAMES, out)
    assert np.array_equal(after.images.pixels, before.images.pixels)
    assert copies[0].read_bytes() == whole
    assert after.rows == before.rows
