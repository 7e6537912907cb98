"""How much of a result is luck: spread over sets of images and over seeds of training, told apart. Tables and the figure of notebook 58.

Runs of one condition from k sets of images (prompts and images of other seeds), with n classifiers from each, are a one-way layout with
random effects (Searle, Casella and McCulloch, "Variance Components", Wiley 1992, chapter 3): accuracy = mean + set + training. With MSB and
MSW the mean squares between and within sets, the variance of training is MSW and that of the sets max(0, (MSB - MSW) / n). The interval of
a mean is Student's t over the k means of the sets, so that it holds for other images too, not only for other seeds on these.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy import stats

from aa_utils.errors import InputError
from aa_utils.paths import resolve
from aa_utils.reporting import ablation_points, claims, tables
from aa_utils.reporting import layout as layouts
from aa_utils.reporting.benchmark_tables import world
from aa_utils.reporting.layout import DASH, Layout, percent, printed, rank
from aa_utils.reporting.style import SPARE, WIDTH, caption, legend_below, save, styled, title
from aa_utils.reporting.tables import NO_REFINEMENT

NAME, GAINS = "image_sets", "image_set_gains"
RUNS = ["world", "method", "image_set", "seed", "accuracy", "run", "run_id"]
COMPONENTS = ["mean", "low", "high", "sd_sets", "sd_seeds", "sets", "seeds"]
SPREAD = ["world", "method", *COMPONENTS, "run_ids"]
GAIN = ["world", "claim", "better", "worse", *COMPONENTS, "p", "verdict", "run_ids"]
BAR = "#222222"
RIVALS = {"adaptation beats AdaBN": "adabn", "adaptation beats source only": "source_only"}
REFINED = "refinement beats its own start"
CLAIMS = (*RIVALS, REFINED)


def of_results(results: str) -> pd.DataFrame:
    """Rows of RUNS from the per-seed table of a results folder; the set of images is what tells runs of one method and target apart.

    Errors: InputError where a method on a target was run from one set alone, or from sets with other seeds each.
    """
    rows = ablation_points.of_results([results])
    pairs = rows[["inter_domain", "intra_domain"]].itertuples(index=False, name=None)
    rows = rows.assign(method=[first if second == NO_REFINEMENT else f"{first}/{second}" for first, second in pairs])
    rows = rows.rename(columns={"prompts": "image_set"})[RUNS]
    for (where, method), group in rows.groupby(["world", "method"]):
        seeds = {image_set: tuple(sorted(part["seed"])) for image_set, part in group.groupby("image_set")}
        if len(seeds) < 2 or len(set(seeds.values())) > 1:
            there = "; ".join(f"{name}: seeds {', '.join(map(str, own))}" for name, own in seeds.items())
            raise InputError(f"'{results}': {method} on {where} takes two or more sets of images with the same seeds each; it has {there}")
    methods = sorted(set(rows["method"]), key=lambda name: [rank(part) for part in name.split("/")])
    return tables.rounded(rows.sort_values(["world", "method", "image_set", "seed"], ignore_index=True, key=_ranked(methods)))


def components(values: pd.DataFrame) -> dict[str, float]:
    """COMPONENTS of `values`, a row a set of images and a column a seed, as fractions; `low` and `high` are the 95 % interval."""
    sets, seeds = values.shape
    means = values.mean(axis=1)
    within = float(((values.sub(means, axis=0)) ** 2).to_numpy().sum() / (sets * (seeds - 1))) if seeds > 1 else np.nan
    between = float(means.var(ddof=1))
    half = stats.t.ppf(0.975, sets - 1) * np.sqrt(between / sets)
    return {
        "mean": float(means.mean()), "low": float(means.mean() - half), "high": float(means.mean() + half),
        "sd_sets": float(np.sqrt(max(0.0, between - within / seeds))) if seeds > 1 else np.nan,
        "sd_seeds": float(np.sqrt(within)), "sets": sets, "seeds": seeds,
    }  # fmt: skip


def spread(rows: pd.DataFrame) -> pd.DataFrame:
    """Columns SPREAD, a row a target and method of `of_results`."""
    made = [
        {"world": where, "method": method} | components(_square(group)) | {"run_ids": _ids(group)}
        for (where, method), group in rows.groupby(["world", "method"], sort=False)
    ]
    return tables.rounded(pd.DataFrame(made, columns=SPREAD))


def gains(rows: pd.DataFrame) -> pd.DataFrame:
    """Columns GAIN: differences paired by set of images and seed, tested over the means of the sets; p is Holm's, within a claim."""
    squares = {key: _square(group) for key, group in rows.groupby(["world", "method"], sort=False)}
    made = []
    for claim in CLAIMS:
        for (where, better), square in squares.items():
            worse = _rival(claim, better)
            if (where, worse) in squares:
                difference = square - squares[where, worse]
                about = {"world": where, "claim": claim, "better": better, "worse": worse}
                about["p"] = stats.ttest_1samp(difference.mean(axis=1), 0.0).pvalue
                about["run_ids"] = _ids(rows[(rows["world"] == where) & rows["method"].isin([better, worse])])
                made.append(about | components(difference))
    frame = pd.DataFrame(made, columns=GAIN)
    frame["p"] = frame.groupby("claim")["p"].transform(claims.holm)
    total = np.hypot(frame["sd_sets"].astype(float), frame["sd_seeds"].astype(float))
    frame["verdict"] = [claims.verdict(row.mean, sd, row.p, row.sets) for row, sd in zip(frame.itertuples(index=False), total, strict=True)]
    return tables.rounded(frame)


