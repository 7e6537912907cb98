"""The judge: a small network that reads the look of a render (style, ink, paper, quality), as pocket-reader reads its character.

It is trained on renders alone and knows what the adaptation never tells it: whether chalk is chalk. It must choose among the looks of the
pocket world even where there is none, so a high share of "chalk" alone says little of how good the chalk is.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aa_utils import files
from aa_utils.errors import InputError
from aa_utils.pocket import fit, pool, reader, world
from aa_utils.pocket.clip import normalised
from aa_utils.pocket.render import render
from aa_utils.runner import code_closure, identity

FACTORS = ("style", "ink", "paper", "quality")
VALUES = {factor: world.values(factor) for factor in FACTORS}
SIZES = [len(values) for values in VALUES.values()]
FILE, ABOUT = "judge.safetensors", "judge.json"
FRESH = 2 * 10**6  # the seed of renders that no training pool holds


def train(folder: Path, renders: int = 32768, steps: int = 2000, batch: int = 96, seed: int = 0, workers: int = 1) -> nn.Sequential:
    """The judge in `folder`, trained first if there is none: on `renders` renders, for `steps` steps. A killed training is continued.

    Errors: InputError if `folder` holds a judge of another recipe.
    """
    recipe = f"judge-{renders}-{steps}-{batch}-{seed}"
    decided = {"recipe": recipe, "code": code_closure.fingerprint(__name__), "torch": str(torch.__version__)}
    if (folder / FILE).is_file():
        if not (folder / f"{recipe}.csv").is_file():
            raise InputError(f"'{folder}' holds a judge that is not {recipe}; take another folder, or remove it")
        before = files.read_json_if_whole(folder / ABOUT)
        if identity.same(before, decided, f"the training of the judge in '{folder}'"):
            return load(folder)
    pictures, _, known = pool.load(folder / "renders", renders, seed, workers)
    answers = torch.stack([torch.from_numpy(np.searchsorted(values, known[factor])) for factor, values in VALUES.items()], 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = reader.model(sum(SIZES))
    settings = fit.Fit(steps=steps, batch=batch, lr=2e-3, warmup=min(100, steps // 5), weight_decay=0.02, average=0.995)
    shown = torch.from_numpy(pictures)
    fit.train(net, _judging(net, shown, answers, batch), settings, recipe, folder, seed, data=[shown, answers])
    reader.save(net, folder / FILE)
    files.write_json(folder / ABOUT, decided)
    return load(folder)


def load(folder: Path) -> nn.Sequential:
    """The judge that `train` left in `folder`. Errors: InputError if there is none."""
    if not (folder / FILE).is_file():
        raise InputError(f"no judge in '{folder}'; 72_evaluate_generator trains one")
    return reader.load(folder / FILE, sum(SIZES))


@torch.inference_mode()
def looks(net: nn.Sequential, pixels: Tensor) -> dict[str, np.ndarray]:
    """For each factor the value (n,) that the judge reads in images (n, 3, 32, 32) uint8."""
    logits = torch.cat([net(part.float() / 127.5 - 1) for part in pixels.split(1024)]).split(SIZES, 1)
    return {factor: np.array(values)[part.argmax(1).numpy()] for (factor, values), part in zip(VALUES.items(), logits, strict=True)}


def shares(net: nn.Sequential, pixels: Tensor, domain: dict[str, str]) -> dict[str, float]:
    """For each factor that `domain` fixes the share of images in which the judge reads that value; none for a style it has never seen."""
    if domain.get("style", VALUES["style"][0]) not in VALUES["style"]:
        return {}
    seen = looks(net, pixels)
    return {factor: float((seen[factor] == domain[factor]).mean()) for factor in FACTORS if factor in domain}


def accuracy(net: nn.Sequential, n: int, **choices: str) -> pd.DataFrame:
    """The judge on `n` fresh renders (with `choices` fixed): a row a factor, columns factor, values, accuracy."""
    pictures, _, known = render(n, FRESH, **choices)
    seen = looks(net, torch.from_numpy(pictures).permute(0, 3, 1, 2))
    rows = [(factor, len(values), float((seen[factor] == known[factor]).mean())) for factor, values in VALUES.items()]
    return pd.DataFrame(rows, columns=["factor", "values", "accuracy"])


def _judging(net: nn.Sequential, pictures: Tensor, answers: Tensor, batch: int) -> fit.Loss:
    def loss(generator: torch.Generator) -> dict[str, Tensor]:
        rows = torch.randint(len(pictures), (batch,), generator=generator)
        said = net(_moved(normalised(pictures[rows]), generator)).split(SIZES, 1)
        return {factor: F.cross_entropy(said[i], answers[rows, i], label_smoothing=0.05) for i, factor in enumerate(FACTORS)}

    return loss


def _moved(x: Tensor, generator: torch.Generator) -> Tensor:
    """Images moved by up to 2 whole pixels and noised a little: interpolation, as in the reader's jitter, would wash out what chalk is."""
    down, right = torch.randint(5, (2,), generator=generator).tolist()
    wide = F.pad(x, (2, 2, 2, 2), mode="replicate")
    return wide[..., down : down + x.shape[-2], right : right + x.shape[-1]] + 0.02 * torch.randn(x.shape, generator=generator)
