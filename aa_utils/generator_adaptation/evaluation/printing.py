"""Tables of adapted generators as people read them."""

import pandas as pd

from aa_utils.generator_adaptation.evaluation import comparison
from aa_utils.generator_adaptation.evaluation.comparison import GUIDE, REFERENCES, RENDERS
from aa_utils.reporting import layout
from aa_utils.reporting.layout import DASH, Layout
from aa_utils.reporting.provenance import UNRECORDED

# How a metric is printed: header, format; shares in per cent.
PRINTED = {
    "clip_score": ("CLIP", "{:.3f}"), "direction": ("NADA's loss", "{:.3f}"),
    "style": ("style", "%"), "ink": ("ink", "%"), "paper": ("paper", "%"), "quality": ("quality", "%"),
    "frechet": ("Fréchet", "{:.1f}"), "frechet_fall": ("its fall", "%"), "kernel": ("kernel", "{:.2f}"), "precision": ("precision", "%"),
    "recall": ("recall", "%"), "diversity": ("diversity", "{:.3f}"), "diversity_kept": ("diversity kept", "%"), "read": ("read", "%"),
    "kept": ("digit kept", "%"), "paired": ("own oracle", "{:.2f}"), "paired_same": ("same class's", "{:.2f}"),
    "paired_other": ("other's", "{:.2f}"),
}  # fmt: skip


def printed(frame: pd.DataFrame, heading: str = "Adapted generators") -> Layout:
    """A per-seed table of `comparison.per_seed` as people read it: one row a prompt and variant, the kinds of measures side by side."""
    means, about = comparison.over_seeds(frame), frame.iloc[0]
    shown = [metric for metric in PRINTED if metric in set(means["metric"])]
    rows, prompts = [], list(dict.fromkeys(means["prompt"]))
    for (prompt, variant), group in means.groupby(["prompt", "variant"], sort=False):
        by_metric = group.set_index("metric")
        cells = [_cell(metric, *by_metric.loc[metric, ["mean", "sd"]]) if metric in by_metric.index else DASH for metric in shown]
        rows.append([*([prompt] if len(prompts) > 1 else []), variant, *cells])
    header = [*(["prompt"] if len(prompts) > 1 else []), "generator", *(PRINTED[metric][0] for metric in shown)]
    runs = means[~means["variant"].isin(REFERENCES)]["n"]
    low, high = int(runs.min()), int(runs.max())
    seeds = low if low == high else f"{low} to {high}"
    said = [f"Mean ± standard deviation over n = {seeds} seeds of the adaptation; {about['images']:,} images each. Shares in per cent."]
    said.append(f"Fréchet and kernel distance, precision, recall, oracles: {about['space']}; diversity by {about['distance']}.")
    said.append("Lower is better for Fréchet, kernel and oracles. What keeps what it showed is nearer to its own oracle than to others'.")
    if "direction" in shown:
        said.append(
            "NADA's loss: StyleGAN-NADA's own, 1 - cosine in CLIP's space between what an image moved and what the words moved; lower is "
            f"nearer to the words. Of '{RENDERS}' it is that of a perfect adaptation."
        )
    if (means["variant"] == RENDERS).any():
        said.append(f"'{RENDERS}': other renders of the target domain, where a perfect adaptation would be.")
    if (means["variant"] == GUIDE).any():
        said.append(f"'{GUIDE}': images of the prompt by the guide itself: as far as its knowledge goes.")
    if means["run_ids"].str.contains(UNRECORDED).any():
        said.append("Unrecorded: some of these runs were made by hand, not by python -m aa_utils.run; their numbers cannot be traced.")
    title = heading + (f": {prompts[0]}" if len(prompts) == 1 else "")
    return Layout(title, header, rows, said, "l" * (len(header) - len(shown)) + "r" * len(shown))


def _cell(metric: str, mean: float, sd: float) -> str:
    how = PRINTED[metric][1]
    if how == "%":
        return layout.percent(mean, sd)
    return how.format(mean) + ("" if pd.isna(sd) else f" ± {how.format(sd)}")
