"""What a run reads: is it there, is it a file or a folder, is it whole, and is it not where the run writes?"""

import os
import re

from aa_utils.errors import InputError
from aa_utils.paths import is_closed, is_half_made, resolve
from aa_utils.runner.out_folder import check_apart
from aa_utils.runner.parameter_types import shown, texts

COMPUTES_NOTHING = "what a run is asked for: its record says it"
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")
NAME = re.compile(r"[a-z][a-z_-]+:.+")  # of something that is no file: hf-hub:timm/resnet18, openai_images:gpt-image-1


def check(name: str, comment: str, value: object, out: str) -> None:
    """Errors: InputError unless the paths in `value` of the parameter `name` are there, whole, once each, and apart from `out`.

    `comment` is the parameter's, which says what may stand in the place of a path.
    """
    real = [os.path.realpath(resolve(path)) for path in texts(value) if "\0" not in path]
    twice = next((path for path in real if real.count(path) > 1), "")
    if twice and comment.startswith("input:"):
        raise InputError(f"input '{name}' holds '{shown(twice)}' twice, and its numbers would count twice; leave one of them out")
    for path in texts(value):
        if not path and comment.startswith("optional"):
            continue
        if path and is_closed(resolve(path)):
            raise InputError(f"input '{name}': '{shown(path)}' cannot be read: no access; give yourself access, or name another")
        if path and exists(path):
            if not (resolve(path).is_file() or resolve(path).is_dir()):  # whoever reads a FIFO waits, a device may have no end
                raise InputError(f"input '{name}': '{shown(path)}' is neither a file nor a folder")
            if is_half_made(path):
                raise InputError(f"input '{name}': the images in '{shown(path)}' are not all made; run the call that makes them again")
            check_apart(out, name, path, container="folders of runs" in comment)
            continue
        if "hub id" in comment.partition(":")[0] and HUB_ID.fullmatch(path) and not exists(path.partition("/")[0]):
            continue
        if "or name" in comment.partition(":")[0] and NAME.fullmatch(path):
            continue
        what = comment.partition(":")[2].strip()
        raise InputError(f"input '{name}': nothing at {shown(path)!r}" + (f" ({what})" if what else ""))


def exists(path: str) -> bool:
    """Whether there is anything at `path`."""
    try:
        return resolve(path).exists()
    except (OSError, ValueError):  # too long, or with a NUL
        return False
