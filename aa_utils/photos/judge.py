"""How good are the predictions, and which of them can be trusted? No labels are read: there are none."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from aa_utils import files, inter_domain
from aa_utils.classifiers import inference
from aa_utils.data.images import ImageSet
from aa_utils.evaluation import scoring, without_labels
from aa_utils.paths import resolve
from aa_utils.reporting.tables import rounded

STAGES = ("inter_domain", "intra_domain")
COLUMNS = ["file", "prediction", "confidence", "second", "second_confidence", "third", "third_confidence", "votes", "reliable"]


@dataclass(frozen=True)
class Judgement:
    """`p` (N, K): the delivered classifier's probabilities. `votes` (N,): the share of all classifiers of the run that name its class.

    `delivered`: the stage that it comes from, "inter_domain" where the seeds agree less after refinement than before.

    `reliable` bool (N,): all of them do, and ATC counts the photo as right. `f` (N, D): features after stage 3, which refinement on the
    classifier's own labels has not pulled together yet; `nearness` (N,): largest cosine of them to a synthetic image's. `estimates`: a row
    for each stage and seed. `low`, `high`: the range of the accuracy. `held_out` (K, K): counts on held-out synthetic images after stage 3,
    row = what the prompt named.
    """

    p: Tensor
    votes: Tensor
    reliable: Tensor
    f: Tensor
    nearness: Tensor
    estimates: pd.DataFrame
    low: float
    high: float
    held_out: Tensor
    delivered: str = STAGES[1]

    @property
    def prediction(self) -> Tensor:
        """(N,) the class named for each photo."""
        return self.p.argmax(1)


def judge(out: str | Path, seeds: list[int], target: ImageSet, source: ImageSet, held_out: ImageSet, device: str = "cpu") -> Judgement:
    """What the runs of `stages` in `out` are worth. Delivered is the first seed, after stage 4 unless its seeds agree less than before it.

    (`without_labels.keeps_refinement`, a rule without a label or a threshold; notebook 66 measures it.)

    The range spans `without_labels.range_of` over both stages of that seed. A refined classifier is overconfident on photos, for it was
    trained on them; the one before is not. If refinement helped, the truth is above the estimate of stage 3; if it did harm, it is below
    that of stage 4: the range has both. It is not a confidence interval.
    """
    p, p_s, rows = {}, {}, []
    for stage in STAGES:
        for seed in seeds:
            folder = resolve(out) / stage / f"seed{seed}"
            p[stage, seed] = inference.read_predictions(folder / "predictions.parquet", target.names)
            p_s[stage, seed], _ = inter_domain.predict(folder, held_out.pixels, device)
        agreed = without_labels.agreement([p[stage, seed].argmax(1) for seed in seeds])
        for seed, agreement in zip(seeds, agreed, strict=True):
            found = without_labels.accuracies(p[stage, seed], p_s[stage, seed], held_out.labels) | {"agreement": agreement}
            low, high = without_labels.range_of(found, min(len(target), len(held_out)))
            rows.append({"stage": stage, "seed": seed, **found, "low": low, "high": high})
    table = rounded(pd.DataFrame(rows))
    first = table[table["seed"] == seeds[0]]
    before, after = ([p[stage, seed].argmax(1) for seed in seeds] for stage in STAGES)
    delivered = STAGES[1] if without_labels.keeps_refinement(before, after) else STAGES[0]
    first_stage, chosen = (STAGES[0], seeds[0]), (delivered, seeds[0])
    named = p[chosen].argmax(1)
    votes = torch.stack([other.argmax(1) == named for other in p.values()]).float().mean(0)
    trusted = counted_right(p[first_stage], p_s[first_stage], held_out.labels) & (votes == 1)
    adapted = resolve(out) / "inter_domain" / f"seed{seeds[0]}"
    f, f_s = (inter_domain.predict(adapted, images.pixels, device)[1] for images in (target, source))
    counts = scoring.confusion(p_s[first_stage].argmax(1), held_out.labels, len(target.class_names))
    low, high = float(first["low"].min()), float(first["high"].max())
    return Judgement(p[chosen], votes, trusted, f, nearness(f, f_s), table, low, high, counts, delivered)


def percent(share: float) -> str:
    """A share as people read it."""
    return f"{100 * share:.0f}\u00a0%"  # which never breaks before its sign


def counted_right(p: Tensor, p_s: Tensor, y_s: Tensor) -> Tensor:
    """bool (N,): the photos that ATC counts when it says what share is right (see `without_labels.atc`)."""
    t = without_labels.temperature(p_s, y_s)
    p, p_s = without_labels.tempered(p, t), without_labels.tempered(p_s, t)
    below = without_labels.threshold(-inference.entropy(p_s), p_s.argmax(1) == y_s)
    return -inference.entropy(p) >= below


def nearness(f: Tensor, others: Tensor, rows: int = 1024) -> Tensor:
    """(N,) the largest cosine of each row of f (N, D) to a row of `others` (M, D)."""
    others = torch.nn.functional.normalize(others)
    return torch.cat([(torch.nn.functional.normalize(part) @ others.T).amax(1) for part in f.split(rows)])


def table_of(found: Judgement, names: list[str], class_names: list[str]) -> pd.DataFrame:
    """One row a photo, in their order, columns COLUMNS: its three likeliest classes, and whether to trust the first. Fractions."""
    top = found.p.topk(min(3, len(class_names)), 1)
    rows = {"file": names}
    for k, (name, share) in enumerate((("prediction", "confidence"), ("second", "second_confidence"), ("third", "third_confidence"))):
        there = k < top.indices.shape[1]
        rows[name] = [class_names[i] for i in top.indices[:, k].tolist()] if there else [""] * len(names)
        rows[share] = top.values[:, k].numpy().astype(float).round(4) if there else [np.nan] * len(names)  # type: ignore[assignment, list-item]
    rows |= {"votes": found.votes.numpy().round(3), "reliable": ["yes" if yes else "no" for yes in found.reliable.tolist()]}  # type: ignore[dict-item]
    return pd.DataFrame(rows, columns=COLUMNS)


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, atomically, in UTF-8. Text that a spreadsheet would run as a formula gets an apostrophe before it."""
    safe = table.copy()
    for column in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[column]):
            safe[column] = [f"'{v}" if isinstance(v, str) and v[:1] in "=+-@\t\r" and v else v for v in safe[column]]
    with files.atomic(path) as temporary:
        safe.to_csv(temporary, index=False)
