"""What there is of a benchmark, and what is wrong with it; and where the image sets of this repository's experiments come from.

python -m aa_utils.benchmarks office31 visda17:validation image_folder:photos
python -m aa_utils.benchmarks "folder:my/images[mug,plate]"  # labelled images that exist already, as a source
python -m aa_utils.benchmarks cifake flux2          # where to get them, and whether these are the very files
python -m aa_utils.benchmarks --manifest office31 cifar10
"""

import argparse
import re
import sys
from collections import Counter
from importlib import import_module

from aa_utils import benchmarks
from aa_utils.benchmarks import _manifests
from aa_utils.benchmarks._check import SHOWN, Report, grouped
from aa_utils.errors import InputError
from aa_utils.redaction import mask_output


def main(arguments: list[str] | None = None) -> int:
    """Print domains, classes, counts and problems of each name; returns 0 if nothing is wrong. Every image is decoded to its end."""
    if arguments is None:
        mask_output()
    parser = argparse.ArgumentParser(prog="python -m aa_utils.benchmarks", description="What a benchmark has, and what is wrong with it.")
    sets = [name for name in _manifests.MANIFESTS if name not in benchmarks.names()]
    parser.add_argument("names", nargs="+", metavar="benchmark[:domain]", help=", ".join([*benchmarks.names(), *sets]))
    parser.add_argument("--classes", nargs="+", metavar="NAME", help="class names that prompts are written from: are they the benchmark's?")
    parser.add_argument(
        "--class", action="append", dest="each", metavar="NAME", help="one of them; --class=-x for one that begins with a dash"
    )
    known = ", ".join(_manifests.MANIFESTS)
    parser.add_argument(
        "--manifest", action="store_true", help=f"where to get it, and whether the files are those of its manifest: {known}"
    )
    parser.add_argument("--folder", help="compare with the manifest in this folder instead of AA_DATA")
    options, wrong = parser.parse_args(arguments), 0
    for name in options.names:
        if options.manifest or options.folder or name in sets:
            wrong += _compared(name, options.folder)
            continue
        for each in _domains(name):
            try:
                found = _report(each, [*(options.classes or []), *(options.each or [])])
            except InputError as error:
                print(f"{each}: {error}\n", file=sys.stderr)
                wrong += 1
            else:
                print(_text(found))
                wrong += bool(found.problems)
    return 1 if wrong else 0


def _compared(name: str, folder: str | None) -> int:
    """Print what the manifest says of the image set `name`, and what differs from it; 1 if anything does."""
    if name not in _manifests.MANIFESTS:
        print(f"'{name}' has no manifest; there are: {', '.join(_manifests.MANIFESTS)}\n", file=sys.stderr)
        return 1
    lines, problems = _manifests.compare(name, folder)
    print("\n".join([*lines, *(grouped(problems, SHOWN) or ["  nothing differs"]), ""]))
    return bool(problems)


def _domains(name: str) -> list[str]:
    module, _, domain = name.partition(":")
    if domain or module not in benchmarks.names():
        return [name]
    return [f"{module}:{domain}" for domain in benchmarks.domains(module)] or [name]


def _report(name: str, classes: list[str]) -> Report:
    module, _, domain = name.partition(":")
    if module == "folder":
        from aa_utils import sources

        path, listed = re.fullmatch(r"(.*?)(?:\[([^\]/]*)\])?", domain).groups()  # a folder may have more classes than are wanted
        return sources.report(path, [each.strip() for each in listed.split(",")] if listed else classes)
    found = import_module(f"{benchmarks.__name__}.{module}") if module in benchmarks.names() else None
    if hasattr(found, "report"):
        made = found.report(domain)
    else:
        target = benchmarks.load(name)
        counts = Counter(target.labels.tolist())
        made = Report(target.name, "", [(each, each, counts[k], None) for k, each in enumerate(target.class_names)], [])  # type: ignore[arg-type]
    made.problems.extend(_others(made, classes))
    return made


def _others(found: Report, classes: list[str]) -> list[tuple[str, str]]:
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
    lines += [f"  {found.variant}"] if found.variant else []
    for folder, name, count, known in found.classes:
        other = f"   instead of {known}" if known not in (None, count) else ""
        lines.append(f"  {folder:{width}}  {count:6}  {name}{other}")
    return "\n".join([*lines, *(grouped(found.problems, len(found.problems)) or ["nothing is wrong"]), ""])


if __name__ == "__main__":
    sys.exit(main())
