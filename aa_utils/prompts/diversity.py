"""How different a set of prompts is: the numbers behind "a plain prompt leads to mode collapse"."""

from collections import Counter


def diversity(texts: list[str]) -> dict[str, float]:
    """{prompts, unique, distinct_1, distinct_2, jaccard_distance} of `texts`.

    unique: share of texts left when repeats are dropped. distinct_n: different n-grams over all n-grams (Li et al., A Diversity-Promoting
    Objective Function for Neural Conversation Models, arXiv 1510.03055). jaccard_distance: mean over all pairs of texts of
    1 - |A ∩ B| / |A ∪ B| of their word sets. All in [0, 1], higher is more diverse; words are lower-case without punctuation. distinct_n
    falls with the number of texts: compare sets of one size. 0 for what needs two texts, or two words, where there is but one.
    """
    words = [[word.strip(".,;:!?\"'()").lower() for word in text.split()] for text in texts]
    words = [[word for word in row if word] for row in words]
    return {
        "prompts": len(texts),
        "unique": len(set(texts)) / len(texts) if texts else 0.0,
        "distinct_1": _distinct(words, 1),
        "distinct_2": _distinct(words, 2),
        "jaccard_distance": _mean_jaccard_distance([set(row) for row in words]),
    }


def by_class(rows: list[dict]) -> list[dict]:
    """`diversity` of each class of prompt rows, as rows {class_name, prompts, …}, then of all of them ("all classes")."""
    texts: dict[str, list[str]] = {}
    for row in rows:
        texts.setdefault(row["class_name"], []).append(row["text"])
    table = [{"class_name": name, **diversity(own)} for name, own in texts.items()]
    return [*table, {"class_name": "all classes", **diversity([row["text"] for row in rows])}]


def _distinct(words: list[list[str]], n: int) -> float:
    grams = Counter(tuple(row[i : i + n]) for row in words for i in range(len(row) - n + 1))
    return len(grams) / grams.total() if grams else 0.0


def _mean_jaccard_distance(sets: list[set[str]]) -> float:
    import numpy as np

    if len(sets) < 2:
        return 0.0
    column = {word: i for i, word in enumerate(sorted(set().union(*sets)))}
    has = np.zeros((len(sets), len(column)), dtype=np.float32)  # (texts, words)
    for row, own in enumerate(sets):
        has[row, [column[word] for word in own]] = 1
    size = has.sum(axis=1)
    total = 0.0
    for start in range(0, len(sets), 1024):  # by blocks: all pairs of 100,000 texts would not fit in memory
        both = has[start : start + 1024] @ has.T
        either = size[start : start + 1024, None] + size[None] - both
        total += float((1 - both / np.maximum(either, 1)).sum(dtype=np.float64))
        total -= float(np.count_nonzero(size[start : start + 1024] == 0))  # an empty text is at distance 0 from itself
    return max(0.0, total) / (len(sets) * (len(sets) - 1))
