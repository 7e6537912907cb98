"""How good the pocket models are, measured on pictures that they have not seen."""

import numpy as np
import pandas as pd
import torch
from transformers import CLIPModel, CLIPTokenizer

from aa_utils.data.images import ImageSet
from aa_utils.pocket import clip, reader
from aa_utils.pocket.render import render
from aa_utils.pocket.world import CATEGORIES, CHARACTERS

FRESH = 10**6  # the seed of renders that no training pool holds


def reader_accuracy(net: torch.nn.Module, n: int) -> pd.DataFrame:
    """Accuracy of the reader on `n` fresh renders (those that show digits), by style: columns style, images, accuracy."""
    pictures, _, factors = render(n, FRESH)
    digits = np.char.isdigit(factors["character"])
    right = reader.read(net, pictures[digits]) == factors["character"][digits].astype(int)
    return _by(factors["style"][digits], right, "style")


def clip_accuracy(net: CLIPModel, vocabulary: CLIPTokenizer, n: int) -> pd.DataFrame:
    """Zero-shot accuracy of pocket-clip on `n` fresh renders: which of "a photo of a <category>" is nearest.

    Rows: by style among the ten digits ("handwritten" …), the ten digits together ("digits"), and all 36 characters ("digits and
    letters").
    """
    pictures, _, factors = render(n, FRESH)
    digits = np.char.isdigit(factors["character"])
    names = list(CATEGORIES.values())
    among_ten = clip.zero_shot(net, vocabulary, pictures[digits], names[:10]) == factors["character"][digits].astype(int)
    among_all = clip.zero_shot(net, vocabulary, pictures, names) == np.array([CHARACTERS.index(c) for c in factors["character"]])
    rows = _by(factors["style"][digits], among_ten, "what")
    whole = [("digits", digits.sum(), among_ten.mean()), ("digits and letters", n, among_all.mean())]
    return pd.concat([rows, pd.DataFrame(whole, columns=rows.columns)], ignore_index=True)


def read_rate(net: torch.nn.Module, drawn: ImageSet, prompts: list[dict]) -> pd.DataFrame:
    """The share of generated images in which the reader reads the digit that the prompt named, by style asked for and together ("all").

    `drawn` are the images of `prompts`, one a prompt: rows of prompts.jsonl, whose labels are the digits.
    """
    texts = {row["id"]: row["text"] for row in prompts}
    kinds = np.array([kind(texts[name.rsplit("/")[-1].rsplit("-", 1)[0]]) for name in drawn.names])
    right = reader.read(net, drawn.pixels.permute(0, 2, 3, 1)) == drawn.labels.numpy()
    rows = _by(kinds, right, "prompts")
    return pd.concat([rows, pd.DataFrame([("all", len(right), right.mean())], columns=rows.columns)], ignore_index=True)


def metrics(measured: dict[str, pd.DataFrame]) -> list[dict]:
    """All measured tables as one tidy list: rows {model, what, images, accuracy}."""
    return [
        {"model": model, "what": str(what), "images": int(images), "accuracy": float(accuracy)}
        for model, table in measured.items()
        for what, images, accuracy in table.itertuples(index=False)
    ]


def kind(prompt: str) -> str:
    """The style that a prompt in the words of the pocket world asks for."""
    for word, style in {"handwritten": "handwritten", "chalk": "chalk", "display": "display", "printed": "printed"}.items():
        if word in prompt:
            return style
    return "unsaid"


def _by(groups: np.ndarray, right: np.ndarray, name: str) -> pd.DataFrame:
    rows = [(group, int((groups == group).sum()), float(right[groups == group].mean())) for group in np.unique(groups)]
    return pd.DataFrame(rows, columns=[name, "images", "accuracy"])
