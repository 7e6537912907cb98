"""The paper's claims, tested in miniature: paired differences over seeds, and a verdict by a rule that was fixed beforehand.

Rule: with n seeds common to both sides, d_i the difference of seed i, m its mean and s its standard deviation, p is that of the paired
t-test, corrected for the comparisons of the same claim (Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian
Journal of Statistics 6, 1979). With p below 0.05 the claim holds for m > 0 and does not hold for m < 0. Otherwise it is undecided, or
unstable where the differences of single seeds spread by more than 10 points (s > 0.1), so that seeds decide more than the method does.
Fewer than two common seeds: no verdict. `low` and `high` are the 95 % interval of one comparison, m ± t(0.975, n - 1) s / sqrt(n), not
corrected. The spread is that of training: images and target are the same for every seed.
"""

import math

import pandas as pd
from scipy import stats

from aa_utils.reporting import tables
from aa_utils.reporting.layout import Layout, percent, printed, rank
from aa_utils.reporting.tables import NO_REFINEMENT

COLUMNS = ["claim", "better", "worse", "mean", "sd", "n", "low", "high", "p", "verdict", "seeds", "differences", "run_ids"]
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
VERDICTS = ("holds", "undecided", "unstable", "does not hold", "no verdict")
LEVEL = 0.05  # of p, corrected
UNSTABLE = 0.1  # standard deviation of the differences above which seeds decide


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
                    about = {"claim": claim, "better": _pipeline_name(key), "worse": _pipeline_name(other)}
                    rows.append(about | _difference(sides[key], sides[other], metric))
    frame = pd.DataFrame(rows, columns=COLUMNS)
    frame["p"] = frame.groupby("claim")["p"].transform(holm)
    frame["verdict"] = [verdict(row.mean, row.sd, row.p, row.n) for row in frame.itertuples()]
    return tables.rounded(frame)


def holm(p: pd.Series) -> pd.Series:
    """The p-values `p` of one family, corrected by Holm's step-down; those that are missing stay missing and do not count."""
    ordered = p.dropna().sort_values()
    factors = range(len(ordered), 0, -1)
    return (ordered * list(factors)).cummax().clip(upper=1.0).reindex(p.index)


def verdict(mean: float, sd: float, p: float, n: int) -> str:
    """One of VERDICTS by the rule above; `p` is the corrected one."""
    if n < 2:
        return "no verdict"
    if p < LEVEL:
        return "holds" if mean > 0 else "does not hold"
    return "unstable" if sd > UNSTABLE else "undecided"


def layout(tested: pd.DataFrame) -> Layout:
    """The claims as a printed table; differences in points of accuracy."""
    rows = []
    for row in tested.itertuples():
        again = bool(rows) and tested["claim"].iloc[len(rows) - 1] == row.claim
        p = "–" if math.isnan(row.p) else f"{row.p:.3f}"
        difference = percent(row.mean, row.sd, sign=True)
        rows.append(["" if again else row.claim, row.better, row.worse, difference, str(row.n), p, row.verdict])
    said = ["Difference of accuracies of the same seed, in percentage points: mean ± standard deviation over n seeds."]
    said.append(
        "Holds: a paired t-test, corrected for the comparisons of the same claim (Holm), gives p < 0.05 for a gain; does not hold: a loss. "
        "Undecided otherwise; unstable where differences of single seeds have a standard deviation above 10 points. "
        "The spread is that of training alone: one set of images, one target."
    )
    for claim, group in tested.groupby("claim", sort=False):
        counts = [f"{verdict} in {(group['verdict'] == verdict).sum()}" for verdict in VERDICTS if (group["verdict"] == verdict).any()]
        said.append(f"{claim}: {', '.join(counts)} of {len(group)} comparison{'s' * (len(group) != 1)}.")
    return Layout("The paper's claims in miniature", ["claim", "better", "worse", "difference", "n", "p", "verdict"], rows, said, "lllrrrl")


def _difference(better: pd.DataFrame, worse: pd.DataFrame, metric: str) -> dict:
    seeds = sorted(set(better.index) & set(worse.index))
    d = (better.loc[seeds, metric] - worse.loc[seeds, metric]).round(6)
    n, mean = len(seeds), d.mean()
    sd = d.std(ddof=1)
    half, p = math.nan, math.nan
    if n > 1 and sd > 0:
        half, p = float(stats.t.ppf(0.975, n - 1)) * sd / math.sqrt(n), float(stats.ttest_1samp(d, 0.0).pvalue)
    elif n > 1:
        half, p = 0.0, float(mean == 0)  # the same difference at every seed
    traced = {"seeds": " ".join(map(str, seeds)), "differences": " ".join(f"{x:+.6f}" for x in d)}
    ids = sorted({*better.loc[seeds, "run_id"], *worse.loc[seeds, "run_id"]})
    return {"mean": mean, "sd": sd, "n": n, "low": mean - half, "high": mean + half, "p": p, **traced, "run_ids": " ".join(ids)}


def _pipeline_name(key: tuple[str, ...]) -> str:
    prompts, _, inter, intra = key
    return " + ".join([prompts, printed(inter), *([printed(intra)] if intra != NO_REFINEMENT else [])])
