"""What BatchNorm normalises by: a choice of the recipe, for every method.

| `batchnorm` | in training | the statistics that are kept |
|---|---|---|
| `train` | each batch by its own statistics | running means over the batches, of source and target as the method mixes them |
| `frozen` | the backbone by the statistics that it came with, which stay as they are; its scales and shifts still learn | the same |
| `target` | as `train` | those of all target images: AdaBN (Li et al. 2016, arXiv 1603.04779) |

Frozen is the backbone alone: a bottleneck, a head or a discriminator is new, and has no statistics worth keeping.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from aa_utils.errors import InputError

CHOICES = ("train", "frozen", "target")
PIXELS = 2**22  # in a block of images: what a network makes of them lies in memory at once


def layers(net: nn.Module) -> list[_BatchNorm]:
    """The BatchNorm layers of `net` that keep running statistics."""
    return [module for module in net.modules() if isinstance(module, _BatchNorm) and module.running_mean is not None]


def check(classifier: nn.Module, choice: str) -> None:
    """Errors: InputError if there is nothing to choose: a backbone without BatchNorm, such as a ViT."""
    if choice != "train" and not layers(classifier.backbone):
        raise InputError(f"batchnorm is '{choice}', but {classifier.config['backbone']} has no BatchNorm; leave batchnorm=train")


@contextmanager
def untouched(net: nn.Module) -> Iterator[None]:
    """Context in which BatchNorm in train mode normalises by the batch as usual, but keeps its running mean, variance and counter."""
    norms = [module for module in net.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


@torch.no_grad()
def estimate(classifier: nn.Module, pixels: Tensor, device: str, block: int = 0) -> None:
    """Set the running statistics of every BatchNorm layer of `classifier` to those of the images uint8 `pixels` (N, 3, S, S).

    Exact, whatever the `block` of images that lies in memory (0: as many as PIXELS holds): layer by layer in the order of the forward pass,
    mean and variance (divided by n - 1, as torch keeps it) of what the layer takes in, over all images, with the layers before it in their
    final state. That is a pass for each layer, up to that layer: half as many whole passes as there are layers. Leaves eval mode.
    Errors: InputError for fewer than two images.
    """
    if len(pixels) < 2:
        raise InputError(f"the statistics of {len(pixels)} image are no statistics; batchnorm=target takes at least 2")
    classifier.eval()
    blocks = pixels.split(block or max(1, PIXELS // pixels[0, 0].numel()))
    for layer in _in_order(classifier, pixels[:1], device):
        count, mean, squares = 0, 0.0, 0.0  # float64 on the CPU: Chan, Golub and LeVeque 1979, pairwise
        for part in blocks:
            x = _input_of(layer, classifier, part, device).transpose(0, 1).flatten(1)
            variance, own = (value.double().cpu() for value in torch.var_mean(x.float(), 1, correction=0))
            n = x.shape[1]
            apart = own - mean
            squares = squares + variance * n + apart.square() * (count * n / (count + n))  # type: ignore[assignment]
            mean = mean + apart * (n / (count + n))  # type: ignore[assignment]
            count += n
        layer.running_mean.copy_(mean)  # type: ignore[union-attr, arg-type]
        layer.running_var.copy_(squares / (count - 1))  # type: ignore[union-attr, arg-type]


class _Reached(Exception):
    """Ends a forward pass at the layer that was waited for."""


def _in_order(classifier: nn.Module, pixels: Tensor, device: str) -> list[_BatchNorm]:
    """The layers in the order in which a forward pass comes to them."""
    seen: list[_BatchNorm] = []
    handles = [layer.register_forward_pre_hook(lambda module, _: seen.append(module)) for layer in layers(classifier)]
    _forward(classifier, pixels, device, handles)
    return list(dict.fromkeys(seen))


def _input_of(layer: nn.Module, classifier: nn.Module, pixels: Tensor, device: str) -> Tensor:
    """What `layer` takes in, (n, C, …), when `pixels` go through the classifier."""
    taken: list[Tensor] = []

    def take(_: nn.Module, inputs: tuple[Tensor]) -> None:
        taken.append(inputs[0])
        raise _Reached

    with suppress(_Reached):
        _forward(classifier, pixels, device, [layer.register_forward_pre_hook(take)])
    return taken[0]


def _forward(classifier: nn.Module, pixels: Tensor, device: str, handles: list) -> None:
    try:
        classifier(pixels.to(device).float().div_(255))
    finally:
        for handle in handles:
            handle.remove()
