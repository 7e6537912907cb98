"""Predictions of a classifier over images, and the file that holds them. True labels never enter it."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from aa_utils import devices, files
from aa_utils.errors import InputError
from aa_utils.paths import existing


@torch.no_grad()
def predict(classifier: nn.Module, pixels: Tensor, batch_size: int = 256, device: str = "cpu") -> tuple[Tensor, Tensor]:
    """(p (N, K) probabilities, f (N, D) features) of uint8 `pixels` (N, 3, S, S), in eval mode, without augmentation; on the CPU."""
    device = devices.choose(device)
    classifier = classifier.to(device).eval()
    p, f = [], []
    for part in pixels.split(batch_size):
        f_part = classifier.features(part.to(device).float().div_(255))
        f.append(f_part.float().cpu())
        p.append(classifier.head(f_part).float().softmax(1).cpu())
    return torch.cat(p), torch.cat(f)


def entropy(p: Tensor) -> Tensor:
    """(N,) entropies in nats of probabilities (N, K); 0 log 0 = 0."""
    return torch.special.entr(p).sum(1)


def write_predictions(path: Path, ids: list[str], p: Tensor) -> None:
    """Write predictions.parquet: id, prediction, confidence, entropy, p_0 … p_{K-1}. True labels never enter this file."""
    import pandas as pd

    table = pd.DataFrame({"id": ids, "prediction": p.argmax(1).numpy(), "confidence": p.amax(1).numpy(), "entropy": entropy(p).numpy()})
    columns = pd.DataFrame(p.numpy().astype(np.float32), columns=[f"p_{k}" for k in range(p.shape[1])])
    with files.atomic(path) as temporary:
        pd.concat([table, columns], axis=1).to_parquet(temporary, index=False)


def read_predictions(path: str | Path, ids: list[str]) -> Tensor:
    """p (N, K) of a predictions.parquet, in the order of `ids`. Errors: InputError if it was made for other images."""
    import pandas as pd

    table = pd.read_parquet(existing(path, "predictions", "notebooks 30 and 40 write them; one of them")).set_index("id")
    missing = [i for i in ids if i not in table.index]
    if missing or len(table) != len(ids):
        first = f", '{missing[0]}' among them" if missing else ""
        raise InputError(f"'{path}' holds {len(table)} predictions, and {len(missing)} of the {len(ids)} images asked for have none{first}")
    columns = [name for name in table.columns if name.startswith("p_")]
    return torch.from_numpy(table.loc[ids, columns].to_numpy(dtype=np.float32, copy=True))
