"""What a language model is asked: some captions of one category, each with hints of its own, so that they differ as pictures do.

Why hints: a plain template leads to mode collapse (Adapt Anything, arXiv 2310.16573, stage 1), and a model asked the same thing over and
over answers the same; attributes drawn for every request bring diversity (Yu et al., Large Language Model as Attributed Training Data
Generator, arXiv 2306.15895, section 3). The attributes are those of the offline writer's banks: medium ("a pencil sketch", "a product
photo"), setting, viewpoint, light, quality.
"""

from random import Random

from aa_utils.errors import InputError
from aa_utils.prompts._article import with_article
from aa_utils.prompts.offline import load, pinned
from aa_utils.seeds import stable_hash

HINTS = 3  # attributes of one caption, besides those pinned
SCHEMA = {
    "type": "object",
    "properties": {"prompts": {"type": "array", "items": {"type": "string"}}},
    "required": ["prompts"],
    "additionalProperties": False,
}
# From the strictest to what every server knows; the key is the `answer_format` of a run.
FORMATS = {
    "json_schema": {"type": "json_schema", "json_schema": {"name": "prompts", "strict": True, "schema": SCHEMA}},
    "json_object": {"type": "json_object"},
    "text": None,
}
_SYSTEM = (
    "You write captions for a text-to-image model. You answer with one JSON object and nothing else: "
    '{"prompts": ["first caption", "second caption"]}'
)


def attributes(bank: str, pin: dict[str, list[str]], domain: str) -> tuple[dict[str, list[str]], list[str]]:
    """(attribute -> phrases of a bank of the offline writer, the attributes that `pin` holds: every caption has them).

    With a `domain` there is no medium unless it is pinned: the domain says what the pictures are. Errors: InputError of the bank, or for a
    pinned template.
    """
    if "template" in pin:
        raise InputError("pin holds 'template', which writer 'llm' has none of: the model makes the sentences; pin attributes only")
    found = {name: [value for value in values if value] for name, values in pinned(load(bank), pin)["attributes"].items()}
    if domain and "medium" not in pin:
        found.pop("medium", None)
    return {name: values for name, values in found.items() if values}, [name for name in pin if found.get(name)]


def messages(forms: list[str], others: list[str], number: int, count: int, seed: int, domain: str, hints: tuple) -> list[dict]:
    """The chat messages of call `number` for one class: `count` captions. `forms` are the names it goes by, the first one is asked for.

    `others` are the names of the other classes, `hints` what `attributes` gave. The same arguments give the same messages: call 0 asks the
    same whether more calls follow or not.
    """
    names = f'"{forms[0]}"' + (f" (or {', '.join(map(_quoted, forms[1:]))})" if len(forms) > 1 else "")
    lines = [f"Write {count} different captions. Each is of one picture that shows {with_article(forms[0])}."]
    if domain:
        lines.append(f"Domain: every picture is of this kind: {' '.join(domain.split())}. Every caption says so, in varied words.")
    lines += [
        f"- Every caption names {names}, in these very words, as its main subject that can be seen.",
        *([f"- No caption names any of these: {', '.join(others)}."] if others else []),
        "- Captions differ as the pictures of the world do: kinds, materials, colours, age, number, what is near, place, viewpoint, light.",
        "- A caption is English, one line of 8 to 30 words: no list numbers, no quotation marks, no markup.",
        "Use these hints, one line for each caption, in this order; leave out what does not suit the subject:",
        *(f"{place}. {hint}" for place, hint in enumerate(_hints(forms[0], number * count, count, seed, *hints), start=1)),
    ]
    return [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": "\n".join(lines)}]


def seed_of(seed: int, name: str, number: int) -> int:
    """The sampling seed of call `number` for a class, for servers that take one: 31 bits."""
    return stable_hash(seed, name, "call", number) % 2**31


def _hints(name: str, first: int, count: int, seed: int, bank: dict[str, list[str]], always: list[str]) -> list[str]:
    """A line of attributes for each caption; each attribute runs through its values, shuffled, before one comes again."""
    free = [attribute for attribute in bank if attribute not in always and attribute != "medium"]
    told = [*always, *(["medium"] if "medium" in bank and "medium" not in always else [])]
    lines = []
    for position in range(first, first + count):
        some = Random(stable_hash(seed, name, "attributes", position)).sample(free, min(HINTS, len(free)))
        lines.append("; ".join(f"{attribute}: {_value(bank[attribute], attribute, name, position, seed)}" for attribute in [*told, *some]))
    return lines


def _value(values: list[str], attribute: str, name: str, position: int, seed: int) -> str:
    order = list(values)
    Random(stable_hash(seed, name, attribute, position // len(values))).shuffle(order)
    return order[position % len(values)]


def _quoted(text: str) -> str:
    return f'"{text}"'
