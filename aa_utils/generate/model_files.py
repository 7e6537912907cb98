"""A text-to-image model on disk: is it there, is it whole, which one is it. No torch: a wrong path is said within a second."""

import hashlib
import json
import re
from pathlib import Path

from aa_utils import files
from aa_utils.errors import InputError
from aa_utils.paths import resolve

HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")
DEFAULT_SIDE = 1024  # pixels; assumed where a model does not say how large its images are
GLIDE_FOLDER = "artifacts/glide"  # where preset `glide` looks for OpenAI's two checkpoints
GLIDE_FILES = ("base.pt", "upsample.pt")
GLIDE_URL = "https://openaipublic.blob.core.windows.net/diffusion/dec-2021"
_WEIGHTS = ("*.safetensors", "*.bin")


def find(model: str | Path, revision: str = "") -> Path | None:
    """The folder of `model`, checked; None for a hub id (organisation/name), which is not on this disk yet.

    Errors: InputError if there is no such folder, or a part of the pipeline is missing or cut off.
    """
    path = resolve(model)
    if str(model).strip() and path.is_dir():
        if revision:
            raise InputError(f"revision='{revision}' is for models of the hub; '{model}' is a folder, which has but one")
        check(path)
        return path
    if str(model) == GLIDE_FOLDER:
        raise InputError(f"no folder '{model}'; make it and fetch {' and '.join(f'{GLIDE_URL}/{name}' for name in GLIDE_FILES)} into it")
    name = str(model)
    # "models/x" looks like a hub id too: where the first part is a folder here, a path was meant.
    if HUB_ID.fullmatch(name) and not resolve(name.partition("/")[0]).exists():
        return None
    raise InputError(f"no model folder at '{model}', and it is not a hub id (organisation/name) either")


def check(folder: Path) -> None:
    """InputError unless `folder` holds a whole diffusers pipeline (model_index.json and every component it names), or GLIDE's files."""
    if is_glide(folder):
        for name in GLIDE_FILES:
            if not (folder / name).is_file():
                raise InputError(f"model '{folder}' is incomplete: no '{name}'; fetch {GLIDE_URL}/{name} into it")
        return
    for name, (library, kind) in components(folder).items():
        part = folder / name
        if not part.is_dir():
            raise InputError(f"model '{folder}' is incomplete: no folder '{name}' ({kind}), which its model_index.json names")
        if library in ("diffusers", "transformers") and (part / "config.json").exists():
            weights = sorted(file for pattern in _WEIGHTS for file in part.glob(pattern))
            if not weights:
                raise InputError(f"model '{folder}' is incomplete: '{name}' has a config.json and no weights (*.safetensors)")
            for file in weights:
                _check_weights(file)


def is_glide(folder: Path) -> bool:
    """True for a folder of OpenAI's GLIDE checkpoints, which are no diffusers pipeline."""
    return any((folder / name).is_file() for name in GLIDE_FILES) and not (folder / "model_index.json").exists()


def components(folder: Path) -> dict[str, tuple[str, str]]:
    """{name: (library, class)} of the pipeline's parts that are loaded: a safety checker and its extractor are not."""
    index = _read_json(folder / "model_index.json")
    parts = {name: tuple(value) for name, value in index.items() if isinstance(value, list) and len(value) == 2 and value[1]}
    if index.get("safety_checker") is not None:
        parts = {name: value for name, value in parts.items() if name not in ("safety_checker", "feature_extractor")}
    if "_class_name" not in index or not parts:
        raise InputError(f"'{folder / 'model_index.json'}' names no diffusers pipeline")
    return parts


def pipeline_class(folder: Path) -> str:
    """The name of the diffusers class that the folder was saved from."""
    return str(_read_json(folder / "model_index.json")["_class_name"])


def absent(folder: Path) -> dict[str, None]:
    """{name: None} of the pipeline's parts that its folder was saved without."""
    return {name: None for name, value in _read_json(folder / "model_index.json").items() if value == [None, None]}


