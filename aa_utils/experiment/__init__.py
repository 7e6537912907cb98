"""An experiment file (`experiments/*.yaml`) checked before anything runs.

The Snakefile is the graph; this is what it asks. A section's keys are the parameters of that stage's notebook, so there is no second list
of options: a name is right if the notebook has it, a value if it fits the default there.

A task says what adapts to what: from each of its `sources` (writers of prompts, adapted generators, or real sources), by every method, to
its `target`. An experiment with one target needs no `tasks`: it is one task without a name, from all its writers and adapted generators to
`target`. A method may be kept to some `sources`, a refinement to those runs that come `after` some methods; one whose name is not its
module says `method`. `oracle: {…}` adds the same network taught by the target's own labels, with these settings in place of the section's.
`benchmark: false` makes no tables of the grid: its runs are there for the `ablations`, which have tables of their own.
"""

import copy
import difflib
import json
import re
from functools import cache
from itertools import product
from pathlib import Path

from aa_utils.errors import InputError
from aa_utils.experiment import ablations, keys, sources
from aa_utils.paths import ROOT, resolve
from aa_utils.runner import code_closure, parameters

REQUIRED = ("name", "class_names", "seeds", "inter_domain", "benchmark")
ONE_TARGET = ("target", "writers", "generator")  # required where no `tasks` say what adapts to what
OPTIONAL = ("intra_domain", "sources", "adapted", "tasks", "oracle", "ablations", "results", "threads")
# A method may say which part of the grid it is in: from which sources, and a refinement after which methods.
ONLY = {"inter_domain": ("sources",), "intra_domain": ("sources", "after")}
TASK = ("sources", "target", "test", "seeds", "inter_domain", "intra_domain", "oracle")


def check(config: dict, source: str = "the experiment") -> dict:
    """`config` with `tasks`, `methods` and `ablations` as mappings and the optional keys filled in; `source` is for messages.

    The task of an experiment without `tasks` has the name "". Held-out images come from one more writer, `held_out`, that no task uses.
    Errors: InputError naming the key, the value and the way out.
    """
    required = REQUIRED if "tasks" in config else REQUIRED + ONE_TARGET
    known = {*REQUIRED, *ONE_TARGET, *OPTIONAL}
    for key in config:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"keys: {', '.join(required)}"
            raise InputError(f"{source}: unknown key '{key}'; {hint}")
    missing = [key for key in required if key not in config]
    if missing:
        raise InputError(f"{source}: no '{missing[0]}'; an experiment has {', '.join(required)}")
    if not isinstance(config["name"], str) or not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", config["name"]):
        raise InputError(f"{source}: name is {config['name']!r}; it names folders, so use small letters, digits, - and _")
    keys.check_list("class_names", config["class_names"], str, source)
    keys.check_list("seeds", config["seeds"], int, source)
    optional = {key: {} for key in ("writers", "generator", "sources", "adapted", "intra_domain", "ablations")}
    optional |= {"oracle": None, "results": f"results/{config['name']}", "threads": 1}  # type: ignore[dict-item]
    done = copy.deepcopy(optional | config)
    sources.check(done, source)
    for section in ("inter_domain", "intra_domain"):
        done[section] = _methods(section, section, keys.mapping(done[section], section, source), source)
    done["tasks"] = _tasks(done, source)
    done["benchmark"] = _benchmark(done, source)
    done["ablations"] = keys.named("ablations", done["ablations"], source)
    grid = [run for stage, made in runs(done["tasks"]).items() if stage in ONLY for run in made]
    for name, options in done["ablations"].items():
        ablations.check(name, options, done["tasks"], grid, source)
    if "without_labels" in done["ablations"]:
        done["writers"]["held_out"] = ablations.held_out(done["ablations"]["without_labels"], done, source)
    return done


