"""What decides a result: settings, data, code and the version of torch, a digest each.

Where all are the same, a result that stands is read and a killed one goes on. Else the work starts anew, and says what differs.
"""

import hashlib
import json
from collections.abc import Iterable

from aa_utils.progress import warn
from aa_utils.runner import code_closure

COMPUTES_NOTHING = "whether a result is made again"


def of(settings: object, data: Iterable[object], *modules: str) -> dict[str, str]:
    """{"settings", "data", "code", "torch"}: 16 hex digits each, and a version.

    `settings` are plain values, in any nesting; `data` are tensors, arrays and texts, in their order; `modules` are those whose code
    computes the result (`code_closure.of_modules`).
    """
    import torch

    written = json.dumps(settings, sort_keys=True, default=str)
    parts = {"settings": hashlib.sha256(written.encode()).hexdigest()[:16], "data": digest(data)[:16]}
    return parts | {"code": code_closure.fingerprint(*modules), "torch": str(torch.__version__)}


def digest(data: Iterable[object]) -> str:
    """The SHA-256 of the bytes of tensors, arrays and texts, in their order; None counts too."""
    import torch

    found = hashlib.sha256()
    for part in data:
        if part is None or isinstance(part, str):
            found.update(f"{part!r}\n".encode())
            continue
        tensor = torch.as_tensor(part).detach().cpu().contiguous()
        found.update(f"{tensor.dtype} {tuple(tensor.shape)}\n".encode())
        found.update(tensor.view(-1).view(torch.uint8).numpy())  # type: ignore[arg-type]
    return found.hexdigest()


def differences(before: object, now: dict[str, str]) -> str:
    """What two identities differ in, as words: "settings and code"; empty where they are the same."""
    if before == now:
        return ""
    if not isinstance(before, dict):
        return "settings, data or code"
    names = [name for name in now if before.get(name) != now[name]]
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def same(before: object, now: dict[str, str], what: str) -> bool:
    """True if two identities are the same; where they are not, says that `what` starts anew, and why."""
    why = differences(before, now)
    if why:
        warn(f"{what} starts anew: what stands there was made with other {why}")
    return not why
