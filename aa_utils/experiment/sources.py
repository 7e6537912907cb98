"""Where the images of an experiment come from: writers of prompts and their generator, real sources, generators moved by prompts."""

from aa_utils.errors import InputError
from aa_utils.experiment import keys
from aa_utils.generate import presets


def domain(benchmark: str) -> str:
    """A benchmark's domain, however much of it is asked for: "office31:amazon" of "office31:amazon-partial[mouse,pen]"."""
    if not benchmark:  # an experiment on one target names no other, and is planned without loading torch
        return ""
    from aa_utils.benchmarks._photos import PARTIAL

    return benchmark.partition("[")[0].removesuffix(PARTIAL)


def check(config: dict, source: str) -> None:
    """Check the sections writers, generator, sources and adapted of `config`, which must be there, and fill in what they leave out.

    Errors: InputError naming the key, the value and the way out.
    """
    config["writers"] = keys.named("writers", config["writers"], source)
    for name, options in config["writers"].items():
        keys.check_module(f"writers.{name}", options.setdefault("writer", name), "prompts", source)
        keys.check_parameters(f"writers.{name}", options, keys.NOTEBOOKS["writers"], source)
    config["generator"] = keys.mapping(config["generator"], "generator", source)
    keys.check_parameters("generator", config["generator"], keys.NOTEBOOKS["generator"], source)
    try:
        config["generator"] = presets.expand(config["generator"])  # so that every record says which model it was
    except InputError as error:
        raise InputError(f"{source}: generator: {error}") from None
    config["sources"] = keys.named("sources", config["sources"], source)
    for name, options in config["sources"].items():
        if name in config["writers"]:
            raise InputError(f"{source}: '{name}' is a writer and a source, whose images would share a folder; rename one")
        _check_source(f"sources.{name}", options, config["class_names"], source)
    config["adapted"] = keys.named("adapted", config["adapted"], source)
    for name, options in config["adapted"].items():
        if name in config["writers"] | config["sources"]:
            raise InputError(
                f"{source}: '{name}' is an adapted generator and a writer or source, whose images would share a folder; rename one"
            )
        if set(options) - {"adapt", "draw"}:
            raise InputError(f"{source}: adapted.{name} has {', '.join(options)}; its keys are adapt and draw")
        for part in ("adapt", "draw"):
            options[part] = keys.mapping(options.get(part), f"adapted.{name}.{part}", source)
            keys.check_parameters(f"adapted.{name}.{part}", options[part], keys.NOTEBOOKS[part], source)


def _check_source(where: str, options: dict, class_names: list[str], source: str) -> None:
    """A source is a benchmark, or a folder of labelled images with the classes of it that are used: by default the experiment's."""
    if ("folder" in options) == ("benchmark" in options):
        given = "both benchmark and folder" if "folder" in options else "neither benchmark nor folder"
        raise InputError(f"{source}: {where} has {given}; a source is one of the two")
    if "folder" in options:
        keys.check_list(f"{where}.class_names", options.setdefault("class_names", class_names), str, source)
        options["benchmark"] = ""
    else:
        keys.check_module(f"{where}.benchmark", str(options["benchmark"]).partition(":")[0], "benchmarks", source)
    keys.check_parameters(where, options, keys.NOTEBOOKS["sources"], source)
