"""Writer llm over HTTP, against a server on loopback: good answers, 200 bad ones, refusals, caps, kills; and the key stays on the wire."""

import json
import os
import subprocess
import sys
from collections import Counter

import hostile_answers
import pytest
import scripted_server as wire
from scripted_server import Reply, captions, completion, error, serve

from aa_utils import prompts
from aa_utils.errors import InputError
from aa_utils.paths import ROOT
from aa_utils.prompts import _llm_calls

CLASSES = ["mug", "alarm clock", "bicycle", "TV"]
KEY = "marker-KEY-0123456789-never-seen"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(_llm_calls, "FIRST_WAIT", 0.002)
    monkeypatch.setattr(_llm_calls, "LONGEST_WAIT", 0.02)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def ask(tmp_path):
    """ask(server, **options) -> (rows, counts), with the cache in tmp_path; options may replace class_names, per_class and seed."""

    def call(server, class_names=CLASSES, per_class=6, seed=0, **options):
        given = {"prompts_per_call": 4, "llm_model": "scripted", "cache": str(tmp_path / "cache"), "timeout": wire.TIMEOUT}
        return prompts.write_and_count(class_names, "llm", per_class, seed, base_url=server.url, **(given | options))

    return call


def stops(ask, script, match, **options) -> str:
    with serve(script) as server, pytest.raises(InputError, match=match) as caught:
        ask(server, **options)
    assert KEY not in str(caught.value)
    return str(caught.value)


def test_good_answers_become_prompts_of_the_class_that_was_asked_for(ask, capsys):
    with serve(captions) as server:
        rows, counts = ask(server)
    assert Counter(row["label"] for row in rows) == dict.fromkeys(range(4), 6)
    assert [row["id"] for row in rows[:2]] == ["llm-000-0000", "llm-000-0001"]
    assert all(row["class_name"] in row["text"] and row["writer"] == "llm" for row in rows)
    assert len(server.asked) == 8
    total = counts[-1]
    assert (total["class_name"], total["calls"], total["from_cache"], total["used"]) == ("all classes", 8, 0, 24)
    assert (total["tokens_in"], total["tokens_out"]) == (800, 400)
    assert "8 answers (0 of them from the cache), 800 tokens in, 400 out" in capsys.readouterr().out


def test_what_is_asked(ask):
    with serve(captions) as server:
        ask(server, domain="a pencil sketch", synonyms={"TV": ["television"]}, pin={"light": ["dim light"]}, temperature=0.5)
    bodies = [request["body"] for request in server.asked]
    assert all(
        request["path"] == "/v1/chat/completions" and request["headers"]["authorization"] == f"Bearer {KEY}" for request in server.asked
    )
    for body in bodies:
        text = body["messages"][1]["content"]
        name, count = wire.asked_for(body)
        assert body["model"] == "scripted" and body["temperature"] == 0.5 and body["max_tokens"] == 4240
        assert body["response_format"]["json_schema"]["schema"]["properties"]["prompts"]["items"] == {"type": "string"}
        assert count == 4 and "a pencil sketch" in text and "medium:" not in text and text.count("light: dim light") == 4
        others = text.partition("names any of these: ")[2].partition(".\n")[0].split(", ")
        assert set(others) | {name} == {"mug", "alarm clock", "bicycle", "television"}
    assert len({body["seed"] for body in bodies}) == 8 and all(0 <= body["seed"] < 2**31 for body in bodies)
    assert len({body["messages"][1]["content"] for body in bodies}) == 8, "every call has hints of its own"


def test_the_cache_answers_without_server_and_key_and_more_prompts_keep_the_first(ask, monkeypatch):
    with serve(captions) as server:
        rows, _ = ask(server)
        more, counts = ask(server, per_class=14)
        assert len(server.asked) == 16 and counts[-1]["from_cache"] == 8
        ask(server, seed=1)
        assert len(server.asked) == 24
    assert [row for row in more if int(row["id"][-4:]) < 6] == rows
    monkeypatch.delenv("OPENAI_API_KEY")
    again, counts = ask(server, per_class=14, calls_at_once=1)  # its port is closed
    assert again == more and counts[-1]["calls"] == 0
    with pytest.raises(InputError, match="no key in the environment variable 'OPENAI_API_KEY'"):
        ask(server, seed=2)