def runs(tasks: dict[str, dict]) -> dict[str, list[str]]:
    """stage -> its runs, as paths below the stage's folder: [task/]source/method, and for a refinement [task/]source/method/refinement.

    The oracles, where tasks have one, are called as their tasks are, or `target` in an experiment with one target.
    """
    inter, intra = [], []
    for name, task in tasks.items():
        for source, method in product(task["sources"], task["inter_domain"]["methods"]):
            if source in task["inter_domain"]["methods"][method].get("sources", [source]):
                run = "/".join(filter(None, (name, source, method)))
                inter.append(run)
                for refinement, own in task["intra_domain"]["methods"].items():
                    if source in own.get("sources", [source]) and method in own.get("after", [method]):
                        intra.append(f"{run}/{refinement}")
    oracles = [name or "target" for name, task in tasks.items() if "oracle" in task]
    return {"inter_domain": inter, "intra_domain": intra} | ({"oracle": oracles} if oracles else {})


def settings(notebook: str, *sections: dict, **values: object) -> list[str]:
    """`name=value` texts for `aa_utils.run --set`: all of `values`, and from `sections` what `notebook` has a parameter for."""
    known = {parameter.name for parameter in keys.of_notebook(notebook)}
    chosen = {name: value for source in sections for name, value in source.items() if name in known} | values
    return [
        f"{name}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}" for name, value in sorted(chosen.items())
    ]


def code(notebook: str, chosen: list[str], *names: str) -> str:
    """16 hex digits of the code of a run of `notebook` with the `settings` that were `chosen`: where they differ, it runs again.

    `names` are those of modules that no setting of its own says (the benchmarks of the runs behind a table, say).
    """
    # Paths are made on the way: only names and types can be known now.
    values = parameters.checked(keys.of_notebook(notebook), parameters.overrides(chosen, None), notebook, paths=False)
    return _digest(notebook, code_closure.module_names([values, list(names)]))


@cache
def _digest(notebook: str, names: frozenset[str]) -> str:
    """Once for all jobs that run the same code: a graph of 100 has a dozen. It is the code as it is when the graph is planned."""
    cells = code_closure.cells(ROOT / "notebooks" / f"{notebook}.ipynb")
    return code_closure.digest(code_closure.of_notebook(cells, notebook, sorted(names)))


def _methods(where: str, section: str, options: dict, source: str) -> dict:
    """The section with `methods` as a mapping: name -> parameters of its own, which win over the section's. Refinement may be left out."""
    if section == "intra_domain" and not any(options.values()):
        return {"methods": {}}
    if not options.get("methods"):
        raise InputError(f"{source}: no '{where}.methods'; list at least one method")
    methods = options["methods"]
    methods = keys.named(f"{where}.methods", dict.fromkeys(methods) if isinstance(methods, list) else methods, source)
    common = {key: value for key, value in options.items() if key != "methods"}
    keys.check_parameters(where, common, keys.NOTEBOOKS[section], source)
    for name, own in methods.items():
        keys.check_module(f"{where}.methods", own.get("method", name), section, source)
        for key in set(own) & set(ONLY[section]):
            keys.check_list(f"{where}.methods.{name}.{key}", own[key], str, source)
        settings = {key: value for key, value in own.items() if key not in ONLY[section]}
        keys.check_parameters(f"{where}.methods.{name}", settings, keys.NOTEBOOKS[section], source)
        keys.check_options(f"{where}.methods.{name}.method_config", common | settings, section, own.get("method", name), source)
    return common | {"methods": methods}


def _tasks(config: dict, source: str) -> dict[str, dict]:
    """name -> task, all that the experiment says once filled in; the key `test` only where a task has it."""
    if "tasks" in config:
        given = keys.named("tasks", config["tasks"], source)
        if not given:
            raise InputError(f"{source}: tasks is empty; leave it out, or name at least one")
        return {name: _task(f"tasks.{name}.", options, config, source) for name, options in given.items()}
    if config["sources"] or not config["writers"]:
        raise InputError(f"{source}: without 'tasks' the sources are the writers; list at least one there, and none under 'sources'")
    return {"": _task("", {"sources": [*config["writers"], *config["adapted"]]}, config, source)}


