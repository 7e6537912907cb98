"""How weights change: the optimizer and its groups, one update from several losses, averaged weights."""

from collections.abc import Iterable
from functools import partial

import torch
from timm.optim import param_groups_weight_decay
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from aa_utils.errors import InputError

# Fused: all weights in one call, on CPU and GPU (DANN's pocket networks: 0.4 ms instead of 5).
OPTIMIZERS = {
    "sgd": partial(torch.optim.SGD, momentum=0.9, nesterov=True, fused=True),
    "adam": partial(torch.optim.Adam, fused=True),
    "adamw": partial(torch.optim.AdamW, fused=True),
}


def optimizer(nets: nn.ModuleDict, recipe, factors: dict[str, float]) -> torch.optim.Optimizer:  # type: ignore[no-untyped-def]
    """Groups by (lr factor, decay or none): backbone at `backbone_lr`, networks in `factors` at that many times it, the rest at 1."""
    exempt = undecayed(nets)
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, weight in nets.named_parameters():
        if weight.requires_grad:
            network = name.partition(".")[0]
            factor = recipe.backbone_lr if name.startswith("classifier.backbone.") else 1.0
            if network in factors:
                factor = recipe.backbone_lr * factors[network]
            groups.setdefault((factor, name not in exempt), []).append(weight)
    listed = [
        {"params": weights, "factor": factor, "weight_decay": recipe.weight_decay if decays else 0.0}
        for (factor, decays), weights in groups.items()
    ]
    return OPTIMIZERS[recipe.optimizer](listed, lr=recipe.lr)  # type: ignore[no-any-return, operator]


def undecayed(nets: nn.Module) -> set[str]:
    """The names of the weights that weight decay leaves alone, by timm's rule: biases, normalisation, and what a network of timm exempts
    by name (the class token and the position embedding of a ViT)."""
    listed = [
        f"{prefix}.{name}" if prefix else name
        for prefix, net in nets.named_modules()
        if hasattr(net, "no_weight_decay")
        for name in net.no_weight_decay()
    ]
    groups = param_groups_weight_decay(nets, weight_decay=1.0, no_weight_decay_list=listed)
    exempt = {id(weight) for group in groups if not group["weight_decay"] for weight in group["params"]}
    return {name for name, weight in nets.named_parameters() if id(weight) in exempt}


Part = tuple[Tensor, Iterable[nn.Parameter]]  # a loss, and the weights that it trains


def update(parts: tuple[Part, ...], optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler, clip: float) -> None:
    """One optimizer step: each (loss, weights) gives these weights, and no others, their gradient. Weights not named stay as they are.

    All gradients are taken before the step, so losses of one forward pass may train different weights.
    """
    optimizer.zero_grad(set_to_none=True)
    for k, (loss, weights) in enumerate(parts):
        weights = [q for q in weights if q.requires_grad]
        with torch.autocast(loss.device.type, enabled=False):
            gradients = torch.autograd.grad(scaler.scale(loss), weights, retain_graph=k + 1 < len(parts), allow_unused=True)
        for q, gradient in zip(weights, gradients, strict=True):
            if gradient is not None:
                q.grad = gradient if q.grad is None else q.grad + gradient
    if clip:
        scaler.unscale_(optimizer)
        norm = torch.nn.utils.clip_grad_norm_([q for group in optimizer.param_groups for q in group["params"]], clip)
        if not scaler.is_enabled() and not norm.isfinite():  # clipped by it, all gradients would be 0, and nothing would be learned
            raise InputError("the norm of the gradients is not finite; a smaller weight of the loss or a lower lr usually helps")
    scaler.step(optimizer)
    scaler.update()
    torch.clear_autocast_cache()  # or the next forward pass of this batch would use the weights' low-precision copies from before


def moving_average(net: nn.Module, buffers: bool = False) -> ModelEmaV3:
    """A copy of `net` for `update_average`: `.module`, in eval mode. Buffers (BatchNorm statistics) are copied, or averaged too."""
    # Stochastic rounding of bfloat16 weights draws from a state that no checkpoint holds.
    average = ModelEmaV3(net, exclude_buffers=not buffers, stochastic_rounding=False)
    average.module.requires_grad_(False)
    return average


def update_average(average: ModelEmaV3, net: nn.Module, decay: float) -> None:
    """average <- d average + (1 - d) net, for a decay d."""
    average.decay = decay
    average.update(net)


def warm_up(decay: float, step: int) -> float:
    """min(decay, (1 + step) / (10 + step)): TensorFlow's rule for the first steps. timm's is another, a power of the step."""
    return min(decay, (1 + step) / (10 + step))
