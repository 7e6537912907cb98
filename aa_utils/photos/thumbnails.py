"""Small pictures within a page, as data URIs."""

import base64
import io

from PIL import Image
from torch import Tensor

FEW = 64  # pixels a side up to which a picture is shown with its pixels visible


def data_uri(image: Image.Image, side: int) -> dict:
    """{"src", "tiny"} of an RGB picture, at most `side` pixels a side: PNG for few pixels, which stay visible as such, else a JPEG."""
    small, data, tiny = image.copy(), io.BytesIO(), max(image.size) <= FEW
    if tiny:
        small.save(data, "png")
    else:
        small.thumbnail((side, side))
        small.save(data, "jpeg", quality=82)
    return {"src": f"data:image/{'png' if tiny else 'jpeg'};base64,{base64.b64encode(data.getvalue()).decode()}", "tiny": tiny}


def of_pixels(pixels: Tensor, side: int) -> dict:
    """`data_uri` of uint8 pixels (3, S, S)."""
    return data_uri(Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy()), side)
