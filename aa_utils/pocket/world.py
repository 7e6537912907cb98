"""What can be in a picture of the pocket world, how often, and how a caption says it.

A picture is a row of named factors. `sample` draws rows, `captions` puts some of each row into words, `aa_utils.pocket.render` draws the
pixels. What a caption says is always true of its picture; what it leaves out varies freely. As on the web, "a photo of" goes with some
looks (signs and displays in front of clutter) more than with others: a generator that is asked for nothing but "a photo" shows a narrow
part of what it knows.
"""

import re

import numpy as np

DIGIT_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
CATEGORIES = {**{str(i): f"digit {name}" for i, name in enumerate(DIGIT_NAMES)}, **{chr(c): f"letter {chr(c)}" for c in range(65, 91)}}
CHARACTERS = "".join(CATEGORIES)

COLOURS = {
    "black": (0.06, 0.06, 0.07), "white": (0.97, 0.97, 0.97), "gray": (0.55, 0.55, 0.56), "cream": (0.96, 0.91, 0.74),
        "red": (0.84, 0.13, 0.12),
    "green": (0.13, 0.55, 0.22), "blue": (0.13, 0.27, 0.80), "yellow": (0.97, 0.87, 0.16), "orange": (0.96, 0.55, 0.10),
        "purple": (0.50, 0.17, 0.62),
    "brown": (0.43, 0.26, 0.13), "pink": (0.97, 0.62, 0.74),
}  # fmt: skip
LUMINANCE = {name: 0.3 * r + 0.59 * g + 0.11 * b for name, (r, g, b) in COLOURS.items()}

# Width of a stroke in pixels by the tool that made it.
TOOLS = {"pen": (1.9, 3.0), "thin pen": (1.2, 1.8), "thick marker": (3.6, 6.0), "brush": (2.8, 5.4), "pencil": (1.3, 2.1)}

# The prior of each factor: value -> weight. Where a style or medium changes it, `_PRIORS` says so under (factor, condition).
_PRIORS: dict[tuple[str, str], dict[str, float]] = {
    ("medium", ""): {"none": 0.5, "photo": 0.25, "scan": 0.25},
    ("style", "none"): {"handwritten": 0.5, "printed": 0.25, "chalk": 0.15, "display": 0.1},
    ("style", "photo"): {"handwritten": 0.08, "printed": 0.66, "chalk": 0.08, "display": 0.18},
    ("style", "scan"): {"handwritten": 0.75, "printed": 0.25},
    ("tool", ""): {"pen": 0.36, "thin pen": 0.14, "thick marker": 0.22, "brush": 0.14, "pencil": 0.14},
    ("slant", ""): {"upright": 0.55, "slanted to the right": 0.3, "slanted to the left": 0.15},
    ("size", ""): {"medium": 0.45, "large": 0.4, "small": 0.15},
    ("proportion", ""): {"normal": 0.6, "narrow": 0.22, "wide": 0.18},
    ("weight", ""): {"normal": 0.6, "thin": 0.15, "bold": 0.25},
    ("quality", ""): {"normal": 0.25, "sharp": 0.2, "blurred": 0.18, "low resolution": 0.25, "noisy": 0.12},
    ("background", "none"): {"plain": 0.75, "cluttered": 0.1, "lined": 0.1, "squared": 0.05},
    ("background", "photo"): {"plain": 0.4, "cluttered": 0.6},
    ("background", "scan"): {"plain": 0.9, "lined": 0.05, "squared": 0.05},
    ("ink", "handwritten"): {"black": 0.32, "blue": 0.16, "white": 0.16, "red": 0.08, "gray": 0.05, "green": 0.06,
        "purple": 0.05, "brown": 0.05, "orange": 0.03, "pink": 0.02, "yellow": 0.02},
    ("paper", "handwritten"): {"white": 0.34, "cream": 0.14, "black": 0.2, "gray": 0.08, "yellow": 0.06, "pink": 0.05,
        "blue": 0.04, "green": 0.04, "brown": 0.03, "orange": 0.02},
    ("ink", "chalk"): {"white": 0.55, "yellow": 0.2, "pink": 0.15, "orange": 0.1},
    ("paper", "chalk"): {"black": 0.4, "green": 0.3, "gray": 0.1, "brown": 0.1, "blue": 0.1},
    ("ink", "display"): {"red": 0.35, "green": 0.25, "blue": 0.1, "yellow": 0.1, "orange": 0.1, "white": 0.1},
    ("paper", "display"): {"black": 1.0},
    ("ink", "printed"): dict.fromkeys(COLOURS, 1 / 12),
    ("paper", "printed"): dict.fromkeys(COLOURS, 1 / 12),
}  # fmt: skip
FACTORS = ("character", "medium", "style", "tool", "ink", "paper", "slant", "size", "proportion", "weight", "quality", "background")
LETTER_SHARE = 0.3

