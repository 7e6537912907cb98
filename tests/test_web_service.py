"""A server that answers without end, too slowly or too large ends in bounded time and memory; proxies, waits and keys of any server."""

import gzip
import json
import subprocess
import sys
import time
import zlib
from contextlib import ExitStack
from functools import cache
from types import SimpleNamespace

import pytest
import scripted_server as wire
from scripted_server import Reply, captions, error, serve

from aa_utils import prompts
from aa_utils.errors import InputError
from aa_utils.paths import ROOT
from aa_utils.prompts import _llm_calls
from aa_utils.web_service import server

KEY = "marker-KEY-0123456789-never-seen"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def slowly(piece: bytes, head: bytes = b"", seconds: float = 0.2):
    yield head
    while True:
        time.sleep(seconds)
        yield piece


def without_end(piece: bytes, head: bytes = b""):
    yield head
    while True:
        yield piece


@cache
def bomb(*layers) -> bytes:
    """Nothing but blanks, hundreds of megabytes of them, packed by each of `layers`."""
    data = b"".join(_packed(b" " * 1_000_000, 400))
    for layer in layers:
        data = layer(data)
    return data


def _packed(block: bytes, times: int):
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    for _ in range(times):
        yield packer.compress(block)
    yield packer.flush()


def whole(data: bytes, encoding: str):
    yield OK + f"Content-Encoding: {encoding}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


