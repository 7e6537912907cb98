"""What one file of source says to the interpreter: a digest that prose does not move, and the names by which it calls other modules.

Docstrings, comments, formatting and the type annotations of functions are left out, and nothing in the digest depends on Python's version:
the same statements give the same digest on every machine. A file of words (YAML) counts by what it holds, any other file by its bytes.
"""

import ast
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path

import yaml

COMPUTES_NOTHING = "which code a result depends on"
# Fields of a syntax tree that say nothing new, or that only some versions of Python fill.
SILENT = {"ctx", "kind", "type_comment"}
# Types of arguments and of what is returned are for readers and type checkers. Those of a class's fields make dataclasses: they count.
TYPES = {(ast.arg, "annotation"), (ast.FunctionDef, "returns"), (ast.AsyncFunctionDef, "returns")}
NAME = re.compile(r"[A-Za-z0-9_]{1,60}")


@dataclass
class Source:
    """What is known of a source: its `digest` (16 hex digits), the modules it imports anywhere, the `words` in it (texts that could name
    a module or a notebook), whether it imports modules `by_name` (by names that are computed), whether it says COMPUTES_NOTHING."""

    digest: str = ""
    imports: set[str] = field(default_factory=set)
    words: set[str] = field(default_factory=set)
    by_name: bool = False
    exempt: bool = False


def of_file(path: Path, package: str = "") -> Source:
    """The Source of a file; `package` is the one that its relative imports start from. Parsed once for each state of the file."""
    state = path.stat()
    return _of_file(path, package, state.st_mtime_ns, state.st_size, state.st_ino)


def of_cells(sources: Iterable[str]) -> Source:
    """The Source of notebook cells, in their order. Lines that only IPython understands (%magic, !command) count as it runs them."""
    trees = [_cell_tree(source) for source in sources]
    return of_trees([tree for tree in trees if not all(map(_is_prose, tree.body))])


def of_trees(trees: list[ast.Module], package: str = "") -> Source:
    """The Source of syntax trees, run one after the other."""
    source = Source(exempt=any(_assigns(node, "COMPUTES_NOTHING") for tree in trees for node in tree.body))
    source.digest = digest("".join(_written(tree, source, package) for tree in trees))
    return source


def digest(text: str) -> str:
    """16 hex digits of a text."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


@lru_cache(maxsize=4096)
def _of_file(path: Path, package: str, *state: int) -> Source:
    data = path.read_bytes()
    try:
        if path.suffix == ".py":
            return of_trees([ast.parse(data, str(path))], package)
        if path.suffix == ".yaml":
            return Source(digest(json.dumps(yaml.safe_load(data), default=str)))
    except (SyntaxError, yaml.YAMLError):
        pass  # whoever imports or reads it says what is wrong
    return Source(hashlib.sha256(data).hexdigest()[:16])


def _cell_tree(source: str) -> ast.Module:
    try:
        return ast.parse(source)
    except SyntaxError:
        from IPython.core.inputtransformer2 import TransformerManager

        try:
            return ast.parse(TransformerManager().transform_cell(source))
        except SyntaxError:  # the cell will fail; until then it is what is written
            return ast.Module([ast.Assign([ast.Name("cell")], ast.Constant(source))], [])


def _written(node: object, source: Source, package: str) -> str:
    """A syntax tree as text: fields by name, empty ones and bare texts (docstrings) left out. What it names is added to `source`."""
    if isinstance(node, list):
        return f"[{','.join([_written(item, source, package) for item in node if not _is_prose(item)])}]"
    if not isinstance(node, ast.AST):
        return ascii(node)
    _note(node, source, package)
    kind, text = type(node), []
    for name in _fields(kind):  # type: ignore[arg-type]
        value = getattr(node, name, None)
        if value is not None and value != []:
            text.append(f"{name}={_written(value, source, package)}")
    return f"{kind.__name__}({','.join(text)})"


@cache
def _fields(kind: type) -> list[str]:
    return sorted(name for name in kind._fields if name not in SILENT and (kind, name) not in TYPES)  # type: ignore[attr-defined]


def _note(node: ast.AST, source: Source, package: str) -> None:
    """Add to `source` what a node names. An imported name may be that of a function, which no file answers to."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str) and NAME.fullmatch(node.value):
            source.words.add(node.value)
    elif isinstance(node, ast.Call):
        source.by_name |= getattr(node.func, "attr", getattr(node.func, "id", "")) == "import_module"
    elif isinstance(node, ast.Import):
        source.imports |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
        parts = package.split(".")
        above = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
        base = ".".join(filter(None, (above, node.module)))
        source.imports |= {base, *(f"{base}.{alias.name}" for alias in node.names)}


def _is_prose(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _assigns(node: ast.stmt, name: str) -> bool:
    return isinstance(node, ast.Assign) and any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
