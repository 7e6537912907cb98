"""Answers on disk, one file for each request: a run that was killed, or asks for more prompts, repeats nothing, pays nothing twice."""

import hashlib
import json
from pathlib import Path

from aa_utils import files
from aa_utils.errors import InputError
from aa_utils.paths import resolve

FIELDS = {"content", "refusal", "finish_reason", "model", "tokens_in", "tokens_out", "base_url", "answer_format"}


def path(folder: str, request: dict) -> Path:
    """Where the answer to `request` lies: below `folder`, named by the SHA-256 of what was asked (model, messages, seed, temperature, …).

    The server's address is no part of it, nor is any key: whoever has the folder gets the same prompts, without a server and without
    paying. An entry says which server gave it. Two servers with different weights under one model name need two folders.
    """
    text = json.dumps(request, sort_keys=True, ensure_ascii=True)
    return resolve(folder) / f"{hashlib.sha256(text.encode()).hexdigest()}.json"


def load(folder: str, request: dict) -> dict | None:
    """The answer kept for `request`, or None. Errors: InputError naming a file that is not one of ours."""
    file = path(folder, request)
    if not file.exists():
        return None
    try:
        entry = json.loads(file.read_text(encoding="utf-8"))
        if entry["request"] == request and set(entry["answer"]) >= FIELDS:
            return entry["answer"]
    except (ValueError, KeyError, TypeError):
        pass
    raise InputError(f"'{file}' is no answer of a language model that this code kept; delete it, and the request is made (and paid) again")


def store(folder: str, request: dict, answer: dict) -> None:
    """Keep `answer`, atomically."""
    files.write_json(path(folder, request), {"request": request, "answer": answer})
