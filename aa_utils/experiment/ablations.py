"""The section `ablations` of an experiment file: which runs of the grid each of them is about, and what it adds to the grid.

| ablation | compares | adds |
|---|---|---|
| `number_of_images` | `methods` on `limit_per_class` images of a `writer` | a run for each number |
| `without_labels` | estimates with the truth, for all runs of the grid | images of held-out prompts |
| `sampling` | `sources` that differ in the generator's settings, by `methods` | – |
| `prompts` | `sources` that differ in their prompts, by `methods` | – |
| `generators` | `sources` that differ in the model that draws them, by `methods` | – |
| `discarding` | `methods` whose stage 4 keeps or discards the images of a `writer`, or differs in what counts as confident | – |
| `hard_shift` | `methods` on harder and harder `domains` of `target`, beside `method`, which never sees them | a run for each domain |

`methods` are runs from one source, as the grid names them: source_only, dann, dann/fixmatch.
"""

from aa_utils.errors import InputError
from aa_utils.experiment import keys

# Ablation -> its keys.
ABLATIONS = {
    "number_of_images": ("writer", "method", "methods", "limit_per_class"),
    "without_labels": ("writer", "held_out", "chosen"),
    "sampling": ("sources", "methods"),
    "prompts": ("sources", "methods"),
    "generators": ("sources", "methods", "references"),
    "discarding": ("writer", "methods"),
    "hard_shift": ("writer", "method", "methods", "target", "domains"),
}


def check(name: str, options: dict, tasks: dict[str, dict], grid: list[str], source: str) -> None:
    """An ablation is of the grid of one target: what it names is there. Fills in `methods` of a curve where the file names one `method`.

    `grid`: the runs of all stages, as `experiment.runs` names them. Errors: InputError with the key, the value and the way out.
    """
    where, task = f"ablations.{name}", tasks.get("")
    if name not in ABLATIONS:
        raise InputError(f"{source}: no ablation '{name}'; there are: {', '.join(ABLATIONS)}")
    if task is None:
        raise InputError(f"{source}: {where} is of one target; put it into an experiment without 'tasks'")
    unknown = sorted(set(options) - set(ABLATIONS[name]))
    if unknown:
        raise InputError(f"{source}: {where}: unknown key '{unknown[0]}'; keys: {', '.join(ABLATIONS[name])}")
    there = {"writer": task["sources"], "method": task["inter_domain"]["methods"], "chosen": grid}
    for key in ABLATIONS[name]:
        if key in there and not (key == "method" and name == "number_of_images" and "methods" in options):
            keys.check_choice(f"{where}.{key}", options.get(key), there[key], source)
    if "limit_per_class" in ABLATIONS[name]:
        keys.check_list(f"{where}.limit_per_class", options.get("limit_per_class"), int, source)
    if name == "number_of_images":
        if {"method", "methods"} <= set(options):
            raise InputError(f"{source}: {where} has both method and methods; list the one beside the others, under methods")
        options.setdefault("methods", [options.get("method")])
    if name == "hard_shift":
        keys.check_module(f"{where}.target", options.get("target"), "benchmarks", source)
        keys.check_list(f"{where}.domains", options.get("domains"), str, source)
        if f"{options['writer']}/{options['method']}" not in grid:
            raise InputError(f"{source}: {where}: the grid has no run {options['writer']}/{options['method']}")
    if "methods" in ABLATIONS[name]:
        _check_methods(where, name, options, task, grid, source)


def _check_methods(where: str, name: str, options: dict, task: dict, grid: list[str], source: str) -> None:
    """`methods` are in the grid from each of the `sources`, or from the `writer`."""
    keys.check_list(f"{where}.methods", options.get("methods"), str, source)
    if "sources" in ABLATIONS[name]:
        keys.check_list(f"{where}.sources", options.get("sources"), str, source)
    for origin in options["sources"] if "sources" in ABLATIONS[name] else [options["writer"]]:
        keys.check_choice(f"{where}.{'sources' if 'sources' in options else 'writer'}", origin, task["sources"], source)
        there = [run.partition("/")[2] for run in grid if run.startswith(f"{origin}/")]
        for method in options["methods"]:
            if method not in there:
                raise InputError(
                    f"{source}: {where}.methods: the grid has no {method!r} from '{origin}'; it has {', '.join(there) or 'none'}"
                )
    if name == "hard_shift":
        for method in options["methods"]:
            first = method.partition("/")[0]
            if first != method and first not in options["methods"]:
                raise InputError(f"{source}: {where}.methods has {method!r} without {first!r}, from which it goes on")


def stage(method: str) -> str:
    """The stage of a run that is named by its methods: "intra_domain" of dann/fixmatch."""
    return "intra_domain" if "/" in method else "inter_domain"


def compared(options: dict) -> list[str]:
    """The runs of `sampling`, `prompts`, `generators` and `discarding`, as paths below the experiment's artifacts."""
    origins = options.get("sources") or [options["writer"]]
    return [f"{stage(method)}/{origin}/{method}" for origin in origins for method in options["methods"]]


def shifted(options: dict) -> list[str]:
    """The runs that `hard_shift` adds, as paths below the experiment's artifacts."""
    return [
        f"hard_shift/{stage(method)}/{domain}/{options['writer']}/{method}"
        for domain in options["domains"]
        for method in options["methods"]
    ]


def curve(options: dict) -> tuple[list[str], list[str]]:
    """(runs on a part of the images, all runs of the curve) of `number_of_images`, as paths below the experiment's artifacts.

    The run on all images is a point of the curve that the grid has made already.
    """
    few, whole = [], []
    for method in options["methods"]:
        run = f"{stage(method)}/{options['writer']}/{method}"
        few += [f"few_images/{run}/{limit}" for limit in options["limit_per_class"]]
        whole.append(run)
    return few, few + whole


def held_out(options: dict, config: dict, source: str) -> dict:
    """The writer of held-out images: `writer` with what `held_out` says. Another seed, of prompts and noise, makes other images."""
    where, name = "ablations.without_labels.held_out", options["writer"]
    if "held_out" in config["writers"]:
        raise InputError(f"{source}: writers.held_out has the name of the held-out images; call it otherwise")
    own, writer = keys.mapping(options.get("held_out"), where, source), config["writers"][name]
    keys.check_parameters(where, own, keys.NOTEBOOKS["writers"], source)
    if own.get("seed") in (None, writer.get("seed", 0), config["generator"].get("seed", 0)):
        raise InputError(f"{source}: {where}.seed is {own.get('seed')!r}; it takes another one than '{name}', or its images are those")
    return writer | own
