"""Does a better generator give a better classifier? The quality of a generator's images against the accuracy of each stage: notebook 64.

A generator is a source of images, from the same prompts and the same noise. How good its images are is measured by
`generator_adaptation.evaluation.image_quality`, without the target; accuracies are those of a per-seed table. All is made from CSV.
"""

import math
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from aa_utils.errors import InputError
from aa_utils.reporting import provenance, run_tables, tables
from aa_utils.reporting.layout import Layout, percent, printed, rank
from aa_utils.reporting.style import WIDTH, caption, colour, marker, styled, title

STAGE, NOTEBOOK, NAME = "generator_quality", "notebooks/64_ablation_generators.ipynb", "generators"
QUALITY = ["drawn", "frechet", "kernel", "floor_frechet", "read"]
METHOD = ["inter_domain", "intra_domain"]
RUNS = ["benchmark", "prompts", "model", *QUALITY, *METHOD, "images", "seed", "accuracy", "run", "run_id"]
MEASURES = {"read": "images read as asked", "frechet": "Fréchet distance to the references", "kernel": "kernel distance to the references"}


def sources(entries: dict[str, dict]) -> list[str]:
    """The folders of generated images behind the runs of `entries`. Errors: InputError where there is none."""
    found = [entry["parameters"]["out"] for entry in entries.values() if provenance.stage(entry) == "generate"]
    if not found:
        raise InputError("these runs were not trained on images of notebook 20: there is no generator to measure")
    return found


def measured(path: str | Path) -> pd.DataFrame:
    """The quality of each source as it was measured before: column source (the name of its folder) and QUALITY, from a CSV of the runs."""
    frame = tables.read_csv(path)
    return frame.rename(columns={"prompts": "source"}).drop_duplicates("source")[["source", *QUALITY]].reset_index(drop=True)


def write(results: str | Path, entries: dict[str, dict], quality: pd.DataFrame, about: dict) -> pd.DataFrame:
    """Write the rows RUNS of the per-seed table of `entries`, each with the `quality` of its images, and all that follows; returns them.

    `quality`: a row a folder of images, column source and QUALITY; `about`: the parameters that it was measured with.
    """
    of_source = quality.assign(prompts=[Path(source).name for source in quality["source"]]).drop(columns="source")
    per_seed = tables.per_seed(entries, ("model", "preset"))
    frame = per_seed[per_seed["system"] == "pipeline"].merge(of_source, on="prompts", validate="many_to_one")[RUNS]
    frame = tables.rounded(frame.sort_values(["prompts", *METHOD, "seed"], ignore_index=True))
    inputs = {f"images_{Path(source).name}": source for source in quality["source"]}
    record = provenance.measurement(STAGE, NOTEBOOK, about, inputs, tables.rows(frame), __name__)
    run_tables.write(results, NAME, frame, entries | {STAGE: record})
    again(results)
    return frame


def again(results: str | Path) -> None:
    """Make `<results>/tables/generators` (CSV, Markdown, LaTeX) and the figure from the CSV of the runs, where there is one."""
    run_tables.again(results, NAME, means, layout, figure)


def untraced(results: str | Path) -> list[str]:
    """One sentence for each row of the CSV of the runs that no record in `runs/` has; empty where there is no such CSV."""
    return run_tables.untraced(
        results,
        NAME,
        lambda _, copies: [row for entry in copies.values() if provenance.stage(entry) == STAGE for row in entry["metrics"]],
    )


def means(frame: pd.DataFrame) -> pd.DataFrame:
    """A row a generator and method, best images first: prompts, model, QUALITY, METHOD, mean, sd, n, run_ids."""
    by = ["prompts", "model", *METHOD]
    grouped = frame.groupby(by, sort=True)
    made = grouped.agg(
        **{name: (name, "first") for name in QUALITY}, mean=("accuracy", "mean"), sd=("accuracy", "std"), n=("seed", "nunique")
    )
    made["run_ids"] = grouped["run_id"].agg(lambda ids: " ".join(sorted(set(ids))))
    return tables.rounded(made.reset_index().sort_values(["frechet", *by], ignore_index=True))


def correlations(frame: pd.DataFrame) -> pd.DataFrame:
    """A row a method and measure of quality: the rank correlation over generators of the measure with the mean accuracy, p, and n.

    p is that of a permutation test (scipy), exact for few generators, uncorrected. Without three generators both are NaN.
    """
    rows = []
    for key, group in means(frame).groupby(METHOD, sort=False):
        for measure in MEASURES:
            here = group.dropna(subset=[measure, "mean"])
            rho = p = math.nan
            if len(here) >= 3 and here[measure].nunique() > 1 and here["mean"].nunique() > 1:
                rho, p = _rank_correlation(here[measure].to_numpy(), here["mean"].to_numpy())
            rows.append(dict(zip(METHOD, key, strict=True)) | {"measure": measure, "spearman": rho, "p": p, "n": len(here)})
    return pd.DataFrame(rows).sort_values([*METHOD, "measure"], key=lambda names: names.map(rank), ignore_index=True)


