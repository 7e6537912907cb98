"""Digits of the pocket world as a labelled source: 2,000 renders, 200 of each, by the program from whose pictures pocket-diffusion learned.

What VisDA-17 asks of photographs (Peng et al. 2017, arXiv 1710.06924, whose source are renders of 3-D models), in miniature: are generated
images a better source than rendered ones? No training pool has these renders. They are no scans of anybody's writing.
"""

import numpy as np
import torch
import torch.nn.functional as F

from aa_utils.benchmarks import Target
from aa_utils.benchmarks.uci_digits import CLASS_NAMES
from aa_utils.data.images import ImageSet
from aa_utils.errors import InputError

FACTORS = ("style", "tool", "medium")  # whose values a domain names; no two of them share one
PER_CLASS = 200


def load(domain: str = "", size: int = 32) -> Target:
    """2,000 renders at `size` x `size`, as many of each digit. `domain`: what all have in common, "handwritten-pen-scan"; "" for nothing.

    Errors: InputError for a value that the pocket world has not.
    """
    from aa_utils.pocket.quality import FRESH
    from aa_utils.pocket.render import chunks
    from aa_utils.pocket.world import values

    there = {value.replace(" ", "_"): (factor, value) for factor in FACTORS for value in values(factor) if value != "none"}
    wanted = domain.split("-") if domain else []
    if unknown := [value for value in wanted if value not in there]:
        raise InputError(f"no 'pocket_renders:{domain}': {unknown[0]!r} is none of {', '.join(there)}; join them by '-', one of a kind")
    choices = dict(there[value] for value in wanted)
    if len(choices) < len(wanted):
        raise InputError(f"no 'pocket_renders:{domain}': two values of one kind; name one of each of {', '.join(FACTORS)}")
    pictures: list[list[np.ndarray]] = [[] for _ in CLASS_NAMES]
    for drawn, _, factors in chunks(FRESH + 3, **choices):
        for picture, character in zip(drawn, factors["character"], strict=True):
            if character.isdigit() and len(pictures[int(character)]) < PER_CLASS:
                pictures[int(character)].append(picture)
        if all(len(own) == PER_CLASS for own in pictures):
            break
    pixels = torch.from_numpy(np.concatenate([np.stack(own) for own in pictures])).permute(0, 3, 1, 2).contiguous()
    if size != pixels.shape[-1]:
        made = F.interpolate(pixels.float(), size=(size, size), mode="bicubic", align_corners=False, antialias=True)
        pixels = made.clamp(0, 255).round().byte()
    ids = [f"render-{label}-{i:03d}" for label in range(len(CLASS_NAMES)) for i in range(PER_CLASS)]
    labels = torch.arange(len(CLASS_NAMES)).repeat_interleave(PER_CLASS)
    name = f"pocket_renders:{domain}" if domain else "pocket_renders"
    return Target(name, ImageSet(pixels, None, ids, list(CLASS_NAMES)), labels, "rendered by aa_utils.pocket")
