"""Names of tensors: from those under which weights were published to timm's for the same network. A table, tried row by row.

| in the file | row |
|---|---|
| timm's own names, and torchvision's where they are the same (ResNets) | as they are |
| the network is a part of something that wrapped it (`module.`, `backbone.`, …) | without the prefix |
| EfficientNet-PyTorch (`_conv_stem`, `_blocks.0._depthwise_conv`, …) | by layer |
| the authors' own names, where timm has a filter for this network (ConvNeXt, Swin, DINO, …) | timm's filter |

Only a whole fit counts. Otherwise the row that fits best says what does not.
"""

import re
import sys
from collections.abc import Callable, Iterator

import timm
import torch
from torch import Tensor, nn

from aa_utils.classifiers import networks
from aa_utils.errors import InputError

Tensors = dict[str, Tensor]
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.", "encoder.")
SHOWN = 5  # names of each kind in a message
# EfficientNet-PyTorch (Luke Melas-Kyriazi): layer of a block -> timm's, without and with an expansion.
STEM = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
SQUEEZE = {"_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand"}
PLAIN = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"} | SQUEEZE
EXPANDED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
EXPANDED |= SQUEEZE


def translate(tensors: Tensors, architecture: str, options: dict, what: str, hint: str = "") -> Tensors:
    """`tensors` under timm's names for the network `architecture` with `options`, its own head among them where the file has one.

    `what` names the weights in messages, and `hint` says whose they are. Errors: InputError if no row of the table fits: what is missing,
    left over, of another shape.
    """
    with torch.device("meta"):  # shapes alone are needed
        net = networks.create(architecture, **options)
    head, best = _head(net, architecture, options), None
    for mapped in _rows(tensors, net, architecture):
        problems = _problems(mapped, net, head)
        if not any(problems.values()):
            return mapped
        if best is None or sum(map(len, problems.values())) < sum(map(len, best.values())):
            best = problems
    raise _refusal(best, architecture, what, hint)


def check_fit(tensors: Tensors, net: nn.Module, architecture: str, options: dict, what: str) -> None:
    """InputError unless `tensors` fill `net`, the network `architecture` without a head, and nothing but that head is left over."""
    problems = _problems(tensors, net, _head(net, architecture, options))
    if any(problems.values()):
        raise _refusal(problems, architecture, what)


def _head(net: nn.Module, architecture: str, options: dict) -> set[str]:
    """The names that only the network with a head has: layers, and a normalisation before them."""
    with torch.device("meta"):
        return set(networks.create(architecture, 2, **options).state_dict()) - set(net.state_dict())


def _problems(mapped: Tensors, net: nn.Module, head: set[str]) -> dict[str, list[str]]:
    own = net.state_dict()
    shapes = {name: (tuple(value.shape), tuple(own[name].shape)) for name, value in mapped.items() if name in own}
    return {
        "missing": [name for name in own if name not in mapped and not name.endswith("num_batches_tracked")],  # old files lack this counter
        "left over": [name for name in mapped if name not in own and name not in head],
        "of another shape": [f"{name} {its} instead of {ours}" for name, (its, ours) in shapes.items() if its != ours],
    }


def _refusal(problems: dict[str, list[str]], architecture: str, what: str, hint: str = "") -> InputError:
    listed = [
        f"{kind} {len(names)}: {', '.join(names[:SHOWN])}{' …' if len(names) > SHOWN else ''}" for kind, names in problems.items() if names
    ]
    way_out = hint or "set backbone to the network that they are of"
    return InputError(f"the weights of '{what}' do not fit '{architecture}' ({'; '.join(listed)}); {way_out}")


def _rows(tensors: Tensors, net: nn.Module, architecture: str) -> Iterator[Tensors]:
    yield tensors
    yield from _unwrapped(tensors)
    if any(name.startswith("_blocks.") for name in tensors):
        yield _efficientnet_pytorch(tensors, net)
    published = _filter(architecture)
    for named in (tensors, *_unwrapped(tensors)) if published else ():
        try:
            yield published(dict(named), net)
        except Exception:  # a filter expects its authors' names, and fails in its own way without them
            continue


def _unwrapped(tensors: Tensors) -> Iterator[Tensors]:
    """Without each prefix that a whole network can have; what stands beside it (a head, a bottleneck) belonged to the wrapper."""
    for prefix in PREFIXES:
        inner = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        if inner:
            yield inner
            yield from _unwrapped(inner)


def _efficientnet_pytorch(tensors: Tensors, net: nn.Module) -> Tensors:
    """There, blocks are numbered throughout; in timm, by stage and place."""
    places = [f"blocks.{s}.{b}" for s, stage in enumerate(getattr(net, "blocks", ())) for b in range(len(stage))]
    mapped = {}
    for name, value in tensors.items():
        found = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
        if found and int(found[1]) < len(places):
            table = EXPANDED if f"_blocks.{found[1]}._expand_conv.weight" in tensors else PLAIN
            mapped[f"{places[int(found[1])]}.{table.get(found[2], found[2])}.{found[3]}"] = value
        else:
            layer, dot, rest = name.partition(".")
            mapped[f"{STEM.get(layer, layer)}{dot}{rest}"] = value
    return mapped


def _filter(architecture: str) -> Callable[[Tensors, nn.Module], Tensors] | None:
    module = sys.modules[timm.model_entrypoint(timm.models.get_arch_name(architecture)).__module__]
    return getattr(module, "checkpoint_filter_fn", None)
