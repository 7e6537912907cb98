"""pocket-clip: a CLIP of pocket size (Radford et al. 2021, arXiv 2103.00020), trained from scratch on captioned renders.

L = ½ (CE(s·ImgTxtᵀ, I) + CE(s·TxtImgᵀ, I)) over a batch, s the learned temperature, both embeddings normalised (their figure 3).
"""

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

from aa_utils import files
from aa_utils.pocket.jitter import jitter

LENGTH = 48  # tokens of the longest caption, start and end included
MEAN = STD = (0.5, 0.5, 0.5)


def tokenizer(texts: Iterable[str], size: int = 1024) -> CLIPTokenizer:
    """A byte-level BPE tokenizer in CLIP's format, its merges learned from `texts`; any other text falls back to letters."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    bpe.decoder = decoders.BPEDecoder()
    alphabet = [chr(c) for c in range(33, 127)]
    bpe.train_from_iterator(
        (t.lower() for t in texts),
        trainers.BpeTrainer(vocab_size=size, end_of_word_suffix="</w>", initial_alphabet=alphabet, show_progress=False),
    )
    merges = [tuple(pair) for pair in json.loads(bpe.to_str())["model"]["merges"]]
    tokens = [*alphabet, *(c + "</w>" for c in alphabet), *("".join(pair) for pair in merges)]
    vocabulary = {token: k for k, token in enumerate(dict.fromkeys([*tokens, "<|startoftext|>", "<|endoftext|>"]))}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=LENGTH)


def model(vocabulary: CLIPTokenizer) -> CLIPModel:
    """An untrained pocket CLIP: 3 text layers of width 128, 4 image layers of width 192 on 8 px patches."""
    end, start = vocabulary.eos_token_id, vocabulary.bos_token_id
    text = {"vocab_size": len(vocabulary), "hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 3, "num_attention_heads": 4}
    text |= {"max_position_embeddings": LENGTH, "bos_token_id": start, "eos_token_id": end, "pad_token_id": end, "hidden_act": "gelu"}  # type: ignore[dict-item]
    vision = {
        "hidden_size": 192,
        "intermediate_size": 768,
        "num_hidden_layers": 4,
        "num_attention_heads": 6,
        "image_size": 32,
        "patch_size": 8,
    }
    vision |= {"hidden_act": "gelu"}  # type: ignore[dict-item]
    # Eager attention: on the CPU the backward pass of fused attention has no fast bfloat16 kernel.
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=128, attn_implementation="eager"))


def processor() -> CLIPImageProcessor:
    """The image pre-processing that belongs to the model: 32 px, values to [-1, 1]."""
    return CLIPImageProcessor(size={"height": 32, "width": 32}, do_center_crop=False, image_mean=MEAN, image_std=STD)


def normalised(pictures: np.ndarray | Tensor) -> Tensor:
    """uint8 (n, 32, 32, 3) -> float (n, 3, 32, 32) in [-1, 1], as `processor` does."""
    return torch.as_tensor(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


def tokens(vocabulary: CLIPTokenizer, texts: list[str]) -> Tensor:
    """Token ids (n, LENGTH), padded with the end token as CLIP does."""
    ids = vocabulary(texts, padding="max_length", max_length=LENGTH, truncation=True)["input_ids"]
    return torch.tensor(ids)


def contrastive(net: nn.Module, pictures: Tensor, ids: Tensor, batch: int, device: str = "cpu"):
    """The loss of one step as `aa_utils.pocket.fit` wants it: a random batch of (picture, caption) pairs against each other."""

    def loss(generator: torch.Generator) -> dict[str, Tensor]:
        rows = torch.randint(len(pictures), (batch,), generator=generator)
        texts = ids[rows]
        longest = int((texts != net.config.text_config.eos_token_id).sum(1).max()) + 1  # the rest is padding
        found = net(input_ids=texts[:, :longest].to(device), pixel_values=normalised(pictures[rows]).to(device))
        logits = found.logits_per_image.float()
        target = torch.arange(batch, device=device)
        return {"clip": 0.5 * (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target))}

    return loss


def naming(
    net: CLIPModel, pictures: Tensor, captions: Tensor, labels: Tensor | None, sentences: list[Tensor], batch: int, device: str = "cpu"
):
    """The loss of one step of the second phase: pictures against short captions that say the category alone, and against their own.

    The first is a classification, with labels: a cross-entropy over the sentences of all categories.

    In full captions style and colour tell most pairs of a batch apart, and the image tower hardly learns to read. With short captions
    only the character does: pictures that share one are all its positives (Yang et al. 2022, arXiv 2204.03610), so that loss runs over
    captions, not pairs. The full captions stay beside it, or the tower forgets every look, and with it what a direction in its space
    means. The text tower is frozen (Zhai et al. 2022, arXiv 2111.07991): pocket-diffusion is conditioned on it.
    `captions` (n, LENGTH) are the token ids of each picture's caption, `labels` (n,) its category, and `sentences` holds, for each
    wording, the token ids (categories, LENGTH). `labels` None: the purely contrastive tower, same batches and no names; what naming is
    worth is the difference.
    """
    net.text_model.requires_grad_(False)

    @cache
    def text_embeddings() -> tuple[list[Tensor], Tensor]:  # minutes for all captions, so only when there is still something to train
        return [pooled(net, ids, device) for ids in sentences], pooled(net, captions, device)

    def loss(generator: torch.Generator) -> dict[str, Tensor]:
        short, full = text_embeddings()
        rows = torch.randint(len(pictures), (batch,), generator=generator)
        wording = int(torch.randint(len(short), (1,), generator=generator))
        seen = jitter(normalised(pictures[rows]), generator).to(device)
        image = F.normalize(net.visual_projection(net.vision_model(pixel_values=seen).pooler_output).float(), dim=-1)
        names, own = (F.normalize(net.text_projection(text).float(), dim=-1) for text in (short[wording], full[rows].to(device)))
        scaled = net.logit_scale.exp() * image
        pairs, target = scaled @ own.T, torch.arange(batch, device=device)
        terms = {} if labels is None else {"naming": F.cross_entropy(scaled @ names.T, labels[rows].to(device))}
        return terms | {"clip": 0.5 * (F.cross_entropy(pairs, target) + F.cross_entropy(pairs.T, target))}

    return loss


@torch.no_grad()
def pooled(net: CLIPModel, ids: Tensor, device: str = "cpu", batch: int = 1024) -> Tensor:
    """What the text tower makes of each row of `ids` (n, LENGTH), before its projection: (n, width), in float32."""
    found, end = [], net.config.text_config.eos_token_id
    with torch.autocast(torch.device(device).type, enabled=False):
        for part in ids.split(batch):
            longest = int((part != end).sum(1).max()) + 1  # the rest is padding
            found.append(net.text_model(input_ids=part[:, :longest].to(device)).pooler_output)
    return torch.cat(found)


@torch.inference_mode()
def zero_shot(
    net: CLIPModel, vocabulary: CLIPTokenizer, pictures: np.ndarray, names: list[str], template: str = "a photo of a {}"
) -> np.ndarray:
    """The index of the name whose sentence is nearest to each picture (n,)."""
    ids = tokens(vocabulary, [template.format(name) for name in names])
    text = F.normalize(net.get_text_features(input_ids=ids).pooler_output, dim=-1)
    parts = [
        net.get_image_features(pixel_values=normalised(part)).pooler_output
        for part in np.array_split(pictures, max(1, len(pictures) // 512))
    ]
    return (F.normalize(torch.cat(parts), dim=-1) @ text.T).argmax(1).numpy()


def save(net: CLIPModel, vocabulary: CLIPTokenizer, folder: Path) -> None:
    """A folder that stock `CLIPModel.from_pretrained` and `CLIPProcessor.from_pretrained` load; weights in fp16."""
    net.to(torch.float16).save_pretrained(folder)
    vocabulary.save_pretrained(folder)
    processor().save_pretrained(folder)
    to_load_in_float32(folder)
    net.to(torch.float32)


def save_image_tower(folder: Path) -> None:
    """Write image_tower.safetensors beside the CLIP saved in `folder`: its image tower by timm's names, for `pretrained` of pocket_vit."""
    from aa_utils.classifiers import pocket_vit

    tower = pocket_vit._tower(folder / "model.safetensors")
    with files.atomic(folder / "image_tower.safetensors") as temporary:
        save_file({name: value.half().contiguous() for name, value in tower.items()}, temporary)


def to_load_in_float32(folder: Path) -> None:
    """Name float32 in the config.json of a saved transformers model, whatever its weights are stored in.

    transformers loads in the dtype that the config names, diffusers in float32: a pipeline loaded without a dtype would mix the two.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    files.write_text(folder / "config.json", json.dumps(config | {"dtype": "float32"}, indent=2, sort_keys=True) + "\n")