def test_an_answer_is_kept_before_the_next_is_asked_for(ask, tmp_path):
    """Killed at any moment, only calls under way are paid again."""
    with serve(captions) as server:
        answered = _killed(server, tmp_path)
        kept = len(list((tmp_path / "cache").glob("*.json")))
        assert 3 <= answered - 1 <= kept <= answered < 12
        ask(server, per_class=12, calls_at_once=1)
        assert len(server.asked) == answered + 12 - kept


def _killed(server, tmp_path) -> int:
    """Requests that a run had made when it was killed after the fourth."""
    code = (
        "from aa_utils import prompts\n"
        f"prompts.write({CLASSES!r}, 'llm', 12, 0, base_url='{server.url}', llm_model='scripted', prompts_per_call=4, calls_at_once=1,"
        f" timeout={wire.TIMEOUT}, cache={str(tmp_path / 'cache')!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=os.environ | {"OPENAI_API_KEY": KEY})
    while len(server.asked) < 4 and process.poll() is None:
        pass
    process.kill()
    process.wait()
    return len(server.asked)


def test_200_hostile_answers(ask):
    others = dict(zip(CLASSES, CLASSES[1:] + CLASSES[:1], strict=True))
    bad = hostile_answers.hostile(0, others)
    assert len(bad) == 200
    reasons: Counter[str] = Counter(reason for _, why, _ in bad for reason in why)
    good: dict[str, set] = {name: set() for name in CLASSES}

    def script(body, number):
        name, _ = wire.asked_for(body)
        if number >= len(bad):
            reply = captions(body, number)
            good[name] |= set(json.loads(reply.body["choices"][0]["message"]["content"])["prompts"])
            return reply
        make, _, held = bad[number]
        good[name] |= set(wire.good_texts(name, held, number))
        return make(name, number)

    with serve(script) as server:
        rows, counts = ask(server, per_class=60, tries=20, retries=30)
    total = counts[-1]
    assert len(server.asked) > 200, "all of them were served"
    assert Counter(row["label"] for row in rows) == dict.fromkeys(range(4), 60)
    for row in rows:
        assert row["text"] in good[row["class_name"]]
        assert [name for name in CLASSES if name in row["text"]] == [row["class_name"]]
    counted = {key: value for key, value in total.items() if key.startswith(("answer: ", "text: ", "retried: "))}
    assert counted == reasons
    assert total["texts"] == total["accepted"] + sum(value for key, value in total.items() if key.startswith("text: "))
    assert total["accepted"] == sum(map(len, good.values()))
    assert total["answers"] == total["calls"] == len(server.asked) - sum(v for k, v in total.items() if k.startswith("retried: "))
    again, _ = ask(server, per_class=60, tries=20)  # the server is gone
    assert again == rows


def test_too_few_good_prompts_is_an_error_that_names_what_lacks_and_nothing_is_made_up(ask, capsys):
    def script(body, number):
        return captions(body, number) if wire.asked_for(body)[0] != "TV" else Reply(completion('{"prompts": ["A dog", 3]}'))

    message = stops(ask, script, "of 6 a class there lack 'TV' 6")
    assert "12 answers held 36 texts, 24 good; rejected: text: not text 6 (3), text: too short 6 ('A dog')" in message
    assert "kept in" in message and "tries (now 3)" in message
    with serve(script) as server:
        rows, counts = ask(server, fill="offline")
        assert not server.asked, "every answer was kept"
    filled = [row for row in rows if row["writer"] == "offline"]
    assert [row["label"] for row in filled] == [3] * 6 and filled[0]["id"] == "offline-003-0000"
    assert counts[-1]["filled"] == counts[3]["filled"] == 6
    assert "6 prompts of 1 classes are from writer 'offline'" in capsys.readouterr().out


def test_what_a_server_refuses_is_left_out_told_and_recorded(ask, capsys):
    def script(body, number):
        for name, words in (
            ("response_format", "'response_format' of type json_schema is not supported"),
            ("max_tokens", "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
            ("temperature", "Unsupported value: 'temperature' does not support 0.5; only the default (1) is supported."),
            ("seed", "extra inputs are not permitted: seed"),
        ):
            if name in body:
                return error(400 if number % 2 else 422, words)
        return captions(body, number)

    with serve(script) as server:
        rows, counts = ask(server, temperature=0.5)
    assert len(rows) == 24 and server.asked[-1]["body"]["max_completion_tokens"] == 4240
    assert counts[-1]["refused"].split("; ") == [
        "response_format json_schema (asked with json_object)", "response_format json_object (asked with text)",
        "max_tokens (sent as max_completion_tokens)", "temperature (left out)", "seed (left out)",
    ]  # fmt: skip
    assert counts[-1]["answered_by"].endswith("by text")
    assert f"{server.url} refused temperature (left out)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (error(401, f"Incorrect API key provided: {KEY}"), "refuses the key of the environment variable 'OPENAI_API_KEY' .HTTP 401"),
        (error(403, f"no access for {KEY[:12]}"), "refuses the key"),
        (error(404, f"model not found, {KEY}"), r"HTTP 404\): .*model not found, \*\*\*.*does it serve 'scripted'"),
        (error(400, "context length exceeded"), "context length exceeded"),
        (error(429, "You exceeded your quota", "insufficient_quota"), "no credit left"),
        (error(429, "later", **{"Retry-After": "3600"}), "asks to come back in 3600 seconds .HTTP 429"),
        (error(503, f"{KEY}"), "did not answer in 3 tries; the last time: HTTP 503"),
        (Reply(b"<html>", 200), "no chat completion; is base_url right. It often ends with /v1"),
    ],
)
def test_errors_that_stop_say_what_is_kept(ask, reply, message):
    assert "kept in" in stops(ask, wire.after([captions] * 3, lambda body, number: reply), message, retries=2)


