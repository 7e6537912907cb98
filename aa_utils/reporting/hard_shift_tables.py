"""Accuracy on a target that becomes harder step by step: the table over seeds, what it says, and its figure. Made from CSV alone."""

import pandas as pd
from matplotlib.figure import Figure

from aa_utils.reporting import tables
from aa_utils.reporting.layout import Layout, percent, printed, rank
from aa_utils.reporting.style import WIDTH, caption, colour, marker, styled, title

METHOD = ["inter_domain", "intra_domain"]
RUNS = ["kind", "severity", *METHOD, "seed", "accuracy", "mean_per_class", "benchmark", "run", "run_id"]
MEANS = ["kind", "severity", *METHOD, "mean", "sd", "n", "run_ids"]
CLEAN = ""  # the kind of a target without a corruption: severity 0 of every kind
PANELS = 3  # side by side


def means(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns MEANS, a row a kind, severity and method: accuracy over seeds. `frame`: rows of RUNS."""
    rows = []
    for key, group in frame.groupby(["kind", "severity", *METHOD], sort=True):
        numbers = {"mean": group["accuracy"].mean(), "sd": group["accuracy"].std(ddof=1), "n": len(group)}
        about = dict(zip(["kind", "severity", *METHOD], key, strict=True))
        rows.append(about | numbers | {"run_ids": " ".join(sorted(set(group["run_id"])))})
    return tables.rounded(pd.DataFrame(rows, columns=MEANS))


def kinds(frame: pd.DataFrame) -> list[str]:
    """The corruptions, by name."""
    return sorted(set(frame["kind"]) - {CLEAN})


def methods(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """(inter-domain, intra-domain) methods in the papers' order."""
    return sorted(set(frame[METHOD].itertuples(index=False, name=None)), key=lambda pair: (rank(pair[0]), rank(pair[1])))


def name(method: tuple[str, str]) -> str:
    """A method as it is printed: "DANN + FixMatch"."""
    return " + ".join([printed(method[0]), *([] if method[1] == tables.NO_REFINEMENT else [printed(method[1])])])


def sentences(frame: pd.DataFrame) -> list[str]:
    """What the rows of RUNS say: what is left at the hardest, and whether the gain of adaptation grows or shrinks with the shift."""
    made, order, said = means(frame), methods(frame), []
    for kind in kinds(frame):
        here = made[made["kind"] == kind]
        gains = {}
        for severity in (here["severity"].min(), here["severity"].max()):
            at = {(row.inter_domain, row.intra_domain): row.mean for row in here[here["severity"] == severity].itertuples()}
            if order[0] in at and order[-1] in at and len(order) > 1:
                gains[severity] = 100 * (at[order[-1]] - at[order[0]]), at
        if not gains:
            continue
        first, last = min(gains), max(gains)
        text = f"{kind}: {name(order[-1])} gains {gains[first][0]:+.1f} points over {name(order[0])} at severity {first}"
        said.append(f"{text} and {gains[last][0]:+.1f} at {last}, where it reaches {percent(gains[last][1][order[-1]])}.")
    return said or ["One method or one severity: nothing to compare."]


def layout(frame: pd.DataFrame) -> Layout:
    """The rows of RUNS as a printed table: a line a kind and severity, a column a method."""
    made, order, rows = means(frame).set_index(["kind", "severity", *METHOD]), methods(frame), []
    for kind, severity in made.index.droplevel(METHOD).unique():
        cells = [(kind, severity, *method) for method in order]
        shown = [percent(*made.loc[cell, ["mean", "sd"]]) if cell in made.index else "–" for cell in cells]
        rows.append([kind or "none", str(severity), *shown])
    low, high = int(made["n"].min()), int(made["n"].max())
    notes = [
        f"Accuracy in per cent, mean ± standard deviation over n = {low if low == high else f'{low} to {high}'} seeds.",
        f"{name(order[0])} never sees the corrupted target; the others adapt to it without a label.",
        *sentences(frame),
    ]
    return Layout("Harder and harder targets", ["corruption", "severity", *map(name, order)], rows, notes, "lr" + "r" * len(order))


@styled
def figure(points: pd.DataFrame) -> Figure:
    """A panel a kind of corruption, a line a method: accuracy against severity, bands of one standard deviation. `points`: rows of RUNS."""
    import seaborn as sns  # a second of start-up

    shown, order = kinds(points), methods(points)
    wide = min(len(shown), PANELS)
    high = -(-len(shown) // wide)
    drawn = Figure(figsize=(WIDTH, 1.6 + 2.5 * high), layout="constrained")
    panels = list(drawn.subplots(high, wide, sharex=True, sharey=True, squeeze=False).flatten())
    for empty in panels[len(shown) :]:
        empty.remove()
    for axes, kind in zip(panels, shown, strict=False):
        for method in order:
            here = points[points["kind"].isin([kind, CLEAN]) & (points[METHOD] == list(method)).all(axis=1)]
            here = here.assign(per_cent=100 * here["accuracy"])
            look = {
                "color": colour(method[0]),
                "marker": marker(method[1]),
                "linestyle": "-" if method[1] == tables.NO_REFINEMENT else "--",
            }
            band = {"errorbar": "sd", "err_kws": {"alpha": 0.16, "lw": 0}, "legend": False}
            sns.lineplot(here, x="severity", y="per_cent", ax=axes, lw=2, ms=6, label=name(method), **band, **look)
        axes.set(title=kind, xlabel="severity", ylabel="accuracy, per cent", ylim=(0, 100))
        axes.set_xticks(sorted(set(points["severity"])))
    handles, labels = panels[0].get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside upper right", ncols=len(order), fontsize=9, handletextpad=0.4, columnspacing=1.2)
    title(drawn, "When the target becomes harder")
    sizes = points.groupby(["kind", "severity", *METHOD])["seed"].nunique()
    n = f"{sizes.min()}" if sizes.min() == sizes.max() else f"{sizes.min()} to {sizes.max()}"
    caption(drawn, f"Mean and standard deviation over n = {n} seeds; severity 0: the scans as they are. {' '.join(sentences(points))}")
    return drawn


DRAWN = {"hard_shift": figure}