Factors = dict[str, np.ndarray]


def values(factor: str) -> list[str]:
    """Every value that `factor` can take."""
    if factor == "character":
        return list(CHARACTERS)
    return sorted({value for (name, _), prior in _PRIORS.items() if name == factor for value in prior})


def _draw(rng: np.random.Generator, factor: str, given: np.ndarray) -> np.ndarray:
    """One value of `factor` for each entry of `given`, the condition that selects its prior ("" where none does)."""
    result = np.empty(len(given), dtype="<U24")
    u = rng.random(len(given))
    for condition in np.unique(given):
        prior = _PRIORS[factor, str(condition)]
        edges = np.cumsum(list(prior.values()))
        rows = given == condition
        result[rows] = np.array(list(prior))[np.searchsorted(edges / edges[-1], u[rows], side="right")]
    return result


def sample(n: int, rng: np.random.Generator, **choices: str) -> Factors:
    """`n` rows of factors; `choices` fixes some of them, e.g. `style="chalk"`, `character="3"`.

    Ink and paper always differ clearly in luminance. Displays show digits only (seven segments can't tell a D from a zero).
    """
    unknown = set(choices) - set(FACTORS)
    wrong = {k: v for k, v in choices.items() if k in FACTORS and v not in values(k)}
    if unknown or wrong:
        raise ValueError(f"unknown factors {sorted(unknown)} or values {wrong}; factors are {FACTORS}")
    none = np.full(n, "")
    rows: Factors = {"medium": _draw(rng, "medium", none)}
    if "medium" in choices:
        rows["medium"][:] = choices["medium"]
    letters = rng.random(n) < LETTER_SHARE
    codes = np.where(letters, rng.integers(10, 36, n), rng.integers(0, 10, n))
    rows["character"] = np.array(list(CHARACTERS))[codes]
    rows["style"] = _draw(rng, "style", rows["medium"])
    for factor in ("character", "style"):
        if factor in choices:
            rows[factor][:] = choices[factor]
    no_segments = (rows["style"] == "display") & ~np.char.isdigit(rows["character"])
    if "style" in choices:
        rows["character"][no_segments] = np.array(list(CHARACTERS))[rng.integers(0, 10, no_segments.sum())]
    else:
        rows["style"][no_segments] = "printed"
    for factor, condition in [
        ("tool", none),
        ("slant", none),
        ("size", none),
        ("proportion", none),
        ("weight", none),
        ("quality", none),
        ("background", rows["medium"]),
    ]:
        rows[factor] = _draw(rng, factor, condition)
    rows["background"][(rows["style"] != "handwritten") & np.isin(rows["background"], ["lined", "squared"])] = "plain"
    rows["ink"], rows["paper"] = _draw(rng, "ink", rows["style"]), _draw(rng, "paper", rows["style"])
    for factor in choices:
        rows[factor][:] = choices[factor]
    _separate(rng, rows, [f for f in ("paper", "ink") if f not in choices])
    return {factor: rows[factor] for factor in FACTORS}


