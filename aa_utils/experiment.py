"""An experiment file (`experiments/*.yaml`) checked before anything runs, and what each of its jobs depends on in this repository.

The Snakefile is the graph; this is what it asks. A section's keys are the parameters of that stage's notebook, so there is no second list
of options: a name is right if the notebook has it, a value if it fits the default there.
"""

import argparse
import ast
import copy
import difflib
import json
import re
import sys
from pathlib import Path

from aa_utils import parameters
from aa_utils.errors import InputError
from aa_utils.paths import ROOT, resolve

# What each section sets: notebook parameters, found by name in these notebooks.
NOTEBOOKS = {
    "writers": ("10_prompts", "20_generate"),
    "generator": ("20_generate",),
    "inter_domain": ("30_inter_domain",),
    "intra_domain": ("40_intra_domain",),
}
REQUIRED = ("name", "target", "class_names", "seeds", *NOTEBOOKS, "benchmark")
OPTIONAL = ("ablations", "results", "threads")
# A module of these folders is a method (a benchmark, a writer) if it has this function.
ENTRY = {"benchmarks": "load", "prompts": "write", "inter_domain": "losses", "intra_domain": "losses"}
# How a run is watched and recorded never changes what it computes: these modules make nothing run again.
BOOKKEEPING = {"errors", "files", "paths", "progress", "record"}


def check(config: dict, source: str = "the experiment") -> dict:
    """`config` with `methods` and `ablations` as mappings (name -> parameters) and the optional keys filled in; `source` is for messages.

    Errors: InputError naming the key, the value and the way out.
    """
    for key in config:
        if key not in REQUIRED + OPTIONAL:
            close = difflib.get_close_matches(str(key), REQUIRED + OPTIONAL, n=1)
            raise InputError(
                f"{source}: unknown key '{key}'" + (f"; did you mean '{close[0]}'?" if close else f"; keys: {', '.join(REQUIRED)}")
            )
    missing = [key for key in REQUIRED if key not in config]
    if missing:
        raise InputError(f"{source}: no '{missing[0]}'; an experiment has {', '.join(REQUIRED)}")
    if not isinstance(config["name"], str) or not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", config["name"]):
        raise InputError(f"{source}: name is {config['name']!r}; it names folders, so use small letters, digits, - and _")
    _one_of("target", str(config["target"]).partition(":")[0], "benchmarks", source)
    _list_of("class_names", config["class_names"], str, source)
    _list_of("seeds", config["seeds"], int, source)
    done = copy.deepcopy({"ablations": {}, "results": f"results/{config['name']}", "threads": 1} | config)
    done["writers"] = _named("writers", done["writers"], source)
    for name, options in done["writers"].items():
        _one_of(f"writers.{name}", options.setdefault("writer", name), "prompts", source)
        _check_parameters(f"writers.{name}", options, NOTEBOOKS["writers"], source)
    done["generator"] = _mapping(done["generator"], "generator", source)
    _check_parameters("generator", done["generator"], NOTEBOOKS["generator"], source)
    for section in ("inter_domain", "intra_domain"):
        done[section] = _methods(section, _mapping(done[section], section, source), source)
    done["benchmark"] = _benchmark(done, source)
    done["ablations"] = _named("ablations", done["ablations"], source)
    for name, options in done["ablations"].items():
        _check_ablation(name, options, done, source)
    return done


def settings(notebook: str, *sources: dict, **values: object) -> list[str]:
    """`name=value` texts for `aa_utils.run --set`: all of `values`, and from `sources` what `notebook` has a parameter for."""
    known = {parameter.name for parameter in _parameters(notebook)}
    chosen = {name: value for source in sources for name, value in source.items() if name in known} | values
    return [
        f"{name}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}" for name, value in sorted(chosen.items())
    ]


def code_files(notebook: str, *modules: str) -> list[str]:
    """The files that decide what a notebook computes: itself, the modules of the package it imports, directly or not, and `modules`.

    `modules` names those that are found by name at run time, as paths below `aa_utils/` without `.py` ("inter_domain/dann"). Data beside a
    package's code (`*.yaml`) counts as code. Paths are relative to the repository, sorted.
    """
    path = ROOT / "notebooks" / f"{notebook}.ipynb"
    cells = _cells(path)
    todo = set().union(
        *(_imports(cell["source"], None) for cell in cells if cell["cell_type"] == "code"), {m.replace("/", ".") for m in modules}
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


def _cells(path: Path) -> list[dict]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell | {"source": "".join(cell["source"])} for cell in cells]


def _parameters(notebook: str) -> list[parameters.Parameter]:
    return parameters.of_notebook(_cells(ROOT / "notebooks" / f"{notebook}.ipynb"), f"{notebook}.ipynb")


def _methods(section: str, options: dict, source: str) -> dict:
    """The section with `methods` as a mapping: name -> parameters of its own, which win over the section's."""
    if not options.get("methods"):
        raise InputError(f"{source}: no '{section}.methods'; list at least one method")
    methods = options["methods"]
    methods = _named(f"{section}.methods", dict.fromkeys(methods) if isinstance(methods, list) else methods, source)
    common = {key: value for key, value in options.items() if key != "methods"}
    _check_parameters(section, common, NOTEBOOKS[section], source)
    for name, own in methods.items():
        _one_of(f"{section}.methods", name, section, source)
        _check_parameters(f"{section}.methods.{name}", own, NOTEBOOKS[section], source)
    return common | {"methods": methods}


