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
    wanted = set(KINDS[kind][1])
    return sorted(path.stem for path in files if wanted & {node.name for node in _tree(path).body if isinstance(node, ast.FunctionDef)})


def options(kind: str, name: str) -> list[str]:
    """The options of the module `name` of `kind`: the fields of its `Config`, or of the one that it takes over (`Config = dann.Config`)."""
    for node in _tree(Path(__file__).parent / kind / f"{name}.py").body:
        if isinstance(node, ast.ClassDef) and node.name == "Config":
            return [field.target.id for field in node.body if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)]
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "Config":
            return options(kind, ast.unparse(node.value).removesuffix(".Config"))
    return []


def check(kind: str, name: str, where: str = "") -> None:
    """Errors: InputError, with those that there are, unless `name` is a module of `kind`; `where` follows the name in the sentence."""
    if name not in names(kind):
        raise InputError(f"no {KINDS[kind][0]} '{name}'{where}; there are: {', '.join(names(kind))}")


def load(kind: str, name: str) -> ModuleType:
    """The module `name` of `kind`, imported. Errors: InputError for an unknown one, with those that there are."""
    check(kind, name)
    return import_module(f"{__package__}.{kind}.{name}")


def check_option(kind: str, name: str, option: str) -> None:
    """`option` is one of the module `name`. Errors: InputError that says whose it is."""
    own = options(kind, name)
    if option not in own:
        owners = [other for other in names(kind) if option in options(kind, other)]
        problem = f"is one of {', '.join(owners)}, not of '{name}'" if owners else "is unknown"
        raise InputError(f"option '{option}' {problem}; '{name}' has: {', '.join(own) or 'none'}")


def _tree(path: Path) -> ast.Module:
    return _parsed(path, path.stat().st_mtime_ns)


@cache
def _parsed(path: Path, changed: int) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))
