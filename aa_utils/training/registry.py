"""Methods by name: every module of a stage's folder is one, unless the stage says otherwise. There is no list to register in."""

from dataclasses import fields
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from aa_utils.errors import InputError


def names(stage: ModuleType) -> list[str]:
    """The names of the methods of a stage (the package `aa_utils.inter_domain`, say), sorted."""
    return sorted(found.name for found in iter_modules(stage.__path__) if found.name not in getattr(stage, "NOT_METHODS", ()))


def load(stage: ModuleType, name: str) -> ModuleType:
    """The module of the method `name`. Errors: InputError for an unknown one."""
    if name not in names(stage):
        kind = stage.__name__.rpartition(".")[2].replace("_", "-")
        raise InputError(f"no {kind} method '{name}'; there are: {', '.join(names(stage))}")
    return import_module(f"{stage.__name__}.{name}")


def configure(stage: ModuleType, name: str, options: dict) -> object:
    """The `Config` of the method `name` with `options` put in; options of other methods of the stage are left aside.

    Errors: InputError for an option that no method has, or a value of another type.
    """
    module = load(stage, name)
    others = {field.name for other in names(stage) for field in fields(load(stage, other).Config)}
    defaults = module.Config()
    known = {field.name: getattr(defaults, field.name) for field in fields(module.Config)}
    chosen = {}
    for option, value in options.items():
        if option not in known:
            if option not in others:
                raise InputError(f"no method has an option '{option}'; '{name}' has: {', '.join(known) or 'none'}")
            continue
        wanted = type(known[option])
        if not isinstance(value, (int, float) if wanted is float else wanted) or (isinstance(value, bool) and wanted is not bool):
            raise InputError(f"option '{option}' of method '{name}' is {value!r}; it takes a value such as {known[option]!r}")
        chosen[option] = value
    return module.Config(**chosen)
