"""What a generator is asked: z, labels (classes; cameras of a 3-D one), w with style mixing, images."""

import torch
from torch import Tensor, nn


def draw(z_dim: int, n: int, mixing: float, rng: torch.Generator, device) -> tuple[Tensor, Tensor]:
    """z (1, n, z_dim), or (2, n, z_dim) with style mixing, and where the second z takes over (n,): in [0, 1) of the w, 1 for nowhere.

    `mixing` is the probability of it, for each image. Drawn on the CPU: the same on every device.
    """
    z = torch.randn(2 if mixing else 1, n, z_dim, generator=rng)
    crossing = torch.where(torch.rand(n, generator=rng) < mixing, torch.rand(n, generator=rng), 1.0)
    return z.to(device), crossing.to(device)


def labels(net: nn.Module, n: int, rng: torch.Generator, device, orbit: str = "", chosen: Tensor | None = None) -> Tensor | None:
    """Random labels: cameras of a 3-D generator (on its own `orbit` or another), with a class if it has some (n, 25 + classes); classes
    (n,) int64 of another one; None where there are neither. `chosen` (n,): not random classes, but these."""
    found = net.sample_cameras(n, rng, orbit) if hasattr(net, "sample_cameras") else None
    if net.classes:
        chosen = torch.randint(net.classes, (n,), generator=rng) if chosen is None else chosen
        found = chosen if found is None else net.labels(found, chosen)
    return None if found is None else found.to(device)


def in_turn(net: nn.Module, n: int) -> Tensor | None:
    """Each class after the other (n,) int64; None for a generator without."""
    return torch.arange(n) % net.classes if net.classes else None


def classes(net: nn.Module, labels: Tensor | None) -> Tensor | None:
    """The classes (n,) int64 in `labels` of the above; None where there are none."""
    if not net.classes:
        return None
    return labels[:, -net.classes :].argmax(1) if hasattr(net, "sample_cameras") else labels


def mapped(net: nn.Module, z: Tensor, crossing: Tensor, labels: Tensor | None, psi: float) -> Tensor:
    """w (n, num_ws, w_dim) of what `draw` gave: from the crossing on, and not before w_1, that of the second z."""
    w = net.mapping(z[0], labels, psi=psi)
    if len(z) == 1:
        return w
    last = w.shape[1] - 1
    second = torch.arange(last + 1, device=w.device) >= 1 + (crossing * last).floor()[:, None]
    return torch.where(second[:, :, None], net.mapping(z[1], labels, psi=psi), w)


def render(net: nn.Module, w: Tensor, noise: str, labels: Tensor | None = None) -> Tensor:
    """Images (n, 3, S, S) of `w`, with noise maps "fixed", "random" or "none"; a 3-D generator is seen by the cameras in `labels`."""
    return net.synthesis(w, labels, noise=noise) if hasattr(net, "sample_cameras") else net.synthesis(w, noise=noise)
