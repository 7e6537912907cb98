"""CLIP as a classifier: class names alone, no training."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from aa_utils import devices
from aa_utils.errors import InputError


@torch.no_grad()
def predict(
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

    device = devices.choose(device)
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
