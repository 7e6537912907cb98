"""Writer llm as people run it: notebook 10 on papermill, without the key in any file or output; and `transformers serve`."""

import json
import os
import socket
import time
from collections import Counter
from pathlib import Path

import pytest
import scripted_server as wire
from scripted_server import Reply, captions, completion, error, serve

from aa_utils import files, prompts
from aa_utils.errors import InputError
from aa_utils.paths import ROOT
from aa_utils.runner import record

# No piece of it may appear; it does not look like a key, so that nothing but our own care hides it.
KEY = "marmalade7Quixotic4Zephyr9Lantern"
PIECES = [KEY[start : start + 8] for start in range(0, len(KEY) - 8, 4)]


@pytest.fixture
def notebook_10(runner, tmp_path):
    """notebook_10(server, *settings) -> the finished run with writer llm, its files below tmp_path."""

    def run(server, *settings: str):
        options = [
            "writer=llm",
            "class_names=[mug, alarm clock, TV]",
            "per_class=5",
            "prompts_per_call=3",
            "bank=photo",
            "llm_model=scripted",
        ]
        options += [f"base_url={server.url}", "prices=[1.0, 2.0]", "out=artifacts/prompts/llm", *settings]
        environment = {"OPENAI_API_KEY": KEY, "AA_ARTIFACTS": str(tmp_path / "artifacts"), "ALL_PROXY": "socks5://127.0.0.1:9"}
        return runner(ROOT / "notebooks/10_prompts.ipynb", "--set", *options, **environment)

    return run


def found_in(folder: Path, *said: str) -> list[str]:
    """Files below `folder`, and texts `said`, that hold a piece of the key."""
    texts = {str(path): path.read_bytes().decode("utf-8", "replace") for path in folder.rglob("*") if path.is_file()}
    texts |= {text[:200]: text for text in said}
    return [name for name, text in texts.items() if any(piece in text for piece in PIECES)]


def test_notebook_10_writes_prompts_and_counts_and_no_key(notebook_10, tmp_path):
    def echo(body, number):
        """Good captions, one bad one, and the key in every place that a server can put it."""
        name, count = wire.asked_for(body)
        texts = [*wire.good_texts(name, count, number), f"A {name} with the words {KEY} on it", "A dog on a lawn"]
        reply = completion(json.dumps({"prompts": texts}), refusal="", reasoning=KEY)
        return Reply(reply | {"model": f"scripted {KEY}", "system_fingerprint": KEY}, headers={"X-Request-Id": KEY})

    with serve(wire.after([lambda body, number: error(500, f"your key {KEY}")], echo)) as server:
        done = notebook_10(server)
        assert done.returncode == 0, done.stderr
        assert {request["headers"]["authorization"] for request in server.asked} == {f"Bearer {KEY}"}
    out = tmp_path / "artifacts/prompts/llm"
    rows = files.read_jsonl(out / "prompts.jsonl")
    assert Counter(row["class_name"] for row in rows) == {"mug": 5, "alarm clock": 5, "TV": 5}
    total = record.read(out)["metrics"][-1]
    assert (total["class_name"], total["writer"], total["calls"], total["retried: HTTP 500"]) == (
        "all classes",
        "llm",
        len(server.asked) - 1,
        1,
    )
    assert (
        total["text: loses the category"] >= 3
        and total["text: markup"] >= 1
        and total["money"] > 0
        and total["answered_by"].startswith("scripted *** at http")
    )
    executed = (out / "executed.ipynb").read_text()
    assert "text: loses the category" in executed and "answers (0 of them from the cache)" in executed
    assert len(list((tmp_path / "artifacts/llm").glob("*.json"))) == len(server.asked) - 1
    assert found_in(tmp_path, done.stdout, done.stderr) == []


def test_a_failing_run_says_why_without_the_key(notebook_10, tmp_path):
    reply = error(401, f"Incorrect API key provided: {KEY[:8]}***{KEY[-9:]}")
    with serve(wire.after([captions], lambda body, number: reply)) as server:
        done = notebook_10(server, "calls_at_once=1")
    assert done.returncode == 1 and "refuses the key of the environment" in done.stderr and done.stderr.count("\n") == 1
    assert (tmp_path / "artifacts/prompts/llm/executed.ipynb").exists()
    assert len(list((tmp_path / "artifacts/llm").glob("*.json"))) == 1, "what came is kept"
    assert found_in(tmp_path, done.stdout, done.stderr) == []


@pytest.fixture(scope="module")
def tiny_chat(tmp_path_factory) -> Path:
    """A chat model of one small layer with random weights and a letter tokenizer: it answers with noise."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("models") / "tiny-chat"
    letters = ["<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    letter = Tokenizer(models.BPE({token: i for i, token in enumerate(letters)}, []))
    letter.pre_tokenizer, letter.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=letter, bos_token="<s>", eos_token="</s>", pad_token="</s>")
    tokenizer.chat_template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant: "
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1}
    ids = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(letters), max_position_embeddings=8192, **shape, **ids)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def transformers_serve(tiny_chat):
    """The address of `transformers serve` with that model."""
    pytest.importorskip("fastapi", reason="transformers serve needs fastapi: pip install 'transformers[serving]'")
    pytest.importorskip("uvicorn", reason="transformers serve needs uvicorn: pip install 'transformers[serving]'")
    from transformers.cli.serve import Serve

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Serve(
        force_model=str(tiny_chat), host="127.0.0.1", port=port, device="cpu", log_level="error", non_blocking=True, model_timeout=-1
    )
    deadline = time.monotonic() + 60
    while not server.server.started and time.monotonic() < deadline:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}/v1"
    server.kill_server()


def test_a_real_server_with_a_model_that_knows_nothing_stops_with_a_sentence(transformers_serve, tiny_chat, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    options = {"base_url": transformers_serve, "llm_model": str(tiny_chat), "key_variable": "", "cache": str(tmp_path)}
    with pytest.raises(InputError, match=r"lack 'mug' 2, 'TV' 2\. 6 answers held 0 texts, 0 good; rejected: answer: cut off 6 \('"):
        prompts.write(["mug", "TV"], "llm", 2, 0, answer_tokens=24, prompts_per_call=2, calls_at_once=2, **options)
    kept = [json.loads(path.read_text()) for path in tmp_path.glob("*.json")]
    assert len(kept) == 6
    for entry in kept:
        answer = entry["answer"]
        # The real protocol, read right: its counts, its reason to end, its text.
        assert (answer["finish_reason"], answer["tokens_out"]) == ("length", 24) and answer["tokens_in"] > 500 and answer["content"]
        assert answer["model"].startswith(str(tiny_chat)) and answer["base_url"] == transformers_serve
    with pytest.raises(InputError, match=r"refuses the request .HTTP 400.: .*Server is pinned to"):
        prompts.write(["mug"], "llm", 1, 0, **(options | {"llm_model": "another"}))


def test_the_key_is_not_in_the_environment_of_the_tests():
    assert KEY not in os.environ.values()
