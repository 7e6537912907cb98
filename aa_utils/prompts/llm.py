"""Writer `llm`: diverse prompts from a language model behind any OpenAI-compatible server, as the paper has them from ChatGPT.

Source: Adapt Anything (arXiv 2310.16573, stage 1): a plain template leads to mode collapse, so a language model writes the prompts.
Every call is about one class, so a label comes from the question, never from the answer; every text is checked before it is a prompt, and
what is rejected is counted by reason. Answers are kept on disk: killed runs go on, and more prompts add to the first ones.
"""

from collections import Counter
from dataclasses import dataclass, field
from math import ceil

from aa_utils.errors import InputError
from aa_utils.progress import note
from aa_utils.prompts import _llm_request, offline
from aa_utils.prompts._llm_answers import texts
from aa_utils.prompts._llm_calls import Server
from aa_utils.prompts._llm_checks import Checker
from aa_utils.prompts._naming import Names, names
from aa_utils.web_service import address, at_once

LEAST_JUDGED = 50  # texts of an answer that are judged, or four times as many as were asked for; more are counted only
OVER = "text: over the number asked for"


@dataclass(frozen=True)
class Config:
    base_url: str = "https://api.openai.com/v1"  # of any server that speaks chat completions: vLLM, Ollama, llama.cpp, transformers serve
    llm_model: str = ""  # the name that the server knows it by
    key_variable: str = "OPENAI_API_KEY"  # environment variable that holds the key; "" for a server that wants none
    bank: str = "photo"  # where the hints for diversity come from: a bank of the offline writer
    domain: str = ""  # what is known of the target ("sketch", "product photo on white"); every prompt says so
    pin: dict[str, list[str]] = field(default_factory=dict)  # attribute of the bank -> the only hints given for it, in every prompt
    synonyms: dict[str, list[str]] = field(default_factory=dict)  # class name -> words that name it too; the first is the one asked for
    prompts_per_call: int = 20  # longer lists repeat themselves, shorter ones pay the question more often
    answer_format: str = "json_schema"  # or json_object, text; a server that refuses it is asked with the next one, told and recorded
    temperature: float = 1.0
    answer_tokens: int = 0  # the longest answer; 0 is 60 a prompt and 4,000 for models that think first; fewer where a server says so
    calls_at_once: int = 4
    timeout: float = 120.0  # seconds without a byte
    retries: int = 8  # of one call: 1, 2, 4 … 60 seconds apart make about 4 minutes
    tries: int = 3  # so many times the calls that would do if all texts were good, then a class is given up
    prices: list[float] = field(default_factory=lambda: [0.0, 0.0])  # money per million tokens in and out, for the cost line
    token_cap: int = 2_000_000  # stop before more are spent on these prompts; 0 is no cap
    money_cap: float = 0.0  # the same in money; needs prices
    fill: str = ""  # "offline": that writer makes what is lacking, and its rows say so
    cache: str = "artifacts/llm"  # answers, one file each


def write(class_names: list[str], per_class: int, seed: int, config: Config) -> list[tuple]:
    """The prompts of `write_and_count`, alone."""
    return write_and_count(class_names, per_class, seed, config)[0]


