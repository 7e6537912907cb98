"""How good is a classifier on images that nobody labelled? None of these functions takes a label of the target.

SCORES rank runs (the larger the better) and have no unit; ACCURACIES estimate the share of target images that are right, mostly with the
help of labelled images of the source that the classifier was not trained on. Notebook 62 measures what each is worth, where labels exist.

`p` (N, K) are probabilities over the target, `p_s` (M, K) and `y_s` (M,) those of the held-out source images with their labels.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from aa_utils.classifiers import inference
from aa_utils.errors import InputError
from aa_utils.evaluation import scoring
from aa_utils.seeds import torch_generator

SCORES = {"entropy": "negative entropy", "information": "information", "neighbourhood": "neighbourhood density", "rankme": "RankMe"}
ACCURACIES = {"confidence": "mean confidence", "difference": "difference of confidences", "atc": "ATC", "agreement": "agreement of seeds"}
IN_RANGE = ("atc", "agreement")  # the estimates that `range_of` spans
MOST = 10_000  # images that neighbourhood density compares: all with all, so that time grows with their square
TINY = torch.finfo(torch.float32).tiny  # the smallest probability that counts: float32 predictions hold zeros


def scores(p: Tensor, f: Tensor) -> dict[str, float]:
    """All SCORES of probabilities (N, K) and features (N, D) over the target."""
    return {"entropy": negative_entropy(p), "information": information(p), "neighbourhood": neighbourhood_density(p), "rankme": rankme(f)}


def accuracies(p: Tensor, p_s: Tensor, y_s: Tensor) -> dict[str, float]:
    """The ACCURACIES of one classifier (all but "agreement", which takes several), after temperature scaling on the held-out images."""
    t = temperature(p_s, y_s)
    p, p_s = tempered(p, t), tempered(p_s, t)
    return {"confidence": confidence(p), "difference": difference_of_confidences(p, p_s, y_s), "atc": atc(p, p_s, y_s)}


def negative_entropy(p: Tensor) -> float:
    """Minus the mean entropy in nats, -ln K to 0 (Morerio et al. 2018, arXiv 1711.10288; SHOT++'s choice of an epoch, arXiv 2012.07297).

    A classifier that is sure of one and the same class everywhere has the best value.
    """
    return -float(inference.entropy(p.double()).mean())


def information(p: Tensor) -> float:
    """H(mean p) - mean H(p) in nats, 0 to ln K: sure of each image, and not always of the same class.

    Shi and Sha 2012, "Information-Theoretical Learning of Discriminative Clusters for Unsupervised Domain Adaptation", arXiv 1206.6438; the
    (negated) information maximisation loss of SHOT, Liang et al. 2020, arXiv 2002.08546, section 3.2.
    """
    return float(inference.entropy(p.double().mean(0, keepdim=True))[0]) + negative_entropy(p)


def neighbourhood_density(p: Tensor, temperature: float = 0.05, rows: int = 1024) -> float:
    """SND, 0 to ln(N - 1) nats: the mean entropy of softmax(cosine of two images' predictions / tau) over all other images.

    Saito et al. 2021, arXiv 2108.10860, section 3, with its tau: high where every image has many close neighbours. `rows` images at a
    time, so that memory grows with N and not with its square. Of more than MOST images it is that of so many, drawn once and for all: it
    ranks classifiers on the same images. Errors: InputError for fewer than two images.
    """
    if len(p) < 2:
        raise InputError(f"{len(p)} image has no neighbours; neighbourhood density takes at least 2")
    if len(p) > MOST:
        p = p[torch.randperm(len(p), generator=torch_generator("neighbourhood density"))[:MOST]]
    unit = torch.nn.functional.normalize(p.double(), dim=1)
    total = 0.0
    for first in range(0, len(unit), rows):
        part = unit[first : first + rows]
        similarity = part @ unit.T / temperature
        similarity[torch.arange(len(part)), first + torch.arange(len(part))] = -torch.inf  # an image is no neighbour of itself
        total += float(torch.special.entr(similarity.softmax(1)).sum())
    return total / len(unit)


def rankme(f: Tensor, epsilon: float = 1e-7) -> float:
    """RankMe, 1 to min(N, D): the exponential of the entropy of the singular values of features (N, D), divided by their sum.

    Garrido et al. 2023, arXiv 2210.02885, section 3, with its epsilon. Made to compare representations, not heads.
    """
    s = torch.linalg.svdvals(f.double())
    q = s / s.sum() + epsilon
    return math.exp(float(torch.special.entr(q).sum()))


def agreement(predictions: Sequence[Tensor]) -> list[float]:
    """For each of several runs that differ in their seed alone: the mean share of images (N,) that another names alike; nan for a lone run.

    Jiang et al. 2022, arXiv 2106.13799: where an ensemble of such runs is calibrated, agreement equals accuracy. Runs that share an error
    agree on it, so under a shift of domain it is rather too high.
    """
    shares = [[float((a == b).double().mean()) for j, b in enumerate(predictions) if j != i] for i, a in enumerate(predictions)]
    return [sum(row) / len(row) if row else math.nan for row in shares]


def keeps_refinement(before: Sequence[Tensor], after: Sequence[Tensor]) -> bool:
    """Whether stage 4 is worth keeping: classifiers that differ in their seed alone agree as much after it as before, or more.

    `before`, `after`: the classes (N,) that each of them names. Always true for a lone classifier, which has none to agree with. Notebook
    66 measures the rule on benchmarks with labels: the change of agreement ranks the gain of refinement better than any other sign there.
    """
    if len(before) != len(after):
        raise InputError(f"{len(before)} classifiers before refinement and {len(after)} after it; it takes the same seeds of both")
    if len(before) < 2:
        return True
    return sum(agreement(after)) >= sum(agreement(before))


def temperature(p_s: Tensor, y_s: Tensor) -> float:
    """T in [0.05, 20], the minimiser of the mean of -log softmax(z / T) at the labels (Guo et al. 2017, arXiv 1706.04599, section 4.2).

    log p stands for the logits z: they differ by a constant of each image, which the softmax takes away.
    """
    z = p_s.double().clamp(min=TINY).log()
    own = z.gather(1, y_s[:, None])[:, 0]
    low, high = math.log(1 / 20), math.log(20)  # of 1 / T: the loss is convex in it, with slope mean(E[z] - z at the label)
    for _ in range(60):
        middle = (low + high) / 2
        slope = float(((z * math.exp(middle)).softmax(1) * z).sum(1).mean() - own.mean())
        low, high = (middle, high) if slope < 0 else (low, middle)
    return math.exp(-(low + high) / 2)


def tempered(p: Tensor, temperature: float) -> Tensor:
    """softmax(z / T) (N, K) in float64 of probabilities softmax(z)."""
    return (p.double().clamp(min=TINY).log() / temperature).softmax(1)


def confidence(p: Tensor) -> float:
    """The mean of the largest probability: the accuracy, if the classifier were calibrated on the target (Hendrycks and Gimpel 2017)."""
    return float(p.double().amax(1).mean())


def difference_of_confidences(p: Tensor, p_s: Tensor, y_s: Tensor) -> float:
    """DoC: accuracy on the source minus what confidence falls by, within [0, 1] (Guillory et al. 2021, arXiv 2107.03315)."""
    return min(1.0, max(0.0, scoring.accuracy(p_s.argmax(1), y_s) - (confidence(p_s) - confidence(p))))


def atc(p: Tensor, p_s: Tensor, y_s: Tensor) -> float:
    """ATC-NE: the share of target images whose negative entropy reaches the threshold that as many source images reach as are right.

    Garg et al. 2022, "Leveraging Unlabeled Data to Predict Out-of-Distribution Performance", arXiv 2201.04234, section 4.
    """
    below = threshold(-inference.entropy(p_s.double()), p_s.argmax(1) == y_s)
    return float((-inference.entropy(p.double()) >= below).double().mean())


def threshold(surety: Tensor, right: Tensor) -> float:
    """The value that as many of `surety` (M,) lie below as are false in `right` (M,); infinity if all are false."""
    wrong = int((~right).sum())
    return float(surety.sort().values[wrong]) if wrong < len(right) else math.inf


def range_of(estimates: dict[str, float], n: int) -> tuple[float, float]:
    """(low, high): the accuracy in a range that two ways of reasoning and chance leave open.

    It spans ATC, which trusts that confidence means on the target what it means on the source, and the agreement of seeds, which trusts
    that seeds err apart: they fail for different reasons. Each end is moved out by the 95 per cent interval of a share of `n` images, n
    the smaller number of target and held-out images. With one of the two estimates (nan for the other) it is that one's interval.
    It is no confidence interval: a shift that fools both fools it. A classifier that was refined on its own labels of the target is surer
    there than on any source image, so ATC is too high for it. Errors: InputError if neither is there.
    """
    known = [estimates[name] for name in IN_RANGE if not math.isnan(estimates.get(name, math.nan))]
    if not known:
        raise InputError(f"no estimate to make a range of: it takes {' and '.join(IN_RANGE)}, or one of them")
    return interval(min(known), n)[0], interval(max(known), n)[1]


def interval(share: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval of a share of n draws (Journal of the American Statistical Association 22, 1927); z = 1.96 is 95 per cent."""
    centre, spread = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, (centre - spread) / (1 + z * z / n)), min(1.0, (centre + spread) / (1 + z * z / n))
