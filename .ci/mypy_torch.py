"""A plugin for mypy: what a torch module holds is known when it runs, so `module.head` may be anything, as in PyTorch's own documentation.

torch's annotation says Tensor or Module, which makes every call of a part, and every number kept on a module, an error.
"""

from collections.abc import Callable

from mypy.plugin import AttributeContext, Plugin
from mypy.types import AnyType, Instance, Type, TypeOfAny, UnionType, get_proper_type

MODULE, TENSOR = "torch.nn.modules.module.Module", "torch._tensor.Tensor"


class TorchModules(Plugin):
    """Only names that `Module.__getattr__` answers are concerned: those that a class declares keep their type."""

    def get_attribute_hook(self, fullname: str) -> Callable[[AttributeContext], Type] | None:
        return _anything if fullname.startswith(f"{MODULE}.") else None


def _anything(context: AttributeContext) -> Type:
    default = get_proper_type(context.default_attr_type)
    if isinstance(default, UnionType):
        parts = {item.type.fullname for item in map(get_proper_type, default.items) if isinstance(item, Instance)}
        if parts == {MODULE, TENSOR}:
            return AnyType(TypeOfAny.special_form)
    return context.default_attr_type


def plugin(version: str) -> type[Plugin]:
    """What mypy asks for."""
    return TorchModules
