"""What a file or folder that is no model folder is instead, and what to do with it: told by the names of its tensors, without torch."""

from collections.abc import Iterable
from pathlib import Path

from aa_utils.errors import InputError
from aa_utils.pretrained import weight_files

WEIGHTS = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")
ONE_FILE = "turn it into a folder by: python -m aa_utils.pretrained.one_file '{}' models/my-model"
LORA = (
    "holds LoRA weights, a change to a model and no model by itself; load the base model in diffusers, then load_lora_weights, fuse_lora "
    "and save_pretrained, and give that folder"
)
WHOLE = "give the folder of a whole pipeline, with its model_index.json"
# What the names of tensors contain, what the file is, and the way out.
CONTAINED = (
    (("lora_A.", "lora_B.", ".lora_down.", ".lora_up.", "lora.down.", "lora.up.", ".lora_linear_layer."), LORA, ""),
    (("lora_unet_", "lora_te", "lycoris_"), LORA, ""),
)
# What they begin with.
BEGINNINGS = (
    (("model.diffusion_model.", "cond_stage_model.", "conditioner."), "is a one-file checkpoint of Stable Diffusion", ONE_FILE),
    (("emb_params", "string_to_param", "clip_l", "clip_g"), "holds the embedding of one new word (textual inversion), and no model", ""),
    (("control_model.", "controlnet_", "input_hint_block."), "holds a ControlNet, which needs a picture beside each text", ""),
    (("first_stage_model.",), "holds an autoencoder alone", WHOLE),
    (("text_model.", "vision_model.", "embeddings.token_embedding"), "holds a CLIP or a text encoder alone", WHOLE),
    (("synthesis.", "mapping."), "holds a GAN's generator", "71_adapt_generator reads those; give a text-to-image model here"),
    (("down_blocks.", "transformer_blocks.", "conv_in."), "holds one part of a diffusers pipeline", WHOLE),
    (("encoder.down_blocks.", "decoder.up_blocks."), "holds the autoencoder of a diffusers pipeline alone", WHOLE),
)


def refusal(path: Path, given: object) -> InputError | None:
    """An InputError that says what `path`, `given` by the caller, is instead of a model folder; None if it may be one, or is not there."""
    if path.is_file():
        return InputError(f"'{given}' {_of_file(path)}")
    if not path.is_dir() or (path / "model_index.json").is_file():
        return None
    if (path / "adapter_config.json").is_file():
        return InputError(f"'{given}' {LORA}")
    inner = next((file.parent for file in sorted(path.glob("*/model_index.json"))), None)
    if inner is not None:
        return InputError(f"no 'model_index.json' in '{given}', and one in '{inner}': give that folder")
    what = f"no 'model_index.json' in '{given}': that is no diffusers model folder"
    if (path / "config.json").is_file():
        config = weight_files.read_json(path / "config.json")
        classes = config.get("architectures")
        own = config.get("_class_name") or (classes[0] if isinstance(classes, list) and classes else config.get("model_type"))
        return InputError(f"{what}; its config.json is that of a {own or 'single network'}, and a text-to-image model has several parts")
    weights = sorted(file for file in path.iterdir() if file.suffix.lower() in WEIGHTS and file.is_file())
    return InputError(f"{what}; '{weights[0].name}' in it {_of_file(weights[0])}" if weights else what)


def of_names(names: Iterable[str]) -> str:
    """What a file whose tensors have these names is, with the way out after a semicolon; "" if nobody knows."""
    names = list(names)
    ways = [entry for entry in CONTAINED if any(mark in name for mark in entry[0] for name in names)]
    ways += [entry for entry in BEGINNINGS if any(name.startswith(entry[0]) for name in names)]  # type: ignore[misc]
    return "; ".join(filter(None, ways[0][1:])) if ways else ""


def _of_file(path: Path) -> str:
    with path.open("rb") as stream:
        start = stream.read(1024)
    if reason := weight_files.no_weights(start):
        return reason
    if path.suffix.lower() == ".safetensors":
        try:
            weight_files.check(path)
            known = of_names(weight_files.tensors(path))
        except InputError as error:
            return f"cannot be read: {error}"
        return (known or "is a file of weights that this kit does not know; give a diffusers model folder").replace("{}", str(path))
    if start[:4] == b"GGUF":
        return "is a quantised GGUF file; fetch the model's diffusers folder"
    if path.suffix.lower() in WEIGHTS:
        return f"is one file, and a model is a folder here; if it is a checkpoint of Stable Diffusion, {ONE_FILE}".replace("{}", str(path))
    return "is a file, and no model; give a diffusers model folder or a hub id"
