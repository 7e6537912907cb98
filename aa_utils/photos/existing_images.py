"""The images that teach and those that calibrate: labelled images that exist already, or images of a generator; of single classes more."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from aa_utils import sources
from aa_utils.data import images
from aa_utils.data.images import ImageSet
from aa_utils.errors import InputError
from aa_utils.paths import resolve
from aa_utils.photos import stages
from aa_utils.sources import Chosen


def source(
    plan: stages.Plan,
    folder: str,
    rename: dict[str, str],
    per_class: int,
    held_out_per_class: int,
    out: str | Path,
    more: Mapping[str, int] | None = None,
) -> tuple[ImageSet, ImageSet]:
    """(source, held out) of a run: from the labelled images in `folder`, or, where it is "", by `stages.synthesise`.

    `more`: class -> images beyond `per_class`; of a folder as many of them as there are. Written to `<out>/images` and `<out>/held_out`,
    which share no image. Errors: InputError for a folder that is not right, and for a class with too few images for both.
    """
    more = more or {}
    if not folder:
        if rename:
            raise InputError(f"rename is {rename}, and there is no source whose classes it could name; leave it {{}}, or give source")
        drawn, held_out = stages.synthesise(plan, per_class, held_out_per_class, out)
        return (joined(drawn, stages.synthesise_more(plan, more, out)) if more else drawn), held_out
    if per_class < 1 or held_out_per_class < 1:
        raise InputError(f"per_class is {per_class} and held_out_per_class {held_out_per_class}; both take at least one image of a class")
    there = {}
    for row in sources.choose(folder, plan.class_names, per_class + held_out_per_class, rename=rename).table:
        if row["used"] < per_class + held_out_per_class:
            raise InputError(
                f"'{folder}' has {row['used']} images of '{row['class_name']}', fewer than per_class={per_class} and "
                f"held_out_per_class={held_out_per_class} take together; lower one of them"
            )
        there[row["class_name"]] = row["there"]
    counts = {name: min(per_class + more.get(name, 0), there[name] - held_out_per_class) for name in plan.class_names}
    taught = _choose(folder, counts, rename)  # a smaller draw is part of a larger one
    both = _choose(folder, {name: count + held_out_per_class for name, count in counts.items()}, rename)
    paths = {path for path, _, _ in taught.rows}
    others = Chosen(both.listing, [row for row in both.rows if row[0] not in paths], both.matches)
    made = []
    for name, chosen in (("images", taught), ("held_out", others)):
        sources.write(chosen, resolve(out) / name)
        made.append(images.load(resolve(out) / name, plan.image_size, plan.class_names))
    return made[0], made[1]


def joined(first: ImageSet, second: ImageSet) -> ImageSet:
    """Both sets as one, with the classes of the first, which has all of the second's."""
    labels = torch.tensor([first.class_names.index(second.class_names[k]) for k in second.labels.tolist()])
    pixels = torch.cat([first.pixels, second.pixels])
    return replace(first, pixels=pixels, labels=torch.cat([first.labels, labels]), names=first.names + second.names)


def _choose(folder: str, counts: dict[str, int], rename: dict[str, str]) -> Chosen:
    """So many images of each class: those that `sources.choose` draws for this number."""
    names = list(counts)
    draws = {count: sources.choose(folder, names, count, rename=rename) for count in sorted(set(counts.values()))}
    rows = [row for k, name in enumerate(names) for row in draws[counts[name]].rows if row[1] == k]
    last = draws[max(draws)]
    return Chosen(last.listing, rows, last.matches)
