"""The code that a result depends on: {file: digest} of the modules that a notebook or a module imports, directly or not.

Records, run ids, every cache key and the graph of jobs rest on this one answer. A digest is that of the syntax tree without docstrings,
comments, formatting and types of arguments (`source_digest`): prose costs nothing, an edited statement makes anew what depends on it, and
nothing else.

- A module that says COMPUTES_NOTHING is left out, with what it alone imports. Such modules watch, store and record a run; what they do
  shows in no number, or shows in the files that a run is known by anyway. A better log line must not cost a training.
- Of modules that are imported by computed names (`plugins`: methods, benchmarks, writers) those are in the closure that are named: by the
  parameters of a run, or by a text in the code that imports their package.
- Words beside a package's code (`*.yaml`, and the parts of a page) count as code.

Files are found beside this one, so a package installed without its repository answers too.
"""

import importlib.util
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from aa_utils import paths, plugins
from aa_utils.errors import InputError
from aa_utils.runner import source_digest
from aa_utils.runner.source_digest import Source

COMPUTES_NOTHING = "which code a result depends on"
PACKAGE = "aa_utils"
ROOT = Path(__file__).resolve().parents[2]  # the folder that holds the package
NOTEBOOKS = paths.ROOT / "notebooks"
NAMED = re.compile(r"\w+(?=$|[:\[])")  # the module in "dann", "usps:test" and "office31[bike,mug]:amazon"
WORDS = (".yaml", ".html", ".css", ".js")  # what is shipped beside the code


def of_modules(*modules: str, names: Iterable[str] = ()) -> dict[str, str]:
    """{path below the folder that holds the package: digest}, sorted, of `modules` ("aa_utils.inter_domain.dann") and what they import.

    `names` are texts that may name modules ("dann", "usps:test"), such as a run's parameters. A module from elsewhere (a method of your
    own) counts with its file, under its own name, and with what it imports of this package.
    Errors: InputError for a module that has no file: what code it is cannot be said.
    """
    for module in modules:
        if _file(module) is None:
            raise InputError(f"the code of '{module}' lies in no file, so no result of it can be kept; move it to a module (a .py file)")
    return _walk({}, set(modules), names)


def of_notebook(cells: list[dict], name: str, values: object = None) -> dict[str, str]:
    """The code of a run: a notebook's code `cells` under its `name`, and all that they import; `values` are the run's parameters.

    The parameters cell is left out: a record holds its values.
    """
    source = _of_cells(cells)
    return _walk({name: source}, set(), texts(values)) | {name: source.digest}


def cells(path: Path) -> list[dict]:
    """The cells of a notebook, the source of each as one text."""
    return [cell | {"source": "".join(cell["source"])} for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]


def digest(code: dict[str, str]) -> str:
    """16 hex digits of a closure."""
    return source_digest.digest("".join(f"{name} {value}\n" for name, value in sorted(code.items())))


def fingerprint(*modules: str) -> str:
    """16 hex digits of the code of `modules` and of all that they import: part of the key of whatever they make and keep."""
    return digest(of_modules(*modules))


def edited(code: dict[str, str]) -> list[str]:
    """The files of a closure that are not what they were: edited since in what they compute, or gone."""
    return [name for name, before in code.items() if _today(name) != before]


def changes(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """The files in which two closures differ, or that only one of them has, sorted."""
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))


def texts(value: object) -> list[str]:
    """All texts in a value, at any depth."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for item in value.values() for text in texts(item)]
    return [text for item in value for text in texts(item)] if isinstance(value, (list, tuple)) else []


def module_names(value: object) -> frozenset[str]:
    """What the texts in a value may call modules: "dann", and "usps" of "usps:test". Values with the same names run the same code."""
    return frozenset(match[0] for match in map(NAMED.match, texts(value)) if match)


def _walk(sources: dict[str, Source], todo: set[str], names: Iterable[str]) -> dict[str, str]:
    """The closure of the modules `todo`, and of what the `sources` import; those are not in it themselves."""
    given = module_names(list(names))
    sources, found, seen = dict(sources), {}, set()
    todo = todo.union(*(_own(source.imports) for source in sources.values()))
    while todo:
        module = todo.pop()
        seen.add(module)
        file = _file(module)
        source = source_digest.of_file(file, _package(module, file)) if file else None
        if source and not source.exempt:
            sources[module] = source
            found |= {_key(module, path): digest for path, digest in _files(file, source)}
            # A module's packages run before it does.
            todo |= _own({module.rpartition(".")[0], *source.imports}) - seen
        if not todo:
            todo = _named(sources, given) - seen
    return dict(sorted(found.items()))


def _named(sources: dict[str, Source], given: frozenset[str]) -> set[str]:
    """The modules that are imported by a computed name: what the run, or the code that imports their package, calls by that name."""
    found = set()
    for module, source in sources.items():
        if source.by_name:
            found |= {f"{module.rpartition('.')[0]}.{word}" for word in source.words}
        if module.removeprefix(f"{PACKAGE}.") in plugins.KINDS:
            users = [other for name, other in sources.items() if module in other.imports and not f"{name}.".startswith(f"{module}.")]
            words = given.union(*(user.words for user in users))
            found |= {f"{module}.{word}" for word in words if word.isidentifier() and not word.startswith("_")}
    return {name for name in _own(found) if _file(name)}


def _files(file: Path, source: Source) -> Iterator[tuple[Path, str]]:
    """(path, digest) of a module's file; of a package's, with the words beside it and in folders that are no packages."""
    yield file, source.digest
    folders = [file.parent] if file.name == "__init__.py" else []
    for folder in folders:
        for path in sorted(folder.iterdir()):
            if path.suffix in WORDS and not path.name.startswith("."):
                yield path, source_digest.of_file(path).digest
            if path.is_dir() and not path.name.startswith((".", "_")) and not (path / "__init__.py").exists():
                folders.append(path)


def _own(names: Iterable[str]) -> set[str]:
    return {name for name in names if name == PACKAGE or name.startswith(f"{PACKAGE}.")}


def _file(module: str) -> Path | None:
    if _own([module]):
        base = ROOT.joinpath(*module.split("."))
        return next((file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()), None)
    try:
        place = getattr(sys.modules[module], "__file__", None) if module in sys.modules else importlib.util.find_spec(module).origin
    except (AttributeError, ImportError, ValueError):
        return None
    return Path(place) if place and Path(place).is_file() else None


def _package(module: str, file: Path) -> str:
    return module if file.name == "__init__.py" else module.rpartition(".")[0]


def _key(module: str, file: Path) -> str:
    return file.relative_to(ROOT).as_posix() if _own([module]) else module


def _of_cells(cells: list[dict]) -> Source:
    code = [cell for cell in cells if cell["cell_type"] == "code" and "parameters" not in cell["metadata"].get("tags", [])]
    return source_digest.of_cells("".join(cell["source"]) for cell in code)


def _today(name: str) -> str | None:
    """The digest of a file of a closure as it is now; None where there is none."""
    if "/" not in name and not name.endswith(".ipynb"):  # a module from elsewhere
        file = _file(name)
        return source_digest.of_file(file).digest if file else None
    if name.startswith("notebooks/"):
        path = NOTEBOOKS.parent / name
        return _of_cells(cells(path)).digest if path.is_file() else None
    path = ROOT / name
    return source_digest.of_file(path).digest if path.is_file() else None
