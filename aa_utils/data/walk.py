"""The pictures in a folder: one walk for a person's photos, a labelled image folder and a plain one, so that none of them loses any.

Links to folders are followed, each folder once. What makes pictures of its own beside a person's (thumbnails of a NAS, bins, archives of
macOS) is left out and counted. What is a picture goes by `formats`: its ending, or bytes that nothing else begins with.
"""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from aa_utils import files
from aa_utils.data import formats
from aa_utils.errors import InputError
from aa_utils.paths import as_text

# Folders and files that systems make for themselves: Synology, QNAP, Windows, macOS, Linux. Names that begin with a dot count as well.
SYSTEM = {
    *("@eadir", "#recycle", "#snapshot", "@sharebin", "@recycle", "@recently-snapshot", "@tmp", "@transcode", "@__thumb", "~snapshot"),
    *("$recycle.bin", "recycler", "recycled", "system volume information", "found.000", "thumbs.db", "ehthumbs.db", "desktop.ini"),
    *("lost+found", "__macosx", "network trash folder", "#trash"),
}
# Folders in which other tools keep the parts of a set of images: no class is called so.
SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval", "evaluation"}


@dataclass(frozen=True)
class Pictures:
    """`files`: pictures, also those that are not read here; `others`: what is none. `left_out`: pictures in folders of systems, by folder.

    `again`: links that were not followed, for their folder was read by another way or holds this one.
    """

    files: list[Path]
    others: list[Path]
    left_out: dict[str, int]
    again: list[Path]

    @property
    def dead(self) -> list[Path]:
        """Links of `others` that lead nowhere: to the folder of a class on a disk that is not there, say. Nobody would miss it."""
        return [path for path in self.others if path.is_symlink() and not path.exists()]

    def twice(self, root: Path) -> list[Path]:
        """The links to folders that were read by another way; a link back to `root` or above it is none."""
        return [link for link in self.again if not root.resolve().is_relative_to(link.resolve())]

    def notes(self, root: Path) -> list[str]:
        """What was left out, one sentence each; none where nothing was."""
        made = [f"{n} picture{'s' if n > 1 else ''} in '{name}' left out" for name, n in sorted(self.left_out.items())]
        return made + [f"the link '{as_text(link.relative_to(root))}' leads to a folder that is read already" for link in self.again]


def of_system(name: str) -> bool:
    """Whether a folder or file of this name belongs to a system, not to a person."""
    return files.hidden(name) or name.lower() in SYSTEM


def pictures(root: Path, outside: Path | None = None) -> Pictures:
    """All pictures below the folder `root`, in the order of their paths. Errors: InputError if a link leads to where `outside` lies."""
    found = files.tree(root, of_system)
    for link in found.links:
        if outside is not None and outside.resolve().is_relative_to(link.resolve()):
            raise InputError(f"'{outside}' lies within the folder that the link '{link}' leads to, and would be read as pictures; move it")
    mine = {path for path in found.files if formats.is_picture(path)}
    counts = Counter[str]()
    for path in found.skipped:
        where = as_text(path.name) if path.is_dir() and not path.is_symlink() else "hidden files"
        counts[where] += _number(path)
    kept, others = [path for path in found.files if path in mine], [path for path in found.files if path not in mine]
    return Pictures(kept, others, {name: n for name, n in counts.items() if n}, found.again)


def _number(path: Path) -> int:
    """How many pictures a file or folder of a system holds, by their endings; `._` files of macOS are no pictures."""
    if path.is_symlink() or not path.is_dir():
        return int(_ends_as_picture(path.name))
    return sum(_ends_as_picture(name) for _, _, names in os.walk(path) for name in names)


def _ends_as_picture(name: str) -> bool:
    ending = os.path.splitext(name)[1].lower()
    return not name.startswith("._") and (ending in formats.ENDINGS or ending in formats.FOREIGN)
