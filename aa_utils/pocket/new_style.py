"""A style that the pocket world can draw and no pocket model has ever seen: counterchanged, as heralds call it.

The picture is parted down the middle. At the left the glyph lies in its ink on its paper, at the right the two have changed places. It is
for what comes after the models were trained: a guide that learns one new style from a few pictures, and the truth to measure it by. Two of
the world's own colours, each in large areas, because the autoencoder of pocket-diffusion knows nothing else: it was measured to lose
outlines, colour gradients and a third colour.
"""

import copy
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from aa_utils import files
from aa_utils.data.rows import write as write_rows
from aa_utils.errors import InputError
from aa_utils.pocket import render, world
from aa_utils.pocket.world import COLOURS, DIGIT_NAMES, Factors
from aa_utils.seeds import stable_hash

STYLE = "counterchanged"
BASE = "handwritten"  # how its glyphs are made
NEAR = 0.25  # distance in RGB (0..1) up to which a pixel counts as one of the two colours
ENOUGH = 0.02  # share of a picture that is glyph, at least


def sample(n: int, rng: np.random.Generator, **choices: str) -> Factors:
    """`world.sample`, in a world that has the new style too, for those who ask for it: `style="counterchanged"`.

    Errors: ValueError for a factor or value that this world does not have.
    """
    if choices.get("style") != STYLE:
        return world.sample(n, rng, **choices)
    rows = world.sample(n, rng, **choices | {"style": BASE})
    rows["style"] = np.full(n, STYLE)
    return rows


def draw(factors: Factors, rng: np.random.Generator) -> np.ndarray:
    """`render.draw`: pictures (n, 32, 32, 3) uint8, of rows that all have the new style or of rows without it."""
    new = factors["style"] == STYLE
    if not new.any():
        return render.draw(factors, rng)
    if not new.all():
        raise ValueError(f"rows with and without the style '{STYLE}'; draw them apart")
    rows = factors | {"style": np.full(len(new), BASE)}
    again = copy.deepcopy(rng)  # the same hand and the same camera
    left, right = render.draw(rows, rng), render.draw(rows | {"ink": rows["paper"], "paper": rows["ink"]}, again)
    return np.concatenate([left[:, :, : render.SIZE // 2], right[:, :, render.SIZE // 2 :]], 2)


def wears(pixels: np.ndarray | torch.Tensor, ink: str, paper: str) -> np.ndarray:
    """Which pictures (n, 32, 32, 3) uint8 wear the new style in these colours (n,) bool.

    In each half no more than two thirds of the pixels are nearer to its ink than to its paper; most of all are near one of the two, and
    some are ink.
    """
    seen = torch.as_tensor(pixels).float() / 255
    to_ink, to_paper = ((seen - torch.tensor(COLOURS[name])).square().sum(-1).sqrt() for name in (ink, paper))
    inked, known = to_ink < to_paper, torch.minimum(to_ink, to_paper) < NEAR
    half = render.SIZE // 2
    inked[:, :, half:] = ~inked[:, :, half:]
    halves = [inked[:, :, :half], inked[:, :, half:]]
    fits = [part.flatten(1).float().mean(1) < 2 / 3 for part in halves] + [known.flatten(1).float().mean(1) > 0.5]
    return (torch.stack(fits).all(0) & (inked.flatten(1).float().mean(1) > ENOUGH)).numpy()


def pictures(per_digit: int, seed: int | str, digits: list[int] | range = range(10), **domain: str) -> tuple[np.ndarray, np.ndarray]:
    """(uint8 (n, 32, 32, 3), labels (n,)): `per_digit` pictures of each of `digits` in the new style; `domain` fixes other factors.

    Errors: InputError for no digits, no pictures, or a domain that this world does not have.
    """
    if per_digit < 1 or not digits or not set(digits) <= set(range(10)):
        raise InputError(f"{per_digit} pictures of each of the digits {list(digits)}; take at least one of some of 0 to 9")
    parts = []
    for digit in digits:
        rng = np.random.default_rng(stable_hash("new style", seed, digit, *sorted(domain.items())))
        try:
            parts.append(draw(sample(per_digit, rng, **domain | {"character": str(digit), "style": STYLE}), rng))
        except ValueError as error:
            raise InputError(f"domain is {domain}: {error}") from error
    return np.concatenate(parts), np.repeat(list(digits), per_digit)


def write(folder: Path, per_digit: int, seed: int | str, digits: list[int] | range = range(10), **domain: str) -> None:
    """`pictures` as an image folder: <name>/<number>.png and metadata.jsonl (file_name, label: place among `digits`, class_name)."""
    pixels, labels = pictures(per_digit, seed, digits, **domain)
    rows = []
    for k, (image, digit) in enumerate(zip(pixels, labels, strict=True)):
        name = DIGIT_NAMES[digit]
        rows.append({"file_name": f"{name}/{k % per_digit:02d}.png", "label": list(digits).index(digit), "class_name": name})
        with files.atomic(folder / rows[-1]["file_name"]) as temporary:  # type: ignore[operator]
            Image.fromarray(image).save(temporary, "png")
    write_rows(folder, rows)
