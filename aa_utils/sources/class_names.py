"""Which class is meant by the name of a folder: the same name, one that a benchmark gives its folder, or a synonym.

Synonyms are the groups below, and WordNet's lemmas as timm ships them (its list of the ImageNet-22k synsets: Miller 1995, Deng et al.
2009). A lemma with several meanings counts in the one that it heads: a "car" is an automobile and no cable car. What matched by which rule
is said, for a wrong match would be wrong labels; `rename` decides what rules cannot.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module, resources

from aa_utils import benchmarks
from aa_utils.benchmarks._photos import plain
from aa_utils.benchmarks.uci_digits import CLASS_NAMES as DIGITS
from aa_utils.errors import InputError

# Everyday names of things that benchmarks have, where WordNet knows the word otherwise or not at all.
GROUPS = (
    ("airplane", "aeroplane", "plane"),
    ("automobile", "car", "auto"),
    ("truck", "lorry"),
    ("motorcycle", "motorbike"),
    ("bicycle", "bike", "pushbike"),
    ("television", "tv", "television set"),
    ("couch", "sofa"),
    ("mobile phone", "cell phone", "cellphone", "smartphone", "mobile"),
    ("laptop computer", "laptop", "notebook computer"),
    ("computer mouse", "mouse"),
    ("computer keyboard", "keyboard"),
    ("computer monitor", "monitor"),
    ("backpack", "rucksack", "back pack"),
    ("mug", "coffee mug"),
    ("trash can", "rubbish bin", "dustbin", "waste bin", "garbage can"),
    ("refrigerator", "fridge"),
    ("pair of scissors", "scissors"),
    ("pair of headphones", "headphones"),
    ("pair of eyeglasses", "eyeglasses", "spectacles"),
    ("person", "people", "human"),
    ("potted plant", "plant"),
    *((name, name.removeprefix("digit "), str(k)) for k, name in enumerate(DIGITS)),
)


@dataclass(frozen=True)
class Match:
    """A class of a folder, the class name that it is taken for, and by which rule."""

    folder: str
    class_name: str
    rule: str


def matched(there: Sequence[str], wanted: Sequence[str], rename: Mapping[str, str] | None = None) -> list[Match]:
    """A match for each of the `wanted` class names, in their order, from the names `there`; those that match nothing are left over.

    `rename`: name there -> wanted name. Errors: InputError for a wanted class without a match, for two names that mean one class, for one
    name that may mean two, and for a `rename` that names what is not there.
    """
    given = _matches(there, wanted, rename or {})
    found: dict[str, list[Match]] = {name: [match for match in given if match.class_name == name] for name in wanted}
    rest = [name for name in there if name not in {match.folder for match in given}]
    for rule, same in (("same name", _same_name), ("name of a benchmark's folder", _benchmark), ("synonym", _group), ("WordNet", _wordnet)):
        for name in list(rest):
            meant = [each for each in wanted if same(name, each)]
            free = [each for each in meant if not found[each] or found[each][0].rule == rule]
            if len(meant) > 1 and free:
                raise InputError(f"'{name}' may mean {' or '.join(map(repr, meant))}; say which with rename: {{{name}: {meant[0]}}}")
            if free:
                found[free[0]].append(Match(name, free[0], rule))
                rest.remove(name)
    twice = next((matches for matches in found.values() if len(matches) > 1), None)
    if twice:
        names = ", ".join(f"'{match.folder}'" for match in twice)
        raise InputError(f"{names} all mean '{twice[0].class_name}' ({twice[-1].rule}); put them into one folder, or leave one out")
    missing = [name for name in wanted if not found[name]]
    if missing:
        left = f"; left over are {_listed(rest)}" if rest else ""
        raise InputError(
            f"no images of {_listed(missing)}{left}. Names are matched by themselves, by benchmarks' folders and by synonyms; say what is "
            f"meant with rename: {{{_nearest(missing[0], rest)}: {missing[0]}}}, or leave the class out of class_names"
        )
    return [found[name][0] for name in wanted]


def _matches(there: Sequence[str], wanted: Sequence[str], rename: Mapping[str, str]) -> list[Match]:
    for name, meant in rename.items():
        if name not in there:
            raise InputError(f"rename: there is no '{name}'; there are {_listed(there)}")
        if meant not in wanted:
            raise InputError(f"rename: '{name}' is to be '{meant}', which is no class; classes are {_listed(wanted)}")
        also = next((each for each in there if _same_name(each, meant) and each not in rename), None)
        if also:
            raise InputError(f"rename: '{name}' is to be '{meant}', and there is '{also}' too; put them into one folder, or rename both")
    return [Match(name, meant, "rename") for name, meant in rename.items()]


def _same_name(name: str, wanted: str) -> bool:
    return plain(name) == plain(wanted)


def _benchmark(name: str, wanted: str) -> bool:
    return (plain(name), plain(wanted)) in _folders()


def _group(name: str, wanted: str) -> bool:
    return any({plain(name), plain(wanted)} <= group for group in _groups())


def _wordnet(name: str, wanted: str) -> bool:
    """Whether both are lemmas of one synset, and each of them has no other meaning or heads this one."""
    senses, other = _synsets().get(plain(name), {}), _synsets().get(plain(wanted), {})
    return any((heads or len(senses) == 1) and (other[synset] or len(other) == 1) for synset, heads in senses.items() if synset in other)


@cache
def _groups() -> list[set[str]]:
    return [{plain(name) for name in group} for group in GROUPS]


@cache
def _folders() -> set[tuple[str, str]]:
    """(folder, name in prompts) of every photo benchmark."""
    known = [getattr(import_module(f"{benchmarks.__name__}.{name}"), "PHOTOS", None) for name in benchmarks.names()]
    return {(plain(folder), plain(name)) for photos in known if photos for folder, name in photos.classes.items()}


@cache
def _synsets() -> dict[str, dict[str, bool]]:
    """lemma -> {synset: whether the lemma is its first}."""
    lemmas: dict[str, dict[str, bool]] = {}
    for line in resources.files("timm.data").joinpath("_info/imagenet_synset_to_lemma.txt").read_text(encoding="utf-8").splitlines():
        synset, _, names = line.partition("\t")
        for k, name in enumerate(names.split(", ")):
            lemmas.setdefault(plain(name), {}).setdefault(synset, k == 0)
    return lemmas


def _nearest(name: str, rest: Sequence[str]) -> str:
    close = difflib.get_close_matches(plain(name), [plain(each) for each in rest], n=1, cutoff=0.3)
    return next((each for each in rest if close and plain(each) == close[0]), rest[0] if rest else "folder")


def _listed(names: Sequence[str], shown: int = 20) -> str:
    return ", ".join(f"'{name}'" for name in names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")
