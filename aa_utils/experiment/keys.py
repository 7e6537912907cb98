"""Is what stands under a key of an experiment file right? A mistake is one sentence: the file, the key, the value and the way out."""

import difflib
import re
from collections.abc import Iterable

from aa_utils import plugins
from aa_utils.errors import InputError
from aa_utils.paths import ROOT
from aa_utils.runner import parameters
from aa_utils.runner.code_closure import cells

# What each section sets: notebook parameters, found by name in these notebooks.
NOTEBOOKS = {
    "writers": ("10_prompts", "20_generate"),
    "generator": ("20_generate",),
    "sources": ("21_real_source",),
    "adapt": ("71_adapt_generator",),
    "draw": ("74_bridge",),
    "inter_domain": ("30_inter_domain",),
    "intra_domain": ("40_intra_domain",),
    "oracle": ("41_oracle",),
}


def of_notebook(notebook: str) -> list[parameters.Parameter]:
    """The parameters of `notebooks/<notebook>.ipynb`."""
    return parameters.of_notebook(cells(ROOT / "notebooks" / f"{notebook}.ipynb"), f"{notebook}.ipynb")


def named(key: str, value: object, source: str) -> dict[str, dict]:
    """A mapping of names to options, with nothing for no options; names become folders."""
    found = {name: mapping(options, f"{key}.{name}", source) for name, options in mapping(value, key, source).items()}
    for name in found:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
            raise InputError(f"{source}: {key}: {name!r} names a folder, so use letters, digits, - and _")
    return found


def check_parameters(where: str, options: dict, notebooks: tuple[str, ...], source: str) -> None:
    """`options` are parameters of one of the `notebooks`, each of its type. Errors: InputError."""
    known = {parameter.name: parameter for notebook in notebooks for parameter in of_notebook(notebook)}
    names = ", ".join(f"{notebook}.ipynb" for notebook in notebooks)
    try:
        parameters.checked(list(known.values()), options, names, paths=False)  # paths are made on the way
    except InputError as error:
        raise InputError(f"{source}: {where}: {error}") from None


def check_module(key: str, value: object, folder: str, source: str) -> None:
    """`value` is a method, benchmark or writer of `aa_utils/<folder>` (`plugins.KINDS`). Errors: InputError with the nearest name."""
    there = plugins.names(folder)
    if value not in there:
        close = difflib.get_close_matches(str(value), there, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"there are: {', '.join(there)}"
        raise InputError(f"{source}: {key}: nothing called '{value}' in aa_utils/{folder}; {hint}")


def check_options(key: str, settings: dict, folder: str, module: str, source: str) -> None:
    """What `settings` give as `method_config` are options of the method `module` of `aa_utils/<folder>`. Errors: InputError."""
    for option in settings.get("method_config") or {}:
        try:
            plugins.check_option(folder, module, option)
        except InputError as error:
            raise InputError(f"{source}: {key}: {error}") from None


def check_choice(key: str, value: object, there: Iterable[str], source: str) -> None:
    """`value` is in `there`. Errors: InputError with all of them."""
    if value not in there:  # type: ignore[operator]
        raise InputError(f"{source}: {key} is {value!r}; it is one of {', '.join(there)}")


def check_list(key: str, value: object, kind: type, source: str) -> None:
    """`value` is a list of `kind` (str or int), not empty, without doubles. Errors: InputError."""
    if not isinstance(value, list) or not value or not all(type(item) is kind for item in value) or len(set(value)) < len(value):
        raise InputError(f"{source}: {key} is {value!r}; it is a list of {'names' if kind is str else 'whole numbers'}, none of them twice")


def mapping(value: object, key: str, source: str) -> dict:
    """`value`, or {} for nothing. Errors: InputError if it is anything but a mapping."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(f"{source}: {key} is {value!r}; it takes 'name: value' lines")
    return value