def _benchmark(config: dict, source: str) -> dict:
    """The section with `notebook` filled in; `baseline` (writer/method) and `full` (writer/method/refinement) must be runs of the grid."""
    name = config["target"].partition(":")[0]
    notebook = next((path.stem for path in sorted((ROOT / "notebooks").glob(f"5?_benchmark_{name}.ipynb"))), None)
    if notebook is None:
        raise InputError(f"{source}: target '{name}' has no notebook 5x_benchmark_{name}.ipynb, which makes its tables")
    options = _mapping(config["benchmark"], "benchmark", source)
    inter = [f"{writer}/{method}" for writer in config["writers"] for method in config["inter_domain"]["methods"]]
    intra = [f"{run}/{refinement}" for run in inter for refinement in config["intra_domain"]["methods"]]
    for key, runs in (("baseline", inter), ("full", intra)):
        if options.get(key) not in runs:
            raise InputError(f"{source}: benchmark.{key} is {options.get(key)!r}; it is one of {', '.join(runs)}")
    _check_parameters("benchmark", options, (notebook,), source)
    return options | {"notebook": notebook}


def _check_ablation(name: str, options: dict, config: dict, source: str) -> None:
    """An ablation has a notebook 6x_ablation_<name>, a `writer` and a `method` of the grid, and a list: the values that it varies."""
    there = [path.stem.partition("_ablation_")[2] for path in sorted((ROOT / "notebooks").glob("6?_ablation_*.ipynb"))]
    if name not in there:
        raise InputError(f"{source}: no ablation '{name}'; there are: {', '.join(there)}")
    for key, known in (("writer", config["writers"]), ("method", config["inter_domain"]["methods"])):
        if options.get(key) not in known:
            raise InputError(f"{source}: ablations.{name}.{key} is {options.get(key)!r}; it is one of {', '.join(known)}")
    _list_of(f"ablations.{name}.limit_per_class", options.get("limit_per_class"), int, source)
    unknown = set(options) - {"writer", "method", "limit_per_class"}
    if unknown:
        raise InputError(f"{source}: ablations.{name}: unknown key '{sorted(unknown)[0]}'; keys: writer, method, limit_per_class")


def _named(key: str, value: object, source: str) -> dict[str, dict]:
    """A mapping of names to options, with nothing for no options; names become folders."""
    found = {name: _mapping(options, f"{key}.{name}", source) for name, options in _mapping(value, key, source).items()}
    for name in found:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
            raise InputError(f"{source}: {key}: {name!r} names a folder, so use letters, digits, - and _")
    return found


def _check_parameters(where: str, options: dict, notebooks: tuple[str, ...], source: str) -> None:
    known = {parameter.name: parameter for notebook in notebooks for parameter in _parameters(notebook)}
    names = ", ".join(f"{notebook}.ipynb" for notebook in notebooks)
    # Paths are made on the way: only names and types can be known now.
    plain = [parameters.Parameter(p.name, p.default, "") for p in known.values()]
    try:
        parameters.checked(plain, options, names)
    except InputError as error:
        raise InputError(f"{source}: {where}: {error}") from None


def _one_of(key: str, value: object, folder: str, source: str) -> None:
    files = [file for file in sorted((ROOT / "aa_utils" / folder).glob("*.py")) if not file.name.startswith("_")]
    there = [file.stem for file in files if re.search(rf"^def {ENTRY[folder]}\(", file.read_text(encoding="utf-8"), re.MULTILINE)]
    if value not in there:
        close = difflib.get_close_matches(str(value), there, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"there are: {', '.join(there)}"
        raise InputError(f"{source}: {key}: nothing called '{value}' in aa_utils/{folder}; {hint}")


def _list_of(key: str, value: object, kind: type, source: str) -> None:
    if not isinstance(value, list) or not value or not all(type(item) is kind for item in value) or len(set(value)) < len(value):
        raise InputError(f"{source}: {key} is {value!r}; it is a list of {'names' if kind is str else 'whole numbers'}, none of them twice")


def _mapping(value: object, key: str, source: str) -> dict:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(f"{source}: {key} is {value!r}; it takes 'name: value' lines")
    return value


def place(path: str | Path) -> str:
    """Where `path` (relative to the repository, or below `artifacts/`) lies, as short as it can be said from the current folder."""
    found = resolve(path)
    return found.relative_to(Path.cwd()).as_posix() if found.is_relative_to(Path.cwd()) else str(found)


def main(arguments: list[str] | None = None) -> int:
    """Check an experiment file and print its results folder; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m aa_utils.experiment", description="Check an experiment and print its results folder.")
    parser.add_argument("file", type=Path)
    options = parser.parse_args(arguments)
    try:
        if not options.file.is_file():
            raise InputError(f"no experiment at '{options.file}'")
        config = parameters.read_yaml(options.file.read_text(encoding="utf-8"), f"'{options.file}'")
        print(place(check(_mapping(config, "the file", str(options.file)), str(options.file))["results"]))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
