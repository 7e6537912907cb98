"""CLIP as a classifier: class names alone, no training."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from aa_utils.classifiers import features
from aa_utils.errors import InputError
from aa_utils.pretrained import whole_folders


def predict(
    model_folder: str | Path,
    class_names: Sequence[str],
    pixels: Tensor,
    template: str = "a photo of a {}",
    batch_size: int = 0,
    device: str = "cpu",
) -> Tensor:
    """p (N, K) of CLIP by names alone: the first of `predict_with_features`."""
    return predict_with_features(model_folder, class_names, pixels, template, batch_size, device)[0]


@torch.no_grad()
def predict_with_features(
    model_folder: str | Path,
    class_names: Sequence[str],
    pixels: Tensor,
    template: str = "a photo of a {}",
    batch_size: int = 0,
    device: str = "cpu",
) -> tuple[Tensor, Tensor]:
    """(p (N, K), f (N, D)) of CLIP by names alone (Radford et al. 2021, section 3.1): f are the normalised features of the images, p the
    softmax of their scaled cosines to those of the class prompts.

    `model_folder`: any transformers `CLIPModel` with tokenizer and image processor, a folder or a hub id. `pixels` uint8 (N, 3, S, S).
    `batch_size` 0: as many images at once as the size allows to which the CLIP brings them (`features.batch_size`).
    Errors: InputError if it is not whole (`whole_folders.load_clip`), and for a prompt that is longer than it reads.
    """
    model, tokenizer, processor = whole_folders.load_clip(model_folder, device)
    texts = [template.format(name) for name in class_names]
    prompts = tokenizer(texts, padding=True, return_tensors="pt").to(device)
    longest, limit = int(prompts["attention_mask"].sum(1).argmax()), model.config.text_config.max_position_embeddings
    if prompts["input_ids"].shape[1] > limit:
        raise InputError(
            f"'{texts[longest]}' is longer than the {limit} tokens that '{model_folder}' reads; shorten template or class names"
        )
    t = model.get_text_features(**prompts)
    t = torch.nn.functional.normalize(getattr(t, "pooler_output", t), dim=-1)
    p, f = [], []
    for part in pixels.split(batch_size or features.batch_size(model.config.vision_config.image_size, device)):
        inputs = processor(images=[image.permute(1, 2, 0).numpy() for image in part], return_tensors="pt").to(device)
        v = model.get_image_features(**inputs)
        v = torch.nn.functional.normalize(getattr(v, "pooler_output", v), dim=-1)
        f.append(v.cpu())
        p.append((model.logit_scale.exp() * v @ t.T).softmax(1).cpu())
    return torch.cat(p), torch.cat(f)
