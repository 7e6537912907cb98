"""Which weights of a generator train: named sets, and StyleGAN-NADA's adaptive selection of layers.

Parameter names are those of StyleGAN2-ADA: synthesis.b<resolution>.{const, conv0, conv1, torgb}.… and mapping.…; w_0 drives b4.conv1, w_1
b4.torgb and b8.conv0, w_2 b8.conv1, w_3 b8.torgb and b16.conv0, and so on; the last w drives a torgb alone.
"""

import re
from math import log2

import torch
from torch import Tensor, nn

from aa_utils.errors import InputError
from aa_utils.generator_adaptation.recipe import Recipe

# Regular expressions, searched in parameter names.
PRESETS = {
    "all": r"",
    "synthesis": r"^(?!.*mapping)",  # all but the mapping, as the paper's figure shows it
    "convs": r"\.b\d+\.(const|conv[01])(\.|$)",  # and the constant input; what StyleGAN-NADA trains without selection
    # What StyleGAN-NADA's code trains with selection: all convolutions and the first torgb, not the constant.
    "nada": r"\.b\d+\.conv[01](\.|$)|\.b4\.torgb(\.|$)",
    # What StyleGAN-Fusion's code trains: neither constant, first convolution, torgb nor mapping, and (with biases=False) no bias.
    "official": r"(?<!\.b4)\.conv[01]\.(weight|affine\.weight|affine\.bias|noise_strength|bias)$",
    "eg3d": r"^(backbone\.synthesis|superresolution)\.",  # not the mapping, decoder or renderer
}
PLACE = re.compile(r"(?:^|\.)b(\d+)\.(const|conv0|conv1|torgb)(?:\.|$)")


def named(net: nn.Module, recipe: Recipe) -> list[str]:
    """Names of the parameters that `recipe` may train, in the order of `net`. Errors: InputError if there are none.

    `recipe.layers` names a set of `PRESETS` or is a regular expression; `biases` and `noise_strengths` take these out of it.
    """
    try:
        pattern = re.compile(PRESETS.get(recipe.layers, recipe.layers))
    except re.error as error:
        raise InputError(f"layers is {recipe.layers!r}: neither {', '.join(PRESETS)} nor a regular expression ({error})") from error
    found = [name for name, _ in net.named_parameters() if pattern.search(name)]
    found = [name for name in found if recipe.biases or not name.endswith("bias")]
    found = [name for name in found if recipe.noise_strengths or not name.endswith("noise_strength")]
    if recipe.select:
        selectable = {name for group in groups(net, recipe.select_offset) for name in group}
        found = [name for name in found if name in selectable]
    if not found:
        raise InputError(f"layers is {recipe.layers!r}, and no parameter of this generator is trained by it")
    return found


def groups(net: nn.Module, offset: bool = False) -> list[list[str]]:
    """For each w the names of the parameters that selecting it trains: those of the layers that it drives.

    With `offset` the published index: [first convolution, first torgb, convolutions 1, 2, …], so that w_i (i >= 2) selects the convolution
    that w_(i-1) drives, the last w the last convolution, and no torgb but the first is ever trained.
    Errors: InputError for a generator without such layers.
    """
    found: dict[int, list[str]] = {}
    for name, _ in net.named_parameters():
        place = PLACE.search(name)
        if place is None:
            continue
        level, kind = int(log2(int(place[1]))) - 2, place[2]
        driven = {"const": 0, "conv0": 2 * level - 1, "conv1": 2 * level, "torgb": 2 * level + 1}[kind]
        if offset:
            if kind == "const" or (kind == "torgb" and level):
                continue
            driven += kind != "torgb" and driven > 0
        found.setdefault(driven, []).append(name)
    if not found:
        raise InputError("layers cannot be selected in this generator: it has no parameters b<resolution>.conv…; set select=0")
    return [found.get(i, []) for i in range(max(found) + 1)]


def moved(w: Tensor, gradient, iterations: int, lr: float = 0.01) -> Tensor:
    """Scores (num_ws,): mean |Δw_i| after `iterations` steps of gradient descent on `w` (n, num_ws, w_dim), of which `gradient` is asked.

    Gal et al. 2021 (arXiv 2108.00946), section 4.2: the layers whose w change most are those most relevant to the change.
    """
    start, w = w.detach(), w.detach()
    for _ in range(iterations):
        w = w.requires_grad_()
        w = (w - lr * gradient(w)).detach()
    return (w - start).abs().mean((0, 2))


def chosen(scores: Tensor, k: int) -> list[int]:
    """Indices of the k largest of `scores` (all of them if there are fewer), in ascending order."""
    return sorted(torch.topk(scores, min(k, len(scores))).indices.tolist())


def freeze(net: nn.Module, trained: set[str]) -> None:
    """Let the parameters named in `trained` have gradients, and no other."""
    for name, weight in net.named_parameters():
        weight.requires_grad_(name in trained)
