"""One decoder: what a file means is decided in one place, so notebook 90, image folders and every other reader see the same pixels."""

import io
import os
import re
import socket
import struct
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aa_utils.benchmarks import image_folder
from aa_utils.data import decode, formats, images, picture, rgb
from aa_utils.data.formats import Unreadable
from aa_utils.photos import intake

RAMP = np.add.outer(np.arange(64), np.arange(64)) / 126
SHOWN = (RAMP * 255).round()


def grey(path: Path) -> np.ndarray:
    """Mean of the channels of the decoded picture, at its own size."""
    return np.asarray(picture.read(path).image).astype(float).mean(2)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(values: np.ndarray, *more: bytes) -> bytes:
    """A PNG of 16-bit values (height, width, channels), with `more` chunks before its pixels."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(more) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


DEEP = {
    "12 bits in 16": ("a.png", (RAMP * 4095).astype(np.uint16)),
    "10 bits in 16": ("a.tif", (RAMP * 1023).astype(np.uint16)),
    "14 bits in 16": ("a.png", (RAMP * 16383).astype(np.uint16)),
    "16 bits": ("a.png", (RAMP * 65535).astype(np.uint16)),
    "16 bits, TIFF": ("a.tif", (RAMP * 65535).astype(np.uint16)),
    "8 bits in 16": ("a.png", (RAMP * 255).astype(np.uint16)),
    "12 bits in 32": ("a.tif", (RAMP * 4095).astype(np.int32)),
    "20 bits in 32": ("a.tif", (RAMP * (2**20 - 1)).astype(np.int32)),
    "floats to 1": ("a.tif", RAMP.astype(np.float32)),
    "floats to 255": ("a.tif", (RAMP * 255).astype(np.float32)),
    "floats to 4095": ("a.tif", (RAMP * 4095).astype(np.float32)),
    "floats to 65535": ("a.tif", (RAMP * 65535).astype(np.float32)),
    "floats from -1": ("a.tif", (RAMP * 2 - 1).astype(np.float32)),
    "floats of a small range": ("a.tif", (RAMP * 0.01).astype(np.float32)),
    "temperatures": ("a.tif", (RAMP * 30 + 280).astype(np.float32)),
    "integers from below zero": ("a.tif", (RAMP * 2046 - 1023).astype(np.int32)),
    "PFM": ("a.pfm", RAMP.astype(np.float32)),
}


@pytest.mark.parametrize("name", DEEP)
def test_the_same_picture_in_any_depth_is_the_same_picture(tmp_path, name):
    file, values = DEEP[name]
    Image.fromarray(values).save(tmp_path / file)
    assert np.abs(grey(tmp_path / file) - SHOWN).max() <= 2


@pytest.mark.parametrize("least", [0, 10, 100])
def test_a_16_bit_copy_of_a_photo_is_that_photo(tmp_path, least):
    photo = (RAMP * (250 - least) + least).round().astype(np.uint8)
    Image.fromarray(photo).save(tmp_path / "8.png")
    Image.fromarray(photo.astype(np.uint16) * 257).save(tmp_path / "16.png")
    assert np.array_equal(grey(tmp_path / "8.png"), grey(tmp_path / "16.png"))


@pytest.mark.parametrize(
    ("value", "dtype", "shown"), [(32896, np.uint16, 128), (0.5, np.float32, 128), (0, np.uint16, 0), (2048, np.int32, 128)]
)
def test_a_flat_picture_stays_where_it_lies(tmp_path, value, dtype, shown):
    Image.fromarray(np.full((8, 8), value, dtype)).save(tmp_path / "flat.tif")
    assert np.unique(grey(tmp_path / "flat.tif")).tolist() == [shown]


def test_values_that_are_no_numbers(tmp_path):
    values = RAMP.astype(np.float32)
    values[0, :3] = np.nan, np.inf, -np.inf
    Image.fromarray(values).save(tmp_path / "a.tif")
    found = grey(tmp_path / "a.tif")
    assert found[0, :3].tolist() == [0, 255, 0]
    assert np.abs(found - SHOWN)[1:].max() <= 1
    Image.fromarray(np.full((8, 8), np.nan, np.float32)).save(tmp_path / "b.tif")
    with pytest.raises(Unreadable, match="no pixel has a finite value"):
        picture.read(tmp_path / "b.tif")


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_16_bit_colours(tmp_path, bits):
    white = 2**bits - 1
    values = np.stack([RAMP, RAMP[::-1], RAMP.T[:, ::-1]], 2)
    (tmp_path / "a.png").write_bytes(png(values * white))
    (tmp_path / "b.png").write_bytes(png(np.concatenate([values * white, np.full((64, 64, 1), 65535)], 2)))
    clear = np.concatenate([values * white, np.zeros((64, 64, 1))], 2)
    (tmp_path / "c.png").write_bytes(png(clear))
    for name in ("a.png", "b.png"):
        assert np.abs(np.asarray(picture.read(tmp_path / name).image) - values * 255).max() <= 2
    assert np.asarray(picture.read(tmp_path / "c.png").image).min() == 255


def tiff(path: Path, values: np.ndarray) -> Path:
    """An uncompressed TIFF of 16-bit RGB, which Pillow reads and does not write."""
    height, width, _ = values.shape
    data = values.astype("<u2").tobytes()
    tags = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, 8 + len(data)), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 8)]
    tags += [(277, 3, 1, 3), (278, 3, 1, height), (279, 4, 1, len(data))]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    ifd = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8 + len(data) + 6) + data + struct.pack("<3H", 16, 16, 16) + ifd)
    return path


def test_16_bit_colours_whose_low_bytes_cannot_be_had(tmp_path):
    values = np.stack([RAMP] * 3, 2)
    assert np.abs(grey(tiff(tmp_path / "full.tif", values * 65535)) - SHOWN).max() <= 1
    assert np.abs(grey(tiff(tmp_path / "camera.tif", values * 16383)) - SHOWN).max() <= 5
    with pytest.raises(Unreadable, match="12 bits or fewer, and would be black here: save it with 8 bits"):
        picture.read(tiff(tmp_path / "dark.tif", values * 4095))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "PA", "WEBP", "GIF"])
def test_transparency_lies_on_white(tmp_path, mode):
    icon = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    icon.paste((20, 20, 20, 255), (4, 4, 12, 12))
    made = {"P": icon.quantize(8), "WEBP": icon, "GIF": icon}.get(mode) or icon.convert(mode)
    path = tmp_path / f"a.{ {'WEBP': 'webp', 'GIF': 'gif', 'PA': 'tif'}.get(mode, 'png') }"
    made.save(path, **({"lossless": True} if mode == "WEBP" else {}))
    found = grey(path)
    assert found[0, 0] > 250
    assert found[8, 8] < 30


# EXIF and other metadata

HALVES = np.zeros((40, 60, 3), np.uint8)
HALVES[:, 30:] = 255


def exif(*entries: tuple[int, int, int, bytes], extra: bytes = b"") -> bytes:
    body = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHI4s", *entry) for entry in entries) + struct.pack("<I", 0)
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + body + extra


TURNED = (0x0112, 3, 1, struct.pack("<HH", 6, 0))
BAD_EXIF = {
    "a text in the place of a rational": (exif(TURNED, (0x011A, 2, 4, b"abc\0")), True),
    "a signed rational": (exif(TURNED, (0x011A, 5, 1, struct.pack("<I", 38)), extra=struct.pack("<ii", -1, 0)), True),
    "a negative rational": (exif(TURNED, (0x9204, 10, 1, struct.pack("<I", 38)), extra=struct.pack("<ii", -1, 0)), True),
    "an unknown type": (exif(TURNED, (0x011A, 99, 4, b"abc\0")), True),
    "bytes in the place of a text": (exif(TURNED, (0x010F, 1, 4, b"\xff\xfe\0\0")), True),
    "a pointer beyond the end": (exif(TURNED, (0x8769, 4, 1, struct.pack("<I", 10**9))), True),
    "two orientations": (exif((0x0112, 3, 2, struct.pack("<HH", 6, 6))), True),
    "an orientation that is text": (exif((0x0112, 2, 2, b"6\0\0\0")), False),
    "an orientation that is none": (exif((0x0112, 3, 1, struct.pack("<HH", 77, 0))), False),
    "a header twice": (b"Exif\0\0" + exif(TURNED), None),
    "nothing": (b"Exif\0\0", False),
    "a loop": (exif(TURNED)[:-4] + struct.pack("<I", 8), True),
    "a cut end": (exif(TURNED, (0x011A, 5, 1, struct.pack("<I", 38)), extra=struct.pack("<i", -1)), True),
    "junk": (b"Exif\0\0" + bytes(range(200)), False),
}


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif", "mpo"])
@pytest.mark.parametrize("name", BAD_EXIF)
def test_broken_metadata_never_costs_the_pixels(tmp_path, name, ending):
    data, turned = BAD_EXIF[name]
    more = {"save_all": True, "append_images": [Image.fromarray(HALVES)]} if ending == "mpo" else {}
    stream = io.BytesIO()
    if ending == "tif":  # Pillow parses what it writes
        Image.fromarray(HALVES).save(stream, "tiff")
        turned = False
    elif ending == "png":
        Image.fromarray(HALVES).save(stream, "png")
        whole = stream.getvalue()
        stream = io.BytesIO(whole[:33] + chunk(b"eXIf", data[6:]) + whole[33:])
    else:
        Image.fromarray(HALVES).save(stream, {"jpg": "jpeg"}.get(ending, ending), quality=95, exif=data, **more)
    (tmp_path / f"a.{ending}").write_bytes(stream.getvalue())
    found = picture.read(tmp_path / f"a.{ending}")
    if turned is not None:
        assert (found.width, found.height) == ((40, 60) if turned else (60, 40))
        assert found.image.size == (found.width, found.height)
    shown = np.asarray(found.image)
    upper = shown[:20] if found.height == 60 else shown[:, :20]
    assert upper.mean() < 15, "the dark half is the left one, or the upper one of a picture that was turned"
    assert found.frames == 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif", "avif"])
def test_the_rotation_of_the_camera_is_applied_once(tmp_path, ending, orientation):
    corner = np.zeros((40, 60, 3), np.uint8)
    corner[:20, :30] = 255
    tag = Image.Exif()
    tag[0x0112] = orientation
    path = tmp_path / f"a.{ending}"
    Image.fromarray(corner).save(path, exif=tag, **({} if ending in ("png", "tif") else {"quality": 95}))
    found = np.asarray(picture.read(path).image)
    quarters = [
        found[y : y + found.shape[0] // 2, x : x + found.shape[1] // 2].mean()
        for y in (0, found.shape[0] // 2)
        for x in (0, found.shape[1] // 2)
    ]
    bright = {1: 0, 2: 1, 3: 3, 4: 2, 5: 0, 6: 1, 7: 3, 8: 2}[orientation]
    assert int(np.argmax(quarters)) == bright
    assert found.shape[:2] == ((60, 40) if orientation > 4 else (40, 60))


@pytest.mark.parametrize(
    "more",
    [
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * 8_000_000)),
        chunk(b"iCCP", b"name\0\0junk"),
        chunk(b"gAMA", b""),
        chunk(b"pHYs", b"x"),
    ],
)
def test_broken_chunks_of_a_png(tmp_path, more):
    (tmp_path / "a.png").write_bytes(png(np.stack([RAMP * 65535] * 3, 2), more))
    assert np.abs(grey(tmp_path / "a.png") - SHOWN).max() <= 1


# Kinds of files


def saved(kind: str, size=(48, 40), **options) -> bytes:
    data = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)).save(data, kind, **options)
    return data.getvalue()


@pytest.mark.parametrize("name", ["a.HEIC", "a", "a.jpg?w=800", "a.jpg_large", "a.png", "a.dng", "a.txt"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "JPEG2000", "PPM", "ICO"])
def test_bytes_decide_and_not_the_name(tmp_path, kind, name):
    (tmp_path / name).write_bytes(saved(kind))
    if kind == "TIFF" and name.endswith(".dng"):
        with pytest.raises(Unreadable, match=r"a camera's raw file \(DNG\) is not read here, convert it to JPEG"):
            picture.read(tmp_path / name)
    else:
        assert formats.is_picture(tmp_path / name)
        assert picture.read(tmp_path / name).image.size[0] in (48, 32)


NO_PICTURES = {
    "heic.jpg": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200), "HEIC is not read here, convert it to JPEG"),
    "photo.heic": (b"apple", "HEIC is not read here, convert it to JPEG"),
    "page.jpg": (b"<!DOCTYPE html><html></html>", "not a picture but a web page"),
    "error.png": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "not a picture but a web page"),
    "doc.jpg": (b"%PDF-1.4\n" + bytes(100), "not a picture but a PDF"),
    "film.jpg": (b"\0\0\0\x18ftypmp42" + bytes(100), "not a picture but a video"),
    "all.jpg": (b"PK\3\4" + bytes(100), "not a picture but an archive"),
    "lfs.png": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    "said.jpg": (b'{"error": "quota"}', "not a picture but a JSON text"),
    "text.jpg": (b"no picture", "not a picture, or broken from its first bytes"),
    "shop.psd": (b"8BPS" + bytes(100), "PSD"),
    "draw.svg": (b'<svg xmlns="x"/>', "SVG is not read here"),
    "print.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript is not read here"),
    "jxl.jpg": (b"\xff\x0a" + bytes(50), "JPEG XL is not read here"),
    "zero.jpg": (b"", "empty file"),
    "spacer.gif": (saved("GIF", (1, 1)), "only 1x1 pixels"),
    "cut.jpg": (saved("JPEG")[:900], "cut short"),
    "cut.png": (saved("PNG")[:900], "cut short"),
    "cut.webp": (saved("WEBP")[:300], "cut short|broken"),
    "cut.gif": (saved("GIF")[:300], "cut short|broken"),
    "head.png": (saved("PNG")[:20], "cut short|broken"),
    "flip.png": (saved("PNG")[:300] + b"\x55" + saved("PNG")[301:], "damaged|broken"),
}


@pytest.mark.parametrize("name", NO_PICTURES)
def test_what_is_no_picture_says_what_it_is(tmp_path, name):
    data, message = NO_PICTURES[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(Unreadable, match=message) as said:
        picture.read(tmp_path / name)
    assert "\n" not in str(said.value)
    assert str(tmp_path) not in str(said.value)


def test_a_flipped_bit_of_a_png_is_seen(tmp_path):
    whole = bytearray(saved("PNG"))
    place = whole.index(b"IDAT") + 4
    length = int.from_bytes(whole[place - 8 : place - 4], "big")
    for k in np.random.default_rng(0).integers(0, length, 40):
        data = bytearray(whole)
        data[place + int(k)] ^= 1 << int(k) % 8
        (tmp_path / "a.png").write_bytes(data)
        with pytest.raises(Unreadable):
            picture.read(tmp_path / "a.png")


@pytest.mark.parametrize(
    "error", [KeyError("x"), RecursionError(), AssertionError(), SystemError("bad"), OverflowError("y"), ZeroDivisionError("z")]
)
def test_whatever_a_decoder_raises_is_a_sentence(tmp_path, monkeypatch, error):
    (tmp_path / "a.jpg").write_bytes(saved("JPEG"))
    monkeypatch.setattr(Image, "open", lambda *_, **__: (_ for _ in ()).throw(error))
    said = decode.read(tmp_path / "a.jpg", 8)
    assert "broken: what its bytes say of the picture makes no sense; fetch or export it again" in said
    assert type(error).__name__ not in said, "a person reads it"


HEADS = {
    "jpg": b"\xff\xd8\xff\xe0",
    "png": b"\x89PNG\r\n\x1a\n",
    "gif": b"GIF89a",
    "webp": b"RIFF\0\0\0\0WEBP",
    "tif": b"II*\0",
    "bmp": b"BM",
}


@pytest.mark.parametrize("rest", [b"", b"x", b"\0" * 40, b"\xff" * 300, bytes(range(256)) * 8], ids=["none", "one", "zeros", "ff", "any"])
@pytest.mark.parametrize("ending", HEADS)
def test_a_picture_in_its_first_bytes_only_is_a_sentence_without_names_of_the_decoder(tmp_path, ending, rest):
    (tmp_path / f"a.{ending}").write_bytes(HEADS[ending] + rest)
    said = decode.read(tmp_path / f"a.{ending}", 8)
    assert isinstance(said, str)
    assert not re.search(r"Error|MPO|struct|unpack|\(\W*\w*\W*\)", said), said


def special(kind: str, path: Path):
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(path))
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere")


SPECIAL = {"FIFO": "a FIFO, not a file", "socket": "a socket", "device": "a device", "folder": "a folder", "link": "leads nowhere"}


@pytest.mark.parametrize("kind", SPECIAL)
def test_special_files_are_refused_at_once(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    special(kind, Path("x.jpg"))
    found = []
    thread = threading.Thread(target=lambda: found.append(decode.read(Path("x.jpg"), 8)), daemon=True)
    thread.start()
    thread.join(10)
    assert found and SPECIAL[kind] in found[0]


# Sizes and memory


def test_the_size_is_looked_at_before_anything_is_decoded(tmp_path, monkeypatch):
    Image.new("1", (3000, 2000)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(picture, "LARGEST", 5_000_000)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("it was decoded"))
    with pytest.raises(Unreadable, match="3000x2000 pixels are more than 5,000,000, too many to decode safely: make it smaller"):
        picture.read(tmp_path / "bomb.png")


def test_pillows_own_limit_is_a_sentence(tmp_path, monkeypatch):
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(Unreadable, match="too many to decode safely"):
        picture.read(tmp_path / "a.png")


def test_a_file_without_end_is_refused(tmp_path):
    with (tmp_path / "a.png").open("wb") as stream:
        stream.write(saved("PNG"))
        stream.truncate(formats.TOO_LARGE + 1)
    with pytest.raises(Unreadable, match="too large to read safely"):
        picture.read(tmp_path / "a.png")


def test_threads_share_one_budget(tmp_path, monkeypatch):
    """Eight threads decode pictures of which two fit into the budget; a larger one is decoded alone."""
    paths = []
    for k in range(16):
        paths.append(tmp_path / f"{k}.png")
        Image.new("RGB", (100, 100 if k != 7 else 900)).save(paths[-1])
    monkeypatch.setattr(picture, "AT_ONCE", 100 * 100 * picture.BYTES * 2)
    seen, real = [], rgb.converted

    def watched(image, at_least):
        seen.append(picture._used)
        return real(image, at_least)

    monkeypatch.setattr(rgb, "converted", watched)
    monkeypatch.setattr(decode, "cores", lambda: 8)
    assert not decode.unreadable(paths, "set")
    assert len(seen) == 16
    assert all(used <= picture.AT_ONCE or used == 100 * 900 * picture.BYTES for used in seen)
    assert picture._used == 0


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA", "I;16", "F", "CMYK"])
def test_huge_pictures_are_read_in_strips(tmp_path, monkeypatch, mode):
    values = (np.kron(np.random.default_rng(0).random((8, 8)), np.ones((50, 37))) * 255).astype(np.uint8)
    image = Image.fromarray(values)
    made = {"I;16": Image.fromarray(values.astype(np.uint16) * 257), "F": Image.fromarray(values / np.float32(255))}.get(
        mode
    ) or image.convert(mode)
    path = tmp_path / ("a.tif" if mode in ("F", "CMYK") else "a.png")
    made.save(path)
    whole = np.asarray(picture.square(path, 16)[0]).astype(float)
    monkeypatch.setattr(rgb, "HUGE", 20_000)
    strips, _ = picture.square(path, 16)
    assert np.abs(np.asarray(strips) - whole).mean() < 6
    assert picture.read(path, 16).image.size == (296 // 9 + 1, 400 // 9 + 1), "averaged, and still at least twice as large as asked for"


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_the_size_that_is_told_is_the_files_own(tmp_path, ending):
    Image.new("RGB", (1200, 800)).save(tmp_path / f"a.{ending}")
    found = picture.read(tmp_path / f"a.{ending}", 32)
    assert (found.width, found.height) == (1200, 800)
    assert min(found.image.size) >= 64


# The same pixels everywhere


def everything(folder: Path) -> None:
    folder.mkdir()
    for name, (file, values) in DEEP.items():
        if file != "a.pfm":
            Image.fromarray(values).save(folder / f"{name}{file[1:]}")
    for kind in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "JPEG2000"):
        (folder / f"photo.{kind}").write_bytes(saved(kind, (900, 700)))
    icon = Image.new("RGBA", (48, 48), (0, 0, 0, 0))
    icon.paste((20, 20, 20, 255), (10, 10, 30, 34))
    icon.save(folder / "icon.png")
    Image.fromarray(HALVES).save(folder / "turned.jpg", exif=BAD_EXIF["a text in the place of a rational"][0])


def test_every_reader_gives_the_same_pixels(tmp_path):
    everything(tmp_path / "in")
    photos = intake.take_in(tmp_path / "in", 32, ["mug", "plate"], tmp_path / "out").images.pixels
    target = image_folder.load(str(tmp_path / "in"), 32)
    plain = images.load(tmp_path / "in", 32)
    assert len(photos) == len(target.ids) == len(plain) == len(list((tmp_path / "in").iterdir()))
    assert np.array_equal(photos, target.images.pixels)
    assert np.array_equal(photos, plain.pixels)
