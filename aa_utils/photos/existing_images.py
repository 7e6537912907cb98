"""Stages 1 and 2 without prompts and generator: labelled images that exist already teach, and others of them calibrate."""

from pathlib import Path

from aa_utils import sources
from aa_utils.data import images
from aa_utils.data.images import ImageSet
from aa_utils.errors import InputError
from aa_utils.paths import resolve
from aa_utils.photos import stages
from aa_utils.sources import Chosen


def source(
    plan: stages.Plan, folder: str, rename: dict[str, str], per_class: int, held_out_per_class: int, out: str | Path
) -> tuple[ImageSet, ImageSet]:
    """(source, held out) of a run: from the labelled images in `folder`, or, where it is "", by `stages.synthesise`.

    Written to `<out>/images` and `<out>/held_out`, which share no image. Errors: InputError for a folder that is not right, and for a class
    with too few images for both.
    """
    if not folder:
        if rename:
            raise InputError(f"rename is {rename}, and there is no source whose classes it could name; leave it {{}}, or give source")
        return stages.synthesise(plan, per_class, held_out_per_class, out)
    if per_class < 1 or held_out_per_class < 1:
        raise InputError(f"per_class is {per_class} and held_out_per_class {held_out_per_class}; both take at least one image of a class")
    both = sources.choose(folder, plan.class_names, per_class + held_out_per_class, rename=rename)
    for row in both.table:
        if row["used"] < per_class + held_out_per_class:
            raise InputError(
                f"'{folder}' has {row['used']} images of '{row['class_name']}', fewer than per_class={per_class} and "
                f"held_out_per_class={held_out_per_class} take together; lower one of them"
            )
    taught = sources.choose(folder, plan.class_names, per_class, rename=rename)  # a smaller draw is part of a larger one
    paths = {path for path, _, _ in taught.rows}
    others = Chosen(both.listing, [row for row in both.rows if row[0] not in paths], both.matches)
    made = []
    for name, chosen in (("images", taught), ("held_out", others)):
        sources.write(chosen, resolve(out) / name)
        made.append(images.load(resolve(out) / name, plan.image_size, plan.class_names))
    return made[0], made[1]