def write_and_count(class_names: list[str], per_class: int, seed: int, config: Config) -> tuple[list[tuple], list[dict]]:
    """(pairs (label, text), or (label, text, "offline") of what was filled in; counts: a row per class, then "all classes").

    A row of counts: class_name; answers; texts in them; accepted; used (those over `per_class` are not); `answer: <reason>` and
    `text: <reason>` rejected. The last row has the sums, calls made and answers from the cache, tokens, money at the prices given, models
    that answered, what the server refused, and `retried: <trouble>`.
    The same cache gives the same prompts. Asking for more prompts keeps the first ones. Every class is told the others' names, so another
    list of classes asks anew. Prints the cost. Errors: InputError for options that do not fit; for a server that refuses or never
    answers; for a cap; and when classes lack good prompts after `tries`: none is made up.
    """
    _check(class_names, config)
    known = names(class_names, config.synonyms)
    server = Server(config)
    letters = frozenset("".join([*class_names, *(word for words in config.synonyms.values() for word in words)]))
    hints = _llm_request.attributes(config.bank, config.pin, config.domain)
    classes = [_Class(label, class_names, known, letters, hints, seed, config) for label in range(len(class_names))]
    calls = ceil(per_class / config.prompts_per_call)
    while True:
        todo = [request for own in classes for request in own.more(per_class, config.tries * calls)]
        if not todo:
            break
        for (own, _), answer in zip(todo, _answers(server, [request for _, request in todo]), strict=True):
            own.take(answer)
    for what in (server.spend.line(), *(f"{config.base_url} refused {refused}" for refused in server.refused)):
        note(f"llm: {what}")
        print(what)
    counts = _counts(classes, per_class, server)
    lacking = {own.label: per_class - len(own.accepted) for own in classes if len(own.accepted) < per_class}
    if lacking and not config.fill:
        raise InputError(_too_few(lacking, classes, per_class, counts[-1], config))
    pairs: list[tuple] = [(own.label, text) for own in classes for text in own.accepted[:per_class]]
    for label, number in lacking.items():
        options = offline.Config(config.bank, config.domain, config.pin)
        pairs += [(label, text, "offline") for _, text in offline.write([class_names[label]], number, seed, options)]
    if lacking:
        for row, number in zip(counts, [*(lacking.get(own.label, 0) for own in classes), sum(lacking.values())], strict=True):
            row["filled"] = number
        print(f"{sum(lacking.values())} prompts of {len(lacking)} classes are from writer 'offline'")
    return pairs, counts


class _Class:
    """One class: the calls made for it, in order, and what became of the texts."""

    def __init__(self, label: int, class_names: list[str], known: Names, letters: frozenset[str], hints: tuple, seed: int, config: Config):
        self.label, self.name, self.calls, self.counts = label, class_names[label], 0, Counter()
        self._checker = Checker(label, known, letters)
        self._config, self._seed, self._hints = config, seed, hints
        shown = [_forms(name, config) for name in class_names]
        self._forms, self._others = shown[label], [forms[0] for other, forms in enumerate(shown) if other != label]
        self.accepted, self.models, self.examples = self._checker.accepted, set(), {}

    def more(self, per_class: int, limit: int) -> list[tuple["_Class", dict]]:
        """The calls that would do for what is lacking, if all their texts were good; none when it has enough, or `limit` were made."""
        lacking = max(0, per_class - len(self.accepted))
        first, self.calls = self.calls, min(limit, self.calls + ceil(lacking / self._config.prompts_per_call))
        return [(self, self._request(number)) for number in range(first, self.calls)]

    def take(self, answer: dict) -> None:
        """Judge what an answer holds; answers come in the order of their calls."""
        items, reason = texts(answer, self._config.prompts_per_call)
        most = max(LEAST_JUDGED, 4 * self._config.prompts_per_call)
        items, over = items[:most], len(items[most:])
        self.models.add(f"{answer['model']} at {answer['base_url']} by {answer['answer_format']}")
        self.counts.update({"answers": 1, "texts": len(items) + over} | ({OVER: over} if over else {}))
        judged = [("answer", answer["content"], reason)] if reason else []
        judged += [("text", item, self._checker.judge(item)) for item in items]
        for kind, what, reason in judged:
            self.counts[f"{kind}: {reason}" if reason else "accepted"] += 1
            if reason:
                self.examples.setdefault(f"{kind}: {reason}", what)

    def _request(self, number: int) -> dict:
        config, count, domain = self._config, self._config.prompts_per_call, self._config.domain
        return {
            "model": config.llm_model,
            "messages": _llm_request.messages(self._forms, self._others, number, count, self._seed, domain, self._hints),
            "temperature": config.temperature,
            "max_tokens": config.answer_tokens or 60 * count + 4000,
            "seed": _llm_request.seed_of(self._seed, self.name, number),
            "answer_format": config.answer_format,
        }


def _forms(name: str, config: Config) -> list[str]:
    return list(dict.fromkeys([*config.synonyms.get(name, ()), name.replace("_", " ")]))


def _answers(server: Server, requests: list[dict]) -> list[dict]:
    """The answers to `requests`, in their order: first those in the cache, then the server's, some at once."""
    cached = [server.look_up(request) for request in requests]
    lacking = [request for request, answer in zip(requests, cached, strict=True) if answer is None]
    new = iter(at_once.answers(lacking, server.ask, server.config.calls_at_once, server.spend.stop, "llm", "answer"))
    return [next(new) if answer is None else answer for answer in cached]


