"""What a chat completion says: the texts in it, and what was wrong with the answer as a whole."""

import json
import re

from aa_utils.prompts._llm_checks import is_refusal

# Of such an answer the texts that are whole are kept.
CUT_OFF, BROKEN = "cut off", "broken JSON"
_THINKING = re.compile(r"<think>.*?(</think>|$)", re.DOTALL)


class NoCompletion(Exception):
    """The server said 200, but what came is no chat completion: its fault, so it is asked again."""


def completion(body: bytes) -> dict:
    """{content, refusal, finish_reason, model, tokens_in, tokens_out} of the body of a 200 answer; tokens are None where it gives none.

    Errors: NoCompletion for anything that is not an OpenAI chat completion with a message in it.
    """
    try:
        reply = json.loads(body)
        choice = reply["choices"][0]
        message = choice["message"]
        content, refusal = message.get("content"), message.get("refusal")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise NoCompletion from None
    if isinstance(content, list):  # parts, as some servers send them
        content = "".join(part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str))
    usage = reply.get("usage") if isinstance(reply.get("usage"), dict) else {}
    return {
        "content": content if isinstance(content, str) else "",
        "refusal": refusal if isinstance(refusal, str) else "",
        "finish_reason": str(choice.get("finish_reason")),
        "model": str(reply.get("model")),
        "tokens_in": _count(usage.get("prompt_tokens")),
        "tokens_out": _count(usage.get("completion_tokens")),
    }


def texts(answer: dict) -> tuple[list, str]:
    """(items of the answer as its JSON gives them, reason): the reason is "" for an answer in order.

    The items of a cut-off or broken answer are those that were whole; with any other reason there are none.
    """
    content = _THINKING.sub("", answer["content"]).strip()
    if answer["finish_reason"] == "content_filter":
        return [], "content filter"
    if answer["refusal"] or (is_refusal(content) and not content.startswith(("{", "["))):
        return [], "refusal"
    cut = answer["finish_reason"] == "length"
    if not content:
        return [], CUT_OFF if cut else "empty"
    value, whole = _json(content)
    items = _list(value)
    if cut or not whole:
        return items or [], CUT_OFF if cut else BROKEN
    if not items:
        return [], "no JSON" if value is None else ("other JSON" if items is None else "empty")
    return items, ""


def _json(content: str) -> tuple[object, bool]:
    """(the first JSON list or object in the text, is it whole); (None, True) where there is none."""
    from pydantic_core import from_json

    start = re.search(r"[{\[]", content)
    if not start:
        return None, True
    try:
        return json.JSONDecoder().raw_decode(content, start.start())[0], True
    except (ValueError, RecursionError):
        pass
    try:
        return from_json(content[start.start() :], allow_partial=True), False
    except ValueError:
        return None, True


def _list(value: object) -> list | None:
    """The list itself, of "prompts", or the one list there is; each text may stand in an object of its own."""
    if isinstance(value, dict):
        lists = [found for found in value.values() if isinstance(found, list)]
        value = value["prompts"] if isinstance(value.get("prompts"), list) else lists[0] if len(lists) == 1 else None
    if not isinstance(value, list):
        return None
    return [_only_text(item) if isinstance(item, dict) else item for item in value]


def _only_text(item: dict) -> object:
    strings = [value for value in item.values() if isinstance(value, str)]
    return strings[0] if len(strings) == 1 else item


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
