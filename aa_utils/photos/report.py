"""The report: one HTML file with everything in it, that opens offline. Names of files and classes are text, whatever they hold."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from aa_utils import files
from aa_utils.data.images import ImageSet
from aa_utils.evaluation import without_labels
from aa_utils.photos import audit_page, export, thumbnails
from aa_utils.photos.audit import Measured
from aa_utils.photos.findings import Finding
from aa_utils.photos.groups import Alike, Group
from aa_utils.photos.intake import Photos
from aa_utils.photos.judge import STAGES, Judgement, percent
from aa_utils.photos.marks import Taught
from aa_utils.photos.stages import Plan
from aa_utils.runner import record

SIDE = 112  # pixels of a picture, at most
PICTURES = 1200  # in the contact sheets of all classes together, so that the file stays small
A_ROW, FEWEST = 10, 2  # pictures of a class at each end, at most and at least
IN_PICTURES = PICTURES // (3 * FEWEST)  # classes that are shown in pictures; the table has all of them
LEAST_SURE = 30
IN_GROUP = 12
ALIKE = 12  # groups of photos that are nearly the same
OF_ALIKE = 6
STAGE_NAMES = dict(zip(STAGES, ("before refinement", "after refinement"), strict=True))


def write(
    path: Path,
    photos: Photos,
    source: ImageSet,
    judgement: Judgement,
    groups: tuple[list[Group], int],
    alike: list[Alike],
    made: list[Finding],
    plan: Plan,
    measured: Measured,
    taught: Taught,
    about: dict,
) -> Path:
    """Write the report to `path`; returns it. `groups`: what `groups.suspicious` gave; `about`: settings of the run that `plan` lacks."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    names, sheet, order = photos.images.class_names, _Sheet(photos, judgement), _surest_first(judgement)
    loader = FileSystemLoader(Path(__file__).parent)
    template = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    named = [names[k] for k in judgement.prediction.tolist()]
    folder = path.with_name("classifier")
    text = template.get_template("report.html").render(
        photos=len(photos.rows),
        names=names,
        low=judgement.low,
        high=judgement.high,
        measured=measured,
        audit=audit_page.section(measured, photos, named, taught),
        reliable=float(judgement.reliable.float().mean()),
        findings=made,
        classes=_classes(judgement, source, names, sheet, order),
        in_pictures=IN_PICTURES,
        groups=[_group(group, sheet, names) for group in groups[0]],
        looked_at=groups[1],
        least=[sheet.picture(i) for i in order.flip(0)[:LEAST_SURE].tolist()],
        alike=[{"size": len(one.rows), "pictures": [sheet.picture(i) for i in one.rows[:OF_ALIKE]]} for one in alike[:ALIKE]],
        more_alike=max(0, len(alike) - ALIKE),
        estimates=[_estimate(row) for row in judgement.estimates.to_dict("records")],
        kinds=[*without_labels.ACCURACIES.values()],
        held_out=int(judgement.held_out.sum()),
        refined=judgement.delivered == STAGES[1],
        loading=export.loading(folder.name, plan.architecture["backbone"], len(names)),
        loading_onnx=export.loading_onnx(folder.name, plan.image_size),
        settings=json.dumps(about | asdict(plan), indent=2, ensure_ascii=False, default=str),
        versions=", ".join(f"{name} {version}" for name, version in record.environment().items() if version),
    )
    files.write_text(path, text)
    return path


class _Sheet:
    """Pictures of the photos with what is said of each, made when they are asked for."""

    def __init__(self, photos: Photos, judgement: Judgement):
        self.photos, self.judgement, self.top = photos, judgement, judgement.p.topk(min(3, judgement.p.shape[1]), 1)

    def picture(self, i: int) -> dict:
        """{"src", "ratio", "tiny", "file", "name", "share", "others", "votes", "reliable"} of photo i."""
        row, names = self.photos.rows[i], self.photos.images.class_names
        top = list(zip(self.top.indices[i].tolist(), self.top.values[i].tolist(), strict=True))
        ratio = min(2.5, max(0.4, row["width"] / row["height"]))  # as it was, not as it was squeezed
        return thumbnails.of_pixels(self.photos.images.pixels[i], SIDE) | {
            "ratio": f"{ratio:.3f}",
            "file": row["file"],
            "name": names[top[0][0]],
            "share": percent(top[0][1]),
            "others": ", ".join(f"{names[k]} {percent(share)}" for k, share in top[1:] if share >= 0.005),
            "votes": percent(float(self.judgement.votes[i])),
            "unanimous": bool(self.judgement.votes[i] == 1),
            "reliable": bool(self.judgement.reliable[i]),
        }


def _surest_first(judgement: Judgement) -> Tensor:
    """(N,) the photos, the surest first: reliable ones, then by votes, then by the largest probability."""
    keys = (judgement.p.amax(1), judgement.votes, judgement.reliable.float())
    return torch.from_numpy(np.lexsort([-key.numpy() for key in keys]))


def _classes(judgement: Judgement, source: ImageSet, names: list[str], sheet: _Sheet, order: Tensor) -> list[dict]:
    """One row a class: numbers, the surest and the least sure photos, and what the generator drew for it.

    `order`: the photos, the surest first. Of more than IN_PICTURES classes those with the most photos have pictures ("shown").
    """
    counts = judgement.prediction.bincount(minlength=len(names))
    shown = set(counts.argsort(descending=True, stable=True)[:IN_PICTURES].tolist())
    each = max(FEWEST, min(A_ROW, PICTURES // (3 * len(shown))))
    recall = judgement.held_out.diagonal().double() / judgement.held_out.sum(1).clamp(min=1)
    share = judgement.p.amax(1)
    by_class = order[judgement.prediction[order].argsort(stable=True)].split(counts.tolist())
    made = []
    for k, (name, rows) in enumerate(zip(names, by_class, strict=True)):
        pictures: dict[str, list[dict]] = {"surest": [], "least": [], "drawn": []}
        if k in shown:
            drawn = (source.labels == k).nonzero()[:, 0]
            picked = drawn[torch.linspace(0, len(drawn) - 1, min(each, len(drawn))).round().long()]
            pictures["surest"] = [sheet.picture(i) for i in rows[:each].tolist()]
            pictures["least"] = [sheet.picture(i) for i in rows[each:].flip(0)[:each].tolist()]
            pictures["drawn"] = [thumbnails.of_pixels(source.pixels[i], SIDE) for i in picked.tolist()]
        made.append(
            {
                "name": name,
                "number": k + 1,
                "count": len(rows),
                "share": len(rows) / len(judgement.p),
                "confidence": float(share[rows].mean()) if len(rows) else None,
                "reliable": float(judgement.reliable[rows].float().mean()) if len(rows) else None,
                "recall": float(recall[k]),
                "shown": k in shown,
                **pictures,
            }
        )
    return made


def _group(group: Group, sheet: _Sheet, names: list[str]) -> dict:
    named = ", ".join(f"{names[k]} {percent(share)}" for k, share in group.named)
    spread = torch.linspace(0, len(group.rows) - 1, min(IN_GROUP, len(group.rows))).round().long().tolist()
    return {"size": len(group.rows), "named": named, "reasons": group.reasons, "pictures": [sheet.picture(group.rows[i]) for i in spread]}


def _estimate(row: dict) -> dict:
    values = ["–" if row[name] != row[name] else percent(row[name]) for name in without_labels.ACCURACIES]
    return {
        "stage": STAGE_NAMES[row["stage"]],
        "seed": row["seed"],
        "values": values,
        "range": f"{percent(row['low'])} to {percent(row['high'])}",
    }
