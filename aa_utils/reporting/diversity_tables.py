"""Diversity of images against accuracy: the table over classes and seeds, what it says, and its figure. Made from CSV alone."""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aa_utils.reporting import tables
from aa_utils.reporting.layout import Layout, ordered, percent, printed, rank
from aa_utils.reporting.style import WIDTH, caption, readable, short_name, styled, title

ABOUT = ["benchmark", "prompts", "inter_domain", "intra_domain", "images", "run", "run_id", "seed"]
PER_CLASS = [*ABOUT, "class_name", "drawn", "pairwise", "vendi", "target_pairwise", "target_vendi", "accuracy"]
METHOD = ["inter_domain", "intra_domain"]
SUMMARY = ["prompts", *METHOD, "pairwise", "vendi", "target_vendi", "accuracy", "sd", "n", "spearman", "p", "classes", "run_ids"]
LEVEL = 0.05
NAMED = 30  # classes whose names and bars can be told apart; of more there are dots alone
REAL = "the target's own"


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns SUMMARY, a row a kind of prompts and method: means over classes; accuracy also over seeds, with its deviation over them.

    `spearman`, `p`: rank correlation over the classes of a class's Vendi score with its accuracy (mean over seeds), and its p-value,
    uncorrected; empty below four classes.
    """
    rows = []
    for key, group in frame.groupby(["prompts", *METHOD], sort=True):
        by_seed = group.groupby("seed")["accuracy"].mean()
        row = dict(zip(["prompts", *METHOD], key, strict=True))
        row |= {name: group[name].mean() for name in ("pairwise", "vendi", "target_vendi")}
        row |= {"accuracy": by_seed.mean(), "sd": by_seed.std(ddof=1), "n": len(by_seed), "run_ids": " ".join(sorted(set(group["run_id"])))}
        rho, p = _correlation(group)
        rows.append(row | {"spearman": rho, "p": p, "classes": group["class_name"].nunique()})
    made = pd.DataFrame(rows, columns=SUMMARY)
    return tables.rounded(made.sort_values([*METHOD, "prompts"], key=lambda names: names.map(rank), ignore_index=True))


def sentences(made: pd.DataFrame) -> list[str]:
    """What the `summary` says: is mode collapse visible, and does it cost accuracy, between prompts and between classes?"""
    said, by_prompts = [], made.drop_duplicates("prompts").sort_values("vendi")
    if len(by_prompts) > 1:
        low, high = by_prompts.iloc[0], by_prompts.iloc[-1]
        text = f"Images of {low['prompts']} prompts are the least diverse (Vendi score {low['vendi']:.2f}), of {high['prompts']} the most"
        said.append(f"{text} ({high['vendi']:.2f}); {REAL} images have {low['target_vendi']:.2f}.")
        for _, group in made.groupby(METHOD, sort=False):
            of = group.set_index("prompts")
            if {low["prompts"], high["prompts"]} <= set(of.index):
                gain = 100 * (of.loc[high["prompts"], "accuracy"] - of.loc[low["prompts"], "accuracy"])
                said.append(f"{_method(group.iloc[0])}: {high['prompts']} minus {low['prompts']} is {gain:+.1f} points.")
    known = made[made["spearman"].notna()]
    if len(known):
        sure = known[known["p"] < LEVEL]
        more, less = int((sure["spearman"] > 0).sum()), int((sure["spearman"] < 0).sum())
        text = f"Over the {int(known['classes'].max())} classes, the more diverse ones are named better in {more} and worse in {less}"
        said.append(f"{text} of {len(known)} rows (rank correlation, p < {LEVEL}, uncorrected).")
    return said or ["One kind of prompts and too few classes: nothing to compare."]


def layout(made: pd.DataFrame, frame: pd.DataFrame) -> Layout:
    """The `summary` as a printed table; `frame`: the rows of the classes."""
    rows = []
    for row in made.itertuples():
        rho = "–" if math.isnan(row.spearman) else f"{row.spearman:+.2f}"
        numbers = [f"{row.pairwise:.3f}", f"{row.vendi:.2f}", percent(row.accuracy, row.sd), rho]
        rows.append([row.prompts, _method(row._asdict()), *numbers])
    notes = [
        f"Diversity: mean over classes, of {int(frame['drawn'].max())} images of each; of the target: {made['target_vendi'].mean():.2f}.",
        "Accuracy: mean per class in per cent, ± standard deviation over seeds. Rank correlation: over the classes.",
        *sentences(made),
    ]
    header = ["images of", "method", "pairwise distance", "Vendi score", "accuracy", "rank correlation"]
    return Layout(f"{printed(frame['benchmark'].iloc[0])}: diversity of the images and accuracy", header, rows, notes, "llrrrr")


@styled
def figure(points: pd.DataFrame) -> Figure:
    """On the left the Vendi score of each class, a column a kind of prompts and one of the target; then a panel a method: accuracy of each
    class against its Vendi score, the class's name beside its dot. `points`: rows of PER_CLASS."""
    import seaborn as sns  # a second of start-up

    kinds = ordered(points["prompts"])
    looks = dict(zip(kinds, sns.color_palette("colorblind", len(kinds)), strict=True)) | {REAL: "#777777"}
    methods = points.drop_duplicates(METHOD).sort_values(METHOD, key=lambda names: names.map(rank))
    methods = methods.iloc[[0, -1]] if len(methods) > 2 else methods  # the first and the last stage
    drawn = Figure(figsize=(WIDTH, 4.5), layout="constrained")
    panels = drawn.subplots(1, 1 + len(methods), width_ratios=[0.8, *[1.2] * len(methods)])
    once = points.drop_duplicates(["prompts", "class_name"])
    real = points.drop_duplicates("class_name").assign(prompts=REAL, vendi=lambda rows: rows["target_vendi"])
    shown, order = pd.concat([once, real], ignore_index=True), [*kinds, REAL]
    shared = {"x": "prompts", "y": "vendi", "hue": "prompts", "order": order, "hue_order": order, "palette": looks, "ax": panels[0]}
    sns.stripplot(shown, **shared, size=5, alpha=0.75, jitter=False, legend=False)
    sns.pointplot(shown, **shared, errorbar=None, marker="_", markersize=22, markeredgewidth=2.5, linestyle="none", legend=False)
    panels[0].set(xlabel="", ylabel="Vendi score of a class's images", title="diversity")
    panels[0].set_xticks(
        range(len(order)), [name.replace("_", " ").replace(" own", "\nown") for name in order], rotation=40, ha="right", fontsize=8.5
    )
    for axes, about in zip(panels[1:], methods.to_dict("records"), strict=True):
        here = points[(points[METHOD] == [about[name] for name in METHOD]).all(axis=1)]
        _scatter(axes, here, kinds, looks)
        axes.set_title(_method(about))
    handles = [panels[1].plot([], [], "o", color=looks[kind], label=kind.replace("_", " "))[0] for kind in kinds]
    drawn.legend(handles=handles, loc="outside upper right", ncols=len(kinds), fontsize=9, handletextpad=0.2, columnspacing=1.0)
    title(drawn, "Does sameness cost accuracy?")
    n = points.groupby(["prompts", *METHOD])["seed"].nunique()
    n = f"{n.min()}" if n.min() == n.max() else f"{n.min()} to {n.max()}"
    classes = points["class_name"].nunique()
    bars = f"bars: standard deviation over n = {n} seeds" if classes <= NAMED else f"{classes:,} classes, mean over n = {n} seeds"
    caption(drawn, f"A dot is a class; {bars}; dashes: means. {' '.join(sentences(summary(points)))}")
    return drawn


