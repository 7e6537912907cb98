"""The report: one HTML file with everything in it, that opens offline. Names of files and classes are text, whatever they hold."""

import json
from dataclasses import asdict
from pathlib import Path

import torch

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
A_ROW = 10  # pictures of a class at each end
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

    names, sheet = photos.images.class_names, _Sheet(photos, judgement)
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
        classes=_classes(judgement, source, names, sheet),
        groups=[_group(group, sheet, names) for group in groups[0]],
        looked_at=groups[1],
        least=[sheet.picture(i) for i in _surest(judgement, range(len(photos.rows)))[::-1][:LEAST_SURE]],
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


def _surest(judgement: Judgement, rows) -> list[int]:
    """`rows` by how sure they are, the surest first: reliable ones, then by votes, then by the largest probability."""
    share = judgement.p.amax(1)
    return sorted(rows, key=lambda i: (-int(judgement.reliable[i]), -float(judgement.votes[i]), -float(share[i])))


def _classes(judgement: Judgement, source: ImageSet, names: list[str], sheet: _Sheet) -> list[dict]:
    """One row a class: numbers, the surest and the least sure photos, and what the generator drew for it."""
    each = max(2, min(A_ROW, PICTURES // (3 * len(names))))
    recall = judgement.held_out.diagonal().double() / judgement.held_out.sum(1).clamp(min=1)
    made = []
    for k, name in enumerate(names):
        rows = (judgement.prediction == k).nonzero()[:, 0]
        order = _surest(judgement, rows.tolist())
        drawn = (source.labels == k).nonzero()[:, 0]
        picked = drawn[torch.linspace(0, len(drawn) - 1, min(each, len(drawn))).round().long()]
        made.append(
            {
                "name": name,
                "count": len(order),
                "share": len(order) / len(judgement.p),
                "confidence": float(judgement.p[rows].amax(1).mean()) if order else None,
                "reliable": float(judgement.reliable[rows].float().mean()) if order else None,
                "recall": float(recall[k]),
                "surest": [sheet.picture(i) for i in order[:each]],
                "least": [sheet.picture(i) for i in order[each:][::-1][:each]],
                "drawn": [thumbnails.of_pixels(source.pixels[i], SIDE) for i in picked.tolist()],
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
