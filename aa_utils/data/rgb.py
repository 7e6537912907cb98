"""A loaded picture of any of Pillow's modes in 8-bit RGB: deeper values by the rule of `depth`, transparency on white."""

import numpy as np
from PIL import Image

from aa_utils.data import depth, tiff

HUGE = 1 << 24  # pixels: from here on a picture is converted in strips and averaged over blocks, which needs no second copy of it


def converted(opened: Image.Image, at_least: int) -> Image.Image:
    """The loaded picture in 8-bit RGB; with `at_least`, huge ones may come smaller, but never below that many pixels a side."""
    (width, height), black_and_white, hidden = opened.size, None, tiff.grey_type(opened)
    small = width * height <= HUGE
    block = 1 if small or not at_least else max(1, min(width, height) // (2 * at_least))
    rows = height if small else block * max(1, HUGE // (4 * width * block))
    strips = [(0, top, width, min(height, top + rows)) for top in range(0, height, rows)]
    if hidden or opened.mode in ("I", "F") or opened.mode.startswith("I;16"):
        ends = [depth.extremes(_values(opened.crop(box), hidden)) for box in strips]
        black, white = depth.levels_of(ends, fractions=opened.mode == "F")
        black_and_white = (white, black) if tiff.is_negative(opened) else (black, white)
    if _shows_nothing(opened):
        opened = opened.convert("RGB")
    if small:
        return _strip(opened, black_and_white, hidden)
    image = Image.new("RGB", (-(-width // block), -(-height // block)))
    for box in strips:
        image.paste(_strip(opened.crop(box), black_and_white, hidden).reduce(block), (0, box[1] // block))
    return image


def _values(image: Image.Image, hidden: type[np.generic] | None) -> np.ndarray:
    """The numbers of a grey image; `hidden`: their type, where Pillow has another of as many bits."""
    values = np.asarray(image)
    return values.view(hidden) if hidden else values


def _shows_nothing(opened: Image.Image) -> bool:
    """Whether a loaded picture of a format that seldom means its fourth channel is transparent everywhere: it then has no transparency."""
    return opened.format in ("BMP", "DIB", "TGA", "ICO") and opened.mode == "RGBA" and opened.getextrema()[3] == (0, 0)  # type: ignore[misc]


def _strip(image: Image.Image, black_and_white: tuple[float, float] | None, hidden: type[np.generic] | None) -> Image.Image:
    """A new image in 8-bit RGB."""
    if black_and_white:
        values = _values(image, hidden)
        grey = depth.to_8_bits(values, *black_and_white)
        if isinstance(clear := image.info.get("transparency"), int):
            grey[values == clear] = 255
        return Image.fromarray(grey).convert("RGB")
    if image.mode in ("La", "RGBa") or image.has_transparency_data:
        layered = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered).convert("RGB")
    return image.convert("RGB")
