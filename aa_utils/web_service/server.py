"""One question to a server, asked until it is answered: how often, how long, and what another try will not change.

The openai package makes the requests and sorts the errors. Its own retries are left at none, because ours are told and counted by reason
in the record, end together when one call fails, wait a minute and not eight seconds where a rate limit counts by the minute, cover a 200
whose body is no answer, and have an end in sum. Like it, they obey `Retry-After` and `x-should-retry`.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import mktime_tz, parsedate_tz
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urljoin, urlsplit

from aa_utils.errors import InputError
from aa_utils.progress import note
from aa_utils.web_service import address, key

if TYPE_CHECKING:
    import httpx2
    import openai


T = TypeVar("T")
LONGEST_RETRY_AFTER = 300.0  # seconds; a server that asks for more stops the run, which can be called again
LONGEST_WAITS = 600.0  # seconds that one call waits in sum because the server asks for it
LONGEST_TRY = 5  # times the timeout: servers that keep a line open with blanks while a model thinks are given some time
LONGEST_CALL = 10  # times the timeout, all tries of a call together
STEPS_BACK = 50  # changes of one call that a server may ask for
_AGAIN = {408, 409, 425, 429}  # and 5xx
_JITTER = random.Random()  # its own: a run's seeds are not touched


class Stopped(Exception):
    """Another thread failed: this call is not made."""


class BadAnswer(Exception):
    """The server said 200, but what came is no answer: its fault, so it is asked again. The message is what it is counted under."""


@dataclass(frozen=True)
class Trouble:
    """Why a try came to nothing; `status` is 0 and `message` empty where there was no answer."""

    what: str
    status: int = 0
    message: str = ""
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Server:
    """What outlives a call: the connection, the troubles counted, the order to stop. Threads share it.

    `resume_hint` is the sentence that ends each error: what stands, so that the same call goes on.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        key_variable: str,
        timeout: float,
        retries: int,
        resume_hint: str,
        stop: threading.Event | None = None,
    ):
        self.base_url, self.model, self.resume_hint = base_url, model, resume_hint
        self.retried: Counter[str] = Counter()
        self.stop = stop or threading.Event()
        self.lock = threading.Lock()
        self._variable, self._timeout, self._retries = key_variable, timeout, retries
        self._key, self._client, self._http = "", None, None

    def client(self) -> "openai.OpenAI":
        """The client of the openai package, made when it is first needed. Errors: InputError for the key, the address or the proxy."""
        with self.lock:
            if self._client is None:
                import openai

                from aa_utils.web_service import wire

                self._key = key.from_environment(self._variable)
                self._http = wire.client(address.proxy(self.base_url), self._timeout)  # type: ignore[assignment]
                options = {"api_key": self._key or "none", "base_url": self.base_url, "timeout": self._timeout, "max_retries": 0}
                self._client = openai.OpenAI(**options, http_client=self._http)
            return self._client

    def ask(
        self,
        send: Callable[["openai.OpenAI"], T],
        size: int,
        step_back: Callable[[Trouble], bool],
        first_wait: float,
        longest_wait: float,
    ) -> T:
        """What `send` returns, at the first try that comes to something; at most `size` bytes are read of an answer.

        `send` may raise BadAnswer. `step_back` is told of each refusal: True if it changed what `send` sends, which is then tried at once.
        Errors: InputError when the server refuses the key, the model or the request, or never answers; Stopped.
        """
        tries, steps, on_wire, waited = 0, 0, 0.0, 0.0
        while not self.stop.is_set():
            started = time.monotonic()
            result = self._try(send, size, min(LONGEST_TRY, LONGEST_CALL - on_wire) * self._timeout)
            on_wire += (time.monotonic() - started) / self._timeout
            if not isinstance(result, Trouble):
                return result
            if result.status and steps < STEPS_BACK and step_back(result):
                steps += 1
                continue
            self._give_up(result)
            tries += 1
            with self.lock:
                self.retried[result.what] += 1
            if tries > self._retries or on_wire >= LONGEST_CALL:
                hint = "; is base_url right? It often ends with /v1" if result.what == "no chat completion" else ""
                raise InputError(f"{self.base_url} did not answer in {tries} tries; the last time: {result.what}{hint}. {self.resume_hint}")
            wait, asked = self._wait(tries, result, first_wait, longest_wait)
            waited += asked
            if waited > LONGEST_WAITS:
                raise InputError(
                    f"{self.base_url} asks to wait again and again, {waited:.0f} seconds by now ({result.what}). {self.resume_hint}"
                )
            note(f"{self.model}: {result.what}; try {tries + 1} in {wait:.1f} s")
            self.stop.wait(wait)
        raise Stopped

    def fetch(self, url: str) -> "httpx2.Response":
        """What lies at an address that the server gave, within a `send`; the key goes along to the server itself alone.

        Errors: BadAnswer for an address that no server has a reason to give; those of httpx2.
        """
        try:
            url = urljoin(self.base_url.rstrip("/") + "/", url)
            own, there = urlsplit(self.base_url), urlsplit(url)
            same = (own.scheme, own.hostname, own.port) == (there.scheme, there.hostname, there.port)
            right = there.scheme in ("http", "https") and bool(there.hostname)
        except ValueError:
            right = same = False
        # Only a server on this machine or in this network has a reason to send us to one there.
        if not right or (address.is_inside(there.hostname) and not address.is_inside(own.hostname)):
            raise BadAnswer("an address that cannot be fetched")
        headers = {"Authorization": f"Bearer {self._key}"} if same and self._key else {}
        return self._http.get(url, headers=headers)  # type: ignore[attr-defined]

    def clean(self, value: object) -> object:
        """Text that can be written to a file and never holds the key, whatever the server echoes; anything else as it is."""
        if not isinstance(value, str):
            return value
        text = value.encode("utf-8", "replace").decode()  # half a character
        return text.replace(self._key, "***") if self._key else text

    def _try(self, send: Callable[["openai.OpenAI"], T], size: int, seconds: float) -> T | Trouble:
        client = self.client()
        import httpx2
        import openai

        from aa_utils.web_service import wire

        try:
            with wire.bounded(seconds, size):
                return send(client)
        except BadAnswer as error:
            return Trouble(str(error))
        except (openai.APITimeoutError, httpx2.TimeoutException):
            return Trouble("timeout")
        except (openai.APIConnectionError, httpx2.HTTPError) as error:
            large = isinstance(error, wire.TooLarge) or isinstance(error.__cause__, wire.TooLarge)
            return Trouble(f"answer of more than {size / 1e6:.0f} MB" if large else "connection lost")
        except openai.APIStatusError as error:
            said = self.clean(" ".join(error.response.text[:20_000].split()))
            return Trouble(f"HTTP {error.status_code}", error.status_code, said, error.code, error.response.headers)  # type: ignore[arg-type]

    def _wait(self, tries: int, trouble: Trouble, first: float, longest: float) -> tuple[float, float]:
        """(seconds until the next try, of them those that the server asks for): twice as long as last time, spread so that threads part."""
        asked = retry_after(trouble.headers)
        if asked is not None and asked > LONGEST_RETRY_AFTER:
            raise InputError(f"{self.base_url} asks to come back in {asked:.0f} seconds ({trouble.what}). {self.resume_hint}")
        own = min(first * 2 ** min(tries - 1, 30), longest) * _JITTER.uniform(0.5, 1)
        return (own, 0.0) if asked is None else (asked + own / 10, asked)

    def _give_up(self, trouble: Trouble) -> None:
        """Errors: InputError for a status that another try will not change."""
        status, url = trouble.status, self.base_url
        if status in (401, 403):  # what it says is not repeated: it may hold a piece of the key
            raise InputError(f"{url} refuses the key of the environment variable '{self._variable}' (HTTP {status}). {self.resume_hint}")
        if trouble.code == "insufficient_quota" or status == 402:
            raise InputError(f"{url} says that the account has no credit left (HTTP {status}). {self.resume_hint}")
        final = trouble.headers.get("x-should-retry") == "false"
        if status and (final or (status not in _AGAIN and status < 500)):
            hint = f"; does it serve '{self.model}', and is base_url right?" if status == 404 else ""
            raise InputError(f"{url} refuses the request (HTTP {status}): {trouble.message[:300]}{hint}. {self.resume_hint}")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait, by number or date (RFC 9110, section 10.2.3), 0 or more; None where it does not, or not in a
    way that can be read. A number or date without end is infinity."""
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            seconds = float(headers.get(name, "")) / unit
        except ValueError:
            continue
        return max(seconds, 0.0) if seconds == seconds else None
    try:
        date = parsedate_tz(headers.get("retry-after", ""))
        return None if date is None else max(mktime_tz(date) - time.time(), 0.0)
    except OverflowError:
        return float("inf")
    except (ValueError, TypeError, IndexError, AttributeError, OSError):
        return None
