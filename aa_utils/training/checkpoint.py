"""What a training run leaves behind to be found again: its identity, the checkpoint on the way, the history at the end."""

import hashlib
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from aa_utils import files
from aa_utils.data import tensor_files
from aa_utils.progress import warn
from aa_utils.seeds import stable_hash

# Modules of this package that decide a result besides the method's own.
CODE = (
    "training/loop",
    "training/optimization",
    "training/augment",
    "training/batches",
    "training/consistency",
    "training/method",
    "classifiers/backbones",
    "classifiers/lenet",
    "classifiers/inference",
    "inter_domain/pseudo_labels",
)


def identity_of(method, config, classifier, streams, recipe, seed) -> str:
    """What decides the result: code, settings, first weights and data (a sample of the pixels). How often to log or save does not.

    Code counts, so that a loss that was edited is trained again instead of reading what the old one gave.
    """
    settings = {name: value for name, value in asdict(recipe).items() if name not in ("log_every", "checkpoint_every")}
    parts: list[object] = [method.__name__, sorted(asdict(config).items()), sorted(settings.items()), seed, torch.__version__]
    parts += [files.sha256(path) for path in (Path(method.__file__), *(Path(__file__).parents[1] / f"{name}.py" for name in CODE))]
    for tensor in classifier.state_dict().values():
        parts.append(_digest(tensor))
    for s in streams:
        sample = s.pixels[:: max(1, len(s.pixels) // 1000)]
        parts += [s.name, s.size, s.views, s.balanced, s.order, len(s.pixels), _digest(sample)]
        parts += [None if tensor is None else _digest(tensor) for tensor in (s.labels, s.rows)]
    return f"{stable_hash(*parts):016x}"


def _digest(tensor: Tensor) -> str:
    return hashlib.sha256(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()).hexdigest()


def finished(folder: Path) -> str | None:
    """The identity of the run whose result stands in `folder`; None if there is no whole result. One that is damaged is said."""
    if not (folder / "model.safetensors").is_file() or not (folder / "config.json").is_file():
        return None
    problem = tensor_files.damage(folder, "it counts as absent, and the training runs again")
    if problem:
        warn(problem)
        return None
    return tensor_files.read_config(folder, "").get("identity")


def save(folder, identity, nets, optimizer, scaler, step, rows, seconds) -> None:
    """Write all that the run needs to go on after `step` steps, atomically."""
    state = {"identity": identity, "nets": nets.state_dict(), "optimizer": optimizer.state_dict(), "scaler": scaler.state_dict()}
    tensor_files.write_state(folder / "checkpoint.pt", state | {"step": step, "rows": rows, "seconds": seconds})


def resume(folder, identity, nets, optimizer, scaler) -> tuple[int, list[dict], float]:
    """(first step, history rows, seconds so far): those of the checkpoint, if it is a whole one of this very run."""
    state = tensor_files.read_state(folder / "checkpoint.pt")
    if state is None or state.get("identity") != identity:
        return 0, [], 0.0
    nets.load_state_dict(state["nets"])
    optimizer.load_state_dict(state["optimizer"])
    scaler.load_state_dict(state["scaler"])
    return state["step"], state["rows"], state["seconds"]


def write_history(folder: Path, rows: list[dict]) -> None:
    """Write history.csv: step, lr, each term's mean since the row before, images a second."""
    lines = [",".join(rows[0])] + [",".join(f"{value:.6g}" for value in row.values()) for row in rows]
    files.write_text(folder / "history.csv", "\n".join(lines) + "\n")
