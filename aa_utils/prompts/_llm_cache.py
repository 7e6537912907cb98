"""Answers on disk, one file each: a run that was killed, or asks for more prompts, repeats nothing and pays nothing twice."""

import hashlib
import json
from pathlib import Path

from aa_utils import files
from aa_utils.paths import resolve
from aa_utils.progress import note

FIELDS = {"content", "refusal", "finish_reason", "model", "tokens_in", "tokens_out", "base_url", "answer_format"}


def path(folder: str, request: dict) -> Path:
    """Where the answer to `request` lies: below `folder`, named by the SHA-256 of what was asked (model, messages, seed, temperature, …).

    The server's address is no part of it, nor is any key: whoever has the folder gets the same prompts, without a server and without
    paying. An entry says which server gave it. Two servers with different weights under one model name need two folders.
    """
    return resolve(folder) / f"{_digest(request)}.json"


def load(folder: str, request: dict) -> tuple[dict | None, bool]:
    """(the answer kept for `request`, or None; is there a file that is not as it was written?)

    An entry carries the SHA-256 of its answer. One that was edited, cut or emptied does not count: it is named, and None is returned, so
    that the request is made, and paid, again.
    """
    file = path(folder, request)
    if not file.exists():
        return None, False
    try:
        entry = json.loads(file.read_text(encoding="utf-8"))
        answer = entry["answer"]
        if entry["request"] == request and set(answer) >= FIELDS and entry["sha256"] == _digest(answer):
            return answer, False
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    what = f"'{file}' is not as it was written (edited, or cut); the question is asked again"
    note(f"llm: {what}")
    print(what)
    return None, True


def store(folder: str, request: dict, answer: dict) -> None:
    """Keep `answer`, atomically."""
    files.write_json(path(folder, request), {"request": request, "answer": answer, "sha256": _digest(answer)})


def _digest(value: dict) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=True).encode()).hexdigest()
