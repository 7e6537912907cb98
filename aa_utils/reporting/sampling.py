"""What the settings of the sampler cost and bring: guidance, steps and scheduler of the generator against accuracy on the target.

Each setting is one source of images, from the same prompts and the same noise. Accuracies are those of a per-seed table; seconds an image
are those of the records of its images, one process on one core, loading left out.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from aa_utils.reporting import tables
from aa_utils.reporting.layout import Layout, percent, printed, rank
from aa_utils.reporting.style import WIDTH, caption, colour, marker, styled, title

SETTING = ["prompts", "sampler", "steps", "guidance"]
METHOD = ["inter_domain", "intra_domain"]
SAMPLERS = {
    "DPMSolverMultistepScheduler": "DPM-Solver++", "DDIMScheduler": "DDIM", "EulerDiscreteScheduler": "Euler", "PNDMScheduler": "PNDM",
    "EulerAncestralDiscreteScheduler": "Euler ancestral", "LMSDiscreteScheduler": "LMS", "UniPCMultistepScheduler": "UniPC",
    "LCMScheduler": "LCM",
}  # fmt: skip
DISTILLED = {"LCMScheduler"}  # of models whose guidance is in their weights; some still ask for a number


def table(points: pd.DataFrame) -> pd.DataFrame:
    """A row a setting and method, cheapest settings first: SETTING, `seconds_per_image`, METHOD, `mean`, `sd`, `n`, `choice`.

    `choice` marks, for each method, the cheapest setting whose mean accuracy lies within one pooled standard deviation over seeds of the
    best mean. It is read off with target labels: an answer of this experiment, no rule that a user could follow without labels.
    `points`: a per-seed table with the columns of `drawn_images.joined`.
    """
    pipeline = points[points["system"] == "pipeline"]
    grouped = pipeline.groupby([*SETTING, *METHOD], sort=True)
    frame = grouped.agg(
        seconds_per_image=("seconds_per_image", "mean"), mean=("accuracy", "mean"), sd=("accuracy", "std"), n=("seed", "nunique")
    )
    frame = frame.reset_index().sort_values(["seconds_per_image", *SETTING, *METHOD], ignore_index=True)
    frame["choice"] = False
    for _, group in frame.groupby(METHOD):
        pooled = float(np.sqrt((group["sd"].fillna(0) ** 2).mean()))
        good = group[group["mean"] >= group["mean"].max() - pooled]
        if good["seconds_per_image"].notna().any():
            frame.loc[good["seconds_per_image"].idxmin(), "choice"] = True
    return tables.rounded(frame)


def name(row) -> str:
    """A setting as it is printed: "DPM-Solver++, 6 steps, guidance 5"."""
    steps, guidance = "1 step" if row.steps == "1" else f"{row.steps} steps", _guidance(row.sampler, row.guidance)
    return f"{SAMPLERS.get(row.sampler, row.sampler or row.prompts)}, {steps}, {guidance}"


def _guidance(sampler: str, value: str) -> str:
    if value and float(value) <= 1:
        return "guidance distilled" if sampler in DISTILLED else "no guidance"
    return f"guidance {value}"


def method(row) -> str:
    """The methods of a row as they are printed: "DANN + FixMatch"."""
    return " + ".join([printed(row.inter_domain), *([] if row.intra_domain == tables.NO_REFINEMENT else [printed(row.intra_domain)])])


def sentences(frame: pd.DataFrame) -> list[str]:
    """What `table` says to a user on a budget, a sentence for each method."""
    said, keys = [], sorted(set(frame[METHOD].itertuples(index=False, name=None)), key=lambda key: (rank(key[0]), rank(key[1])))
    for key in keys:
        group = frame[(frame[METHOD] == list(key)).all(axis=1)]
        chosen, best = group[group["choice"]], group.loc[group["mean"].idxmax()]
        if chosen.empty or len(group) < 2:
            continue
        chosen = next(chosen.itertuples())
        text = f"{method(best)}: {name(chosen)} ({chosen.seconds_per_image:.3f} s an image) reaches {percent(chosen.mean, chosen.sd)}"
        if chosen.prompts == best["prompts"]:
            said.append(f"{text}, the best of {len(group)} settings and the cheapest within its spread.")
        else:
            ratio = best["seconds_per_image"] / chosen.seconds_per_image
            said.append(f"{text}; the best, {name(best)}, {percent(best['mean'], best['sd'])} at {ratio:.1f} times the cost.")
    return said or ["One setting: nothing to compare."]


def layout(frame: pd.DataFrame) -> Layout:
    """The settings as a printed table, cheapest first."""
    methods = list(dict.fromkeys(method(row) for row in frame.itertuples()))
    rows = []
    for key, group in frame.groupby(SETTING, sort=False):
        cells = {method(row): percent(row.mean, row.sd) + (" *" if row.choice else "") for row in group.itertuples()}
        cost = group["seconds_per_image"].iloc[0]
        guidance = "distilled" if _guidance(key[1], key[3]) == "guidance distilled" else key[3]
        about = [SAMPLERS.get(key[1], key[1]), key[2], guidance, "–" if np.isnan(cost) else f"{cost:.3f}"]
        rows.append(about + [cells.get(item, "–") for item in methods])
    low, high = int(frame["n"].min()), int(frame["n"].max())
    notes = [
        f"Accuracy in per cent, mean ± standard deviation over n = {low if low == high else f'{low} to {high}'} seeds.",
        "* the cheapest setting within one pooled standard deviation of the method's best. Labels choose it: no rule without them.",
        *sentences(frame),
    ]
    header = ["scheduler", "steps", "guidance", "seconds an image", *methods]
    return Layout("Settings of the sampler: accuracy against cost", header, rows, notes, "l" + "r" * (len(header) - 1))


@styled
def figure(points: pd.DataFrame) -> Figure:
    """Settings from cheap to dear: on the left accuracy with its standard deviation, a colour a method; on the right seconds an image.

    `points`: a per-seed table with the columns of `drawn_images.joined`.
    """
    import seaborn as sns  # a second of start-up

    frame = table(points)
    labels = list(dict.fromkeys(name(row) for row in frame.itertuples()))
    shown = points[points["system"] == "pipeline"].copy()
    shown["setting"] = [name(row) for row in shown.itertuples()]
    shown["per_cent"] = 100 * shown["accuracy"]
    drawn = Figure(figsize=(WIDTH, 1.7 + 0.36 * len(labels)), layout="constrained")
    left, right = drawn.subplots(1, 2, sharey=True, width_ratios=[3, 1])
    shown["method"] = [method(row) for row in shown.itertuples()]
    kinds = {method(row): row for row in shown.drop_duplicates(METHOD).itertuples()}
    order = sorted(kinds, key=lambda kind: (rank(kinds[kind].inter_domain), rank(kinds[kind].intra_domain)))
    hues, markers = {kind: colour(row.inter_domain) for kind, row in kinds.items()}, [marker(kinds[kind].intra_domain) for kind in order]
    look = {"hue": "method", "hue_order": order, "palette": hues, "markers": markers, "dodge": 0.25 if len(order) > 1 else False}
    bars = {"errorbar": "sd", "linestyle": "none", "capsize": 0.15, "err_kws": {"linewidth": 1.5}}
    sns.pointplot(shown, x="per_cent", y="setting", orient="y", order=labels, ax=left, **bars, **look)
    for row in frame[frame["choice"]].itertuples():
        place = {"xytext": (0, 5), "textcoords": "offset points", "ha": "center", "fontsize": 13, "color": colour(row.inter_domain)}
        left.annotate("★", (100 * row.mean, labels.index(name(row))), **place)
    cost = frame.drop_duplicates(SETTING).assign(setting=lambda rows: [name(row) for row in rows.itertuples()])
    sns.barplot(cost, x="seconds_per_image", y="setting", orient="y", order=labels, errorbar=None, color="#c9c9c9", ax=right)
    for row in cost[cost["seconds_per_image"].notna()].itertuples():
        place = {"xytext": (3, 0), "textcoords": "offset points", "va": "center", "fontsize": 8.5}
        right.annotate(f"{row.seconds_per_image:.3f}", (row.seconds_per_image, labels.index(row.setting)), **place)
    left.set(xlabel="accuracy on the target, per cent", ylabel="")
    left.set_xlim(left=max(0.0, left.get_xlim()[0]), right=min(100.0, left.get_xlim()[1]))
    right.set(xlabel="seconds an image", ylabel="")
    right.margins(x=0.35)
    right.tick_params(left=False)
    handles, names = left.get_legend_handles_labels()
    left.get_legend().remove()
    drawn.legend(handles, names, loc="outside upper right", ncols=len(names), fontsize=9, handletextpad=0.1, columnspacing=1.0)
    title(drawn, "What more seconds of sampling buy")
    low, high = int(frame["n"].min()), int(frame["n"].max())
    n = f"n = {low if low == high else f'{low} to {high}'} seeds"
    images = int(shown["images"].max())
    caption(
        drawn,
        f"Mean and standard deviation over {n}; {images:,} images of the same prompts and noise for each setting. ★ the cheapest setting "
        f"within one pooled standard deviation of the best. {sentences(frame)[-1]}",
    )
    return drawn


DRAWN = {"sampling": figure}
