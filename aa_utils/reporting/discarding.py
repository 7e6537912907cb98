"""What discarding the synthetic images in stage 4 is worth, and how many confident images to take: tables and the figure of notebook 69.

Two sweeps of the same refinement. In one, more and more labels of the source are wrong (`label_noise` of stage 3), and its images are
discarded in stage 4 or kept (`keep_source`). In the other, more and more of the target counts as confident (`fraction`, `threshold`).
"""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from aa_utils.errors import InputError
from aa_utils.reporting import provenance, run_tables, tables
from aa_utils.reporting.layout import Layout, percent, printed
from aa_utils.reporting.style import SPARE, WIDTH, caption, colour, styled, title

NAME = "discarding"
CONDITION = ["label_noise", "selection", "source_images"]
SCORES = ["before", "accuracy", "pseudo_label_accuracy", "coverage"]
RUNS = [*CONDITION, "inter_domain", "intra_domain", "seed", *SCORES, "run", "run_id"]
MEANS = [*CONDITION, *(f"{score}_{part}" for score in SCORES for part in ("mean", "sd")), "n", "run_ids"]
KEPT, DISCARDED = "kept", "discarded"


def of_records(entries: dict[str, dict]) -> pd.DataFrame:
    """Rows of RUNS: a row a seed of every run of stage 4. Errors: InputError where there is none, or they are of several methods."""
    by_id, rows = {entry["run_id"]: entry for entry in entries.values()}, []
    for name, entry in entries.items():
        if provenance.stage(entry) != "intra_domain":
            continue
        own, first = entry["parameters"], provenance.ancestors(entry, by_id)["inter_domain"]["parameters"]
        about = {"label_noise": float(first.get("label_noise", 0.0)), "selection": _selection(own), "run": name, "run_id": entry["run_id"]}
        about |= {"source_images": KEPT if own.get("keep_source") else DISCARDED}
        about |= {"inter_domain": tables.method_of(first), "intra_domain": tables.method_of(own)}
        for row in entry["metrics"]:
            scores = {"before": row["accuracy_before"], "accuracy": row["accuracy"], "pseudo_label_accuracy": row["pseudo_label_accuracy"]}
            rows.append(about | scores | {"seed": row["seed"], "coverage": row["confident"] / row["target_images"]})
    frame = pd.DataFrame(rows, columns=RUNS).sort_values([*CONDITION, "seed"], ignore_index=True)
    pairs = sorted(set(frame[["inter_domain", "intra_domain"]].itertuples(index=False, name=None)))
    if len(pairs) != 1:
        found = "; ".join(" + ".join(pair) for pair in pairs) or "no run of 40_intra_domain"
        raise InputError(f"this ablation is of one method of each stage, and these runs are of: {found}")
    return tables.rounded(frame)


def write(results: str | Path, entries: dict[str, dict]) -> pd.DataFrame:
    """Write the rows of `of_records`, all that follows from them, and the records; returns the rows."""
    frame = of_records(entries)
    run_tables.write(results, NAME, frame, entries)
    again(results)
    return frame


def again(results: str | Path) -> None:
    """Make `<results>/tables/discarding` (CSV, Markdown, LaTeX) and the figure from the CSV of the runs, where there is one."""
    run_tables.again(results, NAME, means, layout, figure)


def untraced(results: str | Path) -> list[str]:
    """One sentence for each row of the CSV of the runs that no record in `runs/` gives; empty where there is no such CSV."""
    return run_tables.untraced(results, NAME, _recorded)


def _recorded(frame: pd.DataFrame, copies: dict[str, dict]) -> list[dict]:
    behind = provenance.behind(copies, sorted(set(frame["run"]) & set(copies)))
    return tables.rows(of_records({name: entry for name, entry in copies.items() if name in behind}))