def _scatter(axes: Axes, here: pd.DataFrame, kinds: list[str], looks: dict) -> None:
    import seaborn as sns

    by_class = here.groupby(["prompts", "class_name"], sort=False).agg(
        vendi=("vendi", "mean"), mean=("accuracy", "mean"), sd=("accuracy", "std")
    )
    by_class = by_class.reset_index().assign(per_cent=lambda rows: 100 * rows["mean"], sd=lambda rows: 100 * rows["sd"].fillna(0))
    sns.scatterplot(
        by_class, x="vendi", y="per_cent", hue="prompts", hue_order=kinds, palette=looks, s=26, linewidth=0, legend=False, ax=axes
    )
    for row in by_class.itertuples() if by_class["class_name"].nunique() <= NAMED else ():
        low, high = min(row.sd, row.per_cent), min(row.sd, 100 - row.per_cent)
        axes.errorbar(row.vendi, row.per_cent, yerr=[[low], [high]], color=looks[row.prompts], lw=0.9, alpha=0.5, zorder=1)
        text = axes.annotate(_name(row.class_name), (row.vendi, row.per_cent), (4, 2), textcoords="offset points")
        readable(text)
        text.set(fontsize=7.5, color=looks[row.prompts], bbox=None)  # a box would hide the dots beside it
    axes.set(xlabel="Vendi score of its images", ylabel="accuracy of the class, per cent")
    axes.set_ylim(max(0, axes.get_ylim()[0]), min(101, axes.get_ylim()[1]))


def _name(class_name: str) -> str:
    """A class's name as it stands beside a dot: "8" for "digit eight"."""
    digits = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    last = class_name.split()[-1]
    return str(digits.index(last)) if last in digits else short_name(last)


def _method(about) -> str:
    return " + ".join(
        [printed(about["inter_domain"]), *([] if about["intra_domain"] == tables.NO_REFINEMENT else [printed(about["intra_domain"])])]
    )


def _correlation(group: pd.DataFrame) -> tuple[float, float]:
    """(rank correlation, p) of Vendi score and accuracy over classes; NaN where they cannot be told."""
    from scipy import stats

    by_class = group.groupby("class_name")[["vendi", "accuracy"]].mean()
    if len(by_class) < 4 or by_class["vendi"].nunique() < 2 or by_class["accuracy"].nunique() < 2:
        return math.nan, math.nan
    found = stats.spearmanr(by_class["vendi"], by_class["accuracy"])
    return float(found.statistic), float(found.pvalue)


DRAWN = {"diversity": figure}
