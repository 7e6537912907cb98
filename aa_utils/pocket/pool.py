"""A pool of rendered pictures on disk: rendered once, in parts, by every core; an interrupted run goes on at the next part."""

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from aa_utils.files import atomic
from aa_utils.progress import progress
from aa_utils.runner import code_closure
from aa_utils.seeds import stable_hash

PART = 4096


def load(folder: Path, n: int, seed: int, workers: int = 1) -> tuple[np.ndarray, list[str], dict[str, np.ndarray]]:
    """`n` pictures (n, 32, 32, 3) uint8, their captions and factors; parts that are missing in `folder` are rendered first."""
    parts = -(-n // PART)
    # In a folder of their own for each code that renders; a part is seeded by the name of its file.
    folder = folder / code_closure.fingerprint(__name__)
    files = [folder / f"renders-{seed}-{k:04d}.npz" for k in range(parts)]
    missing = [file for file in files if not file.exists()]
    if missing:
        with ProcessPoolExecutor(workers, initializer=_one_thread) as processes:
            jobs = processes.map(partial(_write, seed), missing)
            list(progress(jobs, what="render", total=len(missing), unit="part"))
    loaded = [np.load(file) for file in files]
    factors = {
        name: np.concatenate([part[name] for part in loaded])[:n] for name in loaded[0].files if name not in ("pictures", "captions")
    }
    return (
        np.concatenate([part["pictures"] for part in loaded])[:n],
        np.concatenate([part["captions"] for part in loaded])[:n].tolist(),
        factors,
    )


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _write(seed: int, file: Path) -> None:
    from aa_utils.pocket.render import render

    pictures, captions, factors = render(PART, stable_hash(seed, file.name))
    with atomic(file) as temporary, temporary.open("wb") as stream:
        np.savez(stream, pictures=pictures, captions=np.array(captions), **factors)  # type: ignore[arg-type]
