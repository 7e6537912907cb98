"""A folder of photos becomes pictures of one size: every file is looked at before anything else runs, and decoded once.

What cameras, scanners and phones write differs; here it becomes the same: turned by its EXIF orientation, the first frame of an animation,
transparency on white, CMYK and 16 bits as 8-bit RGB, both sides squeezed to one size as in the adaptation literature.
"""

import json
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from aa_utils import files
from aa_utils.data import images
from aa_utils.errors import InputError
from aa_utils.generate.folder import writable
from aa_utils.paths import existing, resolve
from aa_utils.progress import progress
from aa_utils.seeds import stable_hash

READ = images.SUFFIXES | {".avif", ".gif", ".jfif", ".jpe", ".pgm", ".ppm"}
# Pictures to a person, not to Pillow: leaving them out without a word would lose an iPhone's whole album.
FOREIGN = {".heic", ".heif", ".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".psd", ".svg", ".jxl"}
SMALLEST = 4  # pixels a side: below it lie spacers and tracking pixels
LARGEST = 2 * (Image.MAX_IMAGE_PIXELS or 89_478_485)  # pixels: Pillow's own limit against decompression bombs
PER_CLASS = 2  # photos for each class, at least
NAMED = 50  # problems that one message spells out; a file lists all


@dataclass(frozen=True)
class Photos:
    """`images`: the photos as an unlabelled target, names = ids. `rows`: one dict a photo, in the same order (columns of metadata.jsonl).

    `paths`: the original files. `left_out`: files of the folder that are no pictures; `unreadable`: [(file, what is wrong)] that were
    left out on request.
    """

    images: images.ImageSet
    rows: list[dict]
    paths: list[Path]
    left_out: list[str]
    unreadable: list[tuple[str, str]]

    @property
    def names(self) -> list[str]:
        """The N file names as people know them, relative to the folder."""
        return [row["file"] for row in self.rows]


def class_names_of(given: list[str]) -> list[str]:
    """The class names, spaces tidied. Errors: InputError for a single class; `prompts.write` refuses those that are blank or alike."""
    if not isinstance(given, list) or len(given) < 2:
        said = "no class is" if not given else f"only {given!r} is"
        raise InputError(f"class_names: {said} named; a classifier needs at least two classes, such as ['mug', 'plate']")
    return [" ".join(str(name).split()) for name in given]


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
    found = _listed(root)
    pictures = [p for p in found if p.suffix.lower() in READ | FOREIGN]
    left_out = [shown(p, root) for p in found if p.suffix.lower() not in READ | FOREIGN]
    if not pictures:
        there = f"; it holds {len(left_out)} other files, such as '{left_out[0]}'" if left_out else "; it is empty"
        raise InputError(f"no pictures in photos='{folder}'{there}. Read are {', '.join(sorted(READ))}")
    writable(copies)
    with warnings.catch_warnings(), ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as threads:
        warnings.simplefilter("ignore")  # Pillow's remarks on odd files; what is really wrong is said below
        looked = list(progress(threads.map(lambda path: _copy(path, root, size, copies), pictures), "photos", len(pictures), "photo"))
    bad = [(row["file"], row["problem"]) for row in looked if "problem" in row]
    if bad:
        import pandas as pd

        with files.atomic(copies / "unreadable.csv") as temporary:
            pd.DataFrame(bad, columns=["file", "problem"]).to_csv(temporary, index=False)
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
    rows = [row for row, _ in good]
    files.write_jsonl(copies / "metadata.jsonl", rows)
    return Photos(images.load(copies, size, class_names), rows, [path for _, path in good], left_out, bad)


def read(path: Path, at_least: int) -> tuple[Image.Image, dict]:
    """(picture, {"width", "height", "mode", "frames"}): 8-bit RGB, upright; a JPEG may come smaller, but never below `at_least` a side.

    Errors: whatever a decoder raises for a broken file; ValueError with a sentence for one that is too small or too large.
    """
    with Image.open(path) as opened:
        width, height = opened.size
        if min(width, height) < SMALLEST:
            raise ValueError(f"only {width}x{height} pixels")
        if width * height > LARGEST:
            raise ValueError(f"{width}x{height} pixels are more than {LARGEST:,}, too many to decode safely: make it smaller")
        about = {"width": width, "height": height, "mode": opened.mode, "frames": getattr(opened, "n_frames", 1)}
        opened.seek(0)
        opened.draft("RGB", (2 * at_least, 2 * at_least))  # a JPEG is decoded at a half, quarter or eighth: many times faster
        opened.load()
        picture = ImageOps.exif_transpose(opened)
    if picture.size != opened.size and (about["width"] > about["height"]) != (picture.width > picture.height):
        about |= {"width": height, "height": width}
    return rgb(picture), about


def rgb(picture: Image.Image) -> Image.Image:
    """The picture as 8-bit RGB: 16 bits divided by 257, wider values stretched from their least to their largest, transparency on white."""
    if picture.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(picture).astype(np.float32) / 257).round().astype(np.uint8)).convert("RGB")
    if picture.mode in ("I", "F"):
        values = np.nan_to_num(np.asarray(picture, dtype=np.float64))
        spread = values.max() - values.min()
        return Image.fromarray(((values - values.min()) * (255 / spread if spread else 0)).round().astype(np.uint8)).convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        layered = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered).convert("RGB")
    return picture.convert("RGB")