def write(source: str, results: str | Path) -> pd.DataFrame:
    """Write `<results>/tables/image_sets`, `image_set_gains` where methods can be compared (CSV, Markdown, LaTeX), and the figure.

    Returns the rows of `of_results(source)`.
    """
    rows = of_results(source)
    measured, gained = spread(rows), gains(rows)
    tables.write_csv(resolve(results) / "tables" / f"{NAME}.csv", measured)
    layouts.write(results, NAME, layout(measured))
    if len(gained):
        tables.write_csv(resolve(results) / "tables" / f"{GAINS}.csv", gained)
        layouts.write(results, GAINS, gain_layout(gained))
    save(figure(rows), NAME, resolve(results) / "figures", rows)
    return rows


def again(results: str | Path) -> None:
    """`write` of a folder of results that holds these tables, from its own rows; nothing where it does not."""
    if (resolve(results) / "tables" / f"{NAME}.csv").is_file():
        write(str(results), results)


def layout(measured: pd.DataFrame) -> Layout:
    """The rows of `spread` as a printed table, in per cent."""
    rows = [
        [
            world(row.world), _method(row.method), percent(row.mean), _interval(row),
            *(percent(value) for value in (row.sd_sets, row.sd_seeds)),
        ]
        for row in measured.itertuples()
    ]  # fmt: skip
    notes = [
        f"Accuracy in per cent: {_sizes(measured)} The interval is of 95 % (Student's t over the means of the sets).",
        "Two standard deviations: of the sets of images, and of training on one of them. Transductive: scored are the images adapted to.",
    ]
    header = ["target", "method", "mean", "95 % interval", "sd of sets", "sd of seeds"]
    return Layout("Spread over sets of images and over seeds", header, rows, notes, "llrrrr")


def gain_layout(gained: pd.DataFrame) -> Layout:
    """The rows of `gains` as a printed table, in points."""
    rows = [
        [
            row.claim, world(row.world), _method(row.better), _method(row.worse), percent(row.mean, sign=True), _interval(row, sign=True),
            percent(row.sd_sets), percent(row.sd_seeds), DASH if pd.isna(row.p) else f"{row.p:.3f}", row.verdict,
        ]
        for row in gained.itertuples()
    ]  # fmt: skip
    notes = [
        f"Differences in points, paired by set of images and seed: {_sizes(gained)} 95 % intervals and p over the means of the sets.",
        f"p is corrected for the comparisons of its claim (Holm); below {claims.LEVEL} it holds. Three sets have little power.",
    ]
    header = ["claim", "target", "better", "worse", "difference", "95 % interval", "sd of sets", "sd of seeds", "p", "verdict"]
    return Layout("Gains, over sets of images and seeds", header, rows, notes, "llllrrrrrl")


