"""CLIP's zero-shot line: what class names alone give, without an image of ours, a training or a target image.

It stands in every benchmark's table. Stable Diffusion has seen pairs of images and texts of the whole web, and its text encoder is CLIP's:
whoever trains on what it draws uses that knowledge too, so synthetic images have to beat this line, not only real sources.
"""

from pathlib import Path

from aa_utils import benchmarks
from aa_utils.classifiers import inference, zero_shot
from aa_utils.evaluation import scoring
from aa_utils.paths import resolve
from aa_utils.reporting import provenance


def records(targets: list[str], clip: str, template: str, image_size: int, device: str, out: str | Path, notebook: str) -> dict[str, dict]:
    """name -> record of CLIP's accuracy on each of the benchmarks `targets`; predictions go to `<out>/zero_shot/<target>.parquet`.

    Radford et al. 2021, arXiv 2103.00020, section 3.1: `template` makes a prompt of a class name.

    `clip`: a CLIPModel folder or hub id, "" for none, and no line; `image_size` as in the runs, whose decoded images are then found kept.
    Unlabelled targets are left out. Errors: InputError where the model cannot be loaded.
    """
    found = {}
    for name in targets if clip else ():
        target = benchmarks.load(name, image_size)
        if target.labels is None:
            continue
        path = prediction(out, name)
        p = zero_shot.predict(clip, target.class_names, target.images.pixels, template, device=device)
        inference.write_predictions(path, target.ids, p)
        about = {"target": name, "image_size": image_size, "model": clip, "template": template}
        scores = [scoring.score(path, target)]
        found[f"zero_shot-{path.stem}"] = provenance.measurement("zero_shot", notebook, about, {"model": clip}, scores, __name__)
    return found


def prediction(out: str | Path, target: str) -> Path:
    """Where `records` puts the predictions on `target`."""
    return resolve(out) / "zero_shot" / f"{target.replace(':', '-')}.parquet"