def means(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns MEANS, a row a condition: each score over its seeds."""
    rows = []
    for key, group in frame.groupby(CONDITION, sort=True):
        spread = {f"{score}_{part}": value for score in SCORES for part, value in _spread(group[score]).items()}
        about = {"n": len(group), "run_ids": " ".join(sorted(set(group["run_id"])))}
        rows.append(dict(zip(CONDITION, key, strict=True)) | spread | about)
    return tables.rounded(pd.DataFrame(rows, columns=MEANS))


def differences(frame: pd.DataFrame) -> pd.DataFrame:
    """Discarding minus keeping, paired by seed: a row a `label_noise` with `mean`, `low`, `high` (95 % interval, Student's t) and `n`."""
    rows = []
    noisy = _usual(frame).pivot_table(index=["label_noise", "seed"], columns="source_images", values="accuracy")
    if {KEPT, DISCARDED} <= set(noisy):
        for noise, difference in (noisy[DISCARDED] - noisy[KEPT]).dropna().groupby("label_noise"):
            n, mean = len(difference), difference.mean()
            half = stats.t.ppf(0.975, n - 1) * difference.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan
            rows.append({"label_noise": noise, "mean": mean, "low": mean - half, "high": mean + half, "n": n})
    return pd.DataFrame(rows, columns=["label_noise", "mean", "low", "high", "n"])


def sentences(frame: pd.DataFrame) -> list[str]:
    """What the rows of RUNS say: discarding against keeping at each share of wrong labels, and the best selection of confident images."""
    said = []
    for row in differences(frame).itertuples():
        verdict = "discarding pays" if row.low > 0 else "keeping pays" if row.high < 0 else "no difference beyond the spread"
        interval = f"95 % interval {100 * row.low:+.1f} to {100 * row.high:+.1f}, n = {row.n} seeds"
        said.append(f"{100 * row.label_noise:.0f} % wrong labels: discarding {100 * row.mean:+.1f} points ({interval}): {verdict}.")
    sweep = _sweep(means(frame))
    if len(sweep) > 1:
        best = sweep.loc[sweep["accuracy_mean"].idxmax()]
        text = f"Most accurate with {best['selection']} ({percent(best['accuracy_mean'], best['accuracy_sd'])})"
        said.append(
            f"{text}; its pseudo-labels are {100 * best['pseudo_label_accuracy_mean']:.1f} % right. Labels say so: no rule without."
        )
    return said or ["One condition: nothing to compare."]


def layout(frame: pd.DataFrame) -> Layout:
    """The conditions as a printed table: a line a share of wrong labels and selection."""
    made, rows = means(frame).sort_values(["label_noise", "coverage_mean", "source_images"]), []
    for (noise, selection), group in made.groupby(["label_noise", "selection"], sort=False):
        cells = {row.source_images: percent(row.accuracy_mean, row.accuracy_sd) for row in group.itertuples()}
        one = group.iloc[0]
        chosen = [
            f"{100 * noise:.0f} %",
            selection,
            f"{100 * one['coverage_mean']:.0f} %",
            f"{100 * one['pseudo_label_accuracy_mean']:.1f}",
        ]
        before = percent(one["before_mean"], one["before_sd"])
        rows.append([*chosen, before, cells.get(DISCARDED, "–"), cells.get(KEPT, "–")])
    low, high = int(made["n"].min()), int(made["n"].max())
    first, second = (printed(frame[name].iloc[0]) for name in ("inter_domain", "intra_domain"))
    notes = [
        f"Accuracy in per cent, mean ± standard deviation over n = {low if low == high else f'{low} to {high}'} seeds.",
        f"Before: {first}; after: {second}, with the synthetic images discarded as in the paper, or kept beside the confident ones.",
        *sentences(frame),
    ]
    header = ["wrong labels in the source", "confident", "of the target", "of them right", "before", DISCARDED, KEPT]
    return Layout("Keeping or discarding the synthetic images in stage 4", header, rows, notes, "ll" + "r" * 5)


@styled
def figure(points: pd.DataFrame) -> Figure:
    """Left: accuracy against the share of wrong labels, discarded and kept. Right: pseudo-labels and accuracy against coverage."""
    import seaborn as sns  # a second of start-up

    drawn = Figure(figsize=(WIDTH, 4.3), layout="constrained")
    left, right = drawn.subplots(1, 2, sharey=True, width_ratios=[1.15, 1])
    first, second = (printed(points[name].iloc[0]) for name in ("inter_domain", "intra_domain"))
    hue, look = colour(points["inter_domain"].iloc[0]), {"errorbar": "sd", "err_kws": {"alpha": 0.16, "lw": 0}, "lw": 2, "ms": 7}
    usual = _usual(points).assign(noise=lambda rows: 100 * rows["label_noise"])
    lines = [
        (usual[usual["source_images"] == DISCARDED], "before", f"{first}, before stage 4", hue, "o", "-"),
        (usual[usual["source_images"] == DISCARDED], "accuracy", f"{second}, synthetic images discarded", hue, "D", "--"),
        (usual[usual["source_images"] == KEPT], "accuracy", f"{second}, synthetic images kept", SPARE[1], "s", ":"),
    ]
    for rows, score, name, ink, mark, dash in lines:
        shown = rows.assign(per_cent=100 * rows[score])
        sns.lineplot(shown, x="noise", y="per_cent", ax=left, color=ink, marker=mark, linestyle=dash, label=name, legend=False, **look)
    left.set(xlabel="wrong labels in the synthetic source, per cent", ylabel="per cent", title="keep or discard", ylim=(0, 100))
    left.set_xticks(sorted(set(usual["noise"])))
    sweep = _sweep(points)
    sweep = sweep.assign(share=(100 * sweep.groupby("selection")["coverage"].transform("mean")).round(1))
    pseudo = [("pseudo_label_accuracy", "pseudo-labels of the confident", "#444444", "^", "-"), ("accuracy", None, hue, "D", "--")]
    for score, name, ink, mark, dash in pseudo:
        shown = sweep.assign(per_cent=100 * sweep[score])
        sns.lineplot(shown, x="share", y="per_cent", ax=right, color=ink, marker=mark, linestyle=dash, label=name, legend=False, **look)
    right.set(xlabel="confident share of the target, per cent", title="how many are confident", xlim=(0, 105))
    handles, labels = left.get_legend_handles_labels()
    more, other = right.get_legend_handles_labels()
    drawn.legend(handles + more[:1], labels + other[:1], loc="outside lower center", ncols=2, fontsize=9)
    title(drawn, "What discarding the synthetic images is worth")
    sizes = points.groupby(CONDITION)["seed"].nunique()
    n = f"{sizes.min()}" if sizes.min() == sizes.max() else f"{sizes.min()} to {sizes.max()}"
    about = f"Mean and standard deviation over n = {n} seeds. Left: the {usual['selection'].iloc[0]} is confident. Right: no wrong labels."
    caption(drawn, about, lines_below=3)
    return drawn


def _selection(parameters: dict) -> str:
    """How stage 4 chose its confident images: "surest 50 % of a class", or "p at least 0.9"."""
    if parameters["threshold"]:
        return f"confidence at least {parameters['threshold']:g}"
    return f"surest {100 * parameters['fraction']:g} % of a class"


def _usual(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of the one selection that was made at every share of wrong labels."""
    widest = frame.groupby("selection")["label_noise"].nunique()
    return frame[frame["selection"] == widest.idxmax()]


def _sweep(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of all selections without wrong labels, the synthetic images discarded."""
    return frame[(frame["label_noise"] == frame["label_noise"].min()) & (frame["source_images"] == DISCARDED)]


def _spread(values: pd.Series) -> dict[str, float]:
    return {"mean": values.mean(), "sd": values.std(ddof=1)}


DRAWN = {NAME: figure}
