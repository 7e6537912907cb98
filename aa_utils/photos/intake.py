"""A folder of photos becomes pictures of one size: every file is looked at before anything else runs, and decoded once.

What cameras, scanners and phones write differs; `data.picture` makes it the same: upright, 8-bit RGB, transparency on white, the first
frame of an animation. Both sides are squeezed to one size as in the adaptation literature.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from aa_utils import files
from aa_utils.data import decode, formats, images, picture, rows, spelling, walk
from aa_utils.errors import InputError
from aa_utils.generate.folder import writable
from aa_utils.paths import as_text, existing, resolve
from aa_utils.progress import progress
from aa_utils.seeds import stable_hash

PER_CLASS = 2  # photos for each class, at least
NAMED = 50  # problems that one message spells out; a file lists all


@dataclass(frozen=True)
class Photos:
    """`images`: the photos as an unlabelled target, names = ids. `rows`: one dict a photo, in the same order (columns of metadata.jsonl).

    `paths`: the original files. `left_out`: files of the folder that are no pictures; `unreadable`: [(file, what is wrong)] that were
    left out on request; `passed`: sentences on pictures that belong to a system (thumbnails of a NAS, bins) and links not followed.
    """

    images: images.ImageSet
    rows: list[dict]
    paths: list[Path]
    left_out: list[str]
    unreadable: list[tuple[str, str]]
    passed: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """The N file names as people know them, relative to the folder."""
        return [row["file"] for row in self.rows]


def class_names_of(given: list[str]) -> list[str]:
    """The class names, spaces tidied. Errors: InputError for a single class; `prompts.write` refuses those that are blank or alike."""
    if not isinstance(given, list) or len(given) < 2:
        said = "no class is" if not given else f"only {given!r} is"
        raise InputError(f"class_names: {said} named; a classifier needs at least two classes, such as ['mug', 'plate']")
    return [spelling.plain(str(name), "class_names") for name in given]


def take_in(folder: str | Path, size: int, class_names: list[str], out: str | Path, skip_unreadable: bool = False) -> Photos:
    """The photos below `folder` at `size` x `size` pixels, their copies and `metadata.jsonl` in `<out>`.

    Copies that stand are not made again. `skip_unreadable` leaves pictures out that cannot be read; they are named in `unreadable`.
    Errors: InputError for a folder that is missing, empty or holds fewer than two photos a class, for `out` within it or not writable, and
    for pictures that cannot be read: each is named with what is wrong with it, and `<out>/unreadable.csv` lists all.
    """
    root, copies = existing(folder, "folder of photos"), resolve(out)
    if not root.is_dir():
        raise InputError(f"photos='{folder}' is a file; give the folder that holds the photos")
    if copies.resolve().is_relative_to(root.resolve()):
        raise InputError(f"out='{out}' lies within photos='{folder}', whose pictures would be read again as photos; choose another 'out'")
    if size < 8:
        raise InputError(f"image_size is {size}; it is at least 8 pixels")
    found = walk.pictures(root, copies)
    pictures, left_out, passed = found.files, [shown(path, root) for path in found.others], found.notes(root)
    if not pictures:
        there = f"; it holds {len(left_out)} other files, such as '{left_out[0]}'" if left_out else "; it is empty"
        there = "; " + "; ".join(passed) if passed and not left_out else there
        raise InputError(f"no pictures in photos='{folder}'{there}. Read are {', '.join(sorted(formats.ENDINGS))}")
    writable(copies)
    with ThreadPoolExecutor(decode.cores()) as threads:
        looked = list(progress(threads.map(lambda path: _copy(path, root, size, copies), pictures), "photos", len(pictures), "photo"))
    bad = [(row["file"], row["problem"]) for row in looked if "problem" in row]
    (copies / "unreadable.csv").unlink(missing_ok=True)
    if bad:
        import pandas as pd

        from aa_utils.photos.judge import write_csv

        write_csv(copies / "unreadable.csv", pd.DataFrame(bad, columns=["file", "problem"]))
    if bad and not skip_unreadable:
        more = f" and {len(bad) - NAMED} more, all of them in {copies / 'unreadable.csv'}" if len(bad) > NAMED else ""
        listed = "; ".join(f"{name}: {problem}" for name, problem in bad[:NAMED])
        raise InputError(
            f"{len(bad)} of {len(pictures)} pictures in photos='{folder}' cannot be used: {listed}{more}. Mend or remove them, or set "
            "skip_unreadable=true to go on without them"
        )
    good = [(row, path) for row, path in zip(looked, pictures, strict=True) if "problem" not in row]
    if len(good) < PER_CLASS * len(class_names):
        raise InputError(
            f"photos='{folder}' holds {len(good)} usable picture{'s' if len(good) != 1 else ''} for {len(class_names)} classes; adapting "
            f"takes at least {PER_CLASS} a class, and is worth it from about 20 a class"
        )
    kept = [row for row, _ in good]
    rows.write(copies, kept)
    return Photos(images.load(copies, size, class_names), kept, [path for _, path in good], left_out, bad, passed)


def shown(path: Path, root: Path) -> str:
    """The path below `root` as text that every file can hold."""
    return as_text(path.relative_to(root))


def _copy(path: Path, root: Path, size: int, copies: Path) -> dict:
    """The metadata row of one photo, whose copy stands afterwards; or {"file", "problem"}."""
    name = shown(path, root)
    try:
        with formats.opened(path):  # a FIFO would keep whoever reads it waiting
            digest = files.sha256(path)
        # Known by name and content: a photo that changes gets a new copy, and the same photo under two names is there twice.
        photo = f"{stable_hash(path.relative_to(root).as_posix().encode(errors='surrogateescape'), digest):016x}"
        copy = copies / str(size) / f"{photo}.png"
        about = _about(copy, photo) or _write(copy, photo, path, size)
    except formats.Unreadable as error:
        return {"file": name, "problem": str(error).replace(str(path), name)}
    told = {"file_name": copy.relative_to(copies).as_posix(), "id": photo, "file": name, "original_sha256": digest}
    return told | {"sha256": files.sha256(copy), **about}


def _about(copy: Path, photo: str) -> dict | None:
    """What a copy that stands says of its photo; None if there is none, it is another photo's, or a bit of it has flipped."""
    try:
        with Image.open(copy, formats=["PNG"]) as opened:
            about = json.loads(opened.text["about"])  # type: ignore[attr-defined]
        with Image.open(copy, formats=["PNG"]) as opened:
            opened.verify()  # every checksum
    except Exception:  # whatever is wrong with a copy, it is made again
        return None
    return about["about"] if isinstance(about, dict) and about.get("photo") == photo else None


def _write(copy: Path, photo: str, path: Path, size: int) -> dict:
    image, found = picture.square(path, size)
    about = {"width": found.width, "height": found.height, "mode": found.mode, "frames": found.frames}
    about["contrast"] = round(float(np.asarray(image.convert("L")).std()), 3)
    text = PngInfo()
    text.add_text("about", json.dumps({"photo": photo, "about": about}))
    with files.atomic(copy, durable=False) as temporary:
        image.save(temporary, "png", pnginfo=text)
    return about
