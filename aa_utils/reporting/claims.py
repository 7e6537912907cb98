"""The paper's claims, tested in miniature: paired differences over seeds, and a verdict by a rule that was fixed beforehand.

Rule: with n seeds common to both sides, d_i the difference of seed i, m its mean and s its standard deviation, the 95 % interval is
m ± t(0.975, n - 1) s / sqrt(n). The claim holds if the interval lies above 0, does not hold if it lies below 0, and is within noise
otherwise. Fewer than two common seeds: no verdict. The spread is that of training: images and target are the same for every seed.
"""

import math

import pandas as pd

from aa_utils.reporting import tables
from aa_utils.reporting.layout import Layout, percent, printed, rank
from aa_utils.reporting.tables import NO_REFINEMENT

COLUMNS = ["claim", "better", "worse", "mean", "sd", "n", "low", "high", "verdict", "seeds", "differences", "run_ids"]
EQUAL = ["prompts", "model", "inter_domain", "intra_domain"]
# A claim: its sentence, and what is exchanged in a condition to get the ones it should beat.
CLAIMS = (
    ("Diverse prompts beat the simple one", [{"prompts": "simple"}]),
    ("Adaptation beats source only", [{"inter_domain": "source_only"}]),
    (
        "Refinement beats adaptation alone and source only alone",
        [{"intra_domain": NO_REFINEMENT}, {"inter_domain": "source_only", "intra_domain": NO_REFINEMENT}],
    ),
)
VERDICTS = ("holds", "within noise", "does not hold", "no verdict")


def compared(per_seed: pd.DataFrame, metric: str = "accuracy") -> pd.DataFrame:
    """One row a comparison, columns COLUMNS, differences as fractions; `per_seed` is a frame of `tables.per_seed`."""
    pipeline = per_seed[per_seed["system"] == "pipeline"]
    sides = {key: group.set_index("seed") for key, group in pipeline.groupby(EQUAL, sort=True)}
    rows = []
    for claim, exchanges in CLAIMS:
        for key in sorted(sides, key=lambda key: [rank(value) for value in key]):
            condition = dict(zip(EQUAL, key, strict=True))
            others = [tuple((condition | exchange).values()) for exchange in exchanges if condition | exchange != condition]
            # The claim is about what is exchanged first: a condition that already is the losing side is nobody's rival.
            if any(condition[name] == value for name, value in exchanges[0].items()):
                continue
            for other in dict.fromkeys(others):
                if other in sides:
                    about = {"claim": claim, "better": _said(key), "worse": _said(other)}
                    rows.append(about | _difference(sides[key], sides[other], metric))
    return tables.rounded(pd.DataFrame(rows, columns=COLUMNS))


def verdict(mean: float, low: float, high: float, n: int) -> str:
    """One of VERDICTS by the rule above."""
    if n < 2:
        return VERDICTS[3]
    return VERDICTS[0] if low > 0 else VERDICTS[2] if high < 0 else VERDICTS[1]


def layout(tested: pd.DataFrame) -> Layout:
    """The claims as a printed table; differences in points of accuracy."""
    rows = []
    for row in tested.itertuples():
        again = bool(rows) and tested["claim"].iloc[len(rows) - 1] == row.claim
        rows.append(["" if again else row.claim, row.better, row.worse, percent(row.mean, row.sd, sign=True), str(row.n), row.verdict])
    said = ["Difference of accuracies of the same seed, in percentage points: mean ± standard deviation over n seeds."]
    said.append(
        "Holds: the 95 % t-interval of the mean difference lies above 0; does not hold: below 0; within noise: it contains 0. "
        "The spread is that of training alone (one set of images, one target), and the comparisons are not corrected for their number."
    )
    for claim, group in tested.groupby("claim", sort=False):
        counts = [f"{verdict} in {(group['verdict'] == verdict).sum()}" for verdict in VERDICTS if (group["verdict"] == verdict).any()]
        said.append(f"{claim}: {', '.join(counts)} of {len(group)} comparison{'s' * (len(group) != 1)}.")
    return Layout("The paper's claims in miniature", ["claim", "better", "worse", "difference", "n", "verdict"], rows, said, "lllrrl")


def _difference(better: pd.DataFrame, worse: pd.DataFrame, metric: str) -> dict:
    seeds = sorted(set(better.index) & set(worse.index))
    d = (better.loc[seeds, metric] - worse.loc[seeds, metric]).round(6)
    n, mean = len(seeds), d.mean()
    sd = d.std(ddof=1)
    half = _t975(n - 1) * sd / math.sqrt(n) if n > 1 else math.nan
    said = verdict(mean, mean - half, mean + half, n)
    traced = {"seeds": " ".join(map(str, seeds)), "differences": " ".join(f"{x:+.6f}" for x in d)}
    ids = sorted({*better.loc[seeds, "run_id"], *worse.loc[seeds, "run_id"]})
    return {"mean": mean, "sd": sd, "n": n, "low": mean - half, "high": mean + half, "verdict": said, **traced, "run_ids": " ".join(ids)}


def _t975(freedom: int) -> float:
    """The 97.5 % point of Student's t distribution."""
    from scipy.stats import t

    return float(t.ppf(0.975, freedom))


def _said(key: tuple[str, ...]) -> str:
    prompts, _, inter, intra = key
    return " + ".join([prompts, printed(inter), *([printed(intra)] if intra != NO_REFINEMENT else [])])
