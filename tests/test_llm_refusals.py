"""What servers refuse, in the words that they are known to use: fewer tokens, other names, no system role."""

import pytest

from aa_utils.errors import InputError
from aa_utils.prompts._llm_refusals import Refusals, fewer_tokens

MESSAGES = [{"role": "system", "content": "You write captions."}, {"role": "user", "content": "Write 20 captions." * 100}]
REQUEST = {"model": "m", "messages": MESSAGES, "temperature": 1.0, "max_tokens": 5200, "seed": 1, "answer_format": "json_schema"}
LIMITS = [
    ("max_tokens is too large: 5200. This model supports at most 4096 completion tokens, whereas you provided 5200.", 4096),
    ("This model's maximum context length is 4097 tokens. However, you requested 5900 tokens (700 in the messages, 5200 in the "
     "completion). Please reduce the length of the messages or completion.", 3397),
    ("'max_tokens' or 'max_completion_tokens' is too large: 5200. This model's maximum context length is 4096 tokens and your request has "
     "700 input tokens (5200 > 4096 - 700).", 3396),
    ("This model's maximum context length is 2,048 tokens. However, you requested 5,900 tokens (700 in the messages, 5,200 "
     "in the completion).", 1348),
    ("max_tokens: 5200 > 4096, which is the maximum allowed number of output tokens for claude-3-opus-20240229", 4096),
    ("`inputs` tokens + `max_new_tokens` must be <= 2048. Given: 700 `inputs` tokens and 5200 `max_new_tokens`", 1348),
    ("`max_tokens` must be less than or equal to `1024`, the maximum value for `max_tokens` is less than the `context_window`", 1024),
    ("Invalid max_tokens value, the valid range of max_tokens is [1, 4096]", 4096),
    ("Range of max_tokens should be [1, 2000]", 2000),
    ("Requested token count exceeds the model's maximum context length of 4096 tokens. You requested a total of 5900 tokens: 700 tokens "
     "from the input messages and 5200 tokens for the completion.", 3396),
    ("Request too large for model `x` on tokens per minute (TPM): Limit 6000, Requested 9500, please reduce your message size", 1700),
    ('[{"loc": ["body", "max_tokens"], "msg": "Input should be less than or equal to 4096", "ctx": {"le": 4096}}]', 4096),
    ("it has a maxOutputTokens value of 5200 but the supported range is from 1 (inclusive) to 2049 (exclusive).", 2049),
    ("too many tokens: max tokens must be less than or equal to 4096 for command-r", 4096),
    ("max_tokens参数非法：取值范围 [1,4095]", 4095),
    ("max_tokens ist zu groß: 5200 (höchstens 4096)", 4096),
    ("max_tokens dépasse la limite de 4096", 4096),
    ("Prompt contains 700 tokens and 5200 draft tokens, too large for model with 4,096 maximum context length", 4096),
    ("The maximum tokens you requested exceeds the model limit of 4096. Try again with a value that is lower than 4096.", 4096),
    ("max_tokens is too large", 2600),
    ("the request exceeds the available context size (4096 tokens), try increasing it", 4096),
]  # fmt: skip


@pytest.mark.parametrize(("said", "expected"), LIMITS)
def test_the_limit_is_read_out_of_the_refusal(said, expected):
    fewer = fewer_tokens(5200, said)
    assert fewer == expected
    known = Refusals("http://server/v1", "text")
    assert known.learn(known.body(REQUEST), 400, said)
    assert known.body(REQUEST)["max_tokens"] == fewer and known.notes() == [f"answers of 5200 tokens (asked for {fewer})"]


@pytest.mark.parametrize("limit", [8192, 4096, 2048, 1024])
@pytest.mark.parametrize("words", [said for said, _ in LIMITS])
def test_a_server_that_always_says_so_is_asked_for_less_until_it_stops(limit, words):
    """Whatever the words: the number that is asked for falls to what the server takes, or the run stops."""
    known, asked = Refusals("http://server/v1", "text"), []
    while (body := known.body(REQUEST))["max_tokens"] > limit - 700:
        asked.append(body["max_tokens"])
        assert known.learn(body, 400, words)
    assert len(asked) <= 8 and body["max_tokens"] >= 64
    with pytest.raises(InputError, match=r"leaves no room for an answer of 64 tokens .*set prompts_per_call lower"):
        for _ in range(20):
            known.learn(known.body(REQUEST), 400, "context length exceeded: too many tokens")


