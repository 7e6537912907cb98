"""One question to an OpenAI-compatible server, asked until it is answered: the cache, the key, patience, and what a server refuses."""

import os
import random
import re
import threading
import time
from collections import Counter
from email.utils import parsedate_to_datetime

from aa_utils.errors import InputError
from aa_utils.progress import note
from aa_utils.prompts import _llm_cache as cache
from aa_utils.prompts._llm_answers import NoCompletion, completion
from aa_utils.prompts._llm_request import FORMATS
from aa_utils.prompts._llm_spend import Spend, Stopped
from aa_utils.runner.parameters import SECRET_NAME

FIRST_WAIT = 1.0  # seconds; doubles with each further try
LONGEST_WAIT = 60.0
LONGEST_RETRY_AFTER = 300.0  # a server that asks for more stops the run, which can be called again
_JITTER = random.Random()  # its own: a run's seeds are not touched
_AGAIN = {408, 409, 425, 429}  # and 5xx
_FORMAT = re.compile(r"response_format|json_schema|json_object|structured|guided|grammar", re.IGNORECASE)
_UNKNOWN = re.compile(r"support|unexpected|unknown|unrecogni|permitted|allowed|extra|invalid|deprecated", re.IGNORECASE)
_INSTEAD = {
    "max_tokens": "max_completion_tokens",
    "temperature": None,
    "seed": None,
}  # what a server may not know -> what it is sent instead


