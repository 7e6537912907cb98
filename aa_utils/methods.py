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


def configure(module: ModuleType, options: dict) -> object:
    """The method's `Config` with `options` put in. Errors: InputError for an option it does not have, or of another type."""
    name = module.__name__.rpartition(".")[2]
    defaults = module.Config()
    known = {field.name: getattr(defaults, field.name) for field in fields(module.Config)}
    for option, value in options.items():
        if option not in known:
            raise InputError(f"method '{name}' has no option '{option}'; it has: {', '.join(known) or 'none'}")
        wanted = type(known[option])
        if not isinstance(value, (int, float) if wanted is float else wanted) or (isinstance(value, bool) and wanted is not bool):
            raise InputError(f"option '{option}' of method '{name}' is {value!r}; it takes a value such as {known[option]!r}")
    return module.Config(**options)
