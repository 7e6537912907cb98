"""A one-file checkpoint of Stable Diffusion (.safetensors, .ckpt) becomes a model folder, which every notebook takes.

    python -m aa_utils.pretrained.one_file v1-5-pruned.safetensors models/my-model

Such a file holds weights and no configuration. That comes from the Hugging Face hub (a few kilobytes), or without a network from the folder
of a model of the same shape: `--config models/stable-diffusion-v1-5`.
"""

import argparse
import shutil
import sys
from pathlib import Path

from aa_utils.errors import InputError
from aa_utils.paths import resolve
from aa_utils.pretrained import file_kinds, weight_files
from aa_utils.redaction import mask_output

XL = "conditioner.embedders."  # what only names of tensors of Stable Diffusion XL begin with


def convert(file: str | Path, folder: str | Path, config: str | Path = "") -> Path:
    """`folder`, newly made: the diffusers pipeline in `file`, its weights in the type that they have there.

    Errors: InputError for a file that is something else, holds code or lacks tensors, a folder that exists, or no configuration.
    """
    source, out = resolve(file), resolve(folder)
    if not source.is_file():
        raise InputError(f"no file '{file}'")
    if out.exists():
        raise InputError(f"'{folder}' is there already; give a folder that is not")
    if config and not (resolve(config) / "model_index.json").is_file():
        raise InputError(f"no model folder at config '{config}'; give one of the same shape, or leave it out to fetch a configuration")
    names = _names(source)
    if not any(name.startswith("model.diffusion_model.") for name in names):
        raise InputError(
            f"'{file}' is no one-file checkpoint of Stable Diffusion: it {file_kinds.of_names(names) or 'holds something else'}"
        )
    pipe = _pipeline(source, any(name.startswith(XL) for name in names), resolve(config) if config else None)
    temporary = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    pipe.save_pretrained(temporary)
    temporary.rename(out)
    return out


def _names(source: Path) -> list[str]:
    weight_files.check(source)
    if source.suffix.lower() == ".safetensors":
        return list(weight_files.tensors(source))
    from aa_utils.pretrained import whole

    found = whole.plain(source)
    return list(found.get("state_dict", found))


def _pipeline(source: Path, xl: bool, config: Path | None):
    import diffusers
    import torch

    from aa_utils.pretrained import whole
    from aa_utils.pretrained.quiet import quiet

    kind = diffusers.StableDiffusionXLPipeline if xl else diffusers.StableDiffusionPipeline
    try:
        with quiet():
            pipe = kind.from_single_file(str(source), config=str(config) if config else None, local_files_only=config is not None)
    except Exception as error:  # the hub, the configuration and the tensors may each be what is wrong
        raise InputError(
            f"'{source}' cannot be converted ({whole.reason(error)}); its configuration comes from the Hugging Face hub, or from a model "
            "folder of the same shape: --config FOLDER"
        ) from error
    for name, part in pipe.components.items():
        if isinstance(part, torch.nn.Module):
            missing = sorted(key for key, value in part.state_dict().items() if value.is_meta)
            if missing:
                raise InputError(f"'{source}' is not whole: it lacks {len(missing)} tensors of the {name} ({', '.join(missing[:3])}, …)")
            whole.check_finite(part, source)
    return pipe


def main(arguments: list[str] | None = None) -> int:
    """Convert a file; returns the exit code: 0 done, 2 the call was wrong."""
    if arguments is None:
        mask_output()
    parser = argparse.ArgumentParser(prog="python -m aa_utils.pretrained.one_file", description="A one-file checkpoint becomes a folder.")
    parser.add_argument("file", help="a .safetensors or .ckpt of Stable Diffusion")
    parser.add_argument("folder", help="the model folder to make")
    parser.add_argument("--config", default="", help="a model folder of the same shape; empty: fetched from the hub")
    options = parser.parse_args(arguments)
    try:
        print(f"made '{convert(options.file, options.folder, options.config)}'; give it as model")
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
