"""Stage 1: category names become prompts. One writer is one module of this folder, found by its name.

A writer module has a frozen dataclass `Config` (its options, each with a default) and
`write(class_names, per_class, seed, config) -> list[tuple[int, str]]`: pairs of (label, text), label = position in `class_names`. A third
item names another writer that made the text. A writer that counts what it did (rejections, cost) has `write_and_count` with the same
arguments, too: it returns the pairs and rows of counts.
"""

from collections import Counter
from dataclasses import fields

from aa_utils import plugins
from aa_utils.data import spelling
from aa_utils.errors import InputError


def writers() -> list[str]:
    """The names of the writers at hand, sorted."""
    return plugins.names("prompts")


def write(class_names: list[str], writer: str, per_class: int, seed: int, **options) -> list[dict]:
    """Prompts for every class: rows {id, label, class_name, text, writer}, grouped by class, ready for `prompts.jsonl`.

    `per_class` is the number of prompts of each class. `options` go to the writer's `Config`; an option of another writer is left aside, so
    that one notebook serves them all. The id (`offline-003-0017`: writer, label, number) stays the same when more prompts are asked for.
    Errors: InputError for class names that are missing, blank or alike, `per_class` below 1, an unknown writer or option.
    """
    return write_and_count(class_names, writer, per_class, seed, **options)[0]


def write_and_count(class_names: list[str], writer: str, per_class: int, seed: int, **options) -> tuple[list[dict], list[dict]]:
    """(rows of `write`, counts of the writer: flat rows by class_name, the last one for "all classes"; none from a writer without any)."""
    names = _checked_names(class_names)
    if isinstance(per_class, bool) or not isinstance(per_class, int) or per_class < 1:
        raise InputError(f"per_class is {per_class!r}; every class needs at least 1 prompt")
    module = plugins.load("prompts", writer)
    arguments = names, per_class, seed, module.Config(**_own_options(writer, options))
    written, counts = module.write_and_count(*arguments) if hasattr(module, "write_and_count") else (module.write(*arguments), [])
    rows: list[dict] = []
    numbers: Counter[tuple[str, int]] = Counter()
    for label, text, *other in written:
        by = other[0] if other else writer
        prompt_id = f"{by}-{label:03d}-{numbers[by, label]:04d}"
        numbers[by, label] += 1
        rows.append({"id": prompt_id, "label": label, "class_name": names[label], "text": text, "writer": by})
    return sorted(rows, key=lambda row: row["label"]), counts


def _own_options(writer: str, options: dict) -> dict:
    known = {name: {field.name for field in fields(plugins.load("prompts", name).Config)} for name in writers()}
    unknown = sorted(set(options) - set().union(*known.values()))
    if unknown:
        raise InputError(f"no prompt writer has an option '{unknown[0]}'; '{writer}' has: {', '.join(sorted(known[writer])) or 'none'}")
    return {name: value for name, value in options.items() if name in known[writer]}


def _checked_names(class_names: list[str]) -> list[str]:
    if not isinstance(class_names, (list, tuple)) or not all(isinstance(name, str) for name in class_names):
        raise InputError(f"class_names is {class_names!r}; it is a list of names such as ['mug', 'bike']")
    if not class_names:
        raise InputError("class_names is empty; name at least one class")
    names = [spelling.plain(name, "class_names") for name in class_names]
    for position, name in enumerate(names):
        if not name:
            raise InputError(f"class_names[{position}] is {class_names[position]!r}: a class needs a name, for it is what the prompt says")
    pair = spelling.twins(names, any_case=True)  # they would give the same prompts to two labels
    if pair:
        raise InputError(f"class_names[{pair[0]}] and class_names[{pair[1]}] are the same class: {names[pair[1]]!r}")
    return names
