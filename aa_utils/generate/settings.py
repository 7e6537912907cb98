"""The settings of stage 2 and their defaults: notebook 20 in the checkout, `python -m aa_utils.generate` and one's own photos anywhere.

The notebook's cell has literals of its own, since papermill replaces nothing else; a test holds them against these fields.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Settings:
    """Of models that run here; those of a web service are `openai_images.Service`. What is left open is filled in by `presets.expand`."""

    prompts: str = field(default="", metadata={"comment": "input: prompts made by 10_prompts"})
    preset: str = ""  # a name in presets.PRESETS
    model: str = field(default="", metadata={"comment": "optional input, hub id or name: a diffusers folder, openai_images:<name>"})
    revision: str = ""  # of a hub id: branch, tag or commit
    scheduler: str = ""  # a diffusers class
    steps: int = 0  # 0: the preset's, as with what follows
    guidance: float = -1.0
    width: int = 0
    height: int = 0
    dtype: str = ""
    switches: list[str] = field(default_factory=list)  # switches.py
    batch_size: int = 32  # part of the settings: another one may change last bits
    images_per_prompt: int = 1
    seed: int = 0
    device: str = "auto"
    clip: str = field(default="models/pocket-clip", metadata={"comment": "optional input or hub id: CLIP that scores images"})
    template: str = "a photo of a {}"  # how CLIP is told the name of a class
    out: str = ""