def sentences(measured: pd.DataFrame) -> list[str]:
    """What the rows of `spread` say: how much of the spread is the images', over all conditions."""
    of_sets, of_seeds = (float(np.sqrt((measured[name] ** 2).mean())) for name in ("sd_sets", "sd_seeds"))
    larger = int((measured["sd_sets"] > measured["sd_seeds"]).sum())
    share = of_sets**2 / (of_sets**2 + of_seeds**2)
    return [
        f"Over {len(measured)} conditions the sets of images spread by {100 * of_sets:.1f} points and the seeds of training by "
        f"{100 * of_seeds:.1f} (root mean squares): {100 * share:.0f} % of the variance is the images'.",
        f"The sets spread more than the seeds in {larger} of {len(measured)} conditions.",
    ]


@styled
def figure(rows: pd.DataFrame) -> Figure:
    """A panel a target: every run a mark, coloured by its set of images, and a bar at the mean of each method."""
    import seaborn as sns  # a second of start-up

    worlds, methods = list(dict.fromkeys(rows["world"])), list(dict.fromkeys(rows["method"]))
    drawn = Figure(figsize=(WIDTH, 1.9 + 0.3 * len(methods)), layout="constrained")
    panels = drawn.subplots(1, len(worlds), sharex=True, sharey=True, squeeze=False)[0]
    sets = sorted(set(rows["image_set"]))
    inks = dict(zip(sets, SPARE, strict=False))
    shown = rows.assign(per_cent=100 * rows["accuracy"], name=rows["method"].map(_method))
    names = [_method(method) for method in methods]
    look = {"order": names, "hue_order": sets, "palette": inks, "dodge": True, "jitter": False, "size": 5, "alpha": 0.85, "legend": False}
    for ax, where in zip(panels, worlds, strict=True):
        part = shown[shown["world"] == where]
        sns.stripplot(part, x="per_cent", y="name", hue="image_set", ax=ax, **look)
        means = part.groupby("name")["per_cent"].mean().reindex(names)
        ax.scatter(means, range(len(names)), marker="|", s=260, color=BAR, linewidth=1.6, zorder=5)
        ax.set(xlabel="accuracy, per cent", ylabel="", title=world(where))
        ax.grid(axis="y", visible=False)
    handles = [Line2D([], [], linestyle="", marker="o", color=inks[name], label=f"images: {name}") for name in sets]
    handles.append(Line2D([], [], linestyle="", marker="|", ms=13, mew=1.6, color=BAR, label="mean"))
    lines = legend_below(drawn, handles)
    title(drawn, "How much of a result is the luck of the images?")
    n = rows.groupby(["world", "method", "image_set"])["seed"].nunique()
    caption(
        drawn, f"A mark a run: {len(sets)} sets of prompts and images, n = {n.min()} seeds of training from each.", lines_below=lines + 1
    )
    return drawn


def _rival(claim: str, method: str) -> str:
    """The method that `method` has to beat by `claim`; "" where the claim is not about it."""
    first, _, second = method.partition("/")
    if claim == REFINED:
        return first if second else ""
    return "" if second or first in RIVALS.values() else RIVALS[claim]


def _ranked(methods: list[str]) -> Callable[[pd.Series], pd.Series]:
    """A sorting key of `sort_values` that keeps the column `method` in the order of `methods`."""
    return lambda column: column.map(methods.index) if column.name == "method" else column


def _square(group: pd.DataFrame) -> pd.DataFrame:
    """Accuracy, a row a set of images and a column a seed."""
    return group.pivot(index="image_set", columns="seed", values="accuracy")


def _ids(rows: pd.DataFrame) -> str:
    return " ".join(sorted(set(rows["run_id"])))


def _method(name: str) -> str:
    return " + ".join(printed(part) for part in name.split("/"))


def _interval(row, sign: bool = False) -> str:
    return f"{percent(row.low, sign=sign)} to {percent(row.high, sign=sign)}"


def _sizes(frame: pd.DataFrame) -> str:
    """Such as "3 sets of images, 3 seeds from each"."""
    return f"{int(frame['sets'].min())} sets of images, {int(frame['seeds'].min())} seeds from each."


DRAWN = {NAME: figure}
