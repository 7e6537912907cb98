"""The interval of the audit: it holds whenever one stops, for every number of right photos. Chances are summed where they can be."""

from fractions import Fraction
from math import comb

import numpy as np
import pytest

from aa_utils.errors import InputError
from aa_utils.evaluation import without_labels
from aa_utils.photos import audit, interval


def missed(population: int, size: int, right: int) -> tuple[float, float]:
    """(the chance that the truth, `right` of all, is ever excluded on the way or at the end; the chance that it is at the end)."""
    table, chance, ever = interval.fewest(population, size), np.array([1.0]), 0.0
    for t in range(size):
        s = np.arange(t + 1)
        next_is_right = np.clip((right - s) / (population - t), 0, 1)
        chance = np.append(chance * (1 - next_is_right), 0) + np.insert(chance * next_is_right, 0, 0)
        s = np.arange(t + 2)
        excluded = (table[t + 1, s] > right) | (population - table[t + 1, t + 1 - s] < right)
        last = float(chance[excluded].sum())
        ever += last
        chance[excluded] = 0  # counted once
    return ever, last


@pytest.mark.parametrize(("population", "size"), [(12, 5), (60, 60), (138, 100), (200, 100), (1000, 100), (20000, 100), (3000, 250)])
def test_the_truth_is_missed_in_five_of_a_hundred_cases_at_most_whoever_stops_when(population, size):
    worst = max(missed(population, size, right)[0] for right in {*range(0, population + 1, max(1, population // 40)), 1, population - 1})
    assert worst <= interval.ERROR_ON_THE_WAY + interval.ERROR_AT_THE_END == 0.05
    assert worst > 0.02 or size < 20 or size == population, "an interval that never misses is wider than it needs to be"


def test_wilsons_interval_would_not_hold():
    """Why it is not taken: for 99.85 per cent right its chance of holding the truth at a size fixed beforehand is far below 95."""
    p, n = 0.9985, 100
    holds = [low <= p <= high for low, high in (without_labels.interval(s / n, n) for s in range(n + 1))]
    assert sum(comb(n, s) * p**s * (1 - p) ** (n - s) for s in range(n + 1) if holds[s]) < 0.9


def test_both_rules_by_their_definition_in_whole_numbers():
    population, size = 14, 6
    table = interval.fewest(population, size)
    for t in range(size):
        for s in range(t + 1):
            posterior = [Fraction(comb(k, s) * comb(population - k, t - s), comb(population + 1, t + 1)) for k in range(population + 1)]
            assert sum(posterior) == 1
            inside = [k for k in range(population + 1) if posterior[k] * (population + 1) > Fraction(interval.ERROR_ON_THE_WAY)]
            assert (table[t, s], population - table[t, t - s]) == (min(inside), max(inside)), (t, s)
    for s in range(size + 1):
        tails = [
            Fraction(sum(comb(k, x) * comb(population - k, size - x) for x in range(s, size + 1)), comb(population, size))
            for k in range(population + 1)
        ]
        assert table[size, s] == min(k for k in range(population + 1) if tails[k] > Fraction(interval.ERROR_AT_THE_END) / 2)


def test_a_folder_that_was_looked_at_whole_is_known():
    table = interval.fewest(9, 9)
    assert all(interval.bounds(table, 9, 9, s) == (s / 9, s / 9) for s in range(10))
    assert interval.bounds(table, 9, 9, 6, unsure=2) == (6 / 9, 8 / 9)
    assert interval.bounds(table, 9, 0, 0) == (0, 1)
    one = interval.fewest(1, 1)
    assert interval.bounds(one, 1, 1, 1) == (1, 1)


def test_it_narrows_and_what_nobody_can_tell_widens_it():
    table = interval.fewest(500, 100)
    widths = [np.subtract(*interval.bounds(table, 500, t, round(0.9 * t))[::-1]) for t in (10, 30, 60, 99, 100)]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.75 * widths[-2], "marking the last one pays"
    low, high = interval.bounds(table, 500, 50, 40)
    wide = interval.bounds(table, 500, 50, 40, unsure=5)
    assert wide[0] == low and wide[1] > high
    assert wide[1] == interval.bounds(table, 500, 50, 45)[1]


def test_the_draw_is_uniform_stays_the_same_and_a_smaller_one_begins_a_larger():
    photos = [f"{i:016x}" for i in range(40)]
    counts, firsts = np.zeros(40), np.zeros(40)
    for seed in range(2000):
        rows = audit.draw(photos, 10, seed).rows
        assert len(set(rows)) == 10
        counts[rows] += 1
        firsts[rows[0]] += 1
    assert abs(counts - 500).max() < 5 * np.sqrt(2000 * 0.25 * 0.75)
    assert abs(firsts - 50).max() < 5 * np.sqrt(50)
    assert audit.draw(photos, 20, 3).rows[:10] == audit.draw(photos, 10, 3).rows
    assert audit.draw(photos, 100, 0).rows != list(range(40)) and sorted(audit.draw(photos, 100, 0).rows) == list(range(40))
    shuffled = audit.draw(photos[::-1], 10, 3)
    assert shuffled.ids == audit.draw(photos, 10, 3).ids and shuffled.origin == audit.draw(photos, 5, 9).origin
    assert audit.draw(photos[1:], 10, 3).origin != shuffled.origin
    for size in (0, -1, 1001, True, 2.5):
        with pytest.raises(InputError, match="audit_size is"):
            audit.draw(photos, size, 0)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.98])
def test_coverage_simulated_for_whoever_stops_when_the_interval_looks_best(share):
    """The worst reader: stops at the first moment at which the interval excludes the truth. Through the draw as people get it."""
    population, size, runs = 120, 40, 600
    right = round(share * population)
    table, misses = interval.fewest(population, size), 0
    photos = [f"{i:016x}" for i in range(population)]
    for seed in range(runs):
        is_right = np.array([row < right for row in audit.draw(photos, size, seed).rows])
        s, t = np.cumsum(is_right), np.arange(1, size + 1)
        misses += bool(((table[t, s] > right) | (population - table[t, t - s] < right)).any())
    assert misses / runs <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)
