"""The image folder: what must hold before it is written, one image and its row, and the metadata once all images stand."""

import errno
import hashlib
import io
import os
import secrets
import shutil
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING

from aa_utils import files
from aa_utils.data import formats, picture
from aa_utils.data import rows as image_rows
from aa_utils.errors import InputError
from aa_utils.generate import made_with
from aa_utils.generate.jobs import Job
from aa_utils.progress import warn

if TYPE_CHECKING:
    import numpy as np

BYTES_PER_PIXEL = 2.0  # of a PNG of a photograph; noise takes 3
BYTES_PER_FILE = 4096  # what a file system rounds up to


def writable(out: Path) -> Path:
    """`out`, made if need be. Errors: InputError if nothing can be written there."""
    probe = out / f".probe.{os.getpid()}-{secrets.token_hex(4)}.tmp"
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InputError(f"cannot write to '{out}': {error.strerror}; choose another 'out'") from error
    return out


def check_space(out: Path, work: list[Job], width: int, height: int) -> None:
    """InputError if the images of `work` that do not stand yet will not fit, at `width` x `height` pixels."""
    missing = len(work) - len(existing_images(out, work))
    need = missing * (width * height * BYTES_PER_PIXEL + BYTES_PER_FILE)
    free = shutil.disk_usage(out).free
    if need > free:
        raise InputError(
            f"{missing} images of {width}x{height} need about {need / 1e6:,.2f} MB, and '{out}' has {free / 1e6:,.2f} MB free; "
            "free some, move artifacts/ with the environment variable AA_ARTIFACTS, or make fewer"
        )


def open_for(out: Path, settings: dict, work: list[Job]) -> None:
    """Mark `out` as holding images made with `settings`. Errors: InputError as `made_with.check`."""
    made_with.mark(out, settings)
    if not finished_rows(out, work):
        (out / "metadata.jsonl").unlink(missing_ok=True)  # it is there only when the folder is whole


def existing_images(out: Path, work: list[Job]) -> set[str]:
    """The file names of `work` that exist already; an empty file, which a power failure can leave, does not count."""
    found = set()
    for name in {job.file_name.partition("/")[0] for job in work}:
        if (out / name).is_dir():
            with os.scandir(out / name) as entries:
                found.update(f"{name}/{entry.name}" for entry in entries if entry.stat().st_size)
    return {job.file_name for job in work} & found


def write_image(out: Path, job: Job, image: "np.ndarray", settings: dict) -> dict:
    """Write `image` (height, width, 3) uint8 as PNG; returns its metadata row."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "png")
    files.write_bytes(out / job.file_name, buffer.getvalue(), durable=False)  # its row has its SHA-256, and all are synced at the end
    sha256 = hashlib.sha256(buffer.getvalue()).hexdigest()
    return row_of(job, sha256, image.shape[1], image.shape[0], not image.any(), settings)


def rows_of_existing(out: Path, kept: list[Job], work: list[Job], settings: dict, threads: Executor) -> dict[str, dict]:
    """The rows, by file name, of the images `kept` that stand: the very rows that making them again would give, and later scores.

    Every file is read. Errors: InputError that names those which are no image any more, or not the one that was written.
    """
    before = _rows_that_stand(out)
    finished = before.keys() == {job.file_name for job in work}
    bad: list[str] = []

    def row(job: Job) -> dict:
        said, path = before.get(job.file_name, {}), out / job.file_name
        try:
            if said.get("sha256"):
                picture.check(path, said["sha256"])
            if finished and said.get("sha256"):
                return said
            found = picture.read(path)
        except formats.Unreadable as error:
            bad.append(f"{job.file_name} ({error})")
            return {}
        black = found.image.getbbox() is None
        return row_of(job, files.sha256(path), found.width, found.height, black, settings)

    rows = dict(zip((job.file_name for job in kept), threads.map(row, kept), strict=True))
    if bad:
        named = ", ".join(sorted(bad)[:20]) + (f" and {len(bad) - 20} more" if len(bad) > 20 else "")
        raise InputError(
            f"{len(bad)} of the {len(kept)} images that stand in '{out}' cannot be kept: {named}; delete them, and the same call makes "
            "them again"
        )
    return rows


def finished_rows(out: Path, work: list[Job]) -> dict[str, dict]:
    """The rows of metadata.jsonl by file name if it stands and holds exactly the images of `work`; else none."""
    rows = _rows_that_stand(out)
    return rows if rows.keys() == {job.file_name for job in work} else {}


def _rows_that_stand(out: Path) -> dict[str, dict]:
    """The rows of metadata.jsonl by file name; none if there is no such file, or it is not whole, which is said."""
    try:
        return {row["file_name"]: row for row in image_rows.read(out)} if (out / "metadata.jsonl").exists() else {}
    except InputError as error:
        warn(f"{error}. It counts as absent, and is written anew")
        return {}


def finish(out: Path, rows: list[dict], work: list[Job], shard: int, num_shards: int) -> bool:
    """Write this shard's rows; if those of every shard stand, write metadata.jsonl in the order of `work`. True if it stands now."""
    if finished_rows(out, work):
        return True
    os.sync()  # the images: rows that outlive a power failure must not name files that do not
    files.write_jsonl(out / ".shards" / f"{shard}-of-{num_shards}.jsonl", rows)
    parts = [out / ".shards" / f"{k}-of-{num_shards}.jsonl" for k in range(num_shards)]
    # Every shard writes before it looks, so the last one sees all; should two see all, both write the same file.
    known = {row["file_name"]: row for part in parts for row in _rows_of_shard(part)}
    if any(job.file_name not in known for job in work):
        return False
    for name in {job.file_name.partition("/")[0] for job in work}:
        for leftover in (out / name).glob(".*.tmp"):  # of calls that were killed
            leftover.unlink(missing_ok=True)
    image_rows.write(out, [known[job.file_name] for job in work])
    return True


def _rows_of_shard(part: Path) -> list[dict]:
    """The rows that a shard left behind; none if it has not yet, or they are not whole: that shard's call writes them anew."""
    try:
        return files.read_jsonl(part) if part.exists() else []
    except InputError as error:
        warn(f"{error}. These rows count as absent; the call of that shard writes them anew")
        return []


def named_if_full(error: OSError, out: Path, done: int, total: int) -> OSError:
    """`error`, as a sentence for a person if the disk is full."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return error
    message = f"no space left for images in '{out}': {done} of {total} stand; free some, and the same call goes on from there"
    return OSError(error.errno, message)


def row_of(job: Job, sha256: str, width: int, height: int, black: bool, settings: dict) -> dict:
    """The metadata row of an image whose file has the digest `sha256`."""
    return {
        "file_name": job.file_name,
        "label": job.label,
        "class_name": job.class_name,
        "prompt_id": job.prompt_id,
        "prompt": job.text,
        "seed": job.seed,
        **{name: settings[name] for name in ("model", "revision", "scheduler", "steps", "guidance")},
        "width": width,
        "height": height,
        "sha256": sha256,
        "black": black,
    }
