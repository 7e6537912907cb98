"""Pictures that Pillow opens and does not read as they are: numbers of other types, negatives, planes, channels that mean nothing."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from aa_utils.data import picture
from aa_utils.data.formats import Unreadable

RAMP = np.add.outer(np.arange(64), np.arange(64)) / 126
SHOWN = (RAMP * 255).round()
UNSIGNED, SIGNED, FLOAT = 1, 2, 3
WHITE_IS_0, BLACK_IS_0, RGB, INKS = 0, 1, 2, 5


def tiff(values: np.ndarray, sample_format: int, photometric: int, planes: bool = False, order: str = "<") -> bytes:
    """An uncompressed TIFF of `values` (64, 64, channels), as TIFF 6.0 has it, in either byte order."""
    values = values[..., None] if values.ndim == 2 else values
    channels, bits = values.shape[-1], 8 * values.dtype.itemsize
    values = values.astype(values.dtype.newbyteorder(order))
    strips = [values[..., k].tobytes() for k in range(channels)] if planes else [values.tobytes()]
    tail = b""

    def place(code: str, numbers: list[int]) -> bytes:
        nonlocal tail
        packed = struct.pack(f"{order}{len(numbers)}{code}", *numbers)
        if len(packed) <= 4:
            return packed.ljust(4, b"\0")
        tail += packed
        return struct.pack(f"{order}I", 8 + sum(map(len, strips)) + len(tail) - len(packed))

    starts = [8 + k * len(strips[0]) for k in range(len(strips))]
    tags = [(256, "H", [64]), (257, "H", [64]), (258, "H", [bits] * channels), (259, "H", [1]), (262, "H", [photometric])]
    tags += [(273, "I", starts), (277, "H", [channels]), (278, "H", [64]), (279, "I", [len(strip) for strip in strips])]
    tags += [(284, "H", [2 if planes else 1]), (339, "H", [sample_format] * channels)]
    entries = [struct.pack(f"{order}HHI", tag, {"H": 3, "I": 4}[code], len(n)) + place(code, n) for tag, code, n in tags]
    start = struct.pack(f"{order}I", 8 + sum(map(len, strips)) + len(tail))
    ifd = struct.pack(f"{order}H", len(tags)) + b"".join(entries) + bytes(4)
    return (b"II*\0" if order == "<" else b"MM\0*") + start + b"".join(strips) + tail + ifd


def shown(path) -> np.ndarray:
    return np.asarray(picture.read(path).image).astype(float).mean(2)


NUMBERS = {
    "32 bits without a sign": ((RAMP * (2**32 - 1)).astype(np.uint32), UNSIGNED, BLACK_IS_0),
    "31 bits without a sign": ((RAMP * (2**31 - 1)).astype(np.uint32), UNSIGNED, BLACK_IS_0),
    "16 bits with a sign": ((RAMP * 4094 - 2047).astype(np.int16), SIGNED, BLACK_IS_0),
    "8 bits, white is 0": ((255 - SHOWN).astype(np.uint8), UNSIGNED, WHITE_IS_0),
    "12 bits, white is 0": (((1 - RAMP) * 4095).astype(np.uint16), UNSIGNED, WHITE_IS_0),
    "16 bits, white is 0": (((1 - RAMP) * 65535).astype(np.uint16), UNSIGNED, WHITE_IS_0),
    "floats, white is 0": ((1 - RAMP).astype(np.float32), FLOAT, WHITE_IS_0),
    "inks of 16 bits": (np.stack([(1 - RAMP) * 65535] * 3 + [0 * RAMP], 2).astype(np.uint16), UNSIGNED, INKS),
}
LITTLE_ENDIAN = {"32 bits without a sign", "31 bits without a sign", "12 bits, white is 0", "16 bits, white is 0"}  # as Pillow opens them


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_of_a_tiff_are_what_its_tags_say(tmp_path, name, order):
    (tmp_path / "a.tif").write_bytes(tiff(*NUMBERS[name], order=order))
    if order == ">" and name in LITTLE_ENDIAN:
        with pytest.raises(Unreadable, match="a variety of its format that is not read here: save it as an 8-bit PNG"):
            picture.read(tmp_path / "a.tif")
    else:
        assert np.abs(shown(tmp_path / "a.tif") - SHOWN).max() <= 2


def test_small_numbers_with_a_sign_follow_the_rule_of_larger_ones(tmp_path):
    values = (SHOWN - 128).astype(np.int8)
    (tmp_path / "8.tif").write_bytes(tiff(values, SIGNED, BLACK_IS_0))
    (tmp_path / "16.tif").write_bytes(tiff(values.astype(np.int16), SIGNED, BLACK_IS_0))
    assert np.array_equal(shown(tmp_path / "8.tif"), shown(tmp_path / "16.tif"))
    assert shown(tmp_path / "8.tif")[0, 0] == 0


THREE = np.stack([RAMP, RAMP[::-1], RAMP.T[:, ::-1]], 2)
NOT_READ = {
    "16-bit planes": (tiff((THREE * 65535).astype(np.uint16), UNSIGNED, RGB, planes=True), "lie in separate planes.*8 bits a colour"),
    "12-bit planes": (tiff((THREE * 4095).astype(np.uint16), UNSIGNED, RGB, planes=True), "lie in separate planes"),
    "12-bit inks": (tiff((RAMP[..., None].repeat(4, 2) * 4095).astype(np.uint16), UNSIGNED, INKS), "would be white here"),
    "half floats": (tiff(RAMP.astype(np.float16), FLOAT, BLACK_IS_0), "not read here: save it as an 8-bit PNG"),
    "double floats": (tiff(RAMP.astype(np.float64), FLOAT, BLACK_IS_0), "not read here: save it as an 8-bit PNG"),
    "float colours": (tiff(THREE.astype(np.float32), FLOAT, RGB), "not read here: save it as an 8-bit PNG"),
    "32-bit colours": (tiff((THREE * 65535).astype(np.uint32), UNSIGNED, RGB), "not read here: save it as an 8-bit PNG"),
}


@pytest.mark.parametrize("name", NOT_READ)
def test_what_pillow_would_misread_is_refused(tmp_path, name):
    data, message = NOT_READ[name]
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(Unreadable, match=message) as said:
        picture.read(tmp_path / "a.tif")
    assert "\n" not in str(said.value)


def test_8_bit_planes_are_read(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff((THREE * 255).round().astype(np.uint8), UNSIGNED, RGB, planes=True))
    assert np.abs(np.asarray(picture.read(tmp_path / "a.tif").image) - THREE * 255).max() <= 1


def bmp(alpha: np.ndarray) -> bytes:
    """A BMP of 32 bits a pixel whose header says that the fourth byte is alpha (BITMAPV4)."""
    pixels = np.stack([SHOWN[::-1]] * 3 + [alpha[::-1]], 2).astype(np.uint8).tobytes()
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 108, 64, 64, 1, 32, 3, len(pixels), 2835, 2835, 0, 0) + masks + b"BGRs" + bytes(48)
    return b"BM" + struct.pack("<IHHI", 14 + len(header) + len(pixels), 0, 0, 14 + len(header)) + header + pixels


@pytest.mark.parametrize("kind", ["BMP", "TGA"])
def test_a_fourth_channel_that_was_never_filled_is_no_transparency(tmp_path, kind):
    path = tmp_path / f"a.{kind.lower()}"

    def save(alpha: np.ndarray) -> None:
        if kind == "BMP":
            path.write_bytes(bmp(alpha))
        else:
            Image.fromarray(np.stack([SHOWN] * 3 + [alpha], 2).astype(np.uint8)).save(path)

    save(np.zeros((64, 64)))
    assert np.array_equal(shown(path), SHOWN)
    save(np.where(RAMP < 0.5, 0, 255))
    assert np.array_equal(shown(path), np.where(RAMP < 0.5, 255, SHOWN))


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("more", [b"", b"Exif"])
def test_a_jpeg_whose_rest_was_never_written(tmp_path, progressive, more):
    stream = io.BytesIO()
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    thumbnail = b"Exif\0\0" + b"\xff\xd8\xff\xda" + b"\xff\xd9" * 9  # the end of a picture within the metadata
    noise.save(stream, "jpeg", quality=95, progressive=progressive, **({"exif": thumbnail} if more else {}))
    whole = stream.getvalue()
    for part in (2, 3, 4):
        (tmp_path / "a.jpg").write_bytes(whole[: len(whole) * (part - 1) // part].ljust(len(whole), b"\0"))
        with pytest.raises(Unreadable, match="cut short"):
            picture.read(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes(whole + bytes(5000))  # padding after a whole picture
    assert picture.read(tmp_path / "a.jpg").image.size == (64, 64)
