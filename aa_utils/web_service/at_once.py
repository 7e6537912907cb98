"""Some questions to a server at once; when one fails, none is begun any more, and those under way end by themselves, for they are paid."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

from aa_utils.progress import progress
from aa_utils.web_service.server import Stopped

Question, Answer = TypeVar("Question"), TypeVar("Answer")


def answers(
    questions: Sequence[Question],  # type: ignore[valid-type]
    ask: Callable[[Question], Answer],  # type: ignore[valid-type]
    at_once: int,
    stop: threading.Event,
    what: str,
    unit: str,
) -> list[Answer]:  # type: ignore[valid-type]
    """`ask` of each question, in their order, `at_once` at a time. Errors: the first that a call ended with, once `stop` is set."""
    with ThreadPoolExecutor(at_once) as pool:
        asked = [pool.submit(ask, question) for question in questions]
        try:
            for call in progress(as_completed(asked), what, total=len(asked), unit=unit):
                call.result()
        except BaseException as error:
            stop.set()
            pool.shutdown(cancel_futures=True)
            failed = [call.exception() for call in asked if not call.cancelled() and call.exception()]
            raise next((other for other in failed if not isinstance(other, Stopped)), error) from None
    return [call.result() for call in asked]