SLOW = {
    "a byte of the body at a time": lambda: slowly(b"[", OK + b"\r\n"),
    "a byte of the head at a time": lambda: slowly(b"a", OK),
    "a blank at a time": lambda: slowly(b" ", OK + b"\r\n"),
    "100 Continue at a time": lambda: slowly(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a chunk at a time": lambda: slowly(b"1\r\n \r\n", OK + b"Transfer-Encoding: chunked\r\n\r\n"),
}
LARGE = {
    "blanks": lambda: without_end(b" " * 65536, OK + b"\r\n"),
    "a gigabyte": lambda: without_end(b"a" * 65536, OK + b"Content-Length: 1000000000\r\n\r\n"),
    "chunks": lambda: without_end(b"10000\r\n" + b"[" * 65536 + b"\r\n", OK + b"Transfer-Encoding: chunked\r\n\r\n"),
    "100 Continue": lambda: without_end(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "a head": lambda: without_end(b"X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 100, OK),
    "an error": lambda: without_end(b"e" * 65536, b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "a bomb": lambda: whole(bomb(), "gzip"),
    "a bomb in a bomb": lambda: whole(bomb(gzip.compress), "gzip, gzip"),
    "a bomb in bombs": lambda: whole(bomb(gzip.compress, zlib.compress), "gzip, gzip, deflate"),
}


MEASURED = r"""
import re, sys, time
from aa_utils import prompts
from aa_utils.prompts import _llm_calls
_llm_calls.FIRST_WAIT = 0.002

def ask(place, url):
    options = {"llm_model": "m", "key_variable": "", "timeout": 30, "retries": 1, "cache": f"{sys.argv[1]}/{place}"}
    try:
        prompts.write(["mug"], "llm", 4, 0, base_url=url, **options)
    except ValueError as error:
        return str(error)

def peak():
    return int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1]) / 1024

ask("base", sys.argv[2])
base = peak()
for place, url in enumerate(sys.argv[3:]):
    started = time.monotonic()
    said = ask(place, url)
    print(peak() - base, time.monotonic() - started, said)
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(_llm_calls, "FIRST_WAIT", 0.002)
    monkeypatch.setattr(_llm_calls, "LONGEST_WAIT", 0.02)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def ask(tmp_path):
    """ask(url, **options) -> (rows, counts) of writer llm for one class."""

    def call(url, **options):
        given = {"prompts_per_call": 4, "llm_model": "scripted", "cache": str(tmp_path / "cache"), "timeout": 0.5, "retries": 2}
        return prompts.write_and_count(["mug"], "llm", 4, 0, base_url=url, **(given | options))

    return call


@pytest.mark.parametrize("kind", SLOW)
def test_an_answer_that_comes_too_slowly_ends_in_time(ask, kind):
    """Every read is within the timeout; the whole is not."""
    started = time.monotonic()
    with serve(lambda body, number: Reply(raw=SLOW[kind])) as at, pytest.raises(InputError, match=r"did not answer in \d tries; .*timeout"):
        ask(at.url)
    assert time.monotonic() - started < 0.5 * server.LONGEST_CALL + 3


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is read from /proc")
def test_answers_that_never_end_take_little_memory_and_time(tmp_path):
    """All of them asked for by a process of its own, whose peak is measured: 2 MB are read of each, and 400 lie behind a packed one."""
    with ExitStack() as servers:
        plain = servers.enter_context(serve(captions))
        at = {kind: servers.enter_context(serve(lambda body, number, raw=raw: Reply(raw=raw))) for kind, raw in LARGE.items()}
        command = [sys.executable, "-c", MEASURED, str(tmp_path), plain.url, *(one.url for one in at.values())]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    lines = [line.split(" ", 2) for line in done.stdout.splitlines()[-len(LARGE) :]]
    for kind, (memory, seconds, said) in zip(LARGE, lines, strict=True):
        print(f"{kind}: {float(memory):.0f} MB more, {float(seconds):.1f} s: {said[:110]}")
        assert "did not answer in 2 tries; the last time: answer of more than 2 MB" in said or kind == "a head", (kind, said)
        assert float(memory) < 40 and float(seconds) < 40, kind


def test_a_server_that_asks_to_wait_without_end_ends(monkeypatch):
    """299 seconds each time, 8 times, would be 40 minutes; the clock of the waits is not the real one here."""
    at = server.Server("http://server/v1", "m", "", 1, retries=100, resume_hint="")
    waits = []
    monkeypatch.setattr(at, "_try", lambda *about: server.Trouble("HTTP 429", 429, "", None, {"retry-after": "299"}))
    monkeypatch.setattr(at, "stop", SimpleNamespace(is_set=lambda: False, wait=waits.append))
    with pytest.raises(InputError, match=r"asks to wait again and again, 897 seconds by now .HTTP 429"):
        at.ask(None, 0, lambda trouble: False, 1.0, 60.0)
    assert len(waits) == 2 and sum(waits) < server.LONGEST_WAITS + 20


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("5", 5), ("0.5", 0.5), ("-3", 0), ("1e400", float("inf")), ("9" * 400, float("inf")), ("inf", float("inf")),
        ("nan", None), ("soon", None), ("", None), ("1,5", None), 
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("Wed, 21 Oct 99999999999 07:28:00 GMT", float("inf")),
        ("Wed, 99 Foo 2015 07:28:00 GMT", None), ("Wed, 21 Oct -1 07:28:00 GMT", None), ("\x00", None),
    ],
)  # fmt: skip
def test_retry_after_is_read_without_harm(said, seconds):
    found = server.retry_after({"retry-after": said})
    assert found == seconds
    assert server.retry_after({"retry-after-ms": "1500", "retry-after": said}) == 1.5
    assert server.retry_after({"retry-after-ms": "soon", "retry-after": said}) == seconds


@pytest.mark.parametrize("value", ["Wed, 21 Oct 99999999999 07:28:00 GMT", "1e400", "86400"])
def test_a_server_that_asks_to_come_back_much_later_stops_the_run(ask, value):
    with (
        serve(lambda body, number: error(429, "later", **{"Retry-After": value})) as at,
        pytest.raises(InputError, match="asks to come back in"),
    ):
        ask(at.url)
    assert len(at.asked) == 1


def test_a_server_that_says_that_another_try_is_of_no_use_is_believed(ask):
    said = lambda body, number: error(503, "gone for good", **{"x-should-retry": "false"})  # noqa: E731
    with serve(said) as at, pytest.raises(InputError, match=r"refuses the request .HTTP 503.: .*gone for good"):
        ask(at.url)
    assert len(at.asked) == 1


def system_role_only(status: int, words: str):
    def script(body, number):
        if body["messages"][0]["role"] != "user":
            return error(status, words)
        text = "\n".join(message["content"] for message in body["messages"])
        name, count = wire.asked_for({"messages": [{"content": text}]})
        return Reply(wire.completion(json.dumps({"prompts": wire.good_texts(name, count, text)})))

    return script


@pytest.mark.parametrize(("status", "words"), [(400, "System role not supported"), (500, "Internal Server Error"), (500, "")])
def test_a_server_without_a_system_role_is_asked_without_one(ask, status, words):
    with serve(system_role_only(status, words)) as at:
        rows, counts = ask(at.url)
    assert len(rows) == 4 and counts[-1]["refused"].startswith("system role")
    assert len(at.asked) <= 3


@pytest.mark.parametrize("renamed", [False, True])
@pytest.mark.parametrize("limit", [4096, 2048])
def test_a_small_context_is_asked_for_what_it_has_room_for(ask, limit, renamed):
    def script(body, number):
        name = "max_completion_tokens" if renamed else "max_tokens"
        if name not in body:
            return error(400, "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.")
        if body[name] + 700 > limit:
            return error(400, f"This model's maximum context length is {limit} tokens. However, you requested {body[name] + 700} tokens "
                              f"(700 in the messages, {body[name]} in the completion). Please reduce the length.")  # fmt: skip
        return captions(body, number)

    with serve(script) as at:
        _, counts = ask(at.url)
    assert f"(asked for {limit - 700})" in counts[-1]["refused"]
    assert len(at.asked) == 2 + renamed
