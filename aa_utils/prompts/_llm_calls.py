"""One question to a language model, asked until it is answered: the cache, the caps, and what the server was seen to refuse."""

import re

from aa_utils.errors import InputError
from aa_utils.prompts import _llm_cache as cache
from aa_utils.prompts._llm_answers import NoCompletion, completion
from aa_utils.prompts._llm_refusals import Refusals, format_of
from aa_utils.prompts._llm_spend import Spend
from aa_utils.web_service import server

FIRST_WAIT = 1.0  # seconds; doubles with each further try
LONGEST_WAIT = 60.0
FIXED_BYTES, BYTES_PER_TOKEN = 2_000_000, 32  # an answer may have so many, thoughts and escapes included
_FILTERED = b'{"choices": [{"message": {}, "finish_reason": "content_filter"}], "usage": {"prompt_tokens": 0, "completion_tokens": 0}}'


class Server:
    """What outlives a call: the server, the spend, and what the server refuses. Threads share it."""

    def __init__(self, config):
        self.config = config
        self.spend = Spend(config)
        resume_hint = f"Every answer so far is kept in '{config.cache}', and the same call goes on from there"
        self._server = server.Server(
            config.base_url, config.llm_model, config.key_variable, config.timeout, config.retries, resume_hint, self.spend.stop
        )
        self._refusals = Refusals(config.base_url, config.answer_format, resume_hint)
        self.retried = self._server.retried

    @property
    def refused(self) -> list[str]:
        """What the server refused, and how it was asked instead."""
        return self._refusals.notes()

    def look_up(self, request: dict) -> dict | None:
        """The answer in the cache, or None. One that was changed there is told, counted, and asked for again."""
        answer, changed = cache.load(self.config.cache, request)
        if changed:
            self.retried["answer changed in the cache"] += 1
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
            raise InputError(f"{error}. {self._server.resume_hint}") from None
        try:
            answer = self._answer(request)
            cache.store(self.config.cache, request, answer)
            self.spend.count(request, answer, "calls")
        except BaseException:
            self.spend.stop.set()
            raise
        finally:
            self.spend.release(need)
        return answer

    def _answer(self, request: dict) -> dict:
        sent, folded, failures, filtered = {}, False, 0, False

        def send(client) -> dict:
            nonlocal sent
            sent = self._refusals.body(request, folded)
            body = _FILTERED if filtered else client.chat.completions.with_raw_response.create(**sent).content
            try:
                answer = completion(body)
            except NoCompletion:
                raise server.BadAnswer("no chat completion") from None
            if not filtered:
                self._refusals.answered(sent)
            return answer

        def step_back(trouble: server.Trouble) -> bool:
            nonlocal folded, failures, filtered
            if self._refusals.learn(sent, trouble.status, trouble.message):
                return True
            if trouble.status == 400 and re.search(r"content[_ ]filter", trouble.message):
                filtered = True  # the question was filtered: an answer, that another try will not change
                return True
            if trouble.status == 500:  # some servers have no words for a role that they do not know
                failures += 1
                folded = failures % 2 == 0 and self._refusals.may_be_system()
            return False

        size = FIXED_BYTES + BYTES_PER_TOKEN * request["max_tokens"]
        answer = self._server.ask(send, size, step_back, FIRST_WAIT, LONGEST_WAIT)
        answer = {name: self._server.clean(value) for name, value in answer.items()}
        return answer | {"base_url": self.config.base_url, "answer_format": format_of(sent)}
