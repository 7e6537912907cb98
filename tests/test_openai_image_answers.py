"""What an images endpoint may answer: pictures in any form and format, and what is none; each is an image of the folder or one sentence."""

import base64
from collections import Counter

import pytest
from PIL import Image
from scripted_images import answer, ask, draw, encoded, rows_of
from scripted_server import Reply, error, serve

from aa_utils.errors import InputError
from aa_utils.generate import image_calls

KEY = "marker-KEY-0123456789-never-seen"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(image_calls, "FIRST_WAIT", 0.002)
    monkeypatch.setattr(image_calls, "LONGEST_WAIT", 0.02)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def stops(tmp_path, script, match: str, **options) -> str:
    with serve(script) as at, pytest.raises(InputError, match=match) as caught:
        ask(at, tmp_path, **options)
    assert KEY not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("PNG", "RGB"), ("JPEG", "RGB"), ("WEBP", "RGB"), ("AVIF", "RGB"), ("PNG", "RGBA"), ("PNG", "P"), ("PNG", "L"), ("GIF", "P")],
)
def test_whatever_format_comes_passes_the_one_decoder(tmp_path, kind, mode):
    with serve(lambda body, number: answer(encoded(body["prompt"], kind=kind, mode=mode))) as at:
        assert ask(at, tmp_path)["made"] == 12
    for row in rows_of(tmp_path):
        with Image.open(tmp_path / "images" / row["file_name"]) as picture:
            assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (24, 16))


@pytest.mark.parametrize("form", ["absolute", "relative", "of the root", "data", "data in b64_json", "a bare text", "under images"])
def test_an_address_in_the_answer_is_fetched(tmp_path, form):
    def script(body, number):
        data = encoded(body["prompt"])
        inline = f"data:image/png;base64,{base64.b64encode(data).decode()}"
        drawn[str(number)] = data
        url = {"absolute": f"{at.url}/files/{number}", "relative": f"files/{number}", "of the root": f"/v1/files/{number}"}.get(
            form, inline
        )
        if form == "data in b64_json":
            return Reply({"data": [{"b64_json": inline}]})
        if form == "a bare text":
            return Reply({"data": [f"{at.url}/files/{number}"]})
        return Reply({"images" if form == "under images" else "data": [{"url": url}]})

    drawn: dict[str, bytes] = {}
    with serve(script, lambda path: Reply(drawn[path.rpartition("/")[2]], 200, {"Content-Type": "image/png"})) as at:
        assert ask(at, tmp_path)["made"] == 12
    assert all(request["headers"]["authorization"] == f"Bearer {KEY}" for request in at.fetched), "the server itself may want its key"


def test_the_key_goes_to_no_other_server(tmp_path):
    with serve(draw, lambda path: Reply(encoded(path), 200, {"Content-Type": "image/png"})) as other:
        elsewhere = other.url.replace("127.0.0.1", "localhost")
        with serve(lambda body, number: Reply({"data": [{"url": f"{elsewhere}/{number}.png"}]})) as at:
            assert ask(at, tmp_path)["made"] == 12
    assert len(other.fetched) == 12 and not any("authorization" in request["headers"] for request in other.fetched)


def test_a_download_that_fails_is_tried_again_before_another_image_is_paid_for(tmp_path):
    seen: Counter[str] = Counter()

    def get(path):
        seen[path] += 1
        return Reply(b"", 503) if seen[path] < 3 else Reply(encoded(path), 200, {"Content-Type": "image/png"})

    with serve(lambda body, number: Reply({"data": [{"url": f"/{number}"}]}), get) as at:
        assert ask(at, tmp_path)["paid"] == 12


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        *((Reply({"data": data}), "no picture in the answer") for data in ([], None, [None], [{"b64_json": ""}], [{"url": 7}], "x")),
        *((Reply(body), "no picture in the answer") for body in (None, [], 7, "text", {}, {"error": {"message": "later"}})),
        *((Reply(body), "no JSON, or cut off") for body in (b'{"data": [{"b64', b"[" * 100_000, b"", b"\xff\xfe\x00")),
        (Reply(b"<html>Log in to the hotel</html>", 200, {"Content-Type": "text/html"}), "a web page, no JSON"),
        (Reply({"data": [{"b64_json": base64.b64encode(encoded("x")).decode()[:-7]}]}), "base64 that is cut off or broken"),
        (Reply({"data": [{"b64_json": "no base64 at all!"}]}), "base64 that is cut off or broken"),
        (answer(b""), "no picture in the answer"),
        (answer(encoded("x", (64, 64))[:2000]), "picture: cut short"), (answer(b"GIF89a"), "picture: "),
        (answer(b"<html>no picture</html>"), "picture: not a picture but a web page"),
        (answer(b"%PDF-1.4"), "picture: not a picture but a PDF"),
        (answer(b"\0" * 100), "picture: not a picture"), (answer(encoded("x", (2, 2))), "picture: only 2x2 pixels"),
        (answer(encoded("x", (24, 17))), "picture of 24x17 pixels, not 24x16"),
        (answer(encoded("x", (4097, 4096), mode="1")), "picture: 4097x4096 pixels are more than 16,777,216, too many to decode safely"),
        *((Reply({"data": [{"url": url}]}), "an address that cannot be") for url in ("file:///x", "http://[", "ftp://x/y")),
        (Reply({"data": [{"url": "gone.png"}]}), "an address that answers HTTP 404"),
        (Reply({"data": [{"url": "http://127.0.0.1:9/x.png"}]}), "an address that does not answer"),
    ],
)  # fmt: skip
def test_what_is_no_usable_image_is_one_sentence(tmp_path, reply, said):
    match = rf"gave no usable image in 3 answers for prompt 't-\d-\d'; the last one: {said}"
    message = stops(tmp_path, lambda body, number: reply, match, width=24, height=16)
    assert "Every image so far is kept in" in message and message.count("\n") == 0
    assert not list((tmp_path / "images").rglob("*.png")) and not (tmp_path / "images/metadata.jsonl").exists()


def test_bad_answers_now_and_then_are_asked_for_again_paid_and_counted(tmp_path):
    bad = [
        answer(b"%PDF"),
        error(429, "slow down", **{"Retry-After": "0.01"}),
        error(500, "oops"),
        Reply(spoil="drop"),
        Reply(spoil="silence"),
    ]
    with serve(lambda body, number: bad[number] if number < len(bad) else draw(body, number)) as at:
        done = ask(at, tmp_path, calls_at_once=1)
    assert done["made"] == 12 and done["paid"] == 13
    assert {key: value for key, value in done.items() if key.startswith("retried")} == {
        "retried: HTTP 429": 1, "retried: HTTP 500": 1, "retried: connection lost": 1, "retried: timeout": 1,
        "retried: picture: not a picture but a PDF": 1,
    }  # fmt: skip


@pytest.mark.parametrize("piece", [b" ", b"a", b"\x00"])
def test_an_answer_without_end_stops_the_run(tmp_path, piece):
    def raw():
        yield b"HTTP/1.1 200 OK\r\n\r\n" + b'{"data": [{"b64_json": "'
        while True:
            yield piece * 65536

    def script(body, number):
        return Reply(raw=raw)

    stops(tmp_path, script, "did not answer in 9 tries; the last time: answer of more than 27 MB", calls_at_once=1)
