"""Which images of a source a training takes, by a column of their metadata: a recorded choice of the run; the folder stays whole.

The CLIP filter of He et al. (2022, arXiv 2210.07574, section 3.2) is `keep(images, folder, at_least=…)`, by the probability that CLIP gives
an image's class; the best share of every class, `share=0.8`, keeps the classes as balanced as they were. `clip_score`, how well an image
follows its whole prompt, is another question: a wrong digit in the right ink scores well. The columns come from 20_generate, by its own
models: no label or image of a target is behind them.
"""

import math
from dataclasses import replace
from pathlib import Path

import torch

from aa_utils.data import rows
from aa_utils.data.images import ImageSet
from aa_utils.errors import InputError, check_number
from aa_utils.paths import existing


def keep(
    images: ImageSet,
    folder: str | Path,
    *,
    column: str = "clip_confidence",
    share: float = 1.0,
    at_least: float | None = None,
    **others: object,
) -> ImageSet:
    """The `images` of `folder` whose `column` is among the highest `share` of their class, and not below `at_least`, in their old order.

    Of a class with n images ceil(share n) are kept; ties go by name. Without `share` and `at_least` it is all of them.
    Errors: InputError for a column that an image lacks or that holds no numbers, a share outside (0, 1], a class that loses all images,
    and for `others`, of which there are none.
    """
    if others:
        raise InputError(
            f"keep has {', '.join(f'{name}={value!r}' for name, value in others.items())}; it takes column, share and at_least"
        )
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share <= 1:
        raise InputError(f"share is {share!r}; it is above 0 and at most 1, the part of each class that is kept")
    if at_least is not None:
        check_number("at_least", at_least)
    if images.labels is None:
        raise InputError(
            f"'{folder}' has no labels, and a source needs them: rows of its metadata.jsonl with file_name and class_name. Of pictures in "
            f"a sub-folder for each class, notebooks/21_real_source.ipynb makes such a folder (benchmark='image_folder:{folder}')"
        )
    if share == 1 and at_least is None:
        return images
    values = _values(folder, column)
    missing = [name for name in images.names if name not in values]
    if missing:
        raise InputError(f"'{folder}' lists no {column} for '{missing[0]}'; are these the images of that folder?")
    kept: list[int] = []
    for label, name in enumerate(images.class_names):
        own = (images.labels == label).nonzero().flatten().tolist()
        ranked = sorted(own, key=lambda i: (-values[images.names[i]], images.names[i]))[: math.ceil(share * len(own))]
        chosen = [i for i in ranked if at_least is None or values[images.names[i]] >= at_least]
        if own and not chosen:
            best = values[images.names[ranked[0]]]
            raise InputError(f"no image of class '{name}' has a {column} of {at_least} or more; its highest is {best:.4g}")
        kept += chosen
    index = torch.tensor(sorted(kept))
    return replace(images, pixels=images.pixels[index], labels=images.labels[index], names=[images.names[i] for i in index.tolist()])


def _values(folder: str | Path, column: str) -> dict[str, float]:
    """{name of an image: its value}."""
    root = existing(folder, "image folder")
    existing(root / rows.METADATA, rows.METADATA)
    values: dict[str, float] = {}
    for row in rows.read(root):
        value = row.get(column)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            numbers = [name for name, other in row.items() if isinstance(other, (int, float)) and not isinstance(other, bool)]
            how = "; python -m aa_utils.generate.clip_score gives CLIP scores" if column.startswith("clip_") else ""
            raise InputError(
                f"'{row['file_name']}' of '{folder}' has {column}={value!r}, no number; columns of numbers: {', '.join(numbers)}{how}"
            )
        name = Path(row["file_name"]).with_suffix("").name
        if name in values:
            raise InputError(f"'{folder}' has two images called '{name}'; a selection goes by their names")
        values[name] = float(value)
    return values
