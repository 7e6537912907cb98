"""The part of an answer that is meant for the reader: reasoning models write their thoughts before it, each between marks of its own."""

import re

# Tags differ from model to model, so they are known by what they say: <think>, <thought>, <thinking>, <reasoning>, <seed:think>, [THINK], …
_NAME = (
    r"(?:[\w-]{1,20}:)?[\w -]{0,20}(?:think|thought|reason|reflect|analy[sz]|scratch|deliberat|monolog|contemplat|ponder|rationale"
    r"|brainstorm|planning)[\w-]{0,20}"
)
_BAR = r"[|｜]"
_CLOSING = re.compile(
    rf"<\s*/\s*{_NAME}\s*>"
    rf"|\[\s*/\s*{_NAME}\s*\]"  # Magistral
    rf"|◁\s*/\s*{_NAME}\s*▷"  # Kimi
    rf"|<{_BAR}\s*(?:/|end[▁_ ]?(?:of[▁_ ]?)?)\s*{_NAME}\s*{_BAR}>"  # OpenThinker, Command A
    rf"|<{_BAR}channel{_BAR}>\s*final[^<]{{0,40}}(?:<{_BAR}constrain{_BAR}>[^<]{{0,40}})?<{_BAR}message{_BAR}>"  # gpt-oss
    r"|<channel\|>|<unused95>"  # Gemma, MedGemma
    r"|\Aanalysis(?=[A-Z]).*assistantfinal",  # gpt-oss behind a server that drops its marks
    re.IGNORECASE | re.DOTALL,
)
_OPENING = re.compile(
    rf"<\s*{_NAME}\s*>|\[\s*{_NAME}\s*\]|◁\s*{_NAME}\s*▷|<{_BAR}\s*(?:(?:start|begin)[▁_ ]?(?:of[▁_ ]?)?)?{_NAME}\s*{_BAR}>"
    rf"|<{_BAR}?channel{_BAR}?>\s*(?:analysis|commentary|thought)|<unused94>",
    re.IGNORECASE,
)
_BARE = re.compile(r"\Aanalysis(?=[A-Z])")  # case matters: "Analysis of …" is an English sentence


def after_thoughts(content: str) -> str:
    """`content` after the last end of a thought and before one that does not end: what the model says once it has thought.

    The opening mark may be absent: chat templates of some models put it into the question. "" if the whole is one thought.
    """
    content = content.strip()
    last = 0
    for match in _CLOSING.finditer(content):
        if not match.group().lower().startswith("analysis") or _BARE.match(content):
            last = match.end()
    rest = content[last:]
    if not last and _BARE.match(rest):
        return ""
    unfinished = _OPENING.search(rest)
    return (rest[: unfinished.start()] if unfinished else rest).strip()
