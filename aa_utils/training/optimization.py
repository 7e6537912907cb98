"""How weights change: the optimiser and its groups, one update from several losses, averaged weights."""

import copy
from collections.abc import Iterable
from functools import partial

import torch
from torch import Tensor, nn

# Fused: all weights in one call, on CPU and GPU (DANN's pocket networks: 0.4 ms instead of 5).
OPTIMIZERS = {
    "sgd": partial(torch.optim.SGD, momentum=0.9, nesterov=True, fused=True),
    "adam": partial(torch.optim.Adam, fused=True),
    "adamw": partial(torch.optim.AdamW, fused=True),
}


def optimiser(nets: nn.ModuleDict, recipe, factors: dict[str, float]) -> torch.optim.Optimizer:
    """Groups by (lr factor, decay or none): backbone at `backbone_lr`, networks in `factors` at that many times it, the rest at 1."""
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, weight in nets.named_parameters():
        if weight.requires_grad:
            network = name.partition(".")[0]
            factor = recipe.backbone_lr if name.startswith("classifier.backbone.") else 1.0
            if network in factors:
                factor = recipe.backbone_lr * factors[network]
            groups.setdefault((factor, weight.ndim > 1), []).append(weight)
    listed = [
        {"params": weights, "factor": factor, "weight_decay": recipe.weight_decay if decays else 0.0}
        for (factor, decays), weights in groups.items()
    ]
    return OPTIMIZERS[recipe.optimizer](listed, lr=recipe.lr)


Part = tuple[Tensor, Iterable[nn.Parameter]]  # a loss, and the weights that it trains


def update(parts: tuple[Part, ...], optimiser: torch.optim.Optimizer, scaler: torch.amp.GradScaler, clip: float) -> None:
    """One optimiser step: each (loss, weights) gives these weights, and no others, their gradient. Weights not named stay as they are.

    All gradients are taken before the step, so losses of one forward pass may train different weights.
    """
    optimiser.zero_grad(set_to_none=True)
    for k, (loss, weights) in enumerate(parts):
        weights = [q for q in weights if q.requires_grad]
        with torch.autocast(loss.device.type, enabled=False):
            gradients = torch.autograd.grad(scaler.scale(loss), weights, retain_graph=k + 1 < len(parts), allow_unused=True)
        for q, gradient in zip(weights, gradients, strict=True):
            if gradient is not None:
                q.grad = gradient if q.grad is None else q.grad + gradient
    if clip:
        scaler.unscale_(optimiser)
        torch.nn.utils.clip_grad_norm_([q for group in optimiser.param_groups for q in group["params"]], clip)
    scaler.step(optimiser)
    scaler.update()
    torch.clear_autocast_cache()  # or the next forward pass of this batch would use the weights' low-precision copies from before


class Average(nn.Module):
    """Exponential moving average of a network's weights; buffers (BatchNorm statistics) are copied."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.module = copy.deepcopy(net).requires_grad_(False).eval()

    @torch.no_grad()
    def update(self, net: nn.Module, decay: float, step: int) -> None:
        """average <- d average + (1 - d) net, d = min(decay, (1 + step) / (10 + step)): the start-up rule of TensorFlow's averages."""
        d = min(decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.module.parameters()), [q.detach() for q in net.parameters()], 1 - d)
        for mine, its in zip(self.module.buffers(), net.buffers(), strict=True):
            mine.copy_(its)