def _separate(rng: np.random.Generator, rows: Factors, free: list[str]) -> None:
    """Redraw the `free` ones of ink and paper where the two are too alike to read."""
    for attempt in range(200):
        gap = np.array([abs(LUMINANCE[i] - LUMINANCE[p]) for i, p in zip(rows["ink"], rows["paper"], strict=True)])
        alike = gap < 0.3
        if not alike.any() or not free:
            return
        factor = free[attempt % len(free)]
        rows[factor][alike] = _draw(rng, factor, rows["style"][alike])
    raise ValueError("no readable ink and paper for these choices")


def captions(rows: Factors, rng: np.random.Generator) -> list[str]:
    """One caption a row: category always, every other factor sometimes, in varying word order."""
    u = rng.random((len(rows["style"]), 16))
    return [_caption({factor: str(rows[factor][i]) for factor in FACTORS}, u[i].tolist(), rng) for i in range(len(u))]


def _caption(row: dict[str, str], u: list[float], rng: np.random.Generator) -> str:
    category, style, ink, paper = CATEGORIES[row["character"]], row["style"], row["ink"], row["paper"]
    say_ink, say_paper, short = u[0] < 0.6, u[1] < 0.6, u[2] < 0.2
    details: list[str] = []
    if style == "handwritten":
        head = f"handwritten {category}" if u[3] < 0.8 or row["medium"] != "photo" else category
        colours = [f"{ink} ink on {paper} paper"] if say_ink and say_paper else [f"{ink} ink"] * say_ink + [f"{paper} paper"] * say_paper
        colours = [f"in {colours[0]}"] if say_ink and u[4] < 0.5 else colours
        tool = {"thin": "thin strokes", "bold": "thick strokes"}.get(row["weight"], "")
        details += [f"with a {row['tool']}"] * (u[5] < 0.5) + [tool] * bool(tool and u[6] < 0.6)
        details += {"lined": ["lined paper"], "squared": ["squared paper"]}.get(row["background"], []) * int(u[7] < 0.7)
    elif style == "chalk":
        head = f"chalk drawing of a {category}" if u[3] < 0.5 else f"{category} drawn with {ink + ' ' if say_ink else ''}chalk"
        colours = [f"{ink} chalk"] * (say_ink and u[3] < 0.5) + [f"on a {paper} board"] * say_paper
    elif style == "display":
        head = f"{category} on a {ink + ' ' if say_ink else ''}seven-segment display"
        colours = []
    else:
        head = f"printed {category}" if u[3] < 0.75 or row["medium"] != "photo" else category
        colours = [f"{ink} on {paper}"] if say_ink and say_paper else [f"{ink} print"] * say_ink + [f"{paper} paper"] * say_paper
        details += {"thin": ["thin strokes"], "bold": ["bold"]}.get(row["weight"], []) * int(u[6] < 0.6)
    if short:
        colours, details = [], []
    details += [row["slant"]] * (u[8] < 0.4) + [row["size"]] * (row["size"] != "medium" and u[9] < 0.5)
    details += [row["proportion"]] * (row["proportion"] != "normal" and u[10] < 0.5)
    details += {"cluttered": ["cluttered background"], "plain": ["plain background"]}.get(row["background"], []) * int(u[11] < 0.35)
    quality = row["quality"]
    prefix = ""
    if row["medium"] != "none" and u[12] < 0.9:
        prefix = f"a {row['medium']} of "
        if quality != "normal" and u[13] < 0.5:
            prefix, quality = f"a {quality} {row['medium']} of ", "normal"
    details += [quality] * (quality != "normal" and u[13] < 0.85)
    if short:
        details = details[: int(3 * u[14])]
    rng.shuffle(details)
    start = prefix + "a " + head if prefix or u[15] < 0.8 else head
    if colours and (colours[0].startswith(("in ", "on ")) or u[14] < 0.3):
        start, colours = f"{start} {colours[0]}", colours[1:]
    return re.sub(r"\ba (?=[aeio])", "an ", ", ".join([start, *colours, *details]))
