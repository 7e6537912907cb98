"""Adapted generators side by side: found, measured, over seeds; before, and what a perfect adaptation would score, beside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from aa_utils.errors import InputError
from aa_utils.generator_adaptation import clip_direction, perceptual
from aa_utils.generator_adaptation.evaluation import factors, features, measure, paired
from aa_utils.generator_adaptation.evaluation.measure import METRICS, Pocket, Yardstick
from aa_utils.generator_adaptation.evaluation.quality import load_reader
from aa_utils.generator_adaptation.generators import checkpoints
from aa_utils.paths import existing, resolve
from aa_utils.progress import progress
from aa_utils.reporting import tables
from aa_utils.reporting.provenance import UNRECORDED
from aa_utils.runner import record
from aa_utils.seeds import stable_hash

BEFORE, RENDERS, GUIDE = "before", "renders", "guide"
REFERENCES = (BEFORE, RENDERS, GUIDE)
DERIVED = ("frechet_fall", "diversity_kept")  # from the row "before"
# Settings that ablations are about; a table of theirs is read from the same CSV.
SETTINGS = ("objective", "steps", "lr", "batch_size", "guidance", "t_min", "t_max", "directional", "reconstruction", "perceptual")
MEASURED_BY = ["images", "space", "distance"]
ABOUT = ["prompt", "variant", "seed", *SETTINGS, "t_range", "other", *MEASURED_BY, "run_id"]
WHOLE = {"seed": "Int64", "steps": "Int64", "batch_size": "Int64", "t_min": "Int64", "t_max": "Int64"}
OVER_SEEDS = ["prompt", "variant", "metric", "mean", "sd", "n", "seeds", "run_ids"]


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


def find(runs: Sequence[str | Path]) -> list[Adapted]:
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
    return sorted(rows, key=_order)


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
    source_text: str = "",
    templates: Sequence[str] = ("{}",),
    device: str = "cpu",
) -> dict[str, Yardstick]:
    """What each prompt's generators are measured by: prompt name -> Yardstick.

    `truth` says what the target domain of each prompt is: factors of the pocket world, rendered (`per_digit` twins of each digit, kept in
    `folder`), or the path of a folder of images. `source_text` says what the unadapted generator draws: StyleGAN-NADA's loss, from it to
    the prompt's first wording with `templates` around both, is then one of the measures.
    Errors: InputError for a prompt without a truth, or anything that is not there.
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
        ways = measure.directions(tower, source_text, wordings[0], templates, tuple(class_names)) if source_text else None
        if isinstance(truth[prompt], dict):
            bank = paired.twins(folder, truth[prompt], per_digit, seed=0)  # type: ignore[arg-type]
            judging = factors.load(existing(judge, "judge", "72_evaluate_generator"))
            pocket = Pocket(truth[prompt], bank, load_reader(resolve(reader)), judging)  # type: ignore[arg-type]
            made[prompt] = Yardstick(space, bank.target, tower, words, near, pocket, ways, device=device)
        else:
            pixels = _images(truth[prompt], source(adapted))
            made[prompt] = Yardstick(space, pixels, tower, words, near, directions=ways, device=device)
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
    guided: dict[str, tuple[Tensor, Tensor]] | None = None,
) -> pd.DataFrame:
    """One row a generator, columns ABOUT and METRICS (those that exist), `frechet_fall` and `diversity_kept` against the row "before".

    For each prompt there is a row "before", and in the pocket world "renders": other renders in the place of the adapted images, which is
    where a perfect adaptation would be. `guided` holds for each prompt images of the guide itself and their classes (`guided.draw`): the
    row "guide" is as far as its knowledge goes. Each generator draws `images` images. What is measured is kept in `folder`.
    """
    device = next(iter(by.values())).device
    before, classes = measure.draw(source(adapted).to(device), images, seed, psi, noise)
    rows: list[dict] = []
    for prompt, yardstick in by.items():
        measure.check(yardstick, classes)
        rows.append({"prompt": prompt, "variant": BEFORE} | measure.cached_row(folder, yardstick, before, before, classes))
        if yardstick.pocket:
            others = paired.twins(folder, yardstick.pocket.domain, -(-images // 10), seed=1)
            labels = None if classes is None else others.labels
            rows.append({"prompt": prompt, "variant": RENDERS} | measure.cached_row(folder, yardstick, others.plain, others.target, labels))
        if guided:
            pixels, labels = guided[prompt][0], None if classes is None or len(yardstick.texts) == 1 else guided[prompt][1]
            rows.append({"prompt": prompt, "variant": GUIDE} | measure.cached_row(folder, yardstick, None, pixels, labels))
    for row in progress(adapted, "evaluate", unit="generator"):
        after, _ = measure.draw(checkpoints.load(row.folder).to(device), images, seed, psi, noise)
        rest = sorted(row.about["recipe"].items())
        settings = {name: row.about["recipe"][name] for name in SETTINGS}
        settings["t_range"] = f"{settings['t_min']}–{settings['t_max']}"
        settings["other"] = f"{stable_hash(*(pair for pair in rest if pair[0] not in SETTINGS)):x}"[:8]
        known = {"prompt": row.prompt, "variant": row.variant, "seed": row.seed, **settings, "run_id": row.run_id}
        rows.append(known | measure.cached_row(folder, by[row.prompt], before, after, classes))
    first = next(iter(by.values()))
    known = {"images": images, "space": first.space.name, "distance": first.distance.name}
    frame = pd.DataFrame(rows).assign(**known).reindex(columns=[*ABOUT, *(m for m in METRICS if any(m in row for row in rows))])
    first = frame[frame["variant"] == BEFORE].set_index("prompt")
    frame["frechet_fall"] = 1 - frame["frechet"] / frame["prompt"].map(first["frechet"])
    frame["diversity_kept"] = frame["diversity"] / frame["prompt"].map(first["diversity"])
    return tables.rounded(frame.astype(WHOLE).sort_values("prompt", kind="stable", ignore_index=True))


def over_seeds(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns OVER_SEEDS: mean and sample standard deviation (n - 1; empty for one seed) of each metric, in the order of `frame`."""
    rows = []
    for (prompt, variant), group in frame.groupby(["prompt", "variant"], sort=False):
        traced = {"seeds": " ".join(map(str, group["seed"].dropna())), "run_ids": " ".join(sorted(set(group["run_id"].dropna())))}
        for metric in (*METRICS, *DERIVED):
            values = group[metric].dropna() if metric in group else []
            if len(values):
                spread = {"mean": values.mean(), "sd": values.std(ddof=1), "n": len(values)}  # type: ignore[union-attr]
                rows.append({"prompt": prompt, "variant": variant, "metric": metric} | spread | traced)
    return tables.rounded(pd.DataFrame(rows, columns=OVER_SEEDS))


def measured(runs: Sequence[str | Path]) -> pd.DataFrame:
    """The per-seed rows that runs of 72_evaluate_generator handed over. Errors: InputError for a folder without."""
    rows = [row for run in runs for row in record.read_metrics(existing(run, "run", "72_evaluate_generator"))]
    if not rows or "diversity_kept" not in rows[0]:
        raise InputError(f"no measured generators in {', '.join(map(str, runs))}; 72_evaluate_generator leaves them as metrics.json")
    return pd.DataFrame(rows).astype(WHOLE).drop_duplicates(ignore_index=True)


def _order(row: Adapted) -> tuple:
    """By prompt; the CLIP direction first, then score distillation alone, then with regularisers."""
    settings = row.about["recipe"]
    held = [name for name in ("directional", "reconstruction", "perceptual") if settings[name]]
    return (row.prompt, settings["objective"] != "clip_direction", len(held), held, row.variant, row.seed)


def _images(folder: object, net: torch.nn.Module) -> Tensor:
    """The images of a folder, at the generator's resolution."""
    from aa_utils.data import images

    return images.load(existing(str(folder), "folder of images of the target domain"), net.config.resolution).pixels
