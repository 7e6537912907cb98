"""Small photo benchmarks, laid out file by file as their archives, and ways to damage them.

`make("office31", data_root)` writes `<data_root>/office31/…`; what it writes is loaded as `office31:amazon-partial`, as it has fewer
images than the original (with `per_class=None` it has as many). Pictures of one class share colours and stripes, domains differ in light
and noise, so a small network can learn them.
"""

import zlib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (24, 18)  # width, height: not square, as photos are not
# The folder that unpacking gives, below which domains lie.
NESTED = {"office31": "domain_adaptation_images", "office_home": "OfficeHomeDataset_10072016", "imageclef_da": "image_CLEF", "visda17": "."}
SPELLED = {"RealWorld": "Real World"}  # as in the archive


def picture(label: int, domain: str, number: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """An RGB picture of class `label` as `domain` shows it; `number` tells one from the next."""
    random = np.random.default_rng([label, number, zlib.crc32(domain.encode())])
    width, height = size
    look = np.random.default_rng(label)
    ink, paper, turn, step = look.integers(0, 256, 3), look.integers(0, 256, 3), look.uniform(0, np.pi), look.uniform(4, 9)
    y, x = np.mgrid[:height, :width]
    wave = np.sin((x * np.cos(turn) + y * np.sin(turn)) * 2 * np.pi / step + random.uniform(0, 6))[..., None]
    light = 0.6 + 0.4 * (zlib.crc32(domain.encode()) % 7) / 6
    made = (np.where(wave > 0, ink, paper) * light + random.normal(0, 12, (height, width, 3))).clip(0, 255)
    return Image.fromarray(made.astype(np.uint8))


def make(name: str, root: Path, per_class: int | None = 2, domains: list[str] | None = None) -> Path:
    """Write the benchmark `name` to `<root>/<name>`, all domains or some; returns that folder."""
    photos = import_module(f"aa_utils.benchmarks.{name}").PHOTOS
    for domain in photos.domains:
        if domains is None or domain.name in domains:
            folder = root / name / NESTED[name] / SPELLED.get(domain.name, domain.name)
            lines = []
            for label, (class_folder, count) in enumerate(zip(photos.classes, domain.counts, strict=True)):
                for number in range(1, (count if per_class is None else per_class) + 1):
                    file = FILES[name](domain.name, class_folder, number)
                    (folder / file).parent.mkdir(parents=True, exist_ok=True)
                    picture(label, domain.name, number).save(folder / file)
                    lines.append((file, label))
            _write_lists(name, folder, domain.name, lines)
    return root / name


def unlabelled(root: Path, images: int = 6) -> Path:
    """A folder of photos side by side, in the formats and modes that photos come in."""
    root.mkdir(parents=True, exist_ok=True)
    for number in range(images):
        mode, suffix = [("RGB", "jpg"), ("CMYK", "jpg"), ("P", "png"), ("L", "png"), ("RGBA", "webp"), ("RGB", "tiff")][number % 6]
        picture(number % 3, "photo", number).convert(mode).save(root / f"IMG_{number:04d}.{suffix}")
    return root


def _clef_file(domain: str, class_folder: str, number: int) -> str:
    from aa_utils.benchmarks.imageclef_da import CLASSES, TWICE

    labels = list(CLASSES)
    if domain == "i":
        return f"{CLASSES[class_folder][-1]}_{number}.JPEG"
    if domain == "p":
        # Bird's first picture is bus's second, as nine files of the original are of two classes.
        double = {("bus", 1): TWICE[0], ("bird", 2): TWICE[0]}.get((class_folder, number))
        return f"{double or f'2007_{labels.index(class_folder):02d}{number:04d}'}.jpg"
    category = CLASSES[class_folder][1]
    return f"{category}.{class_folder}-101/{category}_{number:04d}.jpg"


FILES: dict[str, Callable[[str, str, int], str]] = {
    "office31": lambda domain, folder, number: f"images/{folder}/frame_{number:04d}.jpg",
    "office_home": lambda domain, folder, number: f"{folder}/{number:05d}.jpg",
    "imageclef_da": _clef_file,
    "visda17": lambda domain, folder, number: (
        f"{folder}/{folder}_{number:05d}.jpg" if domain == "validation" else f"{folder}/1_02691156_{number}__0__290__165.png"
    ),
}


def _write_lists(name: str, folder: Path, domain: str, lines: list[tuple[str, int]]) -> None:
    """VisDA-17: `image_list.txt` beside the classes. ImageCLEF-DA: two lists, one with paths of its authors' disk and DOS line ends."""
    if name == "visda17":
        (folder / "image_list.txt").write_text("".join(f"{file} {label}\n" for file, label in lines))
    if name == "imageclef_da":
        flat = "".join(f"/data/image-clef/{domain}/{Path(file).name} {label}\n" for file, label in lines)
        (folder.parent / f"{domain}_list.txt").write_text(flat)
        (folder.parent / "list").mkdir(exist_ok=True)
        (folder.parent / "list" / f"{domain}List.txt").write_bytes("".join(f"{domain}/{f} {k}\r\n" for f, k in lines).encode())


def damage(root: Path, classes: list[Path]) -> dict[str, str]:
    """Damage the class folders `classes` (ten of them) of a benchmark, each in its own way.

    Returns what a report must say of each: kind of damage -> text in the message. `root` is the folder that has the classes' folders.
    """
    said = {}
    removed, emptied, respelled, cut, hollow, page, note, deep, stray, doubled = classes
    for file in removed.iterdir():
        file.unlink()
    removed.rmdir()
    said["a class without a folder"] = removed.name
    for file in emptied.iterdir():
        file.unlink()
    said["a class without images"] = emptied.name
    other = respelled.with_name(respelled.name.swapcase())
    respelled.rename(other)
    said["a folder spelled otherwise"] = f"'{other.name}' is '{respelled.name}'"
    file = _first(cut)
    picture(0, "cut", 0, (160, 120)).save(file)
    file.write_bytes(file.read_bytes()[:-200])
    said["a truncated image"] = f"{file.relative_to(root).as_posix()} (cut short (image file is truncated"
    file = _first(hollow)
    file.write_bytes(b"")
    said["an empty file"] = f"{file.relative_to(root).as_posix()} (empty file)"
    file = _first(page)
    file.write_text("<html><title>404 Not Found</title></html>")
    said["a web page named .jpg"] = f"{file.relative_to(root).as_posix()} (not a picture but a web page)"
    (note / "notes.txt").write_text("todo")
    said["a file that is no picture"] = f"{note.name}/notes.txt"
    (deep / "more").mkdir()
    _first(deep).rename(deep / "more" / "moved.jpg")
    said["a folder within a class"] = f"{deep.name}/more"
    picture(0, "stray", 0).save(root / "IMG_0001.jpg")
    said["a picture outside of the classes"] = "pictures outside of the class folders (1): IMG_0001.jpg"
    (root / "sofas").mkdir()
    picture(0, "sofa", 0).save(root / "sofas" / "1.jpg")
    said["a folder that is no class"] = "folders that are no class (1): sofas"
    file = _first(stray)
    picture(1, "lost", 1).save(file.with_suffix(".png"))
    said["two pictures of one name"] = f"pictures of one name (1): {stray.name}-{file.stem}"
    double = doubled.with_name(doubled.name.swapcase())
    double.mkdir()
    picture(2, "double", 2).save(double / "double.jpg")
    said["two folders of one class"] = "two folders of one class (1): " + " and ".join(
        f"'{name}'" for name in sorted([double.name, doubled.name])
    )
    return said


def damage_list(path: Path) -> dict[str, str]:
    """Damage a list file of twelve lines or more, each line in its own way; returns what a report must say, as `damage` does."""
    lines = path.read_text().splitlines()
    said = {}
    name = lines[0].rpartition(" ")[0]
    lines[0] = f"{name.replace('.', '_gone.')} 0"
    said["a listed file that is missing"] = f"{path.name}:1 {'/'.join(lines[0].rpartition(' ')[0].split('/')[-2:])}"
    name, _, label = lines[2].rpartition(" ")
    lines[2] = f"{name} {int(label) + 3}"
    said["a wrong label"] = f"{path.name}:3 {'/'.join(name.split('/')[-2:])} has {int(label) + 3}"
    lines[4] = lines[4].rpartition(" ")[0] + " 12"
    said["a label of no class"] = f"{path.name}:5 has 12; labels are 0 to 11"
    lines[6] = "# end of part one"
    said["a line that cannot be read"] = f"{path.name}:7 '# end of part one'"
    lines[8] = lines[9]
    said["a line twice"] = "pictures listed twice (1): " + f"{path.name}:10"
    said["a picture that the list lacks"] = "pictures that the list lacks (4)"
    path.write_text("\n".join(lines) + "\n")
    return said


def _first(folder: Path) -> Path:
    return min(path for path in folder.iterdir() if path.is_file())