class Server:
    """What outlives a call: the connection, the spend, troubles counted, what the server refuses. Threads share it."""

    def __init__(self, config):
        self.config = config
        self.spend = Spend(config)
        self.retried: Counter[str] = Counter()
        self.refused: list[str] = []
        self._format = config.answer_format
        self._without: set[str] = set()
        self._lock = threading.Lock()
        self._key, self._client = "", None

    def kept(self, request: dict) -> dict | None:
        """The answer in the cache, or None."""
        answer = cache.load(self.config.cache, request)
        if answer is not None:
            self.spend.count(request, answer, "cached")
        return answer

    def ask(self, request: dict) -> dict:
        """The server's answer to `request`, which is in the cache before it is returned.

        Errors: InputError when a cap could be passed, when the server refuses the key, the model or the request, or never answers;
        Stopped when another thread failed.
        """
        try:
            need = self.spend.reserve(request)
        except InputError as error:
            raise InputError(f"{error}. {self._kept()}") from None
        try:
            self._connect()
            answer = self._patiently(request)
            cache.store(self.config.cache, request, answer)
            self.spend.count(request, answer, "calls")
        except BaseException:
            self.spend.stop.set()
            raise
        finally:
            self.spend.release(need)
        return answer

    def _connect(self) -> None:
        import openai

        with self._lock:
            if self._client is None:
                self._key = _key(self.config.key_variable)
                # Tries are counted, and ended together, here: none are left to the client.
                self._client = openai.OpenAI(
                    api_key=self._key or "none", base_url=self.config.base_url, timeout=self.config.timeout, max_retries=0
                )

    def _patiently(self, request: dict) -> dict:
        import openai

        tries = 0
        while not self.spend.stop.is_set():
            body, wait = self._body(request), None
            about = {"base_url": self.config.base_url, "answer_format": _format_of(body)}
            try:
                reply = self._client.chat.completions.with_raw_response.create(**body)
                return {name: self._clean(value) for name, value in completion(reply.content).items()} | about
            except NoCompletion:
                trouble = "no chat completion"
            except openai.APITimeoutError:
                trouble = "timeout"
            except openai.APIConnectionError:
                trouble = "connection lost"
            except openai.APIStatusError as error:
                status, said = error.status_code, self._clean(" ".join(error.response.text.split()))
                if status in (400, 422, 501) and self._step_back(body, said):
                    continue
                if status == 400 and "content_filter" in said:  # the question was filtered: an answer, that another try will not change
                    return completion(b'{"choices": [{"message": {}, "finish_reason": "content_filter"}], "usage": %b}' % _FREE) | about
                self._give_up(status, said, error.code)
                trouble, wait = f"HTTP {status}", _retry_after(error.response.headers)
            tries += 1
            with self._lock:
                self.retried[trouble] += 1
            self._pause(tries, trouble, wait)
        raise Stopped

    def _pause(self, tries: int, trouble: str, asked: float | None) -> None:
        """Wait before the next try: as long as the server asks, or twice as long as the last time, spread so that threads come apart."""
        url = self.config.base_url
        if tries > self.config.retries:
            hint = "; is base_url right? It often ends with /v1" if trouble == "no chat completion" else ""
            raise InputError(f"{url} did not answer in {tries} tries; the last time: {trouble}{hint}. {self._kept()}")
        if asked is not None and asked > LONGEST_RETRY_AFTER:
            raise InputError(f"{url} asks to come back in {asked:.0f} seconds ({trouble}). {self._kept()}")
        wait = min(FIRST_WAIT * 2 ** (tries - 1), LONGEST_WAIT) * _JITTER.uniform(0.5, 1)
        if asked is not None:
            wait = asked + wait / 10
        note(f"llm: {trouble}; try {tries + 1} in {wait:.1f} s")
        self.spend.stop.wait(wait)

    def _body(self, request: dict) -> dict:
        """What is sent: the request, as the server takes it."""
        body = {name: value for name, value in request.items() if name != "answer_format"}
        with self._lock:
            if FORMATS[self._format]:
                body["response_format"] = FORMATS[self._format]
            for name in self._without:
                value = body.pop(name)
                if _INSTEAD[name]:
                    body[_INSTEAD[name]] = value
        return body

    def _step_back(self, body: dict, said: str) -> bool:
        """Ask in a way that the server knows, if that is what it said; told and recorded, for the answers may be other ones."""
        with self._lock:
            asked = _format_of(body)
            if asked != "text" and _FORMAT.search(said):
                if asked == self._format:  # another thread may have stepped back already
                    self._format = list(FORMATS)[list(FORMATS).index(asked) + 1]
                    self._tell(f"response_format {asked} (asked with {self._format})")
                return True
            for name, instead in _INSTEAD.items():
                if name in body and re.search(rf"\b{name}\b", said) and _UNKNOWN.search(said):
                    if name not in self._without:
                        self._without.add(name)
                        self._tell(f"{name} ({f'sent as {instead}' if instead else 'left out'})")
                    return True
        return False

    def _tell(self, what: str) -> None:
        self.refused.append(what)
        note(f"llm: {self.config.base_url} refuses {what}")

    def _give_up(self, status: int, said: str, code: str | None) -> None:
        """Errors: InputError for a status that another try will not change."""
        url, variable = self.config.base_url, self.config.key_variable
        if status in (401, 403):  # what it says is not repeated: it may hold a piece of the key
            raise InputError(f"{url} refuses the key of the environment variable '{variable}' (HTTP {status}). {self._kept()}")
        if code == "insufficient_quota" or status == 402:
            raise InputError(f"{url} says that the account has no credit left (HTTP {status}). {self._kept()}")
        if status not in _AGAIN and status < 500:
            hint = f"; does it serve '{self.config.llm_model}', and is base_url right?" if status == 404 else ""
            raise InputError(f"{url} refuses the request (HTTP {status}): {said[:300]}{hint}. {self._kept()}")

    def _kept(self) -> str:
        return f"Every answer so far is kept in '{self.config.cache}', and the same call goes on from there"

    def _clean(self, value: object) -> object:
        """Text that can be written to a file and never holds the key, whatever the server echoes."""
        if not isinstance(value, str):
            return value
        text = value.encode("utf-8", "replace").decode()  # half a character
        return text.replace(self._key, "***") if self._key else text


_FREE = b'{"prompt_tokens": 0, "completion_tokens": 0}'


def _key(variable: str) -> str:
    """The key in the environment variable, "" where none is wanted. Errors: InputError, which never holds what might be a key."""
    if not variable:
        return ""
    if not re.fullmatch(r"[A-Za-z_]\w*", variable) or not SECRET_NAME.search(variable):  # the runner masks variables of such names
        raise InputError("key_variable is the NAME of an environment variable that ends with API_KEY, such as OPENAI_API_KEY, not a key")
    key = os.environ.get(variable, "").strip()
    if not key:
        raise InputError(f"no key in the environment variable '{variable}'; set it, or key_variable='' for a server that wants none")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise InputError(f"what the environment variable '{variable}' holds is no key: it has spaces or letters that no key has")
    return key


def _retry_after(headers) -> float | None:
    """Seconds that a server asks to wait, by number or date (RFC 9110, section 10.2.3); None where it does not."""
    said = headers.get("retry-after", "")
    try:
        seconds = float(headers["retry-after-ms"]) / 1000 if "retry-after-ms" in headers else float(said)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(said).timestamp() - time.time()
        except (ValueError, TypeError):
            return None
    return max(seconds, 0.0) if seconds == seconds else None


def _format_of(body: dict) -> str:
    return body["response_format"]["type"] if "response_format" in body else "text"
