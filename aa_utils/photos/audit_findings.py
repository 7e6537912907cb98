"""What a person's marks give reason to say: how good the predictions are, which classes fail, and what was done about them."""

from collections.abc import Sequence

from aa_utils.data.images import ImageSet
from aa_utils.photos import audit, interval
from aa_utils.photos.audit import Measured
from aa_utils.photos.finding import POOR, Finding
from aa_utils.photos.judge import percent
from aa_utils.photos.marks import Mark, OfClass, Taught, by_class

STRANGERS = 0.05  # share of the marked photos that show none of the classes
WORSE = 2.0  # standard deviations of chance that a classifier loses against the one that was marked (McNemar's test)
NAMED, TAKEN = 5, 3  # classes that a finding spells out, and what each is taken for


def accuracy(measured: Measured) -> list[Finding]:
    """What was measured, or how to."""
    drawn, photos = len(measured.sample.rows), len(measured.sample.photos)
    if not measured.counted:
        low, high = interval.bounds(measured.fewest, photos, drawn, round(0.9 * drawn))
        seen = f"An estimate without labels can be fooled. {drawn} photos were drawn at random: say below of each if its name is right."
        do = f"A key a photo, a few minutes. If 90 % of them are right, {percent(low)} to {percent(high)} of all are ({percent(0.95)} "
        do += "confidence)."
        return [Finding("know", f"Measure it: mark {drawn} photos", seen, do)]
    made, said = [], audit.sentences(measured)[0]
    if (measured.low + measured.high) / 2 < POOR:
        do = "Do not use it as it is. In this order: look at the synthetic images below; more of them a class (per_class, in a new out); "
        do += "a backbone with pretrained weights; more steps; a domain in the prompts that says what your photos look like."
        made.append(Finding("act", "Too few are right", said, do))
    elif measured.complete:
        made.append(Finding("know", "Measured", said, "Nothing: this is what the classifier is worth on these photos."))
    if not measured.complete:
        do = f"Mark the other {drawn - measured.counted} below and save again: the interval narrows, and once more when all are marked."
        made.append(Finding("look", "Measured in part", said, do))
    if measured.open:
        seen = f"{measured.open} photos were marked wrong without the right class, and are named otherwise now."
        made.append(Finding("look", "Photos to look at again", seen, "Mark them below (those with …); until then they count as unclear."))
    if measured.lost - measured.gained > WORSE * (measured.lost + measured.gained) ** 0.5:
        seen = (
            f"Of the photos that were right when they were marked {measured.lost} are wrong now, and {measured.gained} the other way round."
        )
        do = "Set more_where_wrong=1: the earlier numbers of images give the earlier classifier."
        made.append(Finding("act", "It was better before", seen, do))
    return made


def classes(measured: Measured, photos: ImageSet, prediction: Sequence[int], taught: Taught) -> list[Finding]:
    """Which classes fail by the marks of this sample or another, and what more images of them did."""
    marks, names, made = measured.marks, photos.class_names, []
    of = {one: names[k] for one, k in zip(photos.names, prediction, strict=True)}
    then, now = by_class(names, marks.of, marks.predictions), by_class(names, marks.of, of)
    fails = [(before, after) for before, after in zip(then, now, strict=True) if before.fails or after.fails]
    if fails:
        worst = sorted(fails, key=lambda pair: -pair[1].missed)
        seen = "; ".join(_of_class(before, after, taught.images[after.name]) for before, after in worst[:NAMED])
        seen += f"; and {', '.join(after.name for _, after in worst[NAMED:])}." if worst[NAMED:] else "."
        do = "Look at their synthetic images below: do they show what your photos show? If not, say in the name or the prompts (domain, "
        do += "pin) how the class looks in your photos. Classes that fail by the marks you save get more images in the next run."
        number = sum(after.fails for _, after in fails)
        title = f"{number} class{'es fail' if number > 1 else ' fails'}" if number else "No class fails any more"
        made.append(Finding("act" if number else "know", title, seen, do))
    strangers = sum(mark == Mark("none") for mark in marks.of.values())
    if strangers > STRANGERS * len(marks.of):
        share = percent(strangers / len(marks.of))
        seen = f"{strangers} of the {len(marks.of)} marked photos show none of the classes: about {share} of all."
        do = "Each of them is named wrongly: the classifier has no 'other'. Name what they show as a class, or take such photos out."
        made.append(Finding("act", "Photos of no class", seen, do))
    if measured.counted and measured.sample.seed in taught.decided_by(marks):
        seen = "The marks that measure this classifier also said which classes were to have more images, so it may look a little too good."
        do = f"For a figure that nothing leans on, call the same run with audit_seed={measured.sample.seed + 1}, and mark that sample."
        made.append(Finding("know", "Measured twice with one sample", seen, do))
    return made


def _of_class(before: OfClass, after: OfClass, images: int) -> str:
    taken = ", ".join(f"{number} named {name}" for name, number in after.taken_for[:TAKEN])
    said = f"{after.name}: {after.missed} of {after.marked} missed" + (f" ({taken})" if taken else "")
    return said + (f", {before.missed} when they were marked" if before != after else "") + f", {images} images taught it"
