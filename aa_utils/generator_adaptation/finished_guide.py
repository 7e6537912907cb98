"""Does a finished fine-tuning stand in a folder, whole, and is it the one that is asked for?"""

import hashlib
import shutil
from pathlib import Path

from aa_utils import files
from aa_utils.errors import InputError
from aa_utils.progress import warn
from aa_utils.runner import identity

ABOUT = "dreambooth.json"


def stands(out: Path, known: dict[str, str]) -> bool:
    """True if the fine-tuning with the identity `known` stands in `out` as it was written. A damaged one is said, and removed.

    Errors: InputError if `out` holds something else, or another fine-tuning.
    """
    if not out.exists():
        return False
    if not (out / ABOUT).is_file():
        raise InputError(f"'{out}' holds something else than this fine-tuning; take another folder, or remove it")
    about = files.read_json_if_whole(out / ABOUT)
    if isinstance(about, dict):
        why = identity.differences(about.get("identity"), known)
        if why:
            raise InputError(f"'{out}' holds something else than this fine-tuning: one with other {why}; take another folder, or remove it")
        if about.get("written", digests(out)) == digests(out):
            return True
    warn(f"'{out}' is not as it was written; it counts as absent, and the fine-tuning runs again")
    shutil.rmtree(out)
    return False


def digests(folder: Path) -> str:
    """The SHA-256 of all that lies in `folder`, names included, but for ABOUT."""
    digest = hashlib.sha256()
    for file in files.tree(folder).files:
        if file.name != ABOUT:
            digest.update(f"{file.relative_to(folder).as_posix()}\0{files.sha256(file)}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()
