"""What a person gave papermill in YAML (`-f`, `-y`, `-b`), read as the runner reads it: papermill takes 010 for 8, 1:30 for 90, and of a
key that is there twice the last one, without a word. A kernel sees the values alone, so the call is read from the process above it.
"""

import base64
import os
from pathlib import Path

from aa_utils.errors import InputError
from aa_utils.files import text
from aa_utils.runner.yaml_values import read_yaml

COMPUTES_NOTHING = "what a run is asked for: its record says it"


def values() -> dict[str, tuple[object, str]]:
    """name -> (value, where it was given), of the YAML of the papermill call above this process; empty without one, or without /proc."""
    process = Path(f"/proc/{os.getppid()}")
    try:
        words = os.fsdecode((process / "cmdline").read_bytes()).split("\0")[:-1]
        folder = Path(os.readlink(process / "cwd"))
    except OSError:  # no such system, or another person's process
        return {}
    return of_call(words, folder)


def of_call(words: list[str], folder: Path) -> dict[str, tuple[object, str]]:
    """The same for the command line `words`, called in `folder`; names that `-p` or `-r` sets afterwards are left out.

    Errors: InputError for a text that is no YAML of `name: value` lines, or has a key twice.
    """
    arguments = _arguments(words)
    if not any(word.startswith(("-f", "-y", "-b", "--parameters_")) for word in arguments):
        return {}
    from papermill import cli

    try:
        given = cli.papermill.make_context("papermill", arguments, resilient_parsing=True).params
    except cli.click.ClickException:  # another program, whose argument is called papermill
        return {}
    texts = [("papermill's -b", base64.b64decode(one).decode()) for one in given.get("parameters_base64") or ()]
    files = [(one, folder / one) for one in given.get("parameters_file") or ()]
    texts += [(f"'{one}'", text.read(path, f"'{one}'")) for one, path in files if path.is_file()]  # it also reads addresses
    texts += [("papermill's -y", one) for one in given.get("parameters_yaml") or ()]
    later = {name for option in ("parameters", "parameters_raw") for name, _ in given.get(option) or ()}
    return {name: pair for where, one in texts for name, pair in _named(one, where).items() if name not in later}


def _arguments(words: list[str]) -> list[str]:
    """What follows `papermill`, `python -m papermill` or `python …/papermill/__main__.py`; nothing of another program's."""
    start = next((i for i, word in enumerate(words[:6]) if Path(word).stem == "papermill" or word.endswith("papermill/__main__.py")), None)
    return [] if start is None else words[start + 1 :]


def _named(source: str, where: str) -> dict[str, tuple[object, str]]:
    loaded = read_yaml(source, where)
    if not isinstance(loaded, dict):
        raise InputError(f"{where} must hold 'name: value' lines, and it holds {'nothing' if loaded is None else 'none'}")
    return {str(name): (value, where) for name, value in loaded.items()}
