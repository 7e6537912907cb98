"""Colours of 16 bits, of which Pillow keeps the high bytes alone: where a camera filled only the low ones, nearly nothing is left."""

from typing import BinaryIO

import numpy as np
from PIL import Image

from aa_utils.data import depth
from aa_utils.data.formats import Unreadable

FULL = 128  # a high byte from which on all 16 bits are in use
ENOUGH = 16  # a high byte from which on the high bytes alone still make a picture


def of_colours(opened: Image.Image) -> bool:
    """Whether an image that is opened, and not loaded yet, stores its colours in 16 bits."""
    layouts = [tile[3][0] if isinstance(tile[3], tuple) and tile[3] else tile[3] for tile in getattr(opened, "tile", [])]
    return opened.mode in ("RGB", "RGBA", "RGBX", "CMYK") and any(";16" in str(layout) for layout in layouts)


def brightened(opened: Image.Image, stream: BinaryIO) -> Image.Image:
    """The loaded image, its colours by the rule of `depth`. Errors: Unreadable where the low bytes would be needed and cannot be had."""
    largest = max(high for _, high in opened.getextrema()[: 4 if opened.mode == "CMYK" else 3])  # type: ignore[misc]
    if largest >= FULL:
        return opened
    if opened.format == "PNG":
        return _png(stream)
    inks = opened.mode == "CMYK"
    if largest < ENOUGH:
        shade = "white" if inks else "black"
        raise Unreadable(f"its 16-bit colours use 12 bits or fewer, and would be {shade} here: save it with 8 bits a colour")
    if inks:
        return opened
    black, white = depth.levels(0, largest * 257, fractions=False)
    table = [min(255, round((value * 257 - black) * 255 / (white - black))) for value in range(256)]
    return opened.point(table * 3 + [*range(256)] * (len(opened.getbands()) - 3))


def _png(stream: BinaryIO) -> Image.Image:
    import torch
    from torchvision.io import ImageReadMode, decode_png

    stream.seek(0)
    data = torch.frombuffer(bytearray(stream.read()), dtype=torch.uint8)
    values = decode_png(data, ImageReadMode.UNCHANGED).permute(1, 2, 0).numpy()  # uint16 (height, width, channels)
    colours, alpha = (values[..., :-1], values[..., -1:]) if values.shape[-1] in (2, 4) else (values, None)
    made = depth.to_8_bits(colours, *depth.levels_of([depth.extremes(colours)], fractions=False))
    made = made.repeat(3, 2) if made.shape[-1] == 1 else made
    if alpha is None:
        return Image.fromarray(made)
    return Image.fromarray(np.concatenate([made, depth.to_8_bits(alpha, 0, 65535)], 2))
