"""Adapted generators side by side: measured, over seeds, in one table; before, and what a perfect adaptation would score, beside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from aa_utils import layout, record, tables
from aa_utils.errors import InputError
from aa_utils.generator_adaptation import checkpoints, clip_direction, perceptual
from aa_utils.generator_adaptation.evaluation import factors, features, measure, paired
from aa_utils.generator_adaptation.evaluation.measure import METRICS, Pocket, Yardstick
from aa_utils.generator_adaptation.gan_quality import load_reader
from aa_utils.lineage import UNRECORDED
from aa_utils.paths import existing, resolve
from aa_utils.progress import progress

BEFORE, RENDERS = "before", "renders"
REFERENCES = (BEFORE, RENDERS)
# Settings that ablations are about; a table of theirs is read from the same CSV.
SETTINGS = ("objective", "steps", "lr", "batch_size", "guidance", "t_min", "t_max", "directional", "reconstruction", "perceptual")
ABOUT = ["prompt", "variant", "seed", *SETTINGS, "run_id"]
OVER_SEEDS = ["prompt", "variant", "metric", "mean", "sd", "n", "seeds", "run_ids"]
# How a metric is printed: header, format; shares in per cent.
PRINTED = {
    "clip_score": ("CLIP", "{:.3f}"), "style": ("style", "%"), "ink": ("ink", "%"), "paper": ("paper", "%"), "quality": ("quality", "%"),
    "frechet": ("Fréchet", "{:.1f}"), "frechet_fall": ("its fall", "%"), "kernel": ("kernel", "{:.2f}"), "precision": ("precision", "%"),
    "recall": ("recall", "%"), "diversity": ("diversity", "{:.3f}"), "diversity_kept": ("diversity kept", "%"), "read": ("read", "%"),
    "kept": ("digit kept", "%"), "paired": ("own oracle", "{:.2f}"), "paired_same": ("same class's", "{:.2f}"),
    "paired_other": ("other's", "{:.2f}"),
}  # fmt: skip


@dataclass(frozen=True)
class Adapted:
    """A generator that 71_adapt_generator wrote, and what its config says of its making."""

    folder: Path
    prompt: str  # the name of the prompt
    variant: str
    seed: int
    about: dict
    run_id: str

    @property
    def wordings(self) -> list[str]:
        """The prompt."""
        return self.about["prompt"]


def found(runs: Sequence[str | Path]) -> list[Adapted]:
    """The adapted generators in folders <prompt>/<variant>/seed<k> below `runs`, in a fixed order. Errors: InputError for none."""
    rows = []
    for run in runs:
        root = existing(run, "folder of adapted generators", "71_adapt_generator")
        run_id = record.read(root)["run_id"] if (root / "record.json").is_file() else UNRECORDED
        for config in sorted(root.glob("*/*/seed*/config.json")):
            folder, about = config.parent, checkpoints.about(config.parent)
            if not {"prompt", "variant", "seed", "recipe", "generator"} <= set(about):
                raise InputError(
                    f"'{folder}' holds a generator that 71_adapt_generator did not adapt: its config.json says nothing of a prompt"
                )
            rows.append(Adapted(folder, folder.parts[-3], about["variant"], about["seed"], about, run_id))
    if not rows:
        raise InputError(f"no adapted generator below {', '.join(map(str, runs))}; 71_adapt_generator writes <prompt>/<variant>/seed<k>")
    keys = [(row.prompt, row.variant, row.seed) for row in rows]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice:
        raise InputError(f"two runs hold {twice[0]}, {twice[1]}, seed {twice[2]}; a table takes one of them")
    return rows


def source(adapted: Sequence[Adapted]) -> torch.nn.Module:
    """The generator that all of them started from. Errors: InputError if they started from several."""
    names = sorted({row.about["generator"] for row in adapted})
    if len(names) > 1:
        raise InputError(f"the runs adapted different generators: {', '.join(names)}; evaluate them apart")
    return checkpoints.load(names[0])


def yardsticks(
    adapted: Sequence[Adapted],
    truth: dict[str, object],
    class_names: Sequence[str],
    spaces: str,
    clip: str,
    distance: str,
    folder: Path,
    *,
    reader: str = "models/pocket-reader",
    judge: str = "",
    per_digit: int = 400,
    device: str = "cpu",
) -> dict[str, Yardstick]:
    """What each prompt's generators are measured by: prompt name -> Yardstick.

    `truth` says what the target domain of each prompt is: factors of the pocket world, rendered (`per_digit` twins of each digit, kept in
    `folder`), or the path of a folder of images. Errors: InputError for a prompt without a truth, or anything that is not there.
    """
    space, tower, near = features.load(spaces, device), clip_direction.load(clip, device), perceptual.load(distance, device)
    if near is None:
        raise InputError("no distance for diversity; name one, such as 'clip:models/pocket-clip' or 'lpips:vgg'")
    made = {}
    for prompt in dict.fromkeys(row.prompt for row in adapted):
        if prompt not in truth:
            raise InputError(f"the runs hold prompt '{prompt}', and the truth is only known of: {', '.join(truth) or 'none'}")
        wordings = next(row.wordings for row in adapted if row.prompt == prompt)
        words = measure.texts(tower, wordings, tuple(class_names))
        if isinstance(truth[prompt], dict):
            bank = paired.twins(folder, truth[prompt], per_digit, seed=0)
            judging = factors.load(existing(judge, "judge", "72_evaluate_generator"))
            pocket = Pocket(truth[prompt], bank, load_reader(resolve(reader)), judging)
            made[prompt] = Yardstick(space, bank.target, tower, words, near, pocket, device=device)
        else:
            made[prompt] = Yardstick(space, _images(truth[prompt], source(adapted)), tower, words, near, device=device)
    return made


def per_seed(
    adapted: Sequence[Adapted],
    by: dict[str, Yardstick],
    images: int,
    folder: Path,
    *,
    psi: float = 1.0,
    noise: str = "fixed",
    seed: int = 0,
) -> pd.DataFrame:
    """One row a generator, columns ABOUT and METRICS (those that exist), `frechet_fall` and `diversity_kept` against the row "before".

    For each prompt there is a row "before", and in the pocket world "renders": other renders in the place of the adapted images, which is
    where a perfect adaptation would be. Each generator draws `images` images. What is measured is kept in `folder`.
    """
    device = next(iter(by.values())).device
    before, classes = measure.draw(source(adapted).to(device), images, seed, psi, noise)
    rows: list[dict] = []
    for prompt, yardstick in by.items():
        measure.check(yardstick, classes)
        rows.append({"prompt": prompt, "variant": BEFORE} | measure.kept(folder, yardstick, before, before, classes))
        if yardstick.pocket:
            others = paired.twins(folder, yardstick.pocket.domain, -(-images // 10), seed=1)
            rows.append(
                {"prompt": prompt, "variant": RENDERS} | measure.kept(folder, yardstick, others.plain, others.target, others.labels)
            )
    for row in progress(adapted, "evaluate", unit="generator"):
        after, _ = measure.draw(checkpoints.load(row.folder).to(device), images, seed, psi, noise)
        settings = {name: row.about["recipe"].get(name) for name in SETTINGS}
        known = {"prompt": row.prompt, "variant": row.variant, "seed": row.seed, **settings, "run_id": row.run_id}
        rows.append(known | measure.kept(folder, by[row.prompt], before, after, classes))
    frame = pd.DataFrame(rows).reindex(columns=[*ABOUT, *(m for m in METRICS if any(m in row for row in rows))])
    first = frame[frame["variant"] == BEFORE].set_index("prompt")
    frame["frechet_fall"] = 1 - frame["frechet"] / frame["prompt"].map(first["frechet"])
    frame["diversity_kept"] = frame["diversity"] / frame["prompt"].map(first["diversity"])
    whole = {"seed": "Int64", "steps": "Int64", "batch_size": "Int64", "t_min": "Int64", "t_max": "Int64"}
    return tables.rounded(frame.astype(whole).sort_values("prompt", kind="stable", ignore_index=True))


def over_seeds(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns OVER_SEEDS: mean and sample standard deviation (n - 1; empty for one seed) of each metric, in the order of `frame`."""
    rows = []
    for (prompt, variant), group in frame.groupby(["prompt", "variant"], sort=False):
        traced = {"seeds": " ".join(map(str, group["seed"].dropna())), "run_ids": " ".join(sorted(set(group["run_id"].dropna())))}
        for metric in PRINTED:
            values = group[metric].dropna() if metric in group else []
            if len(values):
                spread = {"mean": values.mean(), "sd": values.std(ddof=1), "n": len(values)}
                rows.append({"prompt": prompt, "variant": variant, "metric": metric} | spread | traced)
    return tables.rounded(pd.DataFrame(rows, columns=OVER_SEEDS))


