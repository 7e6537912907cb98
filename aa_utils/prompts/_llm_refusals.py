"""What a server refuses is learnt from its answer: it is asked in another way from then on, which is told and recorded."""

import re
import threading

from aa_utils.errors import InputError
from aa_utils.progress import note
from aa_utils.prompts._llm_request import FORMATS
from aa_utils.web_service.refusals import refused_field

FEWEST_TOKENS = 64  # room for one caption; a server that leaves less cannot answer
STATUSES = {400, 413, 422, 429, 500, 501}  # with which servers say that a part of a request is not for them
_FORMAT = re.compile(
    r"response_?(format|schema)|json[ _-]?(schema|object|mode|output|format)|additionalProperties|\bstrict\b|structured|guided|grammar",
    re.IGNORECASE,
)
_TOKENS_NAMED = re.compile(r"\bmax_(completion_|new_|output_)?tokens|maxOutputTokens")  # beside a number it is a limit in any language
# Names that a server does not take, with nothing about a limit: "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
_NO_SUCH = re.compile(
    r"(unsupported|unknown|unrecogni[sz]ed|unexpected|extra|not supported|not permitted|not allowed|deprecated)\b.{0,80}?\bmax_tokens\b"
    r"|\bmax_tokens\b.{0,80}?(unsupported|unknown|unrecogni[sz]ed|unexpected|extra|not supported|not permitted|not allowed|deprecated)",
    re.IGNORECASE,
)
_LIMIT = r"(too (large|high|many|long|big)|exceed|at most|maxim|(less|lower|greater) than|\d\s*[<>]|[<>]=?\s*\d|range|limit|reduce|larger)"
_TOO_MANY = re.compile(rf"tokens?\b.*{_LIMIT}|{_LIMIT}.*tokens?\b|context[ _](size|length|window)", re.IGNORECASE)
_WHOLE = re.compile(r"context|inputs?\b|messages|prompt|request|total|sum\b", re.IGNORECASE)  # the limit counts the question too
_QUESTION = re.compile(
    r"(\d[\d,]*)\s*(?:tokens?\s*)?(?:in|from|of|for)\s*(?:the |your )?(?:messages|prompt|input)|(\d[\d,]*)\s*[`'\"]?(?:input|prompt)s?\b"
    r"|n_prompt_tokens\W+(\d+)",
    re.IGNORECASE,
)
_REQUESTED = re.compile(r"\brequested\D{0,20}(\d[\d,]{0,12})", re.IGNORECASE)  # question and answer: "Limit 6000, Requested 9500"
_NO_SYSTEM = re.compile(
    r"system[\s_-]*(role|message|prompt|instruction)|role\W{0,4}system|[\"'`]system[\"'`\\]|roles? must alternate|developer instruction"
    r"|valid roles?\b|system.{0,4}角色|only\W.{0,20}\buser\b.{0,20}\bassistant\b|\bmessages\W+0\W+role\b|\brole\b.{0,60}['\"]user['\"]",
    re.IGNORECASE,
)