def download(model: str, revision: str) -> Path:
    """The local snapshot of the hub model `model` at `revision` ("" for the newest), fetched if it is not in the cache."""
    from diffusers import DiffusionPipeline

    try:
        # The parts given as None are not fetched: the safety checker of Stable Diffusion 1 alone has 1.2 GB.
        return Path(DiffusionPipeline.download(model, revision=revision or None, safety_checker=None, feature_extractor=None))
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0].partition(" (")[0]
        at = f" at revision '{revision}'" if revision else ""
        raise InputError(f"cannot fetch '{model}'{at} from the Hugging Face hub: {reason}; or give the path of a model folder") from error


def revision(folder: Path) -> str:
    """Which model this is: a hub snapshot's commit, else 12 hex digits of a hash of the pipeline's files."""
    if folder.parent.name == "snapshots":
        return folder.name
    if is_glide(folder):
        return hashlib.sha256("".join(files.sha256(folder / name) for name in GLIDE_FILES).encode()).hexdigest()[:12]
    digest = hashlib.sha256((folder / "model_index.json").read_bytes())
    for name in sorted(components(folder)):
        digest.update(f"{name}\0{files.sha256(folder / name)}\n".encode())
    return digest.hexdigest()[:12]


def own_scheduler(folder: Path) -> str:
    """The class name of the scheduler that comes with the model; GLIDE has its own sampler."""
    if is_glide(folder):
        return "GLIDE"
    return components(folder).get("scheduler", ("", "unknown"))[1]


def check_scheduler(folder: Path, scheduler: str) -> None:
    """InputError unless `scheduler` is "" or names a diffusers scheduler that can stand in for the model's own."""
    import diffusers

    if not scheduler:
        return
    if is_glide(folder):
        raise InputError(f"scheduler is '{scheduler}'; GLIDE has its own sampler, so leave it empty")
    own = getattr(diffusers, own_scheduler(folder), None)
    fitting = sorted({own_scheduler(folder), *getattr(own, "_compatibles", [])})
    if scheduler not in fitting:
        raise InputError(f"scheduler '{scheduler}' does not fit '{folder.name}'; these do: {', '.join(fitting)}")


def image_size(folder: Path | None, width: int, height: int) -> tuple[int, int]:
    """(width, height) in pixels of the images to come, for the estimate of disk space: as asked, else as the model's configs say."""
    if width:
        return width, height
    side = 256 if folder and is_glide(folder) else DEFAULT_SIDE
    for name in ("unet", "transformer"):
        if folder and (folder / name / "config.json").exists() and (folder / "vae" / "config.json").exists():
            sample = _read_json(folder / name / "config.json").get("sample_size")
            vae = _read_json(folder / "vae" / "config.json")
            channels = vae.get("block_out_channels") or vae.get("encoder_block_out_channels")
            if isinstance(sample, int) and channels:
                side = sample * 2 ** (len(channels) - 1)
    return side, side


def _read_json(path: Path) -> dict:
    if not path.is_file():
        raise InputError(f"no '{path.name}' in '{path.parent}': that is no diffusers model folder")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"'{path}' is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"'{path}' is not a JSON object")
    return content


def _check_weights(file: Path) -> None:
    """A download that broke off, or a pointer that git-lfs left, is found by its length, without reading the weights."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = stream.read(8)
        if start == b"version ":
            raise InputError(f"'{file}' is a git-lfs pointer, not the weights themselves; run: git lfs pull")
        if file.suffix == ".safetensors":
            length = int.from_bytes(start, "little")
            try:
                header = json.loads(stream.read(length)) if 0 < length < size else {}
                end = 8 + length + max(entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__")
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(f"'{file}' is not a safetensors file; fetch it again") from error
            if end != size:
                raise InputError(f"'{file}' is cut off: {size} of {end} bytes; fetch it again")
