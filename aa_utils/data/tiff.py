"""What the tags of a TIFF say of its numbers where Pillow's modes do not: no sign, a sign, white that is 0, colours in planes."""

import numpy as np
from PIL import Image

from aa_utils.data.formats import Unreadable

_BITS, _PHOTOMETRIC, _PLANES, _FORMAT = 258, 262, 284, 339  # TIFF 6.0, section 8
_SIGNED = 2
_HIDDEN = {
    ("I", 32, 1): np.uint32,
    ("L", 8, _SIGNED): np.int8,
}  # (Pillow's mode, bits, sample format): Pillow takes them for int32 and uint8


def check(opened: Image.Image) -> None:
    """Nothing, if Pillow reads the colours of an opened image as they are. Errors: Unreadable for 16-bit colours in separate planes."""
    if len(opened.getbands()) > 1 and _tag(opened, _PLANES, 1) == 2 and _tag(opened, _BITS, 8) > 8:
        raise Unreadable("its 16-bit colours lie in separate planes, which is not read here: save it with 8 bits a colour")


def grey_type(opened: Image.Image) -> type[np.generic] | None:
    """The type of a grey picture's numbers where it is not that of Pillow's mode, else None."""
    return _HIDDEN.get((opened.mode, _tag(opened, _BITS, 0), _tag(opened, _FORMAT, 1)))  # type: ignore[return-value]


def is_negative(opened: Image.Image) -> bool:
    """Whether 0 is white in a grey picture of more than 8 bits, or of floats; Pillow turns those of 8 bits round."""
    return _tag(opened, _PHOTOMETRIC, 1) == 0 and (opened.mode in ("I", "F") or opened.mode.startswith("I;16"))


def _tag(opened: Image.Image, number: int, default: int) -> int:
    value = getattr(opened, "tag_v2", {}).get(number, default)
    value = value[0] if isinstance(value, tuple) and value else value
    return value if isinstance(value, int) else default