def test_a_cap_stops_before_it_is_passed_and_holds_over_runs(ask):
    with serve(captions) as server:
        with pytest.raises(InputError, match=r"token_cap=6000 could be passed: so far (\d+) answers .*Raise token_cap.*kept in"):
            ask(server, per_class=100, token_cap=6000)
        paid = len(server.asked)
        assert paid >= 2 and 150 * paid <= 6000
        with pytest.raises(InputError, match=f"so far {paid} answers .{paid} of them from the cache"):
            ask(server, per_class=100, token_cap=6000)
        assert len(server.asked) == paid, "what was paid before counts too"
        with pytest.raises(InputError, match=r"money_cap=0.01 could be passed: .* 0\.0\d+ at the prices given"):
            ask(server, per_class=100, prices=[1.0, 2.0], money_cap=0.01)
        _, counts = ask(server, per_class=20, prices=[1.0, 2.0], money_cap=0.05)
    assert counts[-1]["money"] == pytest.approx(20 * (100 * 1.0 + 50 * 2.0) / 1e6)


def _edited(text: str) -> str:
    entry = json.loads(text)
    entry["answer"]["content"] = entry["answer"]["content"].replace("number", "numberless")
    return json.dumps(entry)


@pytest.mark.parametrize(
    "change",
    [lambda text: text[:-20], lambda text: "", _edited, lambda text: text.replace('"stop"', '"length"'), lambda text: "[1]",
     lambda text: text.replace('"sha256"', '"sha1"'), lambda text: "[" * 100_000],
)  # fmt: skip
def test_an_answer_that_was_changed_in_the_cache_is_named_and_asked_for_again(ask, tmp_path, capsys, change):
    with serve(captions) as server:
        rows, _ = ask(server)
        file = sorted((tmp_path / "cache").iterdir())[0]
        whole = file.read_text()
        assert change(whole) != whole
        file.write_text(change(whole))
        capsys.readouterr()
        again, counts = ask(server)
        assert again == rows and len(server.asked) == 9 and file.read_text() == whole
    assert f"{file.name}' is not as it was written" in capsys.readouterr().out
    assert counts[-1]["retried: answer changed in the cache"] == 1 and counts[-1]["from_cache"] == 7
