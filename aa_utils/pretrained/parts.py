"""The parts of a diffusers pipeline, each through the one door, and fitting each other."""

from pathlib import Path

import torch
from torch import nn

from aa_utils.errors import InputError
from aa_utils.pretrained import vocabulary, whole, whole_folders


def load(folder: Path, components: dict[str, tuple[str, str]], dtype: torch.dtype) -> dict[str, object]:
    """{name: loaded part} of the pipeline in `folder`, whose parts are {name: (library, class)}; models are in `dtype`, on the CPU.

    Errors: InputError for a class that is no part of a pipeline, a part that is not whole, a tokenizer that is another text encoder's.
    """
    parts = {name: _part(folder / name, *which, dtype) for name, which in components.items()}
    for name, tokenizer in parts.items():
        encoder = parts.get(name.replace("tokenizer", "text_encoder"))
        if name.startswith("tokenizer") and isinstance(encoder, nn.Module):
            vocabulary.check_fits(tokenizer, encoder, folder / name)
            whole_folders.check_vocabulary(tokenizer, encoder, folder / name)
    return parts


def _part(folder: Path, library: str, name: str, dtype: torch.dtype) -> object:
    kind = _class(folder, library, name)
    if issubclass(kind, nn.Module):
        return whole.load(kind, folder, dtype)
    if "Tokenizer" in name:
        return vocabulary.load(kind, folder)
    part = whole.loaded(kind, folder)
    if isinstance(part, nn.Module):
        raise InputError(f"'{folder}' is named as {library}.{name}, which loads any model; name the model's own class in model_index.json")
    return part


def _class(folder: Path, library: str, name: str) -> type:
    import diffusers
    import transformers

    module = {"diffusers": diffusers, "transformers": transformers}.get(library) or getattr(diffusers.pipelines, library, None)
    try:
        kind = getattr(module, name, None)
    except (ImportError, RuntimeError) as error:  # transformers imports a class when it is asked for
        raise InputError(f"'{folder}' is named as {library}.{name}, which cannot be imported: {whole.reason(error)}") from error
    if not isinstance(kind, type) or not hasattr(kind, "from_pretrained"):
        versions = f"diffusers {diffusers.__version__} and transformers {transformers.__version__}"
        raise InputError(f"'{folder}' is named as {library}.{name} in model_index.json, and {versions} have no such part")
    return kind
