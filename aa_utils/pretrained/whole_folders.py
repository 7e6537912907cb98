"""What a model folder may lack although each of its files is right: names that are files, and a vocabulary as large as the encoder's."""

from pathlib import Path

from aa_utils.errors import InputError
from aa_utils.pretrained import clip, weight_files

CONFIGS = (".json", ".txt", ".model")  # endings of what is read beside the weights
SPECIAL = ("bos_token", "eos_token", "pad_token")
_KINDS = (("is_dir", "a folder"), ("is_fifo", "a pipe (FIFO)"), ("is_socket", "a socket"), ("is_block_device", "a device"))


def choose(folder: Path, library: str) -> weight_files.Choice:
    """`weight_files.choose`; where that finds no weights and a name in `folder` is no file, the InputError says so."""
    try:
        return weight_files.choose(folder, library)
    except InputError:
        check_files(folder, weight_files.SUFFIXES)
        raise


def check_files(folder: Path, endings: tuple[str, ...] = CONFIGS) -> None:
    """InputError for a name with one of these `endings` in `folder` that should be a file and is none.

    Such are a link to nothing, a FIFO (reading it would wait), a device, a folder.
    """
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in endings or path.is_file():
            continue
        if path.is_symlink() and not path.exists():
            target = path.readlink()
            raise InputError(
                f"'{path}' is a link to '{target}', and there is no such file: it was moved or deleted, or the folder was copied without "
                "what its links point to; fetch the model again"
            )
        kind = next((words for test, words in _KINDS if getattr(path, test)()), "a device")
        raise InputError(f"'{path}' is {kind}, and a file belongs there; fetch the model again")


def check_vocabulary(tokenizer, encoder, folder: Path) -> None:
    """InputError if a CLIP text `encoder` knows more tokens than the `tokenizer` from `folder` has, or has no place for a special one.

    Others (T5, Gemma) have embeddings with room to spare. With a vocabulary that was cut a text falls apart into other tokens than the
    encoder learned, and nothing else would say so.
    """
    config = getattr(encoder.config, "text_config", encoder.config)
    if not str(getattr(config, "model_type", "")).startswith("clip"):
        return
    size, tokens = config.vocab_size, set(tokenizer.get_vocab().values())
    lacking = size - len(tokens)
    if lacking > 0:
        raise InputError(
            f"'{folder}' has no whole vocabulary: {len(tokens)} tokens, and the text encoder learned {size}; its vocab.json or "
            "tokenizer.json is cut off, or another model's: fetch it again"
        )
    for name in SPECIAL:
        number = getattr(tokenizer, f"{name}_id", None)
        if number is not None and not 0 <= number < size:
            raise InputError(f"'{folder}' gives its {name} the number {number}, and the text encoder knows 0 to {size - 1}; fetch it again")


def load_clip(model: str | Path, device: str = "cpu") -> tuple:
    """`clip.load`, of a folder that is whole in these ways too. Errors: InputError as there, and as of the checks above."""
    folder = clip.find(model)
    check_files(folder)
    choose(folder, "transformers")
    net, tokenizer, processor = clip.load(folder, device)
    check_vocabulary(tokenizer, net, folder)
    return net, tokenizer, processor
