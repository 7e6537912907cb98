"""Findings about a run and what to do about them: plain sentences with the numbers behind them, the most important first."""

from aa_utils.photos import audit_findings
from aa_utils.photos.audit import Measured
from aa_utils.photos.finding import POOR, Finding
from aa_utils.photos.groups import Alike, Group
from aa_utils.photos.intake import Photos
from aa_utils.photos.judge import STAGES, Judgement, percent
from aa_utils.photos.marks import Taught

# Rules fixed beforehand; each number is a share unless it says otherwise.
WIDE = 0.35  # width of the estimate from which on it says little
UNREAD = 0.8  # accuracy on held-out synthetic images below which the images do not show what their prompts say
CONFUSED = 0.25  # of the held-out images of a class taken for one other class
CHANGED = 0.3  # of photos whose class differs between the classifiers
DOMINANT = 3.0  # times its fair share of the photos that one class gets
FEW = 20  # photos a class
LONG = 2.0  # longer side over shorter


def findings(
    photos: Photos,
    judgement: Judgement,
    groups: list[Group],
    alike: list[Alike],
    flat: list[int],
    lost: list[str],
    seeds: int,
    measured: Measured,
    taught: Taught,
) -> list[Finding]:
    """All that the run gives reason to say, "act" first. `lost`: classes without a confident photo in stage 4; `seeds`: how many."""
    made = [*audit_findings.accuracy(measured), *([] if measured.counted else _accuracy(judgement))]
    made += [*audit_findings.classes(measured, photos.images, judgement.prediction.tolist(), taught), *_classifiers(judgement, seeds)]
    made += [*_synthetic(judgement, photos), *_classes(judgement, photos, lost), *_photos(photos, alike, flat)]
    if groups:
        far = [group for group in groups if group.far]
        inside = sum(len(group.rows) for group in groups)
        title = f"{len(groups)} group{'s' if len(groups) > 1 else ''} of photos in doubt ({inside} photos)"
        seen = "They are shown below with the reason for each."
        if far:
            seen += f" {len(far)} of them look{'s' if len(far) == 1 else ''} like none of the classes."
        do = "Look at them. Photos of something else: take them out of the folder, or name their class too. Photos of a class that was "
        do += "missed: describe how it looks there in the prompts (domain, pin, or a bank of your own)."
        made.append(Finding("look", title, seen, do))
    order = {"act": 0, "look": 1, "know": 2}
    return sorted(made, key=lambda finding: order[finding.weight])


def _accuracy(judgement: Judgement) -> list[Finding]:
    made, middle, width = [], (judgement.low + judgement.high) / 2, judgement.high - judgement.low
    said = f"Between {percent(judgement.low)} and {percent(judgement.high)} of the predictions seem to be right."
    if middle < POOR:
        do = "Do not use it as it is. In this order: look at the synthetic images below; more of them a class (per_class, in a new out); "
        do += "a backbone with pretrained weights; more steps; a domain in the prompts that says what your photos look like."
        made.append(Finding("act", "The estimate is low", said, do))
    elif width > WIDE:
        do = "More held-out images (held_out_per_class) and more photos narrow what chance leaves open; what is left is disagreement of "
        do += "the estimates, which only looking at photos settles (below: Measure it)."
        made.append(Finding("look", "The estimate is wide", said, do))
    return made


def _classifiers(judgement: Judgement, seeds: int) -> list[Finding]:
    made = []
    if seeds == 1:
        do = "Set seeds=[0, 1] or more: classifiers that differ by chance alone show what is arbitrary."
        made.append(Finding("look", "One classifier only", "Nothing could be checked by agreement; votes compare two stages alone.", do))
    if judgement.delivered == STAGES[0]:
        first, second = (judgement.estimates.loc[judgement.estimates["stage"] == stage, "agreement"].mean() for stage in STAGES)
        seen = f"Classifiers that differ by chance alone name the same class for {percent(first)} of the photos before the refinement, "
        seen += f"and for {percent(second)} after it. On benchmarks that means harm: delivered is the classifier before it."
        do = "Try another method of intra_domain (fixmatch lost less often than mixmatch), a smaller fraction of confident photos, or more "
        do += "images."
        made.append(Finding("look", "Refinement did not help", seen, do))
    changed = float((judgement.votes < 1).float().mean())
    if changed > CHANGED:
        seen = f"For {percent(changed)} of the photos the classifiers of this run (each stage and seed) do not all name the same class."
        do = "Use the reliable predictions only (column 'reliable'), or train longer (steps of inter_domain and intra_domain)."
        made.append(Finding("look", "The classifiers disagree", seen, do))
    return made


