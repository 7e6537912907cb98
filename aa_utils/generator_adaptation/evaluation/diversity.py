"""Diversity: how different the images of different latents are, in the mean over pairs.

With LPIPS it is the measure of Ojha et al. 2021 (arXiv 2104.06820) and of StyleGAN-Fusion's code; any `perceptual.Distance` will do. Pairs
have the same class where there are classes: ten images, each shown for its class whatever the latent, are a collapse.
"""

import torch
from torch import Tensor

from aa_utils.errors import InputError
from aa_utils.generator_adaptation.evaluation.features import as_float
from aa_utils.generator_adaptation.perceptual import Distance
from aa_utils.seeds import torch_generator

AT_ONCE = 64


@torch.inference_mode()
def diversity(distance: Distance, pixels: Tensor, labels: Tensor | None, pairs: int = 2000, device: str = "cpu") -> float:
    """The mean of `distance` over `pairs` random pairs of different images (n, 3, H, W) uint8, of one class if there are `labels` (n,).

    The same pairs for every set of the same labels. Errors: InputError if no two images have the same class.
    """
    first, second = chosen(len(pixels), labels, pairs)
    parts = zip(first.split(AT_ONCE), second.split(AT_ONCE), strict=True)
    return (
        torch.cat([distance(as_float(pixels[i].to(device)), as_float(pixels[j].to(device))).cpu() for i, j in parts]).double().mean().item()
    )


def chosen(n: int, labels: Tensor | None, pairs: int) -> tuple[Tensor, Tensor]:
    """Indices (pairs,) and (pairs,) of different images of the same class, each class as often as it has images."""
    labels = torch.zeros(n, dtype=torch.int64) if labels is None else labels
    order = torch.argsort(labels, stable=True)
    counts = torch.bincount(labels)
    starts = counts.cumsum(0) - counts
    able = (counts[labels] > 1).nonzero()[:, 0]
    if len(able) == 0:
        raise InputError(f"{n} images, and no two of the same class; diversity needs pairs")
    rng = torch_generator("diversity", n, pairs)
    first = able[torch.randint(len(able), (pairs,), generator=rng)]
    # Its place in its class, moved on by 1 … count - 1 places.
    place = torch.empty_like(order)
    place[order] = torch.arange(n) - starts[labels[order]]
    count = counts[labels[first]]
    shift = 1 + (torch.rand(pairs, generator=rng) * (count - 1)).long().clamp_max(count - 2)
    return first, order[starts[labels[first]] + (place[first] + shift) % count]
