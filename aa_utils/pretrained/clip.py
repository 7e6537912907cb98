"""A transformers `CLIPModel` with its tokenizer and image processor, whole and belonging together."""

import hashlib
import re
from pathlib import Path

from aa_utils import devices, files
from aa_utils.errors import InputError
from aa_utils.paths import resolve

HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")
FILES = ("*.json", "*.safetensors", "*.txt")  # of a CLIP folder, that decide what it says
PICKLED = ("pytorch_model*.bin", "pytorch_model*.bin.index.json")  # of those that have no safetensors


def find(model: str | Path) -> Path:
    """The folder of a CLIP model; a hub id's snapshot is fetched if it is not in the cache. Errors: InputError if there is none."""
    path = resolve(model)
    if str(model).strip() and (path / "config.json").is_file():
        return path
    if not HUB_ID.fullmatch(str(model)) or resolve(str(model).partition("/")[0]).exists():
        raise InputError(f"cannot load a CLIP model: no CLIP model at '{model}', neither a folder with a config.json nor a hub id")
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(str(model), allow_patterns=list(FILES)))
        if not list(folder.glob("*.safetensors")):  # older models have pickled weights only
            folder = Path(snapshot_download(str(model), allow_patterns=[*FILES, *PICKLED]))
        return folder
    except (OSError, ValueError) as error:
        raise InputError(f"cannot fetch '{model}' from the Hugging Face hub: {str(error).strip().splitlines()[0][:200]}") from error


def revision(folder: Path) -> str:
    """Which CLIP this is: a hub snapshot's commit, else 12 hex digits of a hash of its files."""
    if folder.parent.name == "snapshots":
        return folder.name
    found = sorted(file for pattern in (*FILES, "*.bin") for file in folder.glob(pattern))
    return hashlib.sha256("".join(f"{file.name}\0{files.sha256(file)}\n" for file in found).encode()).hexdigest()[:12]


def load(model: str | Path, device: str = "cpu") -> tuple:
    """(CLIPModel, tokenizer, image processor) of a folder or hub id: the model in float32 on `device`, ready to compare.

    Errors: InputError if it cannot be had, is not whole (by the names of its tensors), or its parts are not of one model.
    """
    from transformers import AutoTokenizer, CLIPImageProcessor, CLIPModel

    from aa_utils.pretrained import vocabulary, whole

    device, folder = devices.choose(device), find(model)
    net = whole.load(CLIPModel, folder)
    whole.check_finite(net, folder)
    tokenizer = vocabulary.load(AutoTokenizer, folder)
    vocabulary.check_fits(tokenizer, net, folder)
    processor = whole.loaded(CLIPImageProcessor, folder)
    _check_pixels(processor, net.config.vision_config.image_size, folder)
    return net.to(device), tokenizer, processor


def _check_pixels(processor, side: int, folder: Path) -> None:
    """InputError unless the image processor makes pictures of `side` pixels, which the model takes."""
    import numpy as np

    shape = tuple(processor(images=[np.zeros((side + 5, side + 9, 3), np.uint8)], return_tensors="pt").pixel_values.shape[-2:])
    if shape != (side, side):
        raise InputError(
            f"'{folder / 'preprocessor_config.json'}' is that of another model: it makes pictures of {shape[1]}x{shape[0]}, and the model "
            f"takes {side}x{side}"
        )
