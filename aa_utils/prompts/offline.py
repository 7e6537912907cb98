"""Writer `offline`: diverse prompts without a language model, from a bank of attributes and sentence templates.

Stands in for the language model of Adapt Anything (arXiv 2310.16573, stage 1) where there is none: deterministic, free, any category names.
A bank is a YAML file: `templates` (name: sentence with slots) and `attributes` (name: list of phrases). The slots of a sentence are its
attributes and the category: {category} with its article, {name} without.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import cycle
from math import lcm, prod
from pathlib import Path
from random import Random
from string import Formatter

from aa_utils.errors import InputError
from aa_utils.files import text
from aa_utils.paths import resolve
from aa_utils.prompts._article import with_article
from aa_utils.runner.yaml_values import read_yaml
from aa_utils.seeds import stable_hash

BANKS = Path(__file__).parent / "banks"


@dataclass(frozen=True)
class Config:
    bank: str = "photo"  # a bank of banks/, or the path of a YAML file of one's own
    domain: str = ""  # what is known of the target ("black and white low-resolution scan"); follows the clause that names the category
    pin: dict[str, list[str]] = field(default_factory=dict)  # attribute (or "template") -> the only values it may take


def write(class_names: list[str], per_class: int, seed: int, config: Config) -> list[tuple[int, str]]:
    """`per_class` different texts for every class, as (label, text) pairs grouped by class.

    Each attribute runs through all its values, shuffled, before one comes again, and so do the templates: a bank is covered evenly by few
    prompts already. Classes are independent: adding one changes no other's prompts. Asking for more prompts keeps the first ones.
    Errors: InputError for a bank or pin that does not fit, and when `per_class` passes the number of different prompts there are: a text
    twice is a copy, which is what 20_generate's `images_per_prompt` is for.
    """
    bank = pinned(load(config.bank), config.pin)
    return [(label, text) for label, name in enumerate(class_names) for text in _texts(bank, name, per_class, seed, config)]


def load(bank: str) -> dict[str, dict]:
    """The bank {"templates": {name: sentence}, "attributes": {name: [phrase]}}. Errors: InputError naming what in the file is wrong."""
    path = BANKS / f"{bank}.yaml"
    if not path.is_file():
        path = resolve(bank)
    if not bank or not path.is_file():
        there_are = ", ".join(sorted(file.stem for file in BANKS.glob("*.yaml")))
        raise InputError(f"no bank '{bank}'; there are: {there_are}; or give the path of a YAML file")
    try:
        content = read_yaml(text.read(path, f"bank '{bank}'"), f"bank '{bank}'")
        templates = {str(name): " ".join(str(sentence).split()) for name, sentence in content["templates"].items()}  # type: ignore[index]
        attributes = {str(name): _phrases(bank, name, values) for name, values in content["attributes"].items()}  # type: ignore[index]
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"bank '{bank}' has not the form 'templates' (name: sentence), 'attributes' (name: list): {error}") from error
    for name, sentence in templates.items():
        unknown = [slot for slot in _slots(sentence) if slot not in attributes]
        if unknown or not _names_category(sentence):
            wrong = f"has no attribute for {{{unknown[0]}}}" if unknown else "names neither {category} nor {name}"
            raise InputError(f"bank '{bank}': template '{name}' {wrong}")
    for name, values in {"template": list(templates), **attributes}.items():
        if not values or len(set(values)) < len(values):
            raise InputError(f"bank '{bank}': {name} has {'a value twice' if values else 'no values'}")
    return {"templates": templates, "attributes": attributes}


def _phrases(bank: str, name: object, values: object) -> list[str]:
    """The phrases of an attribute. Errors: InputError unless they are a list of texts: of a text, each letter would be one."""
    if not isinstance(values, list) or not all(isinstance(value, str | int | float) and not isinstance(value, bool) for value in values):
        what = "such as [dim, bright]; of yes, no, on, off and null YAML makes no text, so they stand in quotation marks"
        raise InputError(f"bank '{bank}': {name} is {str(values)[:80]!r}; it is a list of phrases ({what})")
    return [str(value) for value in values]


def pinned(bank: dict[str, dict], pin: dict[str, list[str]]) -> dict[str, dict]:
    """`bank` with the attributes named in `pin` (and the templates, as "template") held to those values. Errors: InputError for others."""
    choices = {**bank["attributes"], "template": list(bank["templates"])}
    for name, values in pin.items():
        if name not in choices:
            raise InputError(f"pin: no attribute '{name}' in the bank; there are: {', '.join(sorted(choices))}")
        if isinstance(values, str) or not values or not set(values) <= set(choices[name]):
            raise InputError(f"pin: {name} is {values!r}; it is a list of some of: {', '.join(map(repr, choices[name]))}")
        choices[name] = list(dict.fromkeys(values))
    templates = {name: sentence for name, sentence in bank["templates"].items() if name in choices["template"]}
    return {"templates": templates, "attributes": {name: choices[name] for name in bank["attributes"]}}


def _texts(bank: dict[str, dict], class_name: str, per_class: int, seed: int, config: Config) -> list[str]:
    texts: dict[str, None] = {}
    streams = {name: _combinations(bank, name, (seed, class_name)) for name in bank["templates"]}
    order = sorted(streams, key=lambda name: stable_hash(seed, class_name, "template", name))
    for template in cycle(order):
        if len(texts) == per_class or not streams:
            break
        # Two templates may give the same sentence (left-out attributes): then the stream's next one is taken, so that all get their turn.
        for values in streams.get(template, ()):
            text = _sentence(bank["templates"][template], class_name, config.domain, values)
            if text not in texts:
                texts[text] = None
                break
        else:
            streams.pop(template, None)
    if len(texts) < per_class:
        raise InputError(
            f"bank '{config.bank}' has {len(texts)} different prompts for '{class_name}'"
            f"{' with the values pinned' if config.pin else ''}, not {per_class}; set per_class={len(texts)} or less, "
            "and let images_per_prompt make more images of each"
        )
    return list(texts)


def _combinations(bank: dict[str, dict], template: str, key: tuple) -> Iterator[dict[str, str]]:
    """Every combination of the template's attribute values exactly once, each attribute in shuffled cycles.

    With P the number of combinations of the attributes before this one, which has n values, and j = k mod P n: its k-th value is number
    (j + j // lcm(P, n)) mod n of a shuffle that depends on (k mod P) // n. j alone would be a plain cycle; the second term keeps it from
    falling into step with the others, and by the Chinese remainder theorem the pairs (k mod P, number) are all different for k < P n.
    The shuffle depends on k mod P only, so they stay different.
    """
    slots = _slots(bank["templates"][template])

    @lru_cache(maxsize=64)
    def shuffled(slot: str, cycle_number: int) -> list[str]:
        values = list(bank["attributes"][slot])
        Random(stable_hash(*key, template, slot, cycle_number)).shuffle(values)
        return values

    sizes = [len(bank["attributes"][slot]) for slot in slots]
    for k in range(prod(sizes)):
        values, before = {}, 1
        for slot, n in zip(slots, sizes, strict=True):
            j = k % (before * n)
            values[slot] = shuffled(slot, k % before // n)[(j + j // lcm(before, n)) % n]
            before *= n
        yield values


def _sentence(template: str, class_name: str, domain: str, values: dict[str, str]) -> str:
    slots = {"category": with_article(class_name), "name": class_name.replace("_", " "), **values}
    clauses = []
    for clause in template.split(", "):
        # An attribute value may be "": its words, and a clause of nothing else, are left out.
        clauses.append(" ".join(clause.format(**slots).split()))
        if _names_category(clause):
            clauses.append(" ".join(domain.split()))  # early: text encoders cut long prompts at the end
    return ", ".join(clause for clause in clauses if clause)


def _slots(sentence: str) -> list[str]:
    """The attributes a template uses, in order."""
    names = [name for _, name, _, _ in Formatter().parse(sentence) if name is not None]
    return list(dict.fromkeys(name for name in names if name not in ("category", "name")))


def _names_category(sentence: str) -> bool:
    return "{category}" in sentence or "{name}" in sentence
