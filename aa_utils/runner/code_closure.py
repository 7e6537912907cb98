"""What a run depends on in this repository: its notebook and the modules of the package that the notebook imports, directly or not."""

import ast
import json
from pathlib import Path

from aa_utils.paths import ROOT

# How a run is watched and recorded never changes what it computes: these modules make nothing run again.
BOOKKEEPING = {"errors", "files", "paths", "progress", "redaction", "data.tensor_files", "runner.record", "runner.parameters"}


def code_files(notebook: str, *modules: str) -> list[str]:
    """The files that decide what a notebook computes: itself, the modules of the package it imports, directly or not, and `modules`.

    `modules` names those that are found by name at run time, as paths below `aa_utils/` without `.py` ("inter_domain/dann"). Data beside a
    package's code (`*.yaml`) counts as code. Paths are relative to the repository, sorted.
    """
    path = ROOT / "notebooks" / f"{notebook}.ipynb"
    todo = set().union(
        *(_imports(cell["source"], None) for cell in cells(path) if cell["cell_type"] == "code"), {m.replace("/", ".") for m in modules}
    )
    seen: set[str] = set()
    found = {path}
    while todo - seen:
        module = sorted(todo - seen)[0]
        seen.add(module)
        file = _file(module)
        if file is None or module in BOOKKEEPING:
            continue
        found.add(file)
        if file.name == "__init__.py":
            found.update(file.parent.rglob("*.yaml"))
        # A module's packages run before it does.
        todo |= {parent for parent in (module.rpartition(".")[0],) if parent}
        todo |= _imports(file.read_text(encoding="utf-8"), module if file.name == "__init__.py" else module.rpartition(".")[0])
    return sorted(file.relative_to(ROOT).as_posix() for file in found)


def cells(path: Path) -> list[dict]:
    """The cells of a notebook, the source of each as one text."""
    return [cell | {"source": "".join(cell["source"])} for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]


def _imports(source: str, package: str | None) -> set[str]:
    """Names below aa_utils ("inter_domain.dann") that a source imports, at any depth; one may be a function: it has no file."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level and package is not None:
                parts = ["aa_utils", *filter(None, package.split("."))]
                base = ".".join([*parts[: len(parts) - node.level + 1], *filter(None, [node.module])])
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return {name.removeprefix("aa_utils.") for name in names if name.startswith("aa_utils.")}


def _file(module: str) -> Path | None:
    base = ROOT.joinpath("aa_utils", *module.split("."))
    return next((file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()), None)
