"""What the answers of a language model cost, and the cap: no call is made whose answer could pass it."""

import threading
from collections import Counter

from aa_utils.errors import InputError
from aa_utils.web_service.server import Stopped


class Spend:
    """Tokens spent and reserved, shared by threads. An answer from the cache counts too, so a cap holds however often a run is killed."""

    def __init__(self, config) -> None:
        self.config = config
        self.stop = threading.Event()
        self.spent = Counter(calls=0, cached=0, tokens_in=0, tokens_out=0, estimated=0)
        self._reserved: Counter[str] = Counter()
        self._change = threading.Condition()

    def reserve(self, request: dict) -> dict:
        """Wait until the dearest answer to `request` fits under the caps beside the calls under way; returns what `release` takes.

        Errors: InputError if it does not fit even when they are done; Stopped when another thread failed.
        """
        need = {"tokens_in": _letters(request) // 2, "tokens_out": request["max_tokens"]}
        with self._change:
            while not self.stop.is_set():
                over = self._over({name: self.spent[name] + self._reserved[name] + need[name] for name in need})
                if not over:
                    self._reserved.update(need)
                    return need
                if not any(self._reserved.values()):
                    self.stop.set()
                    raise InputError(over)
                self._change.wait()
        raise Stopped

    def release(self, need: dict) -> None:
        """The call that `need` was reserved for is over."""
        with self._change:
            self._reserved.subtract(need)
            self._change.notify_all()

    def count(self, request: dict, answer: dict, kind: str) -> None:
        """Add an answer; `kind` is "calls" or "cached". A server that gives no token counts is estimated at four letters a token."""
        tokens = {name: answer[name] for name in ("tokens_in", "tokens_out")}
        estimated = None in tokens.values()
        if estimated:
            tokens = {"tokens_in": _letters(request) // 4, "tokens_out": len(answer["content"]) // 4 + 1}
        with self._change:
            self.spent.update(tokens | {kind: 1, "estimated": int(estimated)})

    def money(self, tokens: dict) -> float:
        """The price of `tokens_in` and `tokens_out` by the prices given, per million."""
        return (tokens["tokens_in"] * self.config.prices[0] + tokens["tokens_out"] * self.config.prices[1]) / 1e6

    def line(self) -> str:
        """The cost as a sentence: answers, tokens, and money where prices are given."""
        spent = self.spent
        text = f"{spent['calls'] + spent['cached']} answers ({spent['cached']} of them from the cache), "
        text += f"{spent['tokens_in']} tokens in, {spent['tokens_out']} out"
        if spent["estimated"]:
            text += f" ({spent['estimated']} answers came without counts: estimated)"
        return text + (f", {self.money(spent):.4f} at the prices given" if any(self.config.prices) else "")

    def _over(self, total: dict) -> str:
        tokens, config = sum(total.values()), self.config
        so_far = f"so far {self.line()}; the next answer may bring it to {tokens} tokens"
        if config.token_cap and tokens > config.token_cap:
            return f"token_cap={config.token_cap} could be passed: {so_far}. Raise token_cap"
        if config.money_cap and self.money(total) > config.money_cap:
            return f"money_cap={config.money_cap:g} could be passed: {so_far} and {self.money(total):.4f}. Raise money_cap"
        return ""


def _letters(request: dict) -> int:
    return sum(len(message["content"]) for message in request["messages"])
