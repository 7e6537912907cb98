"""Signs that need no label and say whether to keep what stage 4 made: what each is worth on benchmarks that it was not found on.

A sign is a number of the run before refinement, or the change of one by refinement, in the mean over seeds: agreement of seeds,
information, confidence (`evaluation/without_labels.py`), and the balance of the named classes, H(mean p). A rule keeps the refined
classifiers where the sign lies on one side of a threshold, and else goes back to those before. Threshold and side are chosen on all
benchmarks but one, where labels say what would have been gained, and judged on the one that is left out. The rule of
`without_labels.keeps_refinement` has neither: it keeps a refinement unless the seeds agree less afterwards.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from aa_utils.errors import InputError
from aa_utils.paths import existing, resolve
from aa_utils.reporting import estimate_runs, provenance, tables
from aa_utils.reporting import layout as layouts
from aa_utils.reporting.benchmark_tables import world
from aa_utils.reporting.estimate_runs import spearman
from aa_utils.reporting.layout import DASH, Layout, percent, printed
from aa_utils.reporting.style import MARKERS, WIDTH, caption, legend_below, save, styled, title
from aa_utils.reporting.tables import NO_REFINEMENT

NAME = "stop_signs"
READ = ["agreement", "information", "confidence", "balance"]
SIGNS = {f"{name}_{when}": f"{name} {when}" for when in ("before", "change") for name in READ}
POINTS = ["results", "world", "prompts", "inter_domain", "intra_domain", "n", "before", "gain", *SIGNS, "run", "run_id"]
JUDGED = ["sign", "left_out", "n", "spearman", "followed", "always", "best", "wrong", "run_ids"]
FIXED = "agreement does not fall"  # the rule without a threshold
COSTS = 0.005  # accuracy lost by a decision above which it counts as wrong


def of_results(folders: Sequence[str]) -> pd.DataFrame:
    """Columns POINTS, a row a refined run of the `estimates_seeds.csv` of each folder, in the mean over its seeds; accuracies as fractions.

    Errors: InputError for a folder without estimates, and where none of its refined runs has the run that it goes on from.
    """
    rows = [row for folder in folders for row in _of_folder(str(folder))]
    return tables.rounded(pd.DataFrame(rows, columns=POINTS).sort_values(["world", "results", "run"], ignore_index=True))


def judged(points: pd.DataFrame) -> pd.DataFrame:
    """Columns JUDGED, a row a sign and benchmark left out, then FIXED.

    `followed`, `always`, `best`: the mean gain of following the rule, of always refining, and of the best choice. `n`: refined runs there;
    `wrong`: how many decisions cost more than COSTS; `spearman`: of the sign and the gain, over all benchmarks.
    """
    made = []
    for sign in SIGNS:
        rank = spearman(points[sign], points["gain"])
        for name, there in points.groupby("world", sort=True):
            side, threshold = _chosen(points[points["world"] != name], sign)
            made.append({"sign": sign, "left_out": name, "spearman": rank} | _worth(there, side * there[sign] >= threshold))
    for name, there in points.groupby("world", sort=True):
        made.append({"sign": FIXED, "left_out": name} | _worth(there, there["agreement_change"] >= 0))
    return tables.rounded(pd.DataFrame(made, columns=JUDGED))


def write(results: str | Path, folders: Sequence[str]) -> pd.DataFrame:
    """Write `<results>/tables/stop_signs` (CSV, Markdown, LaTeX) and the figure; returns the rows of `of_results`."""
    points = of_results(folders)
    save(figure(points), NAME, resolve(results) / "figures", points)
    again(results)
    return points


def again(results: str | Path) -> None:
    """Make the tables again from the CSV of the figure, where there is one."""
    path = resolve(results) / "figures" / f"{NAME}.csv"
    if path.is_file():
        made = judged(tables.read_csv(path))
        tables.write_csv(resolve(results) / "tables" / f"{NAME}.csv", made)
        layouts.write(results, NAME, layout(made))


def layout(made: pd.DataFrame) -> Layout:
    """The rows of `judged` as a printed table, a line a sign, over the benchmarks that were left out in turn."""
    rows = []
    for sign, group in made.groupby("sign", sort=False):
        weight = group["n"] / group["n"].sum()
        followed, always, best = (float((group[name] * weight).sum()) for name in ("followed", "always", "best"))
        worst = group.loc[(group["followed"] - group["always"]).idxmin()]
        rank = group["spearman"].iloc[0]
        rows.append([SIGNS.get(sign, sign), DASH if pd.isna(rank) else f"{rank:+.2f}", percent(followed, sign=True)])
        rows[-1] += [percent(always, sign=True), percent(best, sign=True), f"{int(group['wrong'].sum())} of {int(group['n'].sum())}"]
        rows[-1] += [f"{percent(worst['followed'] - worst['always'], sign=True)} ({world(worst['left_out'])})"]
    notes = [
        "Gain of stage 4 in points, in the mean over refined runs, each of them the mean of its seeds. Left out in turn: "
        f"{', '.join(world(name) for name in sorted(set(made['left_out'])))}.",
        f"The rule's threshold and side come from the other benchmarks; '{FIXED}' has none. Labels judge the signs; no sign reads one.",
        f"A decision is wrong if it costs more than {100 * COSTS:g} points.",
    ]
    header = [
        "sign",
        "rank correlation with the gain",
        "rule followed",
        "always refine",
        "best choice",
        "wrong decisions",
        "worst benchmark",
    ]
    return Layout("Whether to keep what refinement made, told without a label", header, rows, notes, "lrrrrrl")


@styled
def figure(points: pd.DataFrame) -> Figure:
    """The gain of stage 4 against each sign, a panel a sign: a mark a refined run, its colour the benchmark, its shape the refinement."""
    import seaborn as sns  # a second of start-up

    drawn = Figure(figsize=(WIDTH, 6.0), layout="constrained")
    panels = drawn.subplots(2, len(READ), sharey=True)
    shown = points.assign(per_cent=100 * points["gain"], benchmark=points["world"].map(world))
    shown["refinement"] = [printed(name.partition("@")[0]) for name in points["intra_domain"]]
    shapes = {printed(name): mark for name, mark in MARKERS.items() if name != NO_REFINEMENT}
    look = {"hue": "benchmark", "style": "refinement", "palette": "colorblind", "s": 38, "alpha": 0.8, "linewidth": 0.4}
    look |= {"markers": {name: shapes.get(name, "^") for name in sorted(set(shown["refinement"]))}}
    for ax, sign in zip(panels.flat, SIGNS, strict=True):
        sns.scatterplot(shown, x=sign, y="per_cent", ax=ax, legend=ax is panels[0, 0], **look)
        ax.axhline(0, color="#444444", lw=1)
        if sign.endswith("_change"):
            ax.axvline(0, color="#444444", lw=1)
        rank = spearman(points[sign], points["gain"])
        name, when = SIGNS[sign].split()
        ax.set(xlabel=f"{when}, ρ = {rank:+.2f}", ylabel="", title=name if when == "before" else "")
    drawn.supylabel("gain of stage 4, points", fontsize=10)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    panels[0, 0].get_legend().remove()
    shown_names = {*shown["benchmark"], *shown["refinement"]}  # without seaborn's headings
    named = [handle for handle, label in zip(handles, labels, strict=True) if label in shown_names]
    lines = legend_below(drawn, named)
    title(drawn, "Does a sign without labels tell when refinement helps?")
    low, high = int(points["n"].min()), int(points["n"].max())
    n = f"{low}" if low == high else f"{low} to {high}"
    about = f"A mark a refined run, the mean of n = {n} seeds; {int((points['gain'] < 0).sum())} of {len(points)} lost. "
    caption(drawn, about + "Below each panel Spearman's rank correlation of sign and gain.", lines_below=lines + 1)
    return drawn


def _of_folder(folder: str) -> list[dict]:
    existing(f"{folder}/tables/estimates_seeds.csv", "table of estimates", "notebooks/62_ablation_without_labels.ipynb")
    frame, copies = estimate_runs.read(folder), provenance.read_copies(folder)
    by_id = {entry["run_id"]: entry for entry in copies.values() if "run_id" in entry}
    frame["balance"] = frame["information"] - frame["entropy"]  # H(mean p): `information` is it minus the mean entropy
    means = frame.groupby("run_id")[["accuracy", *READ]].mean()
    rows = []
    for run_id, group in frame[frame["intra_domain"] != NO_REFINEMENT].groupby("run_id", sort=True):
        first, own = group.iloc[0], by_id.get(run_id)
        start = provenance.ancestors(own, by_id).get("inter_domain", {}).get("run_id") if own else None
        if start not in means.index or group["seed"].nunique() < 2:
            continue
        change = means.loc[run_id] - means.loc[start]
        row = {name: first[name] for name in ("prompts", "inter_domain", "intra_domain", "run", "run_id")}
        row |= {"results": folder, "world": first["benchmark"].partition("[")[0], "n": group["seed"].nunique()}
        row |= {"before": means.loc[start, "accuracy"], "gain": change["accuracy"]}
        row |= {f"{name}_before": means.loc[start, name] for name in READ} | {f"{name}_change": change[name] for name in READ}
        rows.append(row)
    if not rows:
        raise InputError(f"'{folder}' has estimates of no refined run of two or more seeds together with the run that it goes on from")
    return rows


def _chosen(points: pd.DataFrame, sign: str) -> tuple[int, float]:
    """(side, threshold): keep where side x sign >= threshold gains most on `points`; the loosest of equal ones."""
    best, choice = -np.inf, (1, -np.inf)
    for side in (1, -1):
        values = side * points[sign]
        levels = np.unique(values)
        for threshold in [-np.inf, *(levels[:-1] + np.diff(levels) / 2), np.inf]:
            gained = float(points["gain"].where(values >= threshold, 0.0).mean())
            if gained > best + 1e-9:
                best, choice = gained, (side, float(threshold))
    return choice


def _worth(points: pd.DataFrame, keep: pd.Series) -> dict[str, float | str]:
    gain, best = points["gain"], points["gain"].clip(lower=0)
    followed = gain.where(keep, 0.0)
    return {
        "n": len(points), "followed": followed.mean(), "always": gain.mean(), "best": best.mean(),
        "wrong": int((best - followed > COSTS).sum()), "run_ids": " ".join(sorted(points["run_id"])),
    }  # fmt: skip


DRAWN = {NAME: figure}
