"""What one step of a GAN's training looks at: real images with their labels, and generated ones of random latents."""

import torch
from torch import Tensor, nn

from aa_utils.generator_adaptation.generators.cameras import NUMBERS
from aa_utils.generator_adaptation.generators.discriminator import GROUP
from aa_utils.generator_adaptation.generators.stylegan2 import mixed
from aa_utils.generator_adaptation.pretraining import camera_training
from aa_utils.generator_adaptation.pretraining.camera_training import Views


def drawn(
    generator: nn.Module, n: int, labels: Tensor | None, mixing: float, rng: torch.Generator, device: str, views: Views | None = None
) -> tuple[Tensor, Tensor]:
    """(images (n, C, R, R), their w (n, num_ws, w_dim)) of random latents; see `styles`, and for 3-D ones `camera_training.render`."""
    ws = styles(generator, n, labels, mixing, rng, device, views)
    if hasattr(generator, "sample_cameras"):
        return camera_training.render(generator, ws, labels[:, :NUMBERS], rng), ws
    return generator.synthesis(ws, "random", rng), ws


def styles(
    generator: nn.Module,
    n: int,
    labels: Tensor | None,
    mixing: float,
    rng: torch.Generator,
    device: str,
    views: Views | None = None,
    decay: float = 0.995,
) -> Tensor:
    """w (n, num_ws, w_dim) of random latents, with style mixing from a random layer on in a share `mixing` of the calls.

    The running mean of w follows along, with `decay`. 3-D generators are told cameras as `camera_training.swap_cameras` swaps them.
    """
    z = torch.randn(2, n, generator.z_dim, generator=rng).to(device)
    crosses, crossing = torch.rand((), generator=rng) < mixing, int(torch.randint(1, generator.num_ws, (), generator=rng))
    labels = camera_training.swap_cameras(labels, (views or Views()).swap, rng) if hasattr(generator, "sample_cameras") else labels
    w = generator.mapping.w(z[0], labels)
    generator.mapping.track(w, decay)
    ws = w[:, None].expand(-1, generator.num_ws, -1)
    if crosses:
        ws = mixed(ws, generator.mapping.w(z[1], labels)[:, None].expand_as(ws), crossing)
    return ws


def batch(
    labels: Tensor | None, images: int, size: int, rng: torch.Generator, device: str = "cpu"
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Rows of `size` real images, their labels, and as many labels from the same distribution for generated images.

    The images that the discriminator compares (`discriminator.with_deviation`) share their class. Mixed, they differ by it anyway, and a
    generator that draws but one image a class goes unnoticed. Cameras (n, 25 + classes) are all different: each image comes with its own.
    """
    if labels is None:
        return torch.randint(images, (size,), generator=rng), None, None
    if labels.ndim == 2 and labels.shape[1] == NUMBERS:
        real, fake = torch.randint(images, (2, size), generator=rng)
    else:
        classes = labels if labels.ndim == 1 else labels[:, NUMBERS:].argmax(1)
        real, fake = (_of_classes(some, classes, rng) for some in classes[torch.randint(images, (2, size // GROUP), generator=rng)])
    return real, labels[real].to(device), labels[fake].to(device)


def _of_classes(chosen: Tensor, classes: Tensor, rng: torch.Generator) -> Tensor:
    """Rows (GROUP · k,) of images of the `chosen` classes (k,), in the order in which the discriminator compares; all `classes`: (n,)."""
    by_class, counts = classes.argsort(stable=True), classes.bincount()
    first = counts.cumsum(0) - counts
    within = (torch.rand(GROUP, len(chosen), generator=rng) * counts[chosen]).long().minimum(counts[chosen] - 1)
    return by_class[first[chosen] + within].flatten()
