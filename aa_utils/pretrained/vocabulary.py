"""Tokenizers: transformers makes one with two tokens out of an empty folder, and every text is the same to it."""

import json
from pathlib import Path

from aa_utils.errors import InputError
from aa_utils.pretrained import whole

LEGACY_END = 2  # what old CLIP configs say of the end token, whichever it is


def load(kind: type, folder: Path):
    """The tokenizer of the class `kind` in `folder`. Errors: InputError if it has no vocabulary there, or a part of one."""
    _check_files(kind, folder)
    tokenizer = whole.loaded(kind, folder)
    _check_files(type(tokenizer), folder)  # AutoTokenizer finds the class
    _check_merges(tokenizer, folder)
    return tokenizer


def check_fits(tokenizer, encoder, folder: Path) -> None:
    """InputError if the `tokenizer` from `folder` is not that of the text `encoder`: one has tokens that the other lacks, or another end.

    A tokenizer that names no greatest length gets the encoder's.
    """
    config = getattr(encoder.config, "text_config", encoder.config)
    size, greatest = getattr(config, "vocab_size", None), max(tokenizer.get_vocab().values(), default=-1)
    if size is not None and greatest >= size:
        raise InputError(f"'{folder}' is the tokenizer of another model: it has {greatest + 1} tokens, and the text encoder knows {size}")
    end, clip = getattr(config, "eos_token_id", None), "clip" in str(getattr(config, "model_type", ""))
    if clip and end not in (None, LEGACY_END, tokenizer.eos_token_id):
        raise InputError(
            f"'{folder}' is the tokenizer of another model: its end token is {tokenizer.eos_token_id}, the text encoder's {end}"
        )
    length = getattr(config, "max_position_embeddings", None)
    if clip and length and tokenizer.model_max_length > length:
        tokenizer.model_max_length = length


def _check_files(kind: type, folder: Path) -> None:
    names = getattr(kind, "vocab_files_names", {})
    separate = [name for key, name in names.items() if key != "tokenizer_file"]
    if not names or (folder / names.get("tokenizer_file", "tokenizer.json")).is_file():
        return
    missing = [name for name in separate if not (folder / name).is_file()] or ([] if separate else [names["tokenizer_file"]])
    if missing:
        needs = " and ".join(separate) if separate else ""
        raise InputError(
            f"'{folder}' has no whole vocabulary for {kind.__name__}: no {' and no '.join(missing)}; "
            f"it needs tokenizer.json{f', or {needs}' if needs else ''}; fetch it again"
        )


def _check_merges(tokenizer, folder: Path) -> None:
    """InputError if a byte-pair vocabulary of CLIP's kind holds words that its merges never make: merges.txt is cut off.

    Each word but the single letters is made by one merge; without it, a text falls apart into other tokens than the model learned.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    model = json.loads(backend.to_str())["model"] if backend is not None else {}
    if model.get("type") != "BPE" or model.get("end_of_word_suffix") != "</w>":
        return
    made = {"".join(merge) if isinstance(merge, list) else merge.replace(" ", "", 1) for merge in model["merges"]}
    added = {str(token) for token in tokenizer.get_added_vocab()} | set(tokenizer.all_special_tokens)
    apart = [word for word in model["vocab"] if len(word.removesuffix("</w>")) > 1 and word not in made and word not in added]
    if apart:
        raise InputError(
            f"'{folder}' has no whole vocabulary: {len(apart)} of its {len(model['vocab'])} tokens, such as {apart[0]!r}, are made by no "
            "merge, so merges.txt or tokenizer.json is cut off; fetch it again"
        )