@pytest.mark.parametrize(
    "said",
    [
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        '{"detail": [{"loc": ["body", "max_tokens"], "msg": "Extra inputs are not permitted"}]}', "unknown field max_tokens",
    ],
)  # fmt: skip
def test_another_name_for_the_limit_and_the_limit_itself_are_told_apart(said):
    known = Refusals("http://server/v1", "text")
    assert known.learn(known.body(REQUEST), 400, said)
    assert known.body(REQUEST)["max_completion_tokens"] == 5200 and "max_tokens" not in known.body(REQUEST)
    assert known.learn(known.body(REQUEST), 400, LIMITS[0][0].replace("max_tokens", "max_completion_tokens"))
    assert known.body(REQUEST)["max_completion_tokens"] == 4096
    assert known.notes() == ["max_tokens (sent as max_completion_tokens)", "answers of 5200 tokens (asked for 4096)"]


@pytest.mark.parametrize(
    "said",
    [
        "System role not supported", "Conversation roles must alternate user/assistant/user/assistant/...",
        "Only user and assistant roles are supported!", "Developer instruction is not enabled for models/gemma-3-1b-it",
        "role 'system' is not allowed",
        '{"error": "unsupported role: \\"system\\""}',
        "Please use a valid role: user, model.", "messages 参数非法: 不支持 system 角色",
        "messages.0.role: Input should be 'user' or 'assistant'", "system messages are not supported by this model",
    ],
)  # fmt: skip
@pytest.mark.parametrize("status", [400, 422, 500])
def test_without_a_system_role_its_text_goes_to_the_user(said, status):
    known = Refusals("http://server/v1", "text")
    assert known.learn(known.body(REQUEST), status, said)
    (message,) = known.body(REQUEST)["messages"]
    assert message == {"role": "user", "content": f"{MESSAGES[0]['content']}\n\n{MESSAGES[1]['content']}"}
    assert known.notes() == ["system role (its text stands in the user's message)"]
    assert not known.learn(known.body(REQUEST), status, said), "not twice"


@pytest.mark.parametrize(
    ("said", "left_out"),
    [
        ("Unsupported value: 'temperature' does not support 0.5 with this model. Only the default (1) value is supported.", "temperature"),
        ("temperature: range: 0..1", "temperature"), ("`temperature` must be between 0 and 1", "temperature"),
        ("temperature 参数非法，取值范围 (0,1)", "temperature"),
        ("Unrecognized request argument supplied: seed", "seed"), ("property 'seed' is unsupported", "seed"),
    ],
)  # fmt: skip
def test_sampling_that_a_server_does_not_take_is_left_out(said, left_out):
    known = Refusals("http://server/v1", "text")
    assert known.learn(known.body(REQUEST), 400, said)
    assert set(known.body(REQUEST)) == {"model", "messages", "temperature", "max_tokens", "seed"} - {left_out}
    assert known.notes() == [f"{left_out} (left out)"]


@pytest.mark.parametrize(
    "said",
    [
        "JSON mode is not enabled for models/gemma-3-27b-it", "Json mode is not supported for this model.", "Unknown parameter: 'strict'",
        "Unknown name \"additionalProperties\" at 'generation_config.response_schema': Cannot find field.",
        "'response_format.type' must be 'json_schema' or 'text'", "This model does not support structured output",
    ],
)  # fmt: skip
def test_an_answer_format_that_is_not_taken_gives_way_to_the_next_one(said):
    known = Refusals("http://server/v1", "json_schema")
    for wanted in ("json_schema", "json_object"):
        assert known.body(REQUEST)["response_format"]["type"] == wanted
        assert known.learn(known.body(REQUEST), 400, said)
    assert "response_format" not in known.body(REQUEST)


@pytest.mark.parametrize(
    ("status", "said"),
    [(400, "flagged by the filter"), (500, "oops"), (429, "Rate limit reached: Limit 40000 tokens per min, used 39000, requested 5900"),
     (401, "system role not supported"), (503, "max_tokens is too large"), (404, "model not found"), (400, "file system error")],
)  # fmt: skip
def test_other_refusals_change_nothing(status, said):
    known = Refusals("http://server/v1", "text")
    assert not known.learn(known.body(REQUEST), status, said)
    assert known.notes() == []