class Refusals:
    """What one server was seen to refuse. Threads share it."""

    def __init__(self, base_url: str, answer_format: str, resume_hint: str = ""):
        self._base_url, self._format, self._resume_hint = base_url, answer_format, resume_hint
        self._notes: dict[str, str] = {}
        self._without: set[str] = set()
        self._renamed, self._folded, self._most = False, False, None
        self._system_heard = False
        self._lock = threading.Lock()

    def notes(self) -> list[str]:
        """What it refused and what it was sent instead, in words, in the order in which it was learnt."""
        with self._lock:
            return list(self._notes.values())

    def body(self, request: dict, folded: bool = False) -> dict:
        """What is sent: the request, as the server takes it. `folded`: try without a system message, whatever is known."""
        body = {name: value for name, value in request.items() if name != "answer_format"}
        with self._lock:
            if FORMATS[self._format]:
                body["response_format"] = FORMATS[self._format]
            if folded or self._folded:
                body["messages"] = _folded(body["messages"])
            if self._most:
                body["max_tokens"] = min(body["max_tokens"], self._most)
            if self._renamed:
                body["max_completion_tokens"] = body.pop("max_tokens")
            return {name: value for name, value in body.items() if name not in self._without}

    def may_be_system(self) -> bool:
        """A server that only says "internal error" may have no place for a system message: none was ever answered."""
        with self._lock:
            return not self._system_heard and not self._folded

    def answered(self, body: dict) -> None:
        """`body` was answered: whether a system message is taken is known from then on."""
        with self._lock:
            if body["messages"][0]["role"] == "system":
                self._system_heard = True
            elif not self._system_heard and not self._folded:
                self._folded = True
                self._tell("system", "system role, with HTTP 500 (its text stands in the user's message)")

    def learn(self, body: dict, status: int, said: str) -> bool:
        """Take in a refusal of `body`; True if it will be sent in another way. Errors: InputError where no tokens are left to answer."""
        if status not in STATUSES:
            return False
        with self._lock:
            asked = format_of(body)
            if asked != "text" and _FORMAT.search(said):
                if asked == self._format:  # another thread may have stepped back already
                    self._format = list(FORMATS)[list(FORMATS).index(asked) + 1]
                    self._tell(f"format {asked}", f"response_format {asked} (asked with {self._format})")
                return True
            if "max_tokens" in body and _NO_SUCH.search(said):
                self._renamed = True
                self._tell("max_tokens", "max_tokens (sent as max_completion_tokens)")
                return True
            if (_TOO_MANY.search(said) or _names_limit(said)) and (status != 429 or "too large" in said.lower()):
                return self._fewer(body, said)
            if body["messages"][0]["role"] == "system" and _NO_SYSTEM.search(said):
                self._folded = True
                self._tell("system", "system role (its text stands in the user's message)")
                return True
            if name := refused_field(said, [name for name in ("temperature", "seed") if name in body]):
                self._without.add(name)
                self._tell(name, f"{name} (left out)")
                return True
        return False

    def _fewer(self, body: dict, said: str) -> bool:
        asked = _token_limit(body)
        fewer = fewer_tokens(asked, said)
        if fewer < FEWEST_TOKENS:
            raise InputError(
                f"{self._base_url} leaves no room for an answer of {FEWEST_TOKENS} tokens beside the question ({said[:200]}); "
                f"set prompts_per_call lower, so that the question is shorter. {self._resume_hint}"
            )
        if self._most is None or fewer < self._most:
            self._most = fewer  # type: ignore[assignment]
            self._tell("tokens", f"answers of {asked} tokens (asked for {fewer})")
        return True

    def _tell(self, key: str, what: str) -> None:
        if self._notes.get(key) != what:
            self._notes[key] = what
            note(f"llm: {self._base_url} refuses {what}")


def _token_limit(body: dict) -> int:
    return body.get("max_tokens") or body.get("max_completion_tokens")


def _names_limit(said: str) -> bool:
    """`said` names the longest answer and a number that may be its limit: so it does in any language."""
    return bool(_TOKENS_NAMED.search(said)) and max(_numbers(said), default=0) >= FEWEST_TOKENS


def _numbers(said: str) -> list[int]:
    """The whole numbers in a text: 4096, and 4,096, but of [1,4096] both."""
    return [int(text.replace(",", "")) for text in re.findall(r"(?<!\d)(?:\d{1,3}(?:,\d{3})+(?![\d,])|\d{1,12})", said)]


def fewer_tokens(asked: int, said: str) -> int:
    """How many tokens to ask for after `asked` were refused in the words `said`; always fewer, half of them where no number helps."""
    numbers = _numbers(said)
    named, whole = _QUESTION.search(said), _REQUESTED.search(said)
    if named:
        question = int(next(filter(None, named.groups())).replace(",", ""))
    else:
        question = max(0, int(whole[1].replace(",", "")) - asked) if whole else 0
    if question and _WHOLE.search(said):
        numbers = [number - question for number in numbers if number not in (asked, question, asked + question)]
    fewer = max((number for number in numbers if number < asked), default=0)
    return fewer if fewer >= FEWEST_TOKENS else asked // 2


def format_of(body: dict) -> str:
    """The name in `FORMATS` of the answer format that a body asks for."""
    return body["response_format"]["type"] if "response_format" in body else "text"


def _folded(messages: list[dict]) -> list[dict]:
    """The messages with the system's text in front of the user's."""
    first, second, *rest = messages
    return [{"role": "user", "content": f"{first['content']}\n\n{second['content']}"}, *rest] if first["role"] == "system" else messages
