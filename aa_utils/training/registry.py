"""The methods of both stages, by name, and their options."""

from dataclasses import fields
from types import ModuleType
from typing import Any

from aa_utils import plugins
from aa_utils.errors import InputError, check_number
from aa_utils.training.method import FromModule, Method

LARGEST = 100_000  # of a method's whole numbers


def names(stage: ModuleType) -> list[str]:
    """The names of the methods of a stage (the package `aa_utils.inter_domain`, say), sorted."""
    return plugins.names(_kind(stage))


def load(stage: ModuleType, name: str) -> Method:
    """The method `name`, complete. Errors: InputError for an unknown one, and those of `FromModule`."""
    return FromModule(plugins.load(_kind(stage), name))  # type: ignore[abstract]


def configure(stage: ModuleType, name: str, options: dict) -> Any:
    """The `Config` of the method `name` with `options` put in.

    Errors: InputError for an option that this method does not have, or a value of another type.
    """
    defaults = load(stage, name).Config()
    values = {field.name: getattr(defaults, field.name) for field in fields(defaults)}
    for option, value in options.items():
        plugins.check_option(_kind(stage), name, option)
        wanted = type(values[option])
        if not isinstance(value, (int, float) if wanted is float else wanted) or (isinstance(value, bool) and wanted is not bool):
            raise InputError(f"option '{option}' of method '{name}' is {repr(value)[:80]}; it takes a value such as {values[option]!r}")
        if wanted is int:  # widths and times: above it no memory and no time would do
            check_number(option, value, at_least=-LARGEST, at_most=LARGEST, whole=True)
    return type(defaults)(**options)


def _kind(stage: ModuleType) -> str:
    return stage.__name__.rpartition(".")[2]
