"""Printed glyphs: signed distance fields of the fonts that ship with matplotlib, so that one field serves every weight, size and slant."""

from functools import cache

import numpy as np

FONTS = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSerif", "DejaVuSerif-Bold",
    "DejaVuSerif-Italic", "STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "cmr10", "cmss10", "cmtt10", "cmb10",
)  # fmt: skip
FIELD = 64  # pixels along a side of a field
MARGIN = 0.35  # how far a field reaches beyond the glyph's unit box, in glyph heights


@cache
def fields(characters: str) -> np.ndarray:
    """Signed distances (fonts, characters, FIELD, FIELD) to the glyph's outline in glyph heights, positive outside.

    Each glyph is scaled to height 1 and centred in the box [-MARGIN, 1 + MARGIN]²; its own width is kept (an M is wider than an I).
    """
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont
    from scipy.ndimage import distance_transform_edt

    folder = matplotlib.get_data_path() + "/fonts/ttf/"
    side, scale = 4 * FIELD, 4 * FIELD / (1 + 2 * MARGIN)
    result = np.empty((len(FONTS), len(characters), FIELD, FIELD), np.float32)
    for i, name in enumerate(FONTS):
        font = ImageFont.truetype(f"{folder}{name}.ttf", 200)
        for j, character in enumerate(characters):
            left, top, right, bottom = font.getbbox(character)
            glyph = Image.new("L", (right - left, bottom - top))  # type: ignore[arg-type]
            ImageDraw.Draw(glyph).text((-left, -top), character, fill=255, font=font)
            width = min(round(scale * glyph.width / glyph.height), side)
            glyph = glyph.resize((width, round(scale)), Image.Resampling.LANCZOS)
            canvas = Image.new("L", (side, side))
            canvas.paste(glyph, ((side - width) // 2, (side - glyph.height) // 2))
            ink = np.asarray(canvas) > 127
            distance = distance_transform_edt(~ink) - distance_transform_edt(ink)
            result[i, j] = distance.reshape(FIELD, 4, FIELD, 4).mean((1, 3)) / scale
    return result
