"""Tables as people read them: Markdown for the web, LaTeX (booktabs) for a paper. Numbers come in as fractions and leave as per cent."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from aa_utils import files
from aa_utils.paths import resolve
from aa_utils.reporting import code_notes, tables

# How names are printed; a name that is not here is printed as it is, so a new method needs no entry.
NAMES = {
    "source_only": "source only", "source_only@features": "linear probe", "adabn": "AdaBN", "dann": "DANN", "mcd": "MCD",
    "symnets": "SymNets", "cdtrans": "CDTrans", "mixmatch": "MixMatch", "fixmatch": "FixMatch", "none": "none",
    "zero_shot": "CLIP by class names", "imagenet_head": "ImageNet head by class names", "oracle": "supervised on target labels",
    "accuracy": "accuracy", "mean_per_class": "mean per class", "uci_digits": "UCI digits",
}  # fmt: skip
# What a run may choose beside its method (`tables.method_of`); any other is the name of the weights that it started from.
CHOICES = {"features": "on frozen features", "frozen": "frozen BN", "target": "target BN", "apart": "a pass for each domain"}
# The order of methods in the papers; others follow by name.
ORDER = (
    "simple",
    "none",
    "source_only",
    "adabn",
    "dann",
    "mcd",
    "symnets",
    "cdtrans",
    "mixmatch",
    "fixmatch",
    "imagenet_head",
    "zero_shot",
    "oracle",
)
DASH = "–"


@dataclass(frozen=True)
class Layout:
    """A printed table: its title, the header, rows of text, notes below; `align` holds one of l and r a column."""

    title: str
    header: list[str]
    rows: list[list[str]]
    notes: list[str]
    align: str


def printed(name: str) -> str:
    """The name of a method, benchmark or metric as it is printed; "dann@frozen" is DANN with frozen BatchNorm statistics."""
    if name in NAMES:
        return NAMES[name]
    name, *choices = name.split("@")
    return NAMES.get(name, name) + "".join(f" ({CHOICES.get(choice, choice)})" for choice in choices)


def refined(refinement: str) -> str:
    """The column of a refinement: "after FixMatch", or "before refinement"."""
    return "before refinement" if refinement == tables.NO_REFINEMENT else f"after {printed(refinement)}"


def condition(per_seed: pd.DataFrame, run: str) -> str:
    """The condition of the run of that name in a per-seed table: "offline + DANN + FixMatch"."""
    row = per_seed[per_seed["run"] == run].iloc[0]
    return " + ".join([row["prompts"], printed(row["inter_domain"]), *_refinement(row["intra_domain"])])


def ordered(names: Sequence[str]) -> list[str]:
    """Names in the papers' order, unknown ones after them by the alphabet, each once."""
    return sorted(set(names), key=rank)


def rank(name: str) -> tuple[int, str]:
    """The sorting key of `ordered`."""
    method = name.partition("@")[0]
    return (ORDER.index(method) if method in ORDER else len(ORDER), name)


def percent(mean: float, sd: float = float("nan"), sign: bool = False) -> str:
    """Fractions as per cent: "93.1 ± 0.4"; without ± for one seed; a dash for no number."""
    if pd.isna(mean):
        return DASH
    shown = f"{_rounded(mean):{'+' if sign else ''}.1f}"
    return shown if pd.isna(sd) else f"{shown} ± {_rounded(sd):.1f}"


def accuracy(means: pd.DataFrame, per_seed: pd.DataFrame, metric: str = "accuracy") -> Layout:
    """The main table: one row per prompts and inter-domain method, one column per intra-domain method; below, the reference lines.

    `means`, `per_seed`: frames of `tables.over_seeds` and `tables.per_seed`.
    """
    chosen = means[means["metric"] == metric]
    pipeline = chosen[chosen["system"] == "pipeline"]
    columns = ordered(pipeline["intra_domain"])
    factors = ["prompts", *(key for key in ("model", "images") if _matters(pipeline, key)), "inter_domain"]
    names = {"prompts": "prompts", "model": "generator", "images": "images", "inter_domain": "inter-domain"}
    rows = []
    for key in sorted(set(pipeline[factors].itertuples(index=False, name=None)), key=_row_order):
        row = pipeline[(pipeline[factors] == list(key)).all(axis=1)].set_index("intra_domain")
        rows.append([printed(str(value)) for value in key])
        rows[-1] += [percent(*row.loc[column, ["mean", "sd"]]) if column in row.index else DASH for column in columns]
    for line in chosen[chosen["system"] != "pipeline"].sort_values(["system", "model"], key=lambda names: names.map(rank)).itertuples():
        rows.append([f"{printed(line.system)}" + (f" ({line.model})" if line.model else ""), *[""] * (len(factors) - 1)])
        rows[-1] += [percent(line.mean, line.sd), *[DASH] * (len(columns) - 1)]
    header = [names[key] for key in factors] + [refined(column) for column in columns]
    benchmark = printed(chosen["benchmark"].iloc[0])
    what = "Overall accuracy" if metric == "accuracy" else "Accuracy as the mean over classes"
    said = [f"{what} in per cent{_spread(pipeline)}. Last epoch; target labels score, they choose nothing."]
    if (chosen["system"] == "oracle").any():
        said.append(f"The row '{printed('oracle')}' uses the target's labels: for reference only, not a method.")
    return Layout(f"{benchmark}: accuracy on the target", header, rows, said + tables.notes(per_seed), _align(header, len(factors)))


