"""The plan of a generation: every image to make, in one fixed order, cut into batches."""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from aa_utils.errors import InputError
from aa_utils.files import text
from aa_utils.paths import resolve
from aa_utils.runner import finished_run
from aa_utils.seeds import stable_hash

FIELDS = {"id": str, "label": int, "class_name": str, "text": str}
MOST_LABELS, LONGEST = 1_000_000, 20_000  # classes; characters of a text, of which text encoders read some hundreds
_NO_TEXT = re.compile("[\0\ud800-\udfff]")  # NUL, and halves of characters, which JSON can say and no tokenizer takes
_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,150}")


@dataclass(frozen=True)
class Job:
    """One image to make."""

    file_name: str  # "<class slug>/<prompt id>-<copy>.png", relative to the image folder
    label: int
    class_name: str
    prompt_id: str
    text: str
    seed: int  # of this image's own noise


def read_prompts(prompts: str | Path) -> list[dict]:
    """The rows of a prompts.jsonl, or of the one in the folder `prompts`. Errors: InputError naming the first line that is wrong."""
    path = resolve(prompts)
    path = path / "prompts.jsonl" if path.is_dir() else path
    if not str(prompts) or not path.is_file():
        raise InputError(f"no prompts at '{prompts}'; 10_prompts makes a prompts.jsonl")
    finished_run.check_output(path)
    rows: list[dict] = []
    ids: set[str] = set()
    names: dict[int, str] = {}
    for number, row in text.json_rows(path):
        wrong = _wrong(row)
        if not wrong and row["id"] in ids:
            wrong = f"has the id '{row['id']}' of an earlier line"
        if not wrong and names.setdefault(row["label"], row["class_name"]) != row["class_name"]:
            wrong = f"gives label {row['label']} the class_name '{row['class_name']}'; before it was '{names[row['label']]}'"
        if wrong:
            raise InputError(f"line {number} of '{path}' {wrong}")
        ids.add(row["id"])
        rows.append(row)
    if not rows:
        raise InputError(f"'{path}' holds no prompts")
    if len(set(names.values())) < len(names):
        raise InputError(f"'{path}' gives one class_name to two labels: {names}")
    return rows


def plan(rows: list[dict], images_per_prompt: int, seed: int) -> list[Job]:
    """All images of the prompt rows: the first copy of every prompt, then the second ones, …: more copies only add to the end."""
    folders = _slugs({row["label"]: row["class_name"] for row in rows})
    return [
        Job(
            file_name=f"{folders[row['label']]}/{row['id']}-{copy:04d}.png",
            label=row["label"],
            class_name=row["class_name"],
            prompt_id=row["id"],
            text=row["text"],
            seed=stable_hash(seed, row["id"], copy),
        )
        for copy in range(images_per_prompt)
        for row in rows
    ]


def batches(work: list[Job], batch_size: int) -> list[list[Job]]:
    """`work` in slices of `batch_size`, the last one maybe shorter. Shard k of n takes the batches k, k + n, k + 2n, …"""
    return [work[start : start + batch_size] for start in range(0, len(work), batch_size)]


def fingerprint(rows: Iterable[dict]) -> str:
    """16 hex digits that say which prompts these are."""
    said = "\n".join(json.dumps([row[name] for name in FIELDS], ensure_ascii=False) for row in rows)
    return hashlib.sha256(said.encode(errors="surrogatepass")).hexdigest()[:16]


def _wrong(row: dict) -> str:
    """What is wrong with a row, or ""."""
    for name, kind in FIELDS.items():
        if type(row.get(name)) is not kind:
            return f"has {name}={row[name]!r}, no {kind.__name__}" if name in row else f"has no '{name}'"
        if kind is str and not any(c.isprintable() and not c.isspace() for c in row[name]):
            return f"has an empty '{name}'"
        if kind is str and len(row[name]) > LONGEST:
            return f"has a '{name}' of {len(row[name]):,} characters, {row[name][:40]!r}…; {LONGEST:,} are the most"
        if kind is str and _NO_TEXT.search(row[name]):
            return f"has a '{name}' with NUL or half a character: {row[name][:40]!r}"
    if not 0 <= row["label"] < MOST_LABELS:
        return f"has the label {str(row['label'])[:20]}; labels count the classes from 0, and there are fewer than {MOST_LABELS:,}"
    if not _SAFE_ID.fullmatch(row["id"]):
        return f"has the id {row['id']!r}; an id becomes a file name: letters, digits, '.', '_' and '-' only, 150 at most"
    return ""


def _slugs(class_names: dict[int, str]) -> dict[int, str]:
    """A folder name for each label; classes whose names differ in signs alone ("c", "c#") get their label added."""
    slugs = {label: "".join(c if c.isalnum() else "-" for c in name.lower()).strip("-")[:60] for label, name in class_names.items()}
    slugs = {label: re.sub("-+", "-", slug).encode()[:120].decode(errors="ignore") for label, slug in slugs.items()}
    taken = list(slugs.values())
    return {label: slug if slug and taken.count(slug) == 1 else f"{slug or 'class'}--{label}" for label, slug in slugs.items()}