def table(means: pd.DataFrame, images: int, spaces: str, distance: str) -> layout.Layout:
    """The printed table: one row a prompt and variant, the three kinds of measures side by side."""
    shown = [metric for metric in PRINTED if metric in set(means["metric"])]
    rows, prompts = [], list(dict.fromkeys(means["prompt"]))
    for (prompt, variant), group in means.groupby(["prompt", "variant"], sort=False):
        by_metric = group.set_index("metric")
        cells = [_cell(metric, *by_metric.loc[metric, ["mean", "sd"]]) if metric in by_metric.index else layout.DASH for metric in shown]
        rows.append([*([prompt] if len(prompts) > 1 else []), variant, *cells])
    header = [*(["prompt"] if len(prompts) > 1 else []), "generator", *(PRINTED[metric][0] for metric in shown)]
    runs = means[~means["variant"].isin(REFERENCES)]["n"]
    low, high = int(runs.min()), int(runs.max())
    seeds = low if low == high else f"{low} to {high}"
    said = [f"Mean ± standard deviation over n = {seeds} seeds of the adaptation; {images:,} images each. Shares in per cent."]
    said.append(f"Fréchet and kernel distance, precision, recall and oracles in the features {spaces}; diversity by {distance}.")
    said.append("Lower is better for Fréchet, kernel and oracles. What keeps what it showed is nearer to its own oracle than to others'.")
    if (means["variant"] == RENDERS).any():
        said.append(f"'{RENDERS}': other renders of the target domain, where a perfect adaptation would be.")
    if means["run_ids"].str.contains(UNRECORDED).any():
        said.append("Unrecorded: some of these runs were made by hand, not by python -m aa_utils.run; their numbers cannot be traced.")
    title = "Adapted generators" + (f": {prompts[0]}" if len(prompts) == 1 else "")
    return layout.Layout(title, header, rows, said, "l" * (len(header) - len(shown)) + "r" * len(shown))


def write(results: str | Path, name: str, frame: pd.DataFrame, printed: layout.Layout) -> None:
    """Write `<results>/tables/<name>_seeds.csv`, its means as `<name>.csv`, and the printed table."""
    folder = resolve(results) / "tables"
    tables.write_csv(folder / f"{name}_seeds.csv", frame)
    tables.write_csv(folder / f"{name}.csv", over_seeds(frame))
    layout.write(results, name, printed)


def read(path: str | Path) -> pd.DataFrame:
    """A per-seed table of `write`. Errors: InputError if there is none."""
    return pd.read_csv(existing(path, "table of adapted generators", "72_evaluate_generator"), dtype={"run_id": str, "seed": "Int64"})


def _cell(metric: str, mean: float, sd: float) -> str:
    how = PRINTED[metric][1]
    if how == "%":
        return layout.percent(mean, sd)
    return how.format(mean) + ("" if pd.isna(sd) else f" ± {how.format(sd)}")


def _images(folder: object, net: torch.nn.Module) -> Tensor:
    """The images of a folder, at the generator's resolution."""
    from aa_utils import images

    return images.load(existing(str(folder), "folder of images of the target domain"), net.config.resolution).pixels
