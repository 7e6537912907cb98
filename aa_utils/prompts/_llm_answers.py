"""What a chat completion says: the texts in it, and what was wrong with the answer as a whole."""

import json

from aa_utils.prompts._llm_checks import is_refusal
from aa_utils.prompts._llm_lists import captions
from aa_utils.prompts._llm_thoughts import after_thoughts

# Of such an answer the texts that are whole are kept.
CUT_OFF, BROKEN = "cut off", "broken JSON"
_REASONING = ("reasoning_content", "reasoning")  # where servers put thoughts, and by mistake whole answers


class NoCompletion(Exception):
    """The server said 200, but what came is no chat completion: its fault, so it is asked again."""


def completion(body: bytes) -> dict:
    """{content, refusal, finish_reason, model, tokens_in, tokens_out} of the body of a 200 answer; tokens are None where it gives none.

    Where the content is empty and reasoning is not, that is in it too, as `reasoning`. Errors: NoCompletion for anything that is not an
    OpenAI chat completion with a message in it.
    """
    try:
        reply = json.loads(body)
        choice = reply["choices"][0]
        message = choice["message"]
        content, refusal = _joined(message.get("content")), message.get("refusal")
        reasoning = next((text for name in _REASONING if (text := _joined(message.get(name))).strip()), "")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise NoCompletion from None
    usage = reply.get("usage") if isinstance(reply.get("usage"), dict) else {}
    return {
        "content": content,
        "refusal": refusal if isinstance(refusal, str) else "",
        "finish_reason": str(choice.get("finish_reason")),
        "model": str(reply.get("model"))[:200],
        "tokens_in": _count(usage.get("prompt_tokens")),
        "tokens_out": _count(usage.get("completion_tokens")),
    } | ({"reasoning": reasoning} if reasoning and not content.strip() else {})


def texts(answer: dict, count: int = 0) -> tuple[list, str]:
    """(items of the answer, reason): the reason is "" for an answer in order. `count`: how many captions were asked for, 0 if unknown.

    The items are the texts of the list that counts, without thoughts, numbers and emphasis; what is no text is as the JSON has it. Those of
    a cut-off or broken answer are those that were whole; with any other reason there are none.
    """
    cut = answer["finish_reason"] == "length"
    # A model that was cut off while it thought has said nothing; one that ended put its answer into the wrong field.
    said = answer["content"] if answer["content"].strip() or cut else answer.get("reasoning", "")
    content = _unquoted(after_thoughts(said))
    if answer["finish_reason"] == "content_filter":
        return [], "content filter"
    if answer["refusal"]:
        return [], "refusal"
    if not content:
        return [], CUT_OFF if cut else "empty"
    found, any_json = captions(content, count)
    if is_refusal(content) and not (found and content[found.start] in "{["):
        return [], "refusal"
    items = found.items if found else []
    if found and cut and found.end == len(content) and content[found.start] not in "{[":
        items = items[:-1]  # the last line of a Markdown list
    if cut or (found and not found.whole):
        return items, CUT_OFF if cut else BROKEN
    if not items:
        return [], "empty" if found else ("other JSON" if any_json else "no JSON")
    return items, ""


def _unquoted(content: str) -> str:
    """JSON that was put into a JSON text, taken out of it."""
    if content[:1] != '"':
        return content
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return content
    return value if isinstance(value, str) else content


def _joined(content: object) -> str:
    """Text as it is, or in parts, as some servers send it; "" for anything else."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str))
    return content if isinstance(content, str) else ""


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