def sentences(frame: pd.DataFrame) -> list[str]:
    """What the figure shows, a sentence a method: from the worst images to the best, and whether accuracy follows."""
    said, related = [], correlations(frame).set_index([*METHOD, "measure"])
    groups = means(frame).groupby(METHOD)
    for key, group in sorted(groups, key=lambda pair: [rank(name) for name in pair[0]]):
        worst, best = group.loc[group["frechet"].idxmax()], group.loc[group["frechet"].idxmin()]
        if len(group) < 3:
            continue
        text = f"{_method(best)}: {percent(worst['mean'], worst['sd'])} from the images farthest from the references, "
        text += f"{percent(best['mean'], best['sd'])} from the nearest"
        row = related.loc[(*key, "frechet")]
        known = "" if math.isnan(row["spearman"]) else f"; rank correlation with the distance {row['spearman']:+.2f} (p = {row['p']:.3f})"
        said.append(f"{text}{known}.")
    return said or ["Fewer than three generators: nothing to compare."]


def layout(frame: pd.DataFrame) -> Layout:
    """The generators as a printed table, best images first, with a column a method."""
    made = means(frame)
    methods = sorted(set(made[METHOD].itertuples(index=False, name=None)), key=lambda key: [rank(name) for name in key])
    rows = []
    for _, group in made.groupby(["prompts", "model"], sort=False):
        about, cells = group.iloc[0], group.set_index(METHOD)
        read = "–" if math.isnan(about["read"]) else percent(about["read"])
        row = [about["prompts"], about["model"], read, f"{about['frechet']:.1f}", f"{about['kernel']:.3f}"]
        rows.append(row + [percent(*cells.loc[key, ["mean", "sd"]]) if key in cells.index else "–" for key in methods])
    n = f"{made['n'].min()}" if made["n"].nunique() == 1 else f"{made['n'].min()} to {made['n'].max()}"
    notes = [
        f"Accuracy in per cent, mean ± standard deviation over n = {n} seeds.",
        f"Read: the share of {int(made['drawn'].max()):,} images in which an independent reader sees what the prompt asked for.",
        f"Fréchet distance: two sets of as many references are {made['floor_frechet'].iloc[0]:.1f} apart.",
        *sentences(frame),
    ]
    header = ["images of", "generator", "read", "Fréchet distance", "kernel distance", *(_printed(*key) for key in methods)]
    return Layout(
        f"{printed(frame['benchmark'].iloc[0])}: quality of the generator and accuracy", header, rows, notes, "ll" + "r" * (len(header) - 2)
    )


@styled
def figure(points: pd.DataFrame) -> Figure:
    """Accuracy of each stage, a colour and line a method, against the images read as asked and against their distance to the references.

    `points`: rows of RUNS.
    """
    made = means(points)
    measures = [name for name in ("read", "frechet") if made[name].notna().any()]
    methods = sorted(set(made[METHOD].itertuples(index=False, name=None)), key=lambda key: [rank(name) for name in key])
    drawn = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    panels = drawn.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    for axes, measure in zip(panels, measures, strict=True):
        for key in methods:
            here = made[(made[METHOD] == list(key)).all(axis=1)].sort_values(measure)
            x = here[measure] * (100 if measure == "read" else 1)
            y, sd = 100 * here["mean"], 100 * here["sd"].fillna(0)
            bars = [sd.clip(upper=y), sd.clip(upper=100 - y)]
            look = {"color": colour(key[0]), "fmt": marker(key[1]), "mfc": "white" if key[1] == tables.NO_REFINEMENT else colour(key[0])}
            axes.errorbar(x, y, yerr=bars, ls="-", lw=1.3, ms=6.5, capsize=3, elinewidth=1.2, label=_printed(*key), **look)
        axes.set_xlabel(MEASURES[measure] + (", per cent" if measure == "read" else ""))
        if measure == "frechet":
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
            axes.invert_xaxis()  # better images to the right in both panels
    panels[0].set_ylabel("accuracy on the target, per cent")
    handles, names = panels[0].get_legend_handles_labels()
    drawn.legend(handles, names, loc="outside upper right", ncols=len(names), fontsize=9, handletextpad=0.3, columnspacing=1.0)
    title(drawn, "Does a better generator give a better classifier?")
    seeds = points.groupby(["prompts", *METHOD])["seed"].nunique()
    n = f"{seeds.min()}" if seeds.min() == seeds.max() else f"{seeds.min()} to {seeds.max()}"
    generators = points["prompts"].nunique()
    caption(
        drawn,
        f"A mark is one of {generators} generators, better images to the right; mean and standard deviation over n = {n} seeds. "
        f"{' '.join(sentences(points))}",
    )
    return drawn


def _rank_correlation(x, y) -> tuple[float, float]:
    """(Spearman's rank correlation, p of a permutation test of x against y)."""
    rho = float(stats.spearmanr(x, y).statistic)
    test = stats.permutation_test(
        (x,), lambda a: stats.spearmanr(a, y).statistic, permutation_type="pairings", n_resamples=9999, vectorized=False, rng=0
    )
    return rho, float(test.pvalue)


def _printed(inter_domain: str, intra_domain: str) -> str:
    return " + ".join([printed(inter_domain), *([] if intra_domain == tables.NO_REFINEMENT else [printed(intra_domain)])])


def _method(row: pd.Series) -> str:
    return _printed(row["inter_domain"], row["intra_domain"])


DRAWN = {NAME: figure}
