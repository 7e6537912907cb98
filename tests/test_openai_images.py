"""Images from a web service, against a server on loopback: a folder as of any generator, refusals, the cap, kills, and the key."""

import hashlib
import io
import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from scripted_images import NAMES, ask, draw, encoded, rows_of
from scripted_server import Reply, error, serve

from aa_utils.data import images
from aa_utils.errors import InputError
from aa_utils.generate import image_calls, openai_images
from aa_utils.paths import ROOT

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


def test_a_folder_of_labelled_images_as_any_generator_makes_it(tmp_path):
    with serve(draw) as at:
        done = ask(at, tmp_path, width=32, height=24, request_fields={"quality": "low"}, price=0.04)
    assert (done["images"], done["made"], done["kept"], done["refused"], done["complete"]) == (12, 12, 0, 0, True)
    assert (done["paid"], done["money"], done["server_refuses"]) == (12, 0.48, "")
    rows = rows_of(tmp_path)
    assert Counter(row["class_name"] for row in rows) == dict.fromkeys(NAMES, 4)
    for row in rows:
        data = (tmp_path / "images" / row["file_name"]).read_bytes()
        assert row["sha256"] == hashlib.sha256(data).hexdigest() and (row["width"], row["height"]) == (32, 24) and row["black"] is False
        assert np.array_equal(Image.open(io.BytesIO(data)), Image.open(io.BytesIO(encoded(row["prompt"], (32, 24)))))
        assert row["model"] == "openai_images:scripted" and row["revision"] == f"scripted at {at.url}" and row["steps"] is None
    for request in at.asked:
        body = request["body"]
        assert request["path"] == "/v1/images/generations" and request["headers"]["authorization"] == f"Bearer {KEY}"
        assert (
            body["model"] == "scripted" and body["size"] == "32x24" and body["response_format"] == "b64_json" and body["quality"] == "low"
        )
    assert {request["body"]["prompt"]: request["body"]["seed"] for request in at.asked} == {row["prompt"]: row["seed"] for row in rows}
    assert len({row["seed"] for row in rows}) == 12 and all(0 <= row["seed"] < 2**31 for row in rows)
    loaded = images.load(tmp_path / "images", 16, list(NAMES))
    assert loaded.pixels.shape == (12, 3, 16, 16) and loaded.labels.tolist() == [row["label"] for row in rows]
    before = (tmp_path / "images/metadata.jsonl").read_bytes()
    again = ask(at, tmp_path, width=32, height=24, request_fields={"quality": "low"})  # the server is gone
    assert (again["made"], again["kept"], again["paid"]) == (0, 12, 12) and (tmp_path / "images/metadata.jsonl").read_bytes() == before


def refusing(
    *names: str, status: int = 400, said: str = "Your request was rejected as a result of our safety system.", code: str | None = None
):
    """A script that refuses every prompt that holds one of `names`."""
    return lambda body, number: error(status, said, code) if any(name in body["prompt"] for name in names) else draw(body, number)


REFUSALS = [
    (400, "Your request was rejected as a result of our safety system. Your prompt may contain text that ...", "content_policy_violation"),
    (400, "Your request was rejected by the safety system.", "moderation_blocked"), (400, "flagged", "content_filter"),
    (403, "The prompt was flagged by content moderation", None), (422, "Unsafe content in the prompt", None),
    (451, "This violates our usage policies", None), (400, "Image generation blocked due to Responsible AI practices", None),
]  # fmt: skip


@pytest.mark.parametrize(("status", "said", "code"), REFUSALS)
def test_refused_prompts_are_counted_shown_and_not_asked_again(tmp_path, status, said, code):
    script = refusing("mug number 2", "TV number 0", status=status, said=said, code=code)
    with serve(script) as at:
        done = ask(at, tmp_path)
        assert (done["made"], done["refused"], done["paid"], done["complete"]) == (10, 2, 10, True)
        rows = openai_images.refused(tmp_path / "images")
        assert [(row["prompt_id"], row["class_name"], row["prompt"]) for row in rows] == [
            ("t-0-2", "mug", "a mug number 2"), ("t-2-0", "TV", "a TV number 0"),
        ]  # fmt: skip
        assert all(said in row["reason"] for row in rows)
        assert Counter(row["class_name"] for row in rows_of(tmp_path)) == {"mug": 3, "alarm clock": 4, "TV": 3}
        asked = len(at.asked)
        again = ask(at, tmp_path)
        assert (again["made"], again["kept"], again["refused"]) == (0, 10, 2) and len(at.asked) == asked
        more = ask(at, tmp_path, images_per_prompt=2)
        assert (more["made"], more["kept"], more["refused"]) == (10, 10, 4)


def test_a_refusal_with_status_200_is_one_too(tmp_path):
    refusals = [{"data": [{"b64_json": None, "finish_reason": "content_filter"}]},
                {"data": [], "error": {"code": "content_policy_violation"}},
                {"data": [{"url": "", "nsfw_content_detected": True}]}]  # fmt: skip
    with serve(lambda body, number: Reply(refusals[int(body["prompt"][-1])]) if body["prompt"][-1] != "3" else draw(body, number)) as at:
        assert (done := ask(at, tmp_path))["refused"] == 9 and done["made"] == 3