def _counts(classes: list[_Class], per_class: int, server: Server) -> list[dict]:
    fixed = ("answers", "texts", "accepted")
    reasons = sorted({reason for own in classes for reason in own.counts} - set(fixed))
    rows = [
        {"class_name": own.name, **{key: own.counts[key] for key in fixed}, "used": min(per_class, len(own.accepted))}
        | {reason: own.counts[reason] for reason in reasons}
        for own in classes
    ]
    total = {key: sum(row[key] for row in rows) for key in rows[0] if key != "class_name"}
    spent = server.spend.spent
    cost = {"calls": spent["calls"], "from_cache": spent["cached"], "tokens_in": spent["tokens_in"], "tokens_out": spent["tokens_out"]}
    cost |= {"tokens_estimated_in": spent["estimated"], "money": server.spend.money(spent)}
    cost |= {"answered_by": "; ".join(sorted(set().union(*(own.models for own in classes)))), "refused": "; ".join(server.refused)}
    return [*rows, {"class_name": "all classes", **total, **cost, **{f"retried: {what}": n for what, n in sorted(server.retried.items())}}]


def _too_few(lacking: dict[int, int], classes: list[_Class], per_class: int, total: dict, config: Config) -> str:
    named = [f"'{classes[label].name}' {number}" for label, number in lacking.items()]
    shown = ", ".join(named[:12]) + (f" and {len(named) - 12} classes more" if len(named) > 12 else "")
    # One example of each reason, of a class that lacks: whether the model or a rule is at fault shows in the text.
    examples = {key: what for label in lacking for key, what in classes[label].examples.items()}
    reasons = [f"{key} {total[key]} ({repr(examples[key])[:80]})" for key in sorted(examples)]
    return (
        f"too few good prompts: of {per_class} a class there lack {shown}. {total['answers']} answers held {total['texts']} texts, "
        f"{total['accepted']} good; rejected: {', '.join(reasons) or 'none'}. All answers are kept in '{config.cache}'; go on with "
        f"more tries (now {config.tries}), try another llm_model, set per_class lower, or let fill='offline' make the rest"
    )


def _check(class_names: list[str], config: Config) -> None:
    """Errors: InputError naming the first option that cannot be right."""
    address.check(config.base_url)
    if not config.llm_model:
        raise InputError(f"writer 'llm' needs llm_model, the name of a model that {config.base_url} serves, such as gpt-4o-mini at OpenAI")
    for name, low, high in (
        ("prompts_per_call", 1, 200), ("calls_at_once", 1, 64), ("tries", 1, 1000), ("retries", 0, 100), ("temperature", 0, 2),
        ("timeout", 1e-3, 86_400), ("token_cap", 0, 10**12), ("money_cap", 0, 10**9), ("answer_tokens", 0, 10**6),
    ):  # fmt: skip
        if not low <= getattr(config, name) <= high:
            raise InputError(f"{name} is {getattr(config, name)!r}; it lies between {low:g} and {high:g}")
    if len(config.prices) != 2 or not all(isinstance(price, (int, float)) and price >= 0 for price in config.prices):
        raise InputError(
            f"prices is {config.prices!r}; it is the money for a million tokens in, and for a million out, such as [0.15, 0.6]"
        )
    if config.money_cap and not any(config.prices):
        raise InputError(f"money_cap is {config.money_cap!r} and prices is {config.prices!r}; without prices no money can be counted")
    if config.answer_format not in _llm_request.FORMATS:
        raise InputError(f"answer_format is '{config.answer_format}'; it is one of {', '.join(_llm_request.FORMATS)}")
    if config.fill not in ("", "offline"):
        raise InputError(f"fill is '{config.fill}'; it is '' (stop when prompts lack) or 'offline'")
    for name, words in config.synonyms.items():
        if name not in class_names:
            raise InputError(f"synonyms has '{name}', which is no class; there are: {', '.join(class_names)}")
        if not isinstance(words, list) or not words or not all(isinstance(word, str) and word.strip() for word in words):
            raise InputError(f"synonyms of '{name}' are {words!r}; they are a list of words such as ['backpack', 'rucksack']")
