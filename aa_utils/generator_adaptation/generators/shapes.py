"""The names and shapes of a network's tensors without making any: a file may ask for a network that no memory holds."""

from collections.abc import Callable

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

# What scales a drawn tensor, or makes a filter, which is no part of the state: the shape is that of the first argument.
ARITHMETIC = {"div", "mul", "pow", "sum", "outer"}


class _ShapesAlone(TorchFunctionMode):
    """Nothing is drawn or reckoned while a network is made: on its meta device torch would import its compiler for that, for seconds."""

    def __torch_function__(self, function, types, arguments=(), options=None):
        if getattr(function, "__name__", "") in ARITHMETIC:
            return arguments[0]
        return (torch.empty if function is torch.randn else function)(*arguments, **(options or {}))


def of(make: Callable[[object], nn.Module], config: object) -> dict[str, torch.Size]:
    """{name: shape} of the `state_dict` of `make(config)`."""
    with torch.device("meta"), _ShapesAlone():
        return {name: value.shape for name, value in make(config).state_dict().items()}