def _synthetic(judgement: Judgement, photos: Photos) -> list[Finding]:
    counts, names, made = judgement.held_out.double(), photos.images.class_names, []
    right = float(counts.diagonal().sum() / counts.sum())
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    if right < UNREAD:
        seen = f"The classifier names only {percent(right)} of synthetic images that it was not trained on as their prompts do"
        seen += f" (chance is {percent(1 / len(names))})."
        do = "Look at the synthetic images below. Do they show the classes? If not: another generator (model), more sampler steps, names "
        do += (
            "that say more ('tabby cat', not 'tabby'). The pocket models know digits and letters only. If they do: more images, more steps."
        )
        made.append(Finding("act", "The synthetic images do not tell the classes apart", seen, do))
    confused = [(float(shares[a, b]), a, b) for a, b in (shares >= CONFUSED).nonzero().tolist() if a != b]
    if confused and right >= UNREAD:
        worst = sorted(confused, reverse=True)[:5]
        seen = (
            "On held-out synthetic images: "
            + "; ".join(f"{percent(s)} of '{names[a]}' is taken for '{names[b]}'" for s, a, b in worst)
            + "."
        )
        do = "Name what sets them apart in the class names or the prompts, or make them one class if you need no difference."
        made.append(Finding("look", "Classes that are hard to tell apart", seen, do))
    return made


def _classes(judgement: Judgement, photos: Photos, lost: list[str]) -> list[Finding]:
    names, made = photos.images.class_names, []
    counts = judgement.prediction.bincount(minlength=len(names))
    absent = [names[k] for k in (counts == 0).nonzero()[:, 0].tolist()]
    if absent:
        do = "No such photos in the folder? Take the name out. If there are some: look at the synthetic images of the class, and give a "
        do += "name or a domain that says how it looks in your photos."
        made.append(Finding("act", f"{len(absent)} of {len(names)} classes never predicted", _listed(absent), do))
    lost = [name for name in lost if name not in absent]
    if lost:
        do = "As above: their synthetic images resemble none of your photos enough. The refinement cannot learn these classes."
        made.append(Finding("look", "Classes without one photo to learn from", _listed(lost), do))
    most = int(counts.argmax())
    if len(names) > 2 and counts[most] > DOMINANT * len(photos.rows) / len(names):
        seen = f"{percent(int(counts[most]) / len(photos.rows))} of the photos are named '{names[most]}'."
        do = "If that is no surprise, fine. If it is, the classifier has collapsed: method source_only, smaller lr, more diverse prompts."
        made.append(Finding("look", "One class takes most photos", seen, do))
    if len(photos.rows) < FEW * len(names):
        seen = f"{len(photos.rows)} photos for {len(names)} classes."
        do = f"From about {FEW} photos a class on, the stages that learn from your photos have something to learn from."
        made.append(Finding("look", "Few photos", seen, do))
    return made


def _photos(photos: Photos, alike: list[Alike], flat: list[int]) -> list[Finding]:
    made, rows, size = [], photos.rows, photos.images.pixels.shape[-1]
    if photos.unreadable:
        title = f"{len(photos.unreadable)} pictures could not be read and were left out"
        seen = _listed([f"{name}: {why}" for name, why in photos.unreadable], 50)
        made.append(Finding("act", title, seen, "Mend, convert or remove them; photos/unreadable.csv lists all."))
    exact = len(rows) - len({row["original_sha256"] for row in rows})
    if alike:
        more, most = sum(len(group.rows) - 1 for group in alike), len(alike[0].rows)
        seen = f"{more} photos show nearly the same as another one, in {len(alike)} groups, the largest of {most} photos; "
        seen += f"{exact} files are byte for byte a copy of another."
        do = "Remove copies: they count twice in every share said here, and teach the refinement twice."
        made.append(Finding("look", "Near-duplicates", seen, do))
    if flat:
        seen = f"{len(flat)} photos are of one colour: " + _listed([rows[i]["file"] for i in flat])
        made.append(Finding("look", "Photos that show nothing", seen, "Take them out of the folder."))
    small = sum(min(row["width"], row["height"]) < size for row in rows)
    if small > len(rows) / 2:
        seen = f"{small} of {len(rows)} photos have fewer than {size} pixels a side and were enlarged."
        do = "Set image_size near their size, and say 'low resolution' in the prompts (domain or pin)."
        made.append(Finding("know", "Small photos", seen, do))
    long = sum(max(row["width"], row["height"]) > LONG * min(row["width"], row["height"]) for row in rows)
    if long:
        seen = f"{long} photos are more than {LONG:g} times as long as wide; they are squeezed to a square, as all are."
        made.append(Finding("know", "Long photos", seen, "Cut them to what matters."))
    moving = sum(row["frames"] > 1 for row in rows)
    if moving:
        seen = f"{moving} photos have several frames or pages; the first counts."
        made.append(Finding("know", "Animations", seen, "Save the frame that matters as a picture of its own."))
    if photos.passed:
        do = "Nothing, if no photo of yours is among them; else move those out of there, into the folder itself."
        made.append(Finding("know", "Pictures of the system", _listed(photos.passed), do))
    if photos.left_out:
        seen = f"{len(photos.left_out)} files in the folder are no pictures and were not read: {_listed(photos.left_out)}"
        made.append(Finding("know", "Other files", seen, "Nothing, if that is as it should be."))
    return made


def _listed(names: list[str], most: int = 10) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "") + "."
