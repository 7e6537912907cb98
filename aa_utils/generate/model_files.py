"""A text-to-image model on disk: is it there, is it whole, which one is it. No torch: a wrong path is said within a second."""

import hashlib
from pathlib import Path

from aa_utils import files
from aa_utils.errors import InputError
from aa_utils.paths import resolve
from aa_utils.pretrained import file_kinds, weight_files, whole_folders
from aa_utils.pretrained.clip import HUB_ID

DEFAULT_SIDE = 1024  # pixels; assumed where a model does not say how large its images are
GLIDE_FOLDER = "artifacts/glide"  # where preset `glide` looks for OpenAI's two checkpoints
GLIDE_FILES = ("base.pt", "upsample.pt")
GLIDE_URL = "https://openaipublic.blob.core.windows.net/diffusion/dec-2021"
NEVER_LOADED = ("safety_checker", "feature_extractor")  # it would black out images that keep their label


def find(model: str | Path, revision: str = "") -> Path | None:
    """The folder of `model`, checked; None for a hub id (organisation/name), which is not on this disk yet.

    Errors: InputError if there is no such folder, or it is something else (a LoRA, one file), or a part of it is missing or cut off.
    """
    path = resolve(model)
    if str(model).strip() and path.exists():
        if not is_glide(path) and (refusal := file_kinds.refusal(path, model)):
            raise refusal
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
            with (folder / name).open("rb") as stream:
                if reason := weight_files.no_weights(stream.read(1024)):
                    raise InputError(f"'{folder / name}' {reason}")
        return
    for name, (library, kind) in components(folder).items():
        part = folder / name
        if not part.is_dir():
            raise InputError(f"model '{folder}' is incomplete: no folder '{name}' ({kind}), which its model_index.json names")
        whole_folders.check_files(part)
        if name == "scheduler":
            _check_schedule(part / "scheduler_config.json")
        if library not in weight_files.STEMS:
            continue
        if (part / "config.json").exists():
            for file in whole_folders.choose(part, library).files:
                weight_files.check(file)
        elif any(file.suffix in weight_files.SUFFIXES for file in part.iterdir()):
            raise InputError(f"model '{folder}' is incomplete: '{name}' has weights and no config.json; fetch it again")


def _check_schedule(file: Path) -> None:
    """InputError if a config says no noise schedule: diffusers would take another one than the model was trained with."""
    if not weight_files.read_json(file).keys() & {"_class_name", "num_train_timesteps"}:
        raise InputError(f"'{file}' says no noise schedule, neither its _class_name nor num_train_timesteps; fetch it again")


def is_glide(folder: Path) -> bool:
    """True for a folder of OpenAI's GLIDE checkpoints, which are no diffusers pipeline."""
    return any((folder / name).is_file() for name in GLIDE_FILES) and not (folder / "model_index.json").exists()


def components(folder: Path) -> dict[str, tuple[str, str]]:
    """{name: (library, class)} of the pipeline's parts that are loaded: a safety checker and its extractor are not.

    Errors: InputError for a model_index.json that names no pipeline.
    """
    index, parts = _index(folder), {}
    for name, value in index.items():
        if isinstance(value, list) and value != [None, None] and name not in NEVER_LOADED and not name.startswith("_"):
            if len(value) != 2 or not all(isinstance(word, str) and word.replace(".", "_").isidentifier() for word in (name, *value)):
                raise InputError(f"'{folder / 'model_index.json'}' gives {name!r} as {value!r}; a part is [library, class]")
            parts[name] = tuple(value)
    if not isinstance(index.get("_class_name"), str) or not parts:
        raise InputError(f"'{folder / 'model_index.json'}' names no diffusers pipeline")
    return parts


def pipeline_class(folder: Path) -> str:
    """The name of the diffusers class that the folder was saved from."""
    return str(_index(folder)["_class_name"])


def absent(folder: Path) -> dict[str, None]:
    """{name: None} of the pipeline's parts that its folder was saved without, and of those that are never loaded."""
    return {name: None for name, value in _index(folder).items() if value == [None, None] or name in NEVER_LOADED}


def download(model: str, revision: str) -> Path:
    """The local snapshot of the hub model `model` at `revision` ("" for the newest), fetched if it is not in the cache, checked.

    Errors: InputError if it cannot be had, or is not whole.
    """
    folder = _snapshot(model, revision)
    try:
        check(folder)
    except InputError:
        folder = _snapshot(model, revision, variant="fp16")  # a repository may hold nothing but that
        check(folder)
    return folder


def _snapshot(model: str, revision: str, **which: str) -> Path:
    from diffusers import DiffusionPipeline

    try:
        # The parts given as None are not fetched: the safety checker of Stable Diffusion 1 alone has 1.2 GB.
        return Path(DiffusionPipeline.download(model, revision=revision or None, **dict.fromkeys(NEVER_LOADED), **which))
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
            sample = weight_files.read_json(folder / name / "config.json").get("sample_size")
            vae = weight_files.read_json(folder / "vae" / "config.json")
            channels = vae.get("block_out_channels") or vae.get("encoder_block_out_channels")
            if isinstance(sample, int) and channels:
                side = sample * 2 ** (len(channels) - 1)
    return side, side


def _index(folder: Path) -> dict:
    return weight_files.read_json(folder / "model_index.json")