def test_a_class_of_which_nothing_is_drawn_stops_the_run(tmp_path):
    with serve(refusing("TV")) as at:
        for _ in range(2):
            with pytest.raises(InputError, match=r"the service refused every prompt of 'TV'; '.*refused.jsonl' has its words. Other pro"):
                ask(at, tmp_path)
        assert len(at.asked) == 12, "and is not asked again"
    assert len(openai_images.refused(tmp_path / "images")) == 4 and not (tmp_path / "images/metadata.jsonl").exists()
    stops(tmp_path / "all", refusing("a "), "refused every prompt of 'TV', 'alarm clock', 'mug'")


def test_the_prompt_that_the_service_drew_in_its_own_words_is_in_the_row(tmp_path):
    def script(body, number):
        reply = draw(body, number)
        reply.body["data"][0]["revised_prompt"] = f"An oil painting of {body['prompt']}, {KEY}"
        return reply

    with serve(script) as at:
        ask(at, tmp_path)
    assert all(row["revised_prompt"] == f"An oil painting of {row['prompt']}, ***" for row in rows_of(tmp_path))


def test_fields_that_the_service_does_not_know_are_left_out_told_and_recorded(tmp_path):
    def script(body, number):
        for name in ("response_format", "seed"):
            if name in body:
                return error(400, f"Unknown parameter: '{name}'.")
        return draw(body, number)

    with serve(script) as at:
        done = ask(at, tmp_path, calls_at_once=1)
    assert done["server_refuses"] == "response_format (left out); seed (left out)" and len(at.asked) == 14
    assert all(row["seed"] is None for row in rows_of(tmp_path)), "no seed was sent"


def test_the_cap_is_said_before_anything_is_asked_for_and_holds_over_calls(tmp_path):
    lacking = r"12 images are lacking in .* and {} answers are paid for: that makes {}, and image_cap is {}"
    stops(tmp_path, draw, lacking.format(0, "12, 0.48 at the price given", 10), image_cap=10, price=0.04)
    with serve(draw) as at:
        assert ask(at, tmp_path, image_cap=12)["paid"] == 12
        with pytest.raises(InputError, match=lacking.format(12, 24, 12)):
            ask(at, tmp_path, image_cap=12, images_per_prompt=2)
        assert len(at.asked) == 12 and ask(at, tmp_path, image_cap=24, images_per_prompt=2)["paid"] == 24


def test_bad_answers_count_against_the_cap(tmp_path):
    seen: Counter[str] = Counter()

    def script(body, number):
        """The first answer to each prompt holds no image."""
        seen[body["prompt"]] += 1
        return draw(body, number) if seen[body["prompt"]] > 1 else Reply({"data": []})

    with serve(script) as at:
        with pytest.raises(InputError, match=r"image_cap=14 could be passed: 14 answers are paid for, some of them without a usable image"):
            ask(at, tmp_path, image_cap=14, calls_at_once=1)
        done = ask(at, tmp_path, image_cap=40)
        assert done["made"] + done["kept"] == 12 and done["paid"] == len(at.asked) == 24


def test_killed_at_any_moment_nothing_that_was_drawn_is_paid_again(tmp_path):
    code = (
        "import scripted_images, pathlib, types, sys\n"
        "scripted_images.ask(types.SimpleNamespace(url=sys.argv[1]), pathlib.Path(sys.argv[2]), calls_at_once=1)"
    )
    with serve(draw) as at:
        command = [sys.executable, "-c", code, at.url, str(tmp_path)]
        process = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"})
        while len(at.asked) < 5 and process.poll() is None:
            pass
        process.kill()
        process.wait()
        standing = len(list((tmp_path / "images").rglob("[!.]*.png")))
        assert 4 <= standing <= 5 and not (tmp_path / "images/metadata.jsonl").exists()
        done = ask(at, tmp_path)
        assert (done["kept"], done["made"]) == (standing, 12 - standing) and len(at.asked) <= 13
    assert {row["sha256"] for row in rows_of(tmp_path)} == {
        hashlib.sha256(p.read_bytes()).hexdigest() for p in (tmp_path / "images").rglob("*.png")
    }


@pytest.mark.parametrize("change", [lambda data: data[:-9], lambda data: b"", lambda data: encoded("another"), None])
def test_an_image_that_was_changed_is_said_and_asked_for_again(tmp_path, capsys, change):
    with serve(draw) as at:
        ask(at, tmp_path)
        before = rows_of(tmp_path)
        file = tmp_path / "images" / before[3]["file_name"]
        file.write_bytes(change(file.read_bytes())) if change else file.unlink()
        done = ask(at, tmp_path)
    assert (done["made"], done["kept"], len(at.asked)) == (1, 11, 13) and rows_of(tmp_path) == before
    assert hashlib.sha256(file.read_bytes()).hexdigest() == before[3]["sha256"]


@pytest.mark.parametrize("name", [".settings.json", "metadata.jsonl", ".metadata.json", ".service/paid.json", ".shards/0-of-1.jsonl"])
@pytest.mark.parametrize("left", ["", "{", None])
def test_what_a_power_failure_leaves_costs_no_image(tmp_path, name, left):
    with serve(draw) as at:
        ask(at, tmp_path)
        before = rows_of(tmp_path)
        file = tmp_path / "images" / name
        file.unlink() if left is None else file.write_text(left)
        done = ask(at, tmp_path)
    assert (done["kept"], done["complete"], done["paid"], len(at.asked)) == (12, True, 12, 12) and rows_of(tmp_path) == before
