"""Images from a web service as people ask for them: wrong calls, experiments, shards, notebook 20; and the key stays on the wire."""

import json

import pytest
from scripted_images import ask, draw, write_prompts
from scripted_server import error, serve

from aa_utils import experiment
from aa_utils.errors import InputError
from aa_utils.generate import __main__ as shards
from aa_utils.generate import image_calls, presets
from aa_utils.paths import ROOT

KEY = "marker-KEY-0123456789-never-seen"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(image_calls, "FIRST_WAIT", 0.002)
    monkeypatch.setattr(image_calls, "LONGEST_WAIT", 0.02)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"base_url": f"http://u:{KEY}@host/v1"}, "base_url holds a password"), ({"base_url": "host"}, "base_url is 'host'"),
        ({"model": "openai_images:"}, "after 'openai_images:' stands the model's name"),
        ({"key_variable": "MISSING_API_KEY"}, "no key in"),
        ({"request_fields": {"seed": 1}}, "request_fields has 'seed'"),
        ({"image_cap": -1}, "image_cap is -1"),
        ({"price": -1.0}, "price is -1"),
        ({"width": 32}, "width and height are 32 and 0"), ({"width": 5000, "height": 5000}, "both lie between 1 and 4096"),
        ({"revision": "main"}, "no revision"), ({"switches": ["compile"]}, "no switches"), ({"num_shards": 2}, "no shards"),
        ({"calls_at_once": 0}, "calls_at_once is 0"),
    ],
)  # fmt: skip
def test_a_wrong_call_is_one_sentence_before_anything_is_asked_for_or_written(tmp_path, options, said):
    with serve(draw) as at, pytest.raises(InputError, match=said) as caught:
        ask(at, tmp_path, **options)
    assert at.asked == [] and KEY not in str(caught.value)
    assert not any(path.is_file() for path in (tmp_path / "images").rglob("*"))


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (error(401, f"Incorrect API key: {KEY}"), "refuses the key of the environment variable 'OPENAI_API_KEY'"),
        (error(404, "no such model"), "does it serve 'scripted', and is base_url right"),
        (error(400, "Invalid size. The supported sizes are 1024x1024."), "refuses the request .HTTP 400.: .*Invalid size"),
        (error(429, "Billing hard limit reached", "insufficient_quota"), "no credit left"),
    ],
)  # fmt: skip
def test_errors_that_stop_say_what_is_kept(tmp_path, reply, said):
    whole = []
    with serve(lambda body, number: draw(body, number) if whole or number < 3 else reply) as at:
        with pytest.raises(InputError, match=said) as caught:
            ask(at, tmp_path, calls_at_once=1)
        assert "Every image so far is kept in" in str(caught.value) and KEY not in str(caught.value)
        whole.append(True)
        assert (done := ask(at, tmp_path))["kept"] == 3 and done["complete"]


def test_another_service_or_model_needs_another_folder(tmp_path):
    with serve(draw) as at:
        ask(at, tmp_path)
        with pytest.raises(InputError, match=r"holds images with revision 'scripted at .*' .*and this call has 'another at"):
            ask(at, tmp_path, model="openai_images:another")


def test_a_service_is_a_value_of_model_in_presets_experiments_and_shards(tmp_path, capsys):
    given = {"model": "openai_images:gpt-image-1-mini", "width": 1024, "height": 1024}
    chosen = presets.expand(given)
    assert chosen["model"] == given["model"] and chosen["preset"] == "" and presets.expand(chosen) == chosen
    with pytest.raises(InputError, match=r"steps is 20, which is for models that run here; 'openai_images:.*' is a web service"):
        presets.expand(given | {"steps": 20})
    config = {
        "name": "web", "target": "uci_digits", "class_names": ["digit zero", "digit one"], "seeds": [0], "writers": {"simple": {}},
        "generator": given | {"price": 0.01, "base_url": "http://localhost:8000/v1", "request_fields": {"quality": "low"}},
        "inter_domain": {"methods": {"source_only": None}}, "benchmark": {"notebook": "52_benchmark_digits"},
    }  # fmt: skip
    assert experiment.check(config)["generator"]["model"] == given["model"]
    write_prompts(tmp_path / "prompts")
    with serve(draw) as at:
        options = [f"prompts={tmp_path / 'prompts'}", f"out={tmp_path / 'images'}", "model=openai_images:scripted", f"base_url={at.url}"]
        assert shards.main(["--shard", "0", "--num-shards", "2", "--set", *options]) == 2
        assert "no shards" in capsys.readouterr().err
        assert shards.main(["--shard", "0", "--num-shards", "1", "--set", *options]) == 0


def test_notebook_20_shows_images_and_refusals_and_no_key_is_in_any_file(tmp_path, runner):
    """By papermill, with a server that puts the key wherever it can."""

    def script(body, number):
        if body["prompt"].endswith("TV number 1"):
            return error(400, f"rejected by our safety system {KEY}", "content_policy_violation", **{"X-Request-Id": KEY})
        reply = draw(body, number)
        reply.body |= {"model": KEY, "usage": KEY}
        reply.body["data"][0]["revised_prompt"] = KEY
        return reply

    with serve(script) as at:
        options = [f"prompts={write_prompts(tmp_path / 'prompts')}", "model=openai_images:scripted", f"base_url={at.url}", "clip=",
                   "price=0.04", "width=32", "height=32", "out=artifacts/web"]  # fmt: skip
        environment = {"OPENAI_API_KEY": KEY, "AA_ARTIFACTS": str(tmp_path / "artifacts"), "ALL_PROXY": "socks5://127.0.0.1:9"}
        done = runner(ROOT / "notebooks/20_generate.ipynb", "--set", *options, **environment)
        assert done.returncode == 0, done.stderr
    out = tmp_path / "artifacts/web"
    metrics = json.loads((out / "record.json").read_text())["metrics"][0]
    assert (metrics["images"], metrics["refused"], metrics["paid"], metrics["money"]) == (12, 1, 11, 0.44)
    executed = (out / "executed.ipynb").read_text()
    assert "t-2-1" in executed and "rejected by our safety system" in executed
    pieces = [KEY[start : start + 12] for start in range(0, len(KEY) - 12, 4)]
    held = [str(path) for path in tmp_path.rglob("*") if path.is_file() and any(piece.encode() in path.read_bytes() for piece in pieces)]
    assert held == [] and not any(piece in done.stdout + done.stderr for piece in pieces)
