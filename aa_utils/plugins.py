"""Modules found by name: one file of a folder is one method, benchmark or prompt writer. There is no list to register in.

A file of the folder `aa_utils/<kind>` belongs to it if it defines a function that its kind asks for, and no underscore begins its name. The
syntax tree says so: nothing is imported to know what there is, for an import may take seconds.
"""

import ast
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

from aa_utils.errors import InputError

COMPUTES_NOTHING = "which module a name means: the code that it names counts"
# Folder -> what one of its modules is called, and the functions of which it has at least one.
KINDS = {
    "inter_domain": ("inter-domain method", ("losses", "step", "predict")),
    "intra_domain": ("intra-domain method", ("losses", "step")),
    "benchmarks": ("benchmark", ("load",)),
    "prompts": ("prompt writer", ("write",)),
}


def names(kind: str) -> list[str]:
    """The modules of `kind`, a key of KINDS, sorted."""
    files = (Path(__file__).parent / kind).glob("[!_]*.py")
    return sorted(path.stem for path in files if _functions(path, path.stat().st_mtime_ns) & set(KINDS[kind][1]))


def load(kind: str, name: str) -> ModuleType:
    """The module `name` of `kind`, imported. Errors: InputError for an unknown one, with those that there are."""
    if name not in names(kind):
        raise InputError(f"no {KINDS[kind][0]} '{name}'; there are: {', '.join(names(kind))}")
    return import_module(f"{__package__}.{kind}.{name}")


@cache
def _functions(path: Path, changed: int) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
