"""What a training run writes so that it can be resumed: its identity, checkpoints on the way, and the history at the end."""

from dataclasses import asdict
from pathlib import Path

from aa_utils import files
from aa_utils.data import tensor_files
from aa_utils.progress import warn
from aa_utils.runner import identity

LOOP = "aa_utils.training.loop"
HISTORY, HISTORY_DIGEST = "history.csv", "history_sha256"
AGAIN = "it counts as absent, and the training runs again"
WATCHING = ("log_every", "checkpoint_every")  # settings of a recipe that change nothing of the result


def identity_of(method, config, classifier, streams, recipe, seed) -> dict[str, str]:  # type: ignore[no-untyped-def]
    """What decides the result (`identity.of`): code, settings, first weights and data (a sample of the pixels).

    Code is part of it, so that an edited loss is trained again instead of reading the old result.
    """
    settings = [method.__name__, asdict(config), {name: value for name, value in asdict(recipe).items() if name not in WATCHING}, seed]
    settings += [[s.name, s.size, s.views, s.balanced, s.order] for s in streams]
    data = list(classifier.state_dict().values())
    for s in streams:
        data += [str(len(s.pixels)), s.pixels[:: max(1, len(s.pixels) // 1000)], s.labels, s.rows]
    return identity.of(settings, data, method.__name__, LOOP)


def finished(folder: Path, known: dict[str, str]) -> bool:
    """True if `folder` holds the complete result of the run with the identity `known`. Warns about a damaged one, or one of another run."""
    if not (folder / "model.safetensors").is_file() or not (folder / "config.json").is_file():
        return False
    problem = tensor_files.damage(folder, AGAIN) or _damage_of_history(folder)
    if problem:
        warn(problem)
        return False
    return identity.same(tensor_files.read_config(folder, "").get("identity"), known, f"the training of '{folder}'")


def _damage_of_history(folder: Path) -> str:
    """What is wrong with history.csv, in a sentence; "" if nothing is. It has a digest since there are digests of it."""
    path, digest = folder / HISTORY, tensor_files.read_config(folder, "").get(HISTORY_DIGEST)
    if not path.is_file() or not path.stat().st_size:
        return f"'{path}' is {'empty' if path.is_file() else 'missing'}; {AGAIN}"
    if digest is not None and files.sha256(path) != digest:
        return f"'{path}' is not as it was written; {AGAIN}"
    return ""


def save(folder, known, nets, optimizer, scaler, step, rows, seconds) -> None:  # type: ignore[no-untyped-def]
    """Write all that the run needs to go on after `step` steps, atomically."""
    state = {"identity": known, "nets": nets.state_dict(), "optimizer": optimizer.state_dict(), "scaler": scaler.state_dict()}
    tensor_files.write_state(folder / "checkpoint.pt", state | {"step": step, "rows": rows, "seconds": seconds})


def resume(folder, known, nets, optimizer, scaler) -> tuple[int, list[dict], float]:  # type: ignore[no-untyped-def]
    """(first step, history rows, seconds so far): those of the checkpoint if it is complete and of this run. Warns about another run's."""
    state = tensor_files.read_state(folder / "checkpoint.pt")
    if state is None or not identity.same(state.get("identity"), known, f"the half-done training of '{folder}'"):
        return 0, [], 0.0
    nets.load_state_dict(state["nets"])
    optimizer.load_state_dict(state["optimizer"])
    scaler.load_state_dict(state["scaler"])
    return state["step"], state["rows"], state["seconds"]


def write_history(folder: Path, rows: list[dict]) -> dict[str, str]:
    """Write history.csv: step, lr, each term's mean since the row before, images a second. Returns {HISTORY_DIGEST: its SHA-256}."""
    lines = [",".join(rows[0])] + [",".join(f"{value:.6g}" for value in row.values()) for row in rows]
    files.write_text(folder / HISTORY, "\n".join(lines) + "\n")
    return {HISTORY_DIGEST: files.sha256(folder / HISTORY)}
