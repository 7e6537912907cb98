"""How the images of a folder were made: a call that makes them otherwise is refused, and images of which nobody knows it are set aside."""

import fcntl
import secrets
from collections.abc import Sequence
from pathlib import Path

from aa_utils import files
from aa_utils.data import rows as image_rows
from aa_utils.errors import InputError
from aa_utils.generate import jobs
from aa_utils.generate.jobs import Job
from aa_utils.progress import warn
from aa_utils.runner import finished_run

SETTINGS = ".settings.json"
ASIDE = ".of_other_code"  # images that the code of today would not make
_OF_ROWS = ("revision", "scheduler", "steps", "guidance")  # settings that stand in the row of every image too
_OWN_ROWS = {"file_name", "label", "class_name", "prompt_id", "prompt", "seed", "model", "sha256", *_OF_ROWS}


def check(out: Path, settings: dict) -> None:
    """InputError naming what differs if `out` holds images that were made with other settings, or elsewhere.

    Where the settings were lost, the rows of the images say a part of them.
    """
    before = read(out)
    told = _of_rows(out) if before is None else before
    for name, value in settings.items():
        # A model is the same by its revision, wherever it lies; images of other code are set aside.
        if name in ("model", "images_per_prompt", "code") or (before is None and name not in told):
            continue
        if told.get(name) != value:
            was, now = (f"{x.get(name)!r}" + (f" ({x.get('model')})" if name == "revision" else "") for x in (told, settings))
            way_out = "choose another 'out' or delete that folder"
            if name == "prompts":  # their place in a batch may decide last bits, so images of a smaller set are no part of a larger one
                way_out = f"the writer, per_class, words and seed of the prompts decide it: a larger set needs a new 'out' ({way_out})"
            raise InputError(f"'{out}' holds images with {name} {was}, and this call has {now}; {way_out}")
    copies = settings["images_per_prompt"]
    if copies < told.get("images_per_prompt", 0):
        raise InputError(f"'{out}' already holds {told['images_per_prompt']} images a prompt, not {copies}; choose another 'out'")


def set_aside(out: Path, code: str, work: Sequence[Job]) -> None:
    """Move images that other code made in `out` to a hidden folder there, and say so. Shards that start together do it once.

    So it goes with images of `work` of which nobody knows how they were made, for their settings are gone or cannot be read.
    """
    if not _are_strange(out, code, work):
        return
    with (out / ".set_aside.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _are_strange(out, code, work):
            return
        before, there = read(out), (out / SETTINGS).exists()
        aside = out / ASIDE / f"{(before or {}).get('code', 'unknown')}-{secrets.token_hex(4)}"
        aside.mkdir(parents=True)
        for path in sorted(out.iterdir()):
            stays = path.name in (ASIDE, finished_run.ASIDE)
            if (path.is_dir() and not stays) or path.name == "metadata.jsonl" or path.name.startswith(".clip_score"):
                path.rename(aside / path.name)
        # Last of all: who is killed on the way moves the rest next time.
        if before:
            files.write_json(out / SETTINGS, before | {"code": code})
        else:
            (out / SETTINGS).unlink(missing_ok=True)
    lost = f"its settings were lost, so nobody knows how its images were made ('{SETTINGS}' {'is not whole' if there else 'is gone'})"
    why = "its images were made with other code" if before else lost
    warn(f"'{out}' starts anew: {why}. They lie in '{aside}'; remove them if nobody wants them")


def mark(out: Path, settings: dict) -> None:
    """Write that `out` holds images made with `settings`. Errors: InputError as `check`."""
    path = out / SETTINGS
    if not path.exists():
        check(out, settings)
        files.write_json(path, settings)
    check(out, settings)  # read back: another shard may have been first, with other settings
    if settings["images_per_prompt"] > (read(out) or settings)["images_per_prompt"]:
        files.write_json(path, settings)


def read(out: Path) -> dict | None:
    """The settings that a folder was made with; None if there are none, or they cannot be read, which is said."""
    found = files.read_json_if_whole(out / SETTINGS)
    if not isinstance(found, dict) or "images_per_prompt" not in found:
        return None
    return {"switches": []} | found  # folders made before there were switches had none on


def _of_rows(out: Path) -> dict:
    """What the rows of a folder say of its settings; {} for no rows, or none that can be read.

    Errors: InputError if they are not those of a generator: people's own images are not to be moved.
    """
    if not (out / "metadata.jsonl").exists():
        return {}
    try:
        rows = image_rows.read(out)
    except InputError:
        rows = []
    if not rows or not all(row.keys() >= _OWN_ROWS for row in rows):
        if (out / SETTINGS).exists() or (not rows and (out / ".shards").is_dir()):
            return {}
        raise InputError(f"'{out}' already holds images that were made elsewhere; choose another 'out'")
    prompts: dict[str, dict] = {}
    for row in rows:  # in the order of the plan: the first copy of every prompt, then the second ones
        prompts.setdefault(row["prompt_id"], {**row, "id": row["prompt_id"], "text": row["prompt"]})
    told = {name: rows[0][name] for name in ("model", *_OF_ROWS)}
    return told | {"prompts": jobs.fingerprint(prompts.values())}


def _are_strange(out: Path, code: str, work: Sequence[Job]) -> bool:
    """Whether `out` holds images of other code, or of nobody knows which."""
    # First the images: they are written after the settings, so that another shard may begin at this very moment.
    images = (out / "metadata.jsonl").exists() or any((out / job.file_name).exists() for job in work)
    return (images or (out / SETTINGS).exists()) and (read(out) or {}).get("code") != code