def shown(path: Path, root: Path) -> str:
    """The path below `root` as text that every file can hold: names that are not UTF-8 get replacement characters."""
    return os.fsencode(path.relative_to(root).as_posix()).decode("utf-8", "replace")


def _listed(root: Path) -> list[Path]:
    """All files below `root` but hidden ones and macOS's archive leftovers, in the order of their paths."""
    found = (p for p in root.rglob("*") if p.is_file() or p.is_symlink())
    parts = ((p, p.relative_to(root).parts) for p in found)
    return sorted(p for p, names in parts if not any(name.startswith(".") or name == "__MACOSX" for name in names))


def _copy(path: Path, root: Path, size: int, copies: Path) -> dict:
    """The metadata row of one photo, whose copy stands afterwards; or {"file", "problem"}."""
    name = shown(path, root)
    if path.suffix.lower() in FOREIGN:
        return {"file": name, "problem": f"{path.suffix.lower()[1:].upper()} is not read here, convert it to JPEG"}
    try:
        digest = sha256(path.read_bytes()).hexdigest()
        # Known by name and content: a photo that changes gets a new copy, and the same photo under two names is there twice.
        photo = f"{stable_hash(path.relative_to(root).as_posix().encode(errors='surrogateescape'), digest):016x}"
        copy = copies / str(size) / f"{photo}.png"
        if not copy.is_file():
            _write(copy, path, size)
        with Image.open(copy) as opened:
            about = json.loads(opened.text["about"])
    except Image.DecompressionBombError:
        return {"file": name, "problem": f"more than {LARGEST:,} pixels, too many to decode safely: make it smaller"}
    except Exception as error:  # a decoder raises whatever a broken file leads it to
        said = str(error).partition("\n")[0].replace(str(path), name)[:150]
        return {"file": name, "problem": _plain(error, said)}
    return {"file_name": copy.relative_to(copies).as_posix(), "id": photo, "file": name, "sha256": digest, **about}


def _plain(error: Exception, said: str) -> str:
    if type(error).__name__ == "UnidentifiedImageError":
        return "not a picture, or broken from its first bytes"
    if "truncated" in said:
        return f"cut short ({said})"
    return said or type(error).__name__


def _write(copy: Path, path: Path, size: int) -> None:
    picture, about = read(path, size)
    if picture.size != (size, size):
        picture = picture.resize((size, size), Image.Resampling.BICUBIC)
    text = PngInfo()
    text.add_text("about", json.dumps(about | {"contrast": round(float(np.asarray(picture.convert("L")).std()), 3)}))
    with files.atomic(copy) as temporary:
        picture.save(temporary, "png", pnginfo=text)