def number_of_images(means: pd.DataFrame, per_seed: pd.DataFrame) -> Layout:
    """Accuracy against the number of synthetic images: one row a number, both metrics as columns."""
    rows = []
    series = ["prompts", "inter_domain", "intra_domain"]
    shown = [key for key in series if means[key].nunique() > 1]
    for key, group in means.groupby([*series, "images"], sort=True):
        by_metric = group.set_index("metric")
        rows.append([printed(value) for name, value in zip(series, key[:3], strict=True) if name in shown] + [str(key[3])])
        rows[-1] += [percent(*by_metric.loc[metric, ["mean", "sd"]]) for metric in tables.METRICS]
    first = means.iloc[0]
    what = " + ".join(printed(first[key]) for key in series if key not in shown and first[key] != tables.NO_REFINEMENT)
    title = f"{printed(first['benchmark'])}: accuracy against the number of synthetic images" + (f" ({what})" if what else "")
    said = [f"Accuracy in per cent{_spread(means)}. Smaller sets are part of larger ones."]
    missing = [note for note in tables.notes(per_seed) if not note.startswith("The numbers of synthetic images")]
    header = [*(key.replace("_", "-") for key in shown), "images", *(printed(metric) for metric in tables.METRICS)]
    return Layout(title, header, rows, said + missing, _align(header, len(shown)))


def markdown(layout: Layout) -> str:
    """The table as GitHub Markdown."""
    rule = ["---" if side == "l" else "---:" for side in layout.align]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in [layout.header, rule, *layout.rows]]
    return "\n".join([f"**{layout.title}**", "", *lines, "", *(f"{note}  " for note in layout.notes)]).rstrip() + "\n"


def latex(layout: Layout, label: str) -> str:
    """The table as a LaTeX float with booktabs rules; `label` is its \\label."""
    body = [" & ".join(_tex(cell) for cell in row) + r" \\" for row in layout.rows]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_tex(layout.title)}. {_tex(' '.join(layout.notes))}}}",
            rf"\label{{tab:{label}}}",
            rf"\begin{{tabular}}{{{layout.align}}}",
            r"\toprule",
            " & ".join(_tex(cell) for cell in layout.header) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def write(results: str | Path, name: str, layout: Layout) -> Layout:
    """Write `<results>/tables/<name>.md` and `.tex`; returns the table with what its caption must say of the code behind its records."""
    folder = resolve(results) / "tables"
    layout = replace(layout, notes=[*layout.notes, *code_notes.notes(code_notes.behind(results, name))])
    files.write_text(folder / f"{name}.md", markdown(layout))
    files.write_text(folder / f"{name}.tex", latex(layout, name))
    return layout


def _refinement(refinement: str) -> list[str]:
    return [] if refinement == tables.NO_REFINEMENT else [printed(refinement)]


def _align(header: list[str], text_columns: int) -> str:
    return "l" * text_columns + "r" * (len(header) - text_columns)


def _rounded(fraction: float) -> float:
    """Per cent, rounded to one decimal from the 6 decimals of the CSV: binary noise (0.12345 as 12.3449999) must not decide."""
    return round(round(fraction * 100, 4), 1)


def _matters(frame: pd.DataFrame, key: str) -> bool:
    """True if rows differ in `key` beyond what the prompts say already."""
    return bool((frame.groupby("prompts")[key].nunique() > 1).any())


def _row_order(key: tuple) -> list[tuple]:
    return [(*rank(value), 0) if isinstance(value, str) else (0, "", value) for value in key]


def _spread(means: pd.DataFrame) -> str:
    """What ± is and over how many seeds; the range where n differs."""
    low, high = int(means["n"].min()), int(means["n"].max())
    if high == 1:
        return ", n = 1 seed"
    return f", mean ± standard deviation over n = {low if low == high else f'{low} to {high}'} seeds"


def _tex(text: str) -> str:
    special = {c: rf"\{c}" for c in "&%$#_{}"} | {"\\": r"\textbackslash{}", "^": r"\^{}", "~": r"\~{}"}
    special |= {"±": r"$\pm$", "–": "--", "−": "$-$", "<": "$<$", ">": "$>$"}
    return "".join(special.get(c, c) for c in text)
