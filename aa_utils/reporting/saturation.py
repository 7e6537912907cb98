"""How accuracy grows with the number of images: a fitted curve for each stage, and the number from which on more of them hardly pay.

The curve is that of Morgan, Mercer and Flodin (1975), which Viering and Loog ("The Shape of Learning Curves", arXiv 2103.10948, table 1)
list among the parametric learning curves: accuracy(n) = floor + (top - floor) / (1 + (half / n)^slope), with the floor at chance. It rises
from chance late or early, and levels off: a power law can only do the second. Fitted to every seed, not to means, by bounded least squares.

The knee is the point of the fitted curve that lies farthest above the straight line from no image to all of them (Satopää et al. 2011,
"Finding a Kneedle in a Haystack"): up to there an image adds more than images do on average, beyond it less. What a second of generation
brings on either side is the difference of the curve over the seconds that the images take.
"""

import numpy as np
import pandas as pd

from aa_utils.reporting import tables
from aa_utils.reporting.layout import Layout, percent, printed, rank

SERIES = ["prompts", "inter_domain", "intra_domain"]
FITTED = ["top", "half", "slope", "floor", "rmse"]
COLUMNS = [
    *SERIES, *FITTED, "seconds_per_image", "knee", "accuracy", "rate_before", "rate_after", "classes", "images", "n", "run_ids"
]  # fmt: skip
FEWEST = 4  # numbers of images that a curve of three parameters is fitted to


def curve(images: np.ndarray, top: float, half: float, slope: float, floor: float) -> np.ndarray:
    """The accuracy of the fitted curve at so many images, a fraction."""
    return floor + (top - floor) / (1 + (half / np.maximum(images, 1e-9)) ** slope)


def fit(images: np.ndarray, accuracy: np.ndarray, floor: float) -> dict[str, float]:
    """FITTED of the points (`images`, `accuracy`), one a seed; all but the floor are NaN where they do not settle a curve.

    That is with fewer than FEWEST numbers of images, and where the least squares do not converge.
    """
    from scipy.optimize import curve_fit

    unknown = dict.fromkeys(FITTED, float("nan")) | {"floor": floor}
    if len(np.unique(images)) < FEWEST:
        return unknown
    start = [min(max(float(accuracy.max()), floor + 0.01), 0.999), float(np.exp(np.log(images).mean())), 1.0]
    bounds = ([floor, 1.0, 0.1], [1.0, 1e7, 10.0])
    try:
        found, _ = curve_fit(lambda n, top, half, slope: curve(n, top, half, slope, floor), images, accuracy, start, bounds=bounds)
    except RuntimeError:  # no convergence
        return unknown
    rmse = float(np.sqrt(np.mean((curve(images, found[0], found[1], found[2], floor) - accuracy) ** 2)))
    return dict(zip(FITTED, [*map(float, found), floor, rmse], strict=True))


def knee(fitted: dict[str, float], most: int) -> float:
    """The number of images where the `fitted` curve lies farthest above the line from no image to `most` of them."""
    images = np.geomspace(1, most, 2000)
    heights = curve(images, *(fitted[name] for name in FITTED[:4]))
    line = fitted["floor"] + (heights[-1] - fitted["floor"]) * images / most
    return float(images[np.argmax(heights - line)])


def table(points: pd.DataFrame) -> pd.DataFrame:
    """Columns COLUMNS, a row for each stage and kind of prompts. `points`: a per-seed table with the columns of `drawn_images.joined`.

    `accuracy` is that of the curve at the knee; `rate_before` and `rate_after` are fractions of accuracy a second of generation, and
    empty where no record says how long an image took.
    """
    pipeline = points[points["system"] == "pipeline"]
    rows = []
    for key, group in pipeline.groupby(SERIES, sort=True):
        classes, cost, most = float(group["classes"].max()), float(group["seconds_per_image"].mean()), int(group["images"].max())
        about = dict(zip(SERIES, key, strict=True)) | {"seconds_per_image": cost, "classes": classes}
        about |= {"images": most, "n": group["seed"].nunique()}
        fitted = fit(group["images"].to_numpy(float), group["accuracy"].to_numpy(float), 1 / classes if classes >= 1 else 0.0)
        row = about | fitted | {"run_ids": " ".join(sorted(set(group["run_id"])))}
        if np.isfinite(fitted["top"]):
            at = knee(fitted, most)
            low, high = (float(curve(np.array(n), *(fitted[name] for name in FITTED[:4]))) for n in (at, most))
            beyond = (high - low) / ((most - at) * cost) if most - at > 1 else float("nan")
            row |= {"knee": at, "accuracy": low, "rate_before": (low - fitted["floor"]) / (at * cost), "rate_after": beyond}
        rows.append(row)
    frame = pd.DataFrame(rows).reindex(columns=COLUMNS)
    return tables.rounded(frame.sort_values(SERIES, key=lambda names: names.map(rank), ignore_index=True))


def name(row) -> str:
    """A stage as it is printed: "DANN + FixMatch"."""
    refinement = [] if row.intra_domain == tables.NO_REFINEMENT else [printed(row.intra_domain)]
    return " + ".join([printed(row.inter_domain), *refinement])


def sentences(frame: pd.DataFrame) -> list[str]:
    """What the curves of `table` say, a sentence for each stage."""
    said = []
    for row in frame.itertuples():
        if np.isnan(row.knee):
            said.append(f"{name(row)}: these points do not settle a curve.")
            continue
        a_class = f"{row.knee / row.classes:.0f} images a class" if row.classes >= 1 else f"{row.knee:.0f} images"
        text = f"{name(row)}: returns diminish from {a_class} on, where the curve stands at {percent(row.accuracy)}"
        if not np.isnan(row.rate_before):
            spent = f"{row.knee * row.seconds_per_image:.0f} s"
            text += f"; a second of generation brings {_points(row.rate_before)} points on average up to there ({spent})"
            text += f" and {_points(row.rate_after)} beyond"
        said.append(f"{text}.")
    return said


def layout(frame: pd.DataFrame) -> Layout:
    """The curves as a printed table."""
    header = ["stage", "fitted top", "knee, images a class", "accuracy there", "seconds", "points a second before", "beyond", "rmse"]
    rows = []
    for row in frame.itertuples():
        at = "–" if np.isnan(row.knee) else f"{row.knee / max(row.classes, 1):.0f}"
        seconds = row.knee * row.seconds_per_image
        cells = [percent(row.top), at, percent(row.accuracy), "–" if np.isnan(seconds) else f"{seconds:.0f}"]
        rows.append([name(row), *cells, _points(row.rate_before), _points(row.rate_after), percent(row.rmse)])
    notes = [
        "Fitted: accuracy(n) = chance + (top - chance) / (1 + (half / n)^slope), to every seed. The top is an extrapolation.",
        "Knee: where the curve lies farthest above the straight line from no image to all. It is read off with labels: no rule to stop by.",
        *sentences(frame),
    ]
    return Layout("Diminishing returns of synthetic images", header, rows, notes, "l" + "r" * (len(header) - 1))


def _points(rate: float) -> str:
    return "–" if np.isnan(rate) else f"{100 * rate:.2g}"
