"""What an images endpoint answers: one picture, a refusal of the prompt, or something that is no answer."""

import base64
import binascii
import json
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from aa_utils.data import picture
from aa_utils.data.formats import Unreadable
from aa_utils.web_service.server import BadAnswer

if TYPE_CHECKING:
    import numpy as np

LARGEST = 1 << 24  # pixels: 4096 x 4096
BYTES_PER_PIXEL, FIXED_BYTES = 6, 2_000_000  # a PNG of noise with transparency takes 4 bytes a pixel, base64 a third more
_REFUSAL = re.compile(
    r"content[_ -]?(policy|filter|moderation)|moderation[_ ](blocked|filter|system)"
    r"|(blocked|rejected|flagged)\b.{0,60}(safe|polic|content|moderation|filter)"
    r"|safety (system|filter|checker|settings)|responsible.?ai|nsfw|violat\w+ .{0,60}(polic|terms|guideline)|usage polic|prohibited content"
    r"|(sensitive|inappropriate|unsafe|harmful) (content|words?|prompt|material)|image_safety|person_generation",
    re.IGNORECASE,
)


class Refused(Exception):
    """The server will not draw this prompt; the message says why, in its words."""


def largest_answer(width: int, height: int) -> int:
    """How many bytes an answer with a picture of `width` x `height` pixels may have; 0 is a size that is not known before."""
    return FIXED_BYTES + BYTES_PER_PIXEL * max(width * height, 2048 * 2048)


def is_refusal(said: str) -> bool:
    """The words of a server say that a prompt, not the request, is at fault."""
    return bool(_REFUSAL.search(said))


def pixels(body: bytes, fetch: Callable[[str], bytes], size: tuple[int, int], scratch: Path) -> tuple["np.ndarray", str | None]:
    """(uint8 (height, width, 3), the prompt as the server rewrote it, or None) of the body of a 200 answer.

    `fetch` gives what lies at an address; `size` is (width, height) asked for, (0, 0) for any; the picture passes through a file in the
    folder `scratch`, as the one decoder reads files. Errors: Refused; BadAnswer, whose message says what came instead of a picture.
    """
    entry = _entry(body)
    data = _from_base64(entry["b64_json"]) if entry.get("b64_json") else _from_address(entry["url"], fetch)
    incoming = scratch / f".{secrets.token_hex(8)}.tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    try:
        incoming.write_bytes(data)
        found = picture.read(incoming, largest=LARGEST)
    except Unreadable as error:
        raise BadAnswer(f"picture: {error}") from None
    finally:
        incoming.unlink(missing_ok=True)
    if size != (0, 0) and (found.width, found.height) != size:
        raise BadAnswer(f"picture of {found.width}x{found.height} pixels, not {size[0]}x{size[1]}")
    import numpy as np

    rewritten = entry.get("revised_prompt")
    return np.asarray(found.image), rewritten if isinstance(rewritten, str) and rewritten.strip() else None


def _entry(body: bytes) -> dict:
    """The first picture of an answer: {b64_json or url, maybe revised_prompt}."""
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError):
        raise BadAnswer("a web page, no JSON" if body.lstrip()[:1] == b"<" else "no JSON, or cut off") from None
    pictures = (
        next((reply[name] for name in ("data", "images") if isinstance(reply.get(name), list)), []) if isinstance(reply, dict) else []
    )
    entry = pictures[0] if pictures else None
    entry = {"url": entry} if isinstance(entry, str) else entry
    if not isinstance(entry, dict) or not any(isinstance(entry.get(name), str) and entry[name] for name in ("b64_json", "url")):
        words = json.dumps(reply, ensure_ascii=False)[:2000]
        if is_refusal(words) or re.search(r'"nsfw_content_detected": \[?true', words):
            raise Refused(words[:300])
        raise BadAnswer("no picture in the answer")
    return {name: value for name, value in entry.items() if isinstance(value, str)}


def _from_base64(text: str) -> bytes:
    text = text.partition("base64,")[2] if text.startswith("data:") else text
    try:
        return base64.b64decode("".join(text.split()).translate(str.maketrans("-_", "+/")), validate=True)
    except (binascii.Error, ValueError):
        raise BadAnswer("base64 that is cut off or broken") from None


def _from_address(url: str, fetch: Callable[[str], bytes]) -> bytes:
    return _from_base64(url) if url.startswith("data:") else fetch(url)
