"""A real HTTP server on loopback that speaks the chat-completions protocol and answers as its script says: well, badly, or not at all.

    with serve(script) as server: ... server.url, server.asked

A script is a function (request body, number of the request) -> Reply. `captions(body, number)` answers as a good model would.
"""

import json
import random
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

TIMEOUT = 2.0  # seconds that the tests' client waits for a byte


@dataclass
class Reply:
    """What goes over the wire: a status, a body (bytes as they are, anything else as JSON), and how to spoil them."""

    body: object = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    # "silence": nothing until the client gives up; "drop": no answer; "cut": the connection ends in the middle; "noise": no HTTP
    spoil: str = ""
    raw: Callable[[], Iterator[bytes]] | None = None  # the bytes of the whole answer, head and all, as long as the client listens


def completion(content: object, finish: str = "stop", tokens: object = (100, 50), **message: object) -> dict:
    """The JSON of a chat completion."""
    usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]} if isinstance(tokens, tuple) else tokens
    message = {"role": "assistant", "content": content, **message}
    return {
        "id": "chatcmpl-0", "object": "chat.completion", "created": 0, "model": "scripted-model-0",
        "choices": [{"index": 0, "finish_reason": finish, "message": message}], "usage": usage,
    }  # fmt: skip


def error(status: int, message: str, code: str | None = None, **headers: str) -> Reply:
    """An error as OpenAI words it."""
    return Reply({"error": {"message": message, "type": "error", "code": code, "param": None}}, status, headers)


def asked_for(body: dict) -> tuple[str, int]:
    """(the class, the number of captions) that a request asks for."""
    text = body["messages"][-1]["content"]
    return re.search(r'Every caption names "([^"]+)"', text)[1], int(re.search(r"Write (\d+)", text)[1])


_WORDS = {
    "kind": "red blue green yellow striped spotted wooden plastic metal glass ceramic leather rusty polished cracked dusty antique",
    "place": "kitchen garden garage beach library forest station market attic workshop bakery harbour meadow museum balcony cellar",
    "light": "dawn noon dusk midnight candlelight neon moonlight fog snowfall sunshine rain twilight",
    "view": "above below afar aside closely upfront overhead underneath diagonally",
}  # fmt: skip


def good_texts(name: str, count: int, key: object) -> list[str]:
    """`count` captions that name `name` and differ enough, other ones for another `key`."""
    rng = random.Random(f"{name} {key}")
    kinds = [{slot: rng.choice(words.split()) for slot, words in _WORDS.items()} for _ in range(count)]
    return [f"A {w['kind']} {name} in a {w['place']} at {w['light']}, seen {w['view']}, number{rng.randrange(10**9)}" for w in kinds]


def captions(body: dict, number: int) -> Reply:
    """A good answer; the same request gets the same one."""
    name, count = asked_for(body)
    return Reply(completion(json.dumps({"prompts": good_texts(name, count, json.dumps(body["messages"]))})))


@contextmanager
def serve(script: Callable[[dict, int], Reply], files: Callable[[str], Reply] | None = None) -> Iterator[SimpleNamespace]:
    """Serve `script` on a free port of loopback; yields url (with /v1), and asked: the requests so far as {body, headers, path}.

    `files` answers GET requests, by their path; these are in `fetched`.
    """
    fetched: list[dict] = []
    asked: list[dict] = []
    lock = threading.Lock()
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm, wbufsize = True, -1  # head and body in one packet: no 40 ms wait for each answer

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                number = len(asked)
                asked.append({"body": body, "headers": {name.lower(): value for name, value in self.headers.items()}, "path": self.path})
            self._answer(script(body, number))

        def do_GET(self):
            with lock:
                fetched.append({"headers": {name.lower(): value for name, value in self.headers.items()}, "path": self.path})
            self._answer(files(self.path) if files else Reply(b"", 404))

        def _answer(self, reply):
            if reply.raw:
                for piece in reply.raw():
                    if over.is_set():
                        break
                    self.wfile.write(piece)
                    self.wfile.flush()
                self._hang_up()
                return
            data = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            if reply.spoil == "silence":
                over.wait(TIMEOUT * 3)
            if reply.spoil in ("silence", "drop"):
                self._hang_up()
                return
            if reply.spoil == "noise":
                self.wfile.write(b"\x00\xff no HTTP at all\r\n\r\n")
                self._hang_up()
                return
            self.send_response(reply.status)
            for header, value in reply.headers.items():
                self.send_header(header, value)
            self.send_header("Content-Length", str(len(data) + (1000 if reply.spoil == "cut" else 0)))
            self.end_headers()
            self.wfile.write(data)
            if reply.spoil == "cut":
                self._hang_up()

        def _hang_up(self):
            self.close_connection = True
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *about: None  # clients that hang up are part of the play
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield SimpleNamespace(url=f"http://127.0.0.1:{server.server_port}/v1", asked=asked, fetched=fetched)
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()


def after(first: list[Callable[[dict, int], Reply]], then: Callable[[dict, int], Reply] = captions) -> Callable[[dict, int], Reply]:
    """A script: the replies of `first`, one a request, and from then on those of `then`."""
    return lambda body, number: first[number](body, number) if number < len(first) else then(body, number)
