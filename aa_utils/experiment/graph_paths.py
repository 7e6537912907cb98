"""Paths as Snakemake can say them: in its patterns and messages a brace begins a wildcard."""

import hashlib
import os
from pathlib import Path

LINKS = Path(".snakemake") / "aa-links"  # in the current folder, where Snakemake keeps its own notes


def unbraced(path: str) -> str:
    """`path` itself; for a folder with a brace in its path a link to it without one, each time the same. The folder is made if need be."""
    if not set("{}") & set(path):
        return path
    folder = Path(path).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    link = LINKS / hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    if not (link.is_symlink() and os.readlink(link) == str(folder)):
        link.parent.mkdir(parents=True, exist_ok=True)
        temporary = link.with_name(f"{link.name}.{os.getpid()}")
        temporary.symlink_to(folder)
        os.replace(temporary, link)
    return link.as_posix()


def literal(text: str) -> str:
    """`text` for a message or a shell line of Snakemake: its braces are characters."""
    return text.replace("{", "{{").replace("}", "}}")
