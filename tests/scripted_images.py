"""A scripted images endpoint: pictures that differ from prompt to prompt, and how a test asks for them."""

import base64
import hashlib
import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import scripted_server as wire
from PIL import Image
from scripted_server import Reply

from aa_utils import files
from aa_utils.generate import any_model

NAMES = ("mug", "alarm clock", "TV")


def encoded(text: str, size: tuple[int, int] = (24, 16), kind: str = "PNG", mode: str = "RGB") -> bytes:
    """A picture that differs from text to text."""
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]))
    picture = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).convert(mode)
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    return buffer.getvalue()


def answer(data: bytes, **more: object) -> Reply:
    """An answer with the picture as base64."""
    return Reply({"created": 0, "data": [{"b64_json": base64.b64encode(data).decode(), **more}]})


def draw(body: dict, number: int) -> Reply:
    """A good picture for each prompt."""
    size = tuple(map(int, body["size"].split("x"))) if "size" in body else (24, 16)
    return answer(encoded(body["prompt"], size))


def write_prompts(folder: Path) -> Path:
    """Four prompts of each of NAMES."""
    rows = [
        {"id": f"t-{label}-{n}", "label": label, "class_name": name, "text": f"a {name} number {n}"}
        for label, name in enumerate(NAMES)
        for n in range(4)
    ]
    files.write_jsonl(folder / "prompts.jsonl", rows)
    return folder


def ask(at: SimpleNamespace, folder: Path, **options: object) -> dict:
    """What `any_model.generate` returns for those prompts; the images lie in `folder`/images."""
    given = {"base_url": at.url, "timeout": wire.TIMEOUT, "model": "openai_images:scripted"} | options
    return any_model.generate(write_prompts(folder / "prompts"), out=folder / "images", **given)


def rows_of(folder: Path) -> list[dict]:
    """The metadata of the images that `ask` made."""
    return files.read_jsonl(folder / "images" / "metadata.jsonl")
