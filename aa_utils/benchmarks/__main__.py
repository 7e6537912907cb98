"""python -m aa_utils.benchmarks office31 visda17:validation image_folder:photos: what there is, and what is wrong with it."""

import argparse
import sys
from collections import Counter
from importlib import import_module

from aa_utils import benchmarks
from aa_utils.benchmarks._check import Report, grouped
from aa_utils.errors import InputError


def main(arguments: list[str] | None = None) -> int:
    """Print domains, classes, counts and problems of each name; returns 0 if nothing is wrong. Every image is decoded to its end."""
    parser = argparse.ArgumentParser(prog="python -m aa_utils.benchmarks", description="What a benchmark has, and what is wrong with it.")
    parser.add_argument("names", nargs="+", metavar="benchmark[:domain]", help=", ".join(benchmarks.names()))
    parser.add_argument("--classes", nargs="+", metavar="NAME", help="class names that prompts are written from: are they the benchmark's?")
    options, wrong = parser.parse_args(arguments), 0
    for name in options.names:
        for each in _domains(name):
            try:
                found = _report(each)
                found.problems.extend(_others(found, options.classes))
            except InputError as error:
                print(f"{each}: {error}\n", file=sys.stderr)
                wrong += 1
            else:
                print(_text(found))
                wrong += bool(found.problems)
    return 1 if wrong else 0


def _domains(name: str) -> list[str]:
    module, _, domain = name.partition(":")
    if domain or module not in benchmarks.names():
        return [name]
    return [f"{module}:{domain}" for domain in benchmarks.domains(module)] or [name]


def _report(name: str) -> Report:
    module, _, domain = name.partition(":")
    found = import_module(f"{benchmarks.__name__}.{module}") if module in benchmarks.names() else None
    if hasattr(found, "report"):
        return found.report(domain)
    target = benchmarks.load(name)
    counts = Counter(target.labels.tolist())
    return Report(target.name, "", [(each, each, counts[k], None) for k, each in enumerate(target.class_names)], [])


def _others(found: Report, classes: list[str] | None) -> list[tuple[str, str]]:
    """What `classes` has otherwise than the benchmark; nothing where either has no names."""
    known = [name for _, name, _, _ in found.classes]
    if not classes or not known:
        return []
    lacking = [("class names of the benchmark that are not given", name) for name in known if name not in classes]
    return lacking + [("class names that the benchmark lacks", name) for name in classes if name not in known]


def _text(found: Report) -> str:
    width = max(len(row[0]) for row in found.classes)
    of = f" of {len(found.classes)} classes" if len(found.classes) > 1 else ""
    where = f" in '{found.folder}'" if found.folder else ""
    lines = [f"{found.name}: {sum(row[2] for row in found.classes)} images{of}{where}"]
    for folder, name, count, known in found.classes:
        other = f"   instead of {known}" if known not in (None, count) else ""
        lines.append(f"  {folder:{width}}  {count:6}  {name}{other}")
    return "\n".join([*lines, *(grouped(found.problems, len(found.problems)) or ["nothing is wrong"]), ""])


if __name__ == "__main__":
    sys.exit(main())
