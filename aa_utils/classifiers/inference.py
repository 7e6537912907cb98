"""Predictions of a classifier over images, and the file that holds them. True labels never enter it."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from aa_utils import devices, files
from aa_utils.classifiers import features
from aa_utils.errors import InputError
from aa_utils.paths import existing

DIGEST = b"content_sha256"  # a key of the file's metadata
PICTURES = b"pictures_sha256"  # of the images that were predicted: their side and a digest
AGAIN = "the run that wrote it makes it again: run its call once more"


def predict(classifier: nn.Module, pixels: Tensor, batch_size: int = 0, device: str = "cpu") -> tuple[Tensor, Tensor]:
    """(p (N, K) probabilities, f (N, D) features) of uint8 `pixels` (N, 3, S, S), in eval mode, without augmentation; on the CPU.

    `batch_size` 0: as many images at once as their size allows (`features.batch_size`). Features of a frozen backbone are read where they
    are kept; stored ones (N, 1 + V, D) may also stand for the pixels. Errors: InputError if a probability is not finite: the classifier
    diverged.
    """
    p, f = _predicted(classifier, pixels, batch_size, device)
    return _finite(p), f


@torch.no_grad()
def _predicted(classifier: nn.Module, pixels: Tensor, batch_size: int, device: str) -> tuple[Tensor, Tensor]:
    device = devices.choose(device)
    classifier = classifier.to(device).eval()
    if pixels.dtype == torch.uint8 and getattr(classifier, "frozen", False):
        pixels = features.stored(classifier, pixels, device)  # type: ignore[arg-type]
    size = batch_size or (features.batch_size(pixels.shape[-1], device) if pixels.dtype == torch.uint8 else features.AT_ONCE)
    made: list[Tensor] = []
    for start in range(0, len(pixels), size):
        f = classifier.features(features.as_input(pixels[start : start + size], device))
        here = classifier.head(f).float().softmax(1), f.float()
        if not made:
            made = [torch.empty(len(pixels), value.shape[1]) for value in here]
        for whole, value in zip(made, here, strict=True):
            whole[start : start + len(value)] = value
    return made[0], made[1]


def finite(classifier: nn.Module, pixels: Tensor, device: str = "cpu") -> bool:
    """Whether all predictions for uint8 `pixels` are finite."""
    return bool(_predicted(classifier, pixels, 0, device)[0].isfinite().all())


def _finite(p: Tensor) -> Tensor:
    odd = int((~p.isfinite()).any(1).sum())
    if odd:
        raise InputError(f"{odd} of {len(p)} predictions are not finite: the classifier diverged; train it with a lower lr, or clip=1")
    return p


def entropy(p: Tensor) -> Tensor:
    """(N,) entropies in nats of probabilities (N, K); 0 log 0 = 0."""
    return torch.special.entr(p).sum(1)


def write_predictions(path: Path, ids: list[str], p: Tensor, pixels: Tensor | None = None) -> None:
    """Write predictions.parquet: id, prediction, confidence, entropy, p_0 … p_{K-1}. True labels never enter this file.

    The digest of its content lies in the metadata of the file, and that of `pixels`, the images predicted, uint8 (N, 3, S, S), if given.
    Errors: InputError if a probability is not finite.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    _finite(p)
    table = pd.DataFrame({"id": ids, "prediction": p.argmax(1).numpy(), "confidence": p.amax(1).numpy(), "entropy": entropy(p).numpy()})
    columns = pd.DataFrame(p.numpy().astype(np.float32), columns=[f"p_{k}" for k in range(p.shape[1])])
    content = pd.concat([table, columns], axis=1)
    arrow = pa.Table.from_pandas(content, preserve_index=False)
    digests = {DIGEST: _digest(content)} | ({} if pixels is None else {PICTURES: _of_pictures(ids, pixels)})
    arrow = arrow.replace_schema_metadata({**(arrow.schema.metadata or {}), **digests})
    with files.atomic(path) as temporary:
        pq.write_table(arrow, temporary)


def read_predictions(path: str | Path, ids: list[str], pixels: Tensor | None = None) -> Tensor:
    """p (N, K) of a predictions.parquet, in the order of `ids`. `pixels`, if given, must be those that were predicted (at the same size).

    Errors: InputError if it was made for other images, also of the same names, is damaged, or holds numbers that are not finite.
    """
    content, pictures = _content(existing(path, "predictions", "notebooks 30 and 40 write them; one of them"))
    table = content.set_index("id")
    missing = [i for i in ids if i not in table.index]
    if missing:
        raise InputError(f"'{path}' has no prediction for {len(missing)} of the {len(ids)} images asked for, '{missing[0]}' among them")
    if len(table) != len(ids):
        raise InputError(f"'{path}' holds {len(table)} predictions, and {len(ids)} images are asked for: it was made for more of them")
    if pixels is not None and pictures is not None and _differ(pictures, _of_pictures(ids, pixels)):
        raise InputError(f"'{path}' was made for other pictures of the same names; {AGAIN}")
    columns = [name for name in table.columns if name.startswith("p_")]
    return _finite(torch.from_numpy(table.loc[ids, columns].to_numpy(dtype=np.float32, copy=True)))


def _of_pictures(ids: list[str], pixels: Tensor) -> bytes:
    """The side S and a digest of the pixels of every id, in the order of the ids."""
    digest = hashlib.sha256()
    for k in sorted(range(len(ids)), key=lambda k: ids[k]):
        digest.update(f"{ids[k]}\0".encode("utf-8", "surrogateescape") + hashlib.sha256(pixels[k].contiguous().numpy().tobytes()).digest())
    return f"{pixels.shape[-1]} {digest.hexdigest()}".encode()


def _differ(one: bytes, other: bytes) -> bool:
    """Whether two digests of one size are of different pictures; of different sizes nothing can be said."""
    return one.split()[0] == other.split()[0] and one != other


def _content(path: Path):
    """The table in a predictions.parquet, and the digest of its pictures or None.

    Errors: InputError if it cannot be read, or is not what was written.
    """
    import pyarrow.parquet as pq

    if not path.stat().st_size:
        raise InputError(f"'{path}' is empty, as a power failure leaves files; {AGAIN}")
    try:
        arrow = pq.ParquetFile(path).read()
        about = arrow.schema.metadata or {}
        content, digest = arrow.to_pandas(), about.get(DIGEST)
    except MemoryError:
        raise
    except Exception as error:  # pyarrow and pandas raise what the bytes lead them to
        raise InputError(f"'{path}' cannot be read ({str(error).splitlines()[0][:200]}); {AGAIN}") from error
    if "id" not in content or (digest is not None and digest != _digest(content)):
        raise InputError(f"'{path}' is not as it was written: its content differs from its digest; {AGAIN}")
    return content, about.get(PICTURES)


def _digest(content) -> bytes:
    """Of the names, types and values of all columns, whatever the library that packs them."""
    digest = hashlib.sha256()
    for name in content.columns:
        column = content[name].to_numpy()
        data = "\0".join(map(str, column)).encode() if column.dtype == object else np.ascontiguousarray(column).tobytes()
        digest.update(f"{name} {column.dtype} {len(column)}\0".encode() + data)
    return digest.hexdigest().encode()
