"""A report over made photos and made predictions: nothing is trained, so a test says what is right."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from aa_utils.data.images import ImageSet
from aa_utils.evaluation import without_labels
from aa_utils.photos import audit, findings, intake, judge, mark_file, marks, report, stages


@dataclass(frozen=True)
class Made:
    """`names`: the classes; `predictions`: id -> class named; `photos` as taken in."""

    path: Path
    out: Path
    names: list[str]
    photos: intake.Photos
    sample: audit.Sample
    predictions: list[str]
    measured: audit.Measured
    said: list


def pictures(folder: Path, number: int, size: tuple[int, int] = (24, 18)) -> Path:
    """`number` pictures of noise, each with a colour of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(number):
        noise = np.random.default_rng(i).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"photo-{i:03d}.png")
    return folder


def judgement(p: torch.Tensor, **changes) -> judge.Judgement:
    """A Judgement of probabilities (N, K) with nothing else to say."""
    n, k = p.shape
    rows = [{"stage": stage, "seed": 0, **dict.fromkeys(without_labels.ACCURACIES, 0.8), "low": 0.7, "high": 0.9} for stage in judge.STAGES]
    known = {"votes": torch.ones(n), "reliable": torch.ones(n, dtype=torch.bool), "f": torch.randn(n, 8), "nearness": torch.ones(n)}
    known |= {"estimates": pd.DataFrame(rows), "low": 0.7, "high": 0.9, "held_out": torch.eye(k, dtype=torch.int64) * 5}
    return judge.Judgement(p=p, **(known | changes))


def make(folder: Path, names: list[str], number: int = 30, size: int = 20, seed: int = 0, per_class: int = 4, out: str = "out") -> Made:
    """The report of a run in `<folder>/<out>` over `number` photos in `<folder>/in`, of which photo i is named `names[i % K]`."""
    pictures(folder / "in", number)
    photos, run = intake.take_in(folder / "in", 16, names, folder / out / "photos"), folder / out
    which = torch.arange(number) % len(names)
    found = judgement(torch.nn.functional.one_hot(which, len(names)).float() * 0.8 + 0.2 / len(names))
    source = ImageSet(photos.images.pixels[: 2 * len(names)], torch.arange(2 * len(names)) % len(names), [], names)
    told = {"writer": {"bank": "photo"}, "generator": {}, "inter_domain": {}, "intra_domain": {}}
    plan = stages.plan(names, [0, 1], 32, "models/pocket-diffusion", "pocket_resnet", False, False, "cpu", **told)
    sample = audit.draw(photos.images.names, size, seed)
    predictions = [names[k] for k in which.tolist()]
    marked = mark_file.read("", run, sample, names)
    more = marks.more_images(marked, names, per_class, 2.0)
    measured, taught = audit.measure(sample, marked, predictions), marks.Taught({n: per_class + more.get(n, 0) for n in names}, per_class)
    said = findings.findings(photos, found, [], [], [], [], 2, measured, taught)
    path = report.write(run / "report.html", photos, source, found, ([], 1), [], said, plan, measured, taught, {"photos": "in"})
    return Made(path, run, names, photos, sample, predictions, measured, said)
