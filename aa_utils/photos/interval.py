"""The accuracy over a folder of N photos, by the part of them that was looked at: an interval that holds whenever one stops looking.

Photos are drawn without replacement, so the number of right ones among the drawn is hypergeometric, and a folder that was looked at whole
is known exactly. The error of 5 per cent is spent twice:

- 1 per cent while the sample is incomplete, for a confidence sequence: Waudby-Smith and Ramdas 2020, "Confidence sequences for sampling
  without replacement", arXiv 2006.04347, section 2, with a flat prior. It holds at all moments at once, so looking on does it no harm.
- 4 per cent when the sample of the size fixed beforehand is complete, for the exact interval of its hypergeometric tails (Clopper and
  Pearson 1934, for a finite population). Wilson's interval is shorter, but near 100 per cent it holds in 84 of 100 cases only.
"""

import numpy as np

ERROR_ON_THE_WAY, ERROR_AT_THE_END = 0.01, 0.04


def fewest(population: int, size: int) -> np.ndarray:
    """int64 (size + 1, size + 1): entry [t, s] is the smallest number of right photos of all `population` that is not excluded once s of
    the first t drawn are right; 0 where s > t. `size` <= `population` is the number that is drawn in all.

    The largest number follows by symmetry: population - entry[t, t - s].
    """
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, population + 2)))])

    def log_choose(n, k):
        return log_factorial[n] - log_factorial[k] - log_factorial[n - k]

    t, s = np.tril_indices(size + 1)
    table = np.zeros((size + 1, size + 1), dtype=np.int64)
    table[t, s] = _smallest(lambda k: _on_the_way(log_choose, k, population, t, s), s, _likeliest(population, t, s))
    right = np.arange(size + 1)
    table[size] = _smallest(lambda k: _at_the_end(log_choose, k, population, size), right, population - size + right)
    return table


def bounds(table: np.ndarray, population: int, marked: int, right: int, unsure: int = 0) -> tuple[float, float]:
    """(low, high) of the share of right photos among all `population`, by the `table` that `fewest` gave.

    Of the first `marked` drawn `right` are right, and of `unsure` nobody can tell: they count as wrong below and as right above.
    """
    low, high = table[marked, right], population - table[marked, marked - right - unsure]
    return float(low / population), float(high / population)


def _on_the_way(log_choose, k: np.ndarray, population: int, t: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Whether k right photos in all are not excluded: the prior's ratio to the posterior stays below 1 / error (Ville's inequality).

    The flat prior gives k the posterior C(k, s) C(N - k, t - s) / C(N + 1, t + 1), and the prior 1 / (N + 1).
    """
    log_ratio = log_choose(k, s) + log_choose(population - k, t - s) - log_choose(population + 1, t + 1) + np.log(population + 1)
    return log_ratio > np.log(ERROR_ON_THE_WAY)


def _likeliest(population: int, t: np.ndarray, s: np.ndarray) -> np.ndarray:
    """The k at which the posterior is largest: up to there it rises."""
    return np.clip(np.where(t > 0, s * (population + 1) // np.maximum(t, 1), 0), s, population - t + s)


def _at_the_end(log_choose, k: np.ndarray, population: int, size: int) -> np.ndarray:
    """Whether k[s] right photos in all are not excluded for each s: s right ones in the sample, or more, are not too rare."""
    k, x = k[:, None], np.arange(size + 1)[None]
    possible = (x >= np.arange(size + 1)[:, None]) & (x <= k) & (size - x <= population - k)
    x = np.where(possible, x, np.clip(size - population + k, 0, np.minimum(k, size)))  # any number that can be; it is not counted
    chance = np.exp(log_choose(k, x) + log_choose(population - k, size - x) - log_choose(population, size))
    return np.where(possible, chance, 0).sum(1) > ERROR_AT_THE_END / 2


def _smallest(holds, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """For each entry the smallest k in [low, high] for which `holds`; it does at `high`, and from the first such k on."""
    low, high = low.astype(np.int64), high.astype(np.int64)
    while (low < high).any():
        middle = (low + high) // 2
        yes = holds(middle)
        low, high = np.where(yes | (low == high), low, middle + 1), np.where(yes, middle, high)
    return low