def _task(where: str, own: dict, config: dict, source: str) -> dict:
    """One task: `own`, and from `config` what it leaves out. Its sections are the experiment's, with what it says itself."""
    unknown = sorted(set(own) - set(TASK))
    if unknown:
        raise InputError(f"{source}: {where}{unknown[0]} is not known; a task has {', '.join(TASK)}")
    task = {key: config[key] for key in ("target", "seeds") if key in config} | own
    if "target" not in task:
        raise InputError(f"{source}: no '{where}target'; a task has {', '.join(TASK)}")
    for key in ("target", "test"):
        if key in task:
            keys.check_module(f"{where}{key}", str(task[key]).partition(":")[0], "benchmarks", source)
    keys.check_list(f"{where}seeds", task["seeds"], int, source)
    keys.check_list(f"{where}sources", task.get("sources"), str, source)
    for name in task["sources"]:
        there = config["sources"] | config["writers"] | config["adapted"]
        if name not in there:
            raise InputError(f"{source}: {where}sources: no '{name}'; there are: {', '.join(there)}")
        real = sources.domain(config["sources"].get(name, {}).get("benchmark", ""))
        if real and real in [sources.domain(str(task.get(key, ""))) for key in ("target", "test")]:
            raise InputError(f"{source}: {where}sources: '{name}' is what it adapts to or is scored on; its labels must not train")
    for section in ("inter_domain", "intra_domain"):
        options = config[section] | keys.mapping(own.get(section), f"{where}{section}", source)
        task[section] = _methods(f"{where}{section}", section, options, source)
    # A method may be kept to sources that other tasks have.
    there = {"sources": config["writers"] | config["adapted"] | config["sources"], "after": task["inter_domain"]["methods"]}
    for section, allowed in ONLY.items():
        for name, key in product(task[section]["methods"], allowed):
            for value in task[section]["methods"][name].get(key, []):
                keys.check_choice(f"{where}{section}.methods.{name}.{key}", value, there[key], source)
    oracle = task.pop("oracle", config["oracle"])
    if oracle is not None:
        task["oracle"] = keys.mapping(config["oracle"], "oracle", source) | keys.mapping(oracle, f"{where}oracle", source)
        keys.check_parameters(f"{where}oracle", task["oracle"], keys.NOTEBOOKS["oracle"], source)
    return task


def _benchmark(config: dict, source: str) -> dict:
    """The section with `notebook` filled in, {} for none. A notebook that looks closely at `baseline` and `full` is told which they are."""
    if config["benchmark"] is False:
        if not config["ablations"]:
            raise InputError(f"{source}: benchmark is false, and there are no ablations: this experiment would have no table")
        return {}
    options, task = keys.mapping(config["benchmark"], "benchmark", source), config["tasks"].get("")
    there = [path.stem for path in sorted((ROOT / "notebooks").glob("5?_benchmark_*.ipynb"))]
    notebook = options.get("notebook")
    if notebook is None and task:
        name = task["target"].partition(":")[0]
        notebook = next((stem for stem in there if stem.endswith(f"_benchmark_{name}")), None)
        if notebook is None:
            raise InputError(f"{source}: target '{name}' has no notebook 5x_benchmark_{name}.ipynb, which makes its tables")
    if notebook not in there:
        raise InputError(f"{source}: benchmark.notebook is {notebook!r}; it is one of {', '.join(there)}")
    names = {parameter.name for parameter in keys.of_notebook(notebook)}
    if "baseline" in names and not task:
        raise InputError(f"{source}: benchmark.notebook: {notebook} makes the tables of one target; with 'tasks', name one of several")
    if "baseline" in names:
        for key, stage in (("baseline", "inter_domain"), ("full", "intra_domain")):
            keys.check_choice(f"benchmark.{key}", options.get(key), runs(config["tasks"])[stage], source)
    if "confusion" in names and "confusion" in options:
        made = [f"{stage}/{run}" for stage, here in runs(config["tasks"]).items() if stage in ONLY for run in here]
        keys.check_choice("benchmark.confusion", options["confusion"], made, source)
    shown = keys.mapping(options.get("sheet"), "benchmark.sheet", source)
    for title, name in shown.items():
        there = [*config["writers"], *config["sources"], *config["adapted"], *config["tasks"]]
        keys.check_choice(f"benchmark.sheet.{title}", name, there, source)
    keys.check_parameters("benchmark", {key: value for key, value in options.items() if key != "notebook"}, (notebook,), source)
    return options | {"notebook": notebook}


def place(path: str | Path) -> str:
    """Where `path` (relative to the repository, or below `artifacts/`) lies, as short as it can be said from the current folder."""
    found = resolve(path)
    return found.relative_to(Path.cwd()).as_posix() if found.is_relative_to(Path.cwd()) else str(found)
