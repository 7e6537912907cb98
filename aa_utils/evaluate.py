"""Predictions, and what they are worth: accuracy, mean per class, confusion, CLIP's zero-shot line. All accuracies are fractions."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from aa_utils import files
from aa_utils.benchmarks import Target
from aa_utils.errors import InputError
from aa_utils.paths import existing


@torch.no_grad()
def predict(classifier: nn.Module, pixels: Tensor, batch_size: int = 256, device: str = "cpu") -> tuple[Tensor, Tensor]:
    """(p (N, K) probabilities, f (N, D) features) of uint8 `pixels` (N, 3, S, S), in eval mode, without augmentation; on the CPU."""
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


def accuracy(prediction: Tensor, labels: Tensor) -> float:
    """The share of (N,) predictions that are right."""
    return float((prediction == labels).double().mean())


def confusion(prediction: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """(K, K) counts: row = true class, column = predicted class."""
    return torch.bincount(labels * num_classes + prediction, minlength=num_classes**2).view(num_classes, num_classes)


def mean_per_class(prediction: Tensor, labels: Tensor, num_classes: int) -> float:
    """The mean over classes of the share that is right within the class; classes without an image do not count (VisDA-17's measure)."""
    counts = confusion(prediction, labels, num_classes).double()
    present = counts.sum(1) > 0
    return float((counts.diagonal()[present] / counts.sum(1)[present]).mean())


def score(predictions: str | Path, target: Target) -> dict[str, float | None]:
    """{"accuracy", "mean_per_class"} of a predictions.parquet against the benchmark's labels, joined by id; None where it has no labels."""
    prediction = read_predictions(predictions, target.ids).argmax(1)
    if target.labels is None:
        return {"accuracy": None, "mean_per_class": None}
    k = len(target.class_names)
    return {"accuracy": accuracy(prediction, target.labels), "mean_per_class": mean_per_class(prediction, target.labels, k)}


@torch.no_grad()
def zero_shot(
    model_folder: str | Path,
    class_names: Sequence[str],
    pixels: Tensor,
    template: str = "a photo of a {}",
    batch_size: int = 256,
    device: str = "cpu",
) -> Tensor:
    """p (N, K) of CLIP by names alone (Radford et al. 2021, section 3.1): softmax of scaled cosines between images and class prompts.

    `model_folder`: any transformers `CLIPModel` with tokenizer and image processor, a folder or a hub id. `pixels` uint8 (N, 3, S, S).
    Errors: InputError if it cannot be loaded, and for a prompt that is longer than it reads.
    """
    from transformers import AutoTokenizer, CLIPImageProcessor, CLIPModel

    from aa_utils.paths import resolve

    where = resolve(model_folder) if resolve(model_folder).exists() else model_folder
    try:
        clip, tokenizer = CLIPModel.from_pretrained(where, dtype=torch.float32).to(device).eval(), AutoTokenizer.from_pretrained(where)
        processor = CLIPImageProcessor.from_pretrained(where)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot load a CLIP model from '{model_folder}': {str(error).splitlines()[0][:200]}") from error
    texts = [template.format(name) for name in class_names]
    prompts = tokenizer(texts, padding=True, return_tensors="pt").to(device)
    longest, limit = int(prompts["attention_mask"].sum(1).argmax()), clip.config.text_config.max_position_embeddings
    if prompts["input_ids"].shape[1] > limit:
        raise InputError(
            f"'{texts[longest]}' is longer than the {limit} tokens that '{model_folder}' reads; shorten template or class names"
        )
    t = clip.get_text_features(**prompts)
    t = torch.nn.functional.normalize(getattr(t, "pooler_output", t), dim=-1)
    p = []
    for part in pixels.split(batch_size):
        inputs = processor(images=[image.permute(1, 2, 0).numpy() for image in part], return_tensors="pt").to(device)
        v = clip.get_image_features(**inputs)
        v = torch.nn.functional.normalize(getattr(v, "pooler_output", v), dim=-1)
        p.append((clip.logit_scale.exp() * v @ t.T).softmax(1).cpu())
    return torch.cat(p)
