"""Images: the same bytes for any shards, kills and devices' order; a sentence for every wrong call; nothing half-written."""

import errno
import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
import tiny_diffusion

from aa_utils import files
from aa_utils.errors import InputError
from aa_utils.generate import folder, generate, jobs, model_files

NAMES = ("digit zero", "digit one", "digit two")
TINY = {"steps": 2, "guidance": 2.0, "batch_size": 4}


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return tiny_diffusion.save(tmp_path_factory.mktemp("model"))


@pytest.fixture
def prompts(tmp_path):
    return write_prompts(tmp_path / "prompts", 3)


def write_prompts(path: Path, per_class: int) -> Path:
    inks = ("red", "blue", "black", "white", "a", "photo")
    rows = [
        {"id": f"t-{label:03d}-{n:04d}", "label": label, "class_name": name, "text": f"a {name} in {inks[n % 6]} ink", "writer": "t"}
        for label, name in enumerate(NAMES)
        for n in range(per_class)
    ]
    files.write_jsonl(path / "prompts.jsonl", rows)
    return path


def hashes(out: Path) -> dict[str, str]:
    """Of the bytes on disk, not of what metadata says."""
    return {path.relative_to(out).as_posix(): files.sha256(path) for path in sorted(out.rglob("*.png"))}


def test_images_and_metadata(model, prompts, tmp_path):
    found = generate(prompts, model, tmp_path / "out", images_per_prompt=2, seed=5, **TINY)
    rows = files.read_jsonl(tmp_path / "out" / "metadata.jsonl")
    assert found["images"] == found["made"] == len(rows) == 18 and found["complete"] and found["black"] == 0
    assert {row["file_name"]: row["sha256"] for row in rows} == hashes(tmp_path / "out")
    assert len({row["sha256"] for row in rows}) == len({row["seed"] for row in rows}) == 18
    row = next(row for row in rows if row["prompt_id"] == "t-001-0002" and row["file_name"].endswith("-0001.png"))
    expected = {
        "file_name": "digit-one/t-001-0002-0001.png", "label": 1, "class_name": "digit one", "prompt": "a digit one in black ink",
        "model": str(model), "revision": model_files.revision(model), "scheduler": "DDIMScheduler", "steps": 2, "guidance": 2.0,
        "width": 16, "height": 16, "black": False,
    }  # fmt: skip
    assert row.items() >= expected.items()
    assert row.keys() - expected.keys() == {"prompt_id", "seed", "sha256"}


def test_equals_the_plain_call_of_the_stock_pipeline(model, prompts, tmp_path):
    import numpy as np
    import torch
    from diffusers import StableDiffusionPipeline
    from PIL import Image

    generate(prompts, model, tmp_path / "out", **{**TINY, "batch_size": 9})
    rows = files.read_jsonl(tmp_path / "out" / "metadata.jsonl")
    pipe = StableDiffusionPipeline.from_pretrained(model)
    generators = [torch.Generator().manual_seed(row["seed"]) for row in rows]
    texts = [row["prompt"] for row in rows]
    stock = pipe(texts, generator=generators, num_inference_steps=2, guidance_scale=2.0, output_type="np").images
    ours = np.stack([np.asarray(Image.open(tmp_path / "out" / row["file_name"])) for row in rows])
    assert np.abs(ours - stock * 255).max() <= 1.0


@pytest.mark.parametrize("num_shards", [2, 5])
def test_shards_give_the_same_bytes(model, prompts, tmp_path, num_shards):
    generate(prompts, model, tmp_path / "one", images_per_prompt=2, **TINY)
    order = [*range(1, num_shards), 0]
    for shard in order:
        found = generate(prompts, model, tmp_path / "many", images_per_prompt=2, shard=shard, num_shards=num_shards, **TINY)
        assert found["complete"] == (shard == order[-1]) == (tmp_path / "many" / "metadata.jsonl").exists()
    assert hashes(tmp_path / "one") == hashes(tmp_path / "many")
    assert (tmp_path / "one" / "metadata.jsonl").read_bytes() == (tmp_path / "many" / "metadata.jsonl").read_bytes()


@pytest.mark.parametrize("scheduler", ["EulerAncestralDiscreteScheduler", "DPMSolverMultistepScheduler", "PNDMScheduler"])
def test_schedulers_keep_the_promise_too(model, prompts, tmp_path, scheduler):
    settings = {**TINY, "steps": 5, "scheduler": scheduler}
    generate(prompts, model, tmp_path / "one", **settings)
    for shard in (0, 1):
        generate(prompts, model, tmp_path / "two", shard=shard, num_shards=2, **settings)
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two")
    assert files.read_jsonl(tmp_path / "one" / "metadata.jsonl")[0]["scheduler"] == scheduler


@pytest.mark.parametrize("kind", ["sdxl", "lcm"])
def test_other_pipelines(prompts, tmp_path, kind):
    other = tiny_diffusion.save(tmp_path / kind, kind=kind)
    generate(prompts, other, tmp_path / "one", **TINY)
    for shard in (0, 1):
        generate(prompts, other, tmp_path / "two", shard=shard, num_shards=2, **TINY)
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two") and len(set(hashes(tmp_path / "one").values())) == 9


def test_no_guidance(model, prompts, tmp_path):
    assert generate(prompts, model, tmp_path / "out", **{**TINY, "guidance": 1.0})["black"] == 0


def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(model, tmp_path):
    prompts = write_prompts(tmp_path / "prompts", 6)
    settings = {"images_per_prompt": 10, "steps": 3, "guidance": 2.0, "batch_size": 4}
    generate(prompts, model, tmp_path / "whole", **settings)
    arguments = (str(prompts), str(model), str(tmp_path / "cut"))
    process = multiprocessing.get_context("fork").Process(target=generate, args=arguments, kwargs=settings)  # torch is loaded already
    process.start()
    deadline = time.monotonic() + 120
    while len(hashes(tmp_path / "cut")) < 10 and time.monotonic() < deadline and process.is_alive():
        time.sleep(0.005)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    stood = {path: path.stat().st_mtime_ns for path in (tmp_path / "cut").rglob("*.png")}
    assert 10 <= len(stood) < 180 and not (tmp_path / "cut" / "metadata.jsonl").exists()
    (tmp_path / "cut" / "digit-one" / ".left.png.1.tmp").write_bytes(b"half")
    found = generate(prompts, model, tmp_path / "cut", **settings)
    assert found["kept"] == len(stood) and found["made"] == 180 - len(stood)
    assert all(path.stat().st_mtime_ns == then for path, then in stood.items())
    assert hashes(tmp_path / "cut") == hashes(tmp_path / "whole")
    assert (tmp_path / "cut" / "metadata.jsonl").read_bytes() == (tmp_path / "whole" / "metadata.jsonl").read_bytes()
    assert not list((tmp_path / "cut").rglob("*.tmp"))


def test_a_lost_or_empty_image_is_made_again(model, prompts, tmp_path):
    out = tmp_path / "out"
    generate(prompts, model, out, **TINY)
    before = hashes(out)
    lost = sorted(out.rglob("*.png"))
    lost[0].unlink()
    lost[4].write_bytes(b"")
    assert generate(prompts, model, out, **TINY)["made"] == 2
    assert hashes(out) == before


def test_nothing_to_do_loads_no_model(model, prompts, tmp_path, monkeypatch):
    from aa_utils.generate import pipeline

    first = generate(prompts, model, tmp_path / "out", **TINY)
    monkeypatch.setattr(pipeline, "load", lambda *_: pytest.fail("the model was loaded"))
    again = generate(prompts, model, tmp_path / "out", **TINY)
    assert again["made"] == 0 and again["kept"] == first["made"] and again["complete"]


def test_more_copies_go_on_and_equal_a_fresh_run(model, prompts, tmp_path):
    generate(prompts, model, tmp_path / "grown", **TINY)
    assert generate(prompts, model, tmp_path / "grown", images_per_prompt=3, **TINY)["made"] == 18
    generate(prompts, model, tmp_path / "fresh", images_per_prompt=3, **TINY)
    assert hashes(tmp_path / "grown") == hashes(tmp_path / "fresh")
    with pytest.raises(InputError, match="already holds 3 images a prompt, not 2"):
        generate(prompts, model, tmp_path / "grown", images_per_prompt=2, **TINY)


def test_a_grown_folder_is_not_whole_until_all_stand(model, prompts, tmp_path):
    generate(prompts, model, tmp_path / "out", **TINY)
    assert not generate(prompts, model, tmp_path / "out", images_per_prompt=2, shard=0, num_shards=2, **TINY)["complete"]
    assert not (tmp_path / "out" / "metadata.jsonl").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 3}, "with steps 2, and this call has 3"),
        ({"guidance": 3.0}, "guidance 2.0"),
        ({"seed": 1}, "seed 0"),
        ({"batch_size": 5}, "batch_size 4"),
        ({"scheduler": "DPMSolverMultistepScheduler"}, "scheduler 'DDIMScheduler'"),
        ({"width": 32, "height": 32}, "width 0"),
    ],
)
def test_other_settings_are_no_mix(model, prompts, tmp_path, change, message):
    generate(prompts, model, tmp_path / "out", **TINY)
    before = hashes(tmp_path / "out")
    with pytest.raises(InputError, match=message):
        generate(prompts, model, tmp_path / "out", **{**TINY, **change})
    assert hashes(tmp_path / "out") == before


def test_other_prompts_and_other_weights_are_no_mix(model, prompts, tmp_path):
    generate(prompts, model, tmp_path / "out", **TINY)
    with pytest.raises(InputError, match=r"prompts '[0-9a-f]{16}'"):
        generate(write_prompts(tmp_path / "more", 4), model, tmp_path / "out", **TINY)
    retrained = tiny_diffusion.save(tmp_path / "retrained", seed=1)
    with pytest.raises(InputError, match=r"revision '[0-9a-f]{12}' .*retrained"):
        generate(prompts, retrained, tmp_path / "out", **TINY)


def test_images_made_elsewhere_are_left_alone(model, prompts, tmp_path):
    files.write_jsonl(tmp_path / "out" / "metadata.jsonl", [{"file_name": "x.png"}])
    with pytest.raises(InputError, match="made elsewhere"):
        generate(prompts, model, tmp_path / "out", **TINY)


def test_a_full_disk_is_one_sentence_and_the_same_call_goes_on(model, prompts, tmp_path, monkeypatch):
    real, written = files.write_bytes, []

    def full(path, data, durable=True):
        if path.suffix == ".png" and len(written) >= 5:
            with files.atomic(path) as temporary:
                temporary.write_bytes(data[:10])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(path)
        real(path, data, durable)

    monkeypatch.setattr(files, "write_bytes", full)
    with pytest.raises(OSError, match=r"no space left for images in .*: \d of 9 stand; free some") as error:
        generate(prompts, model, tmp_path / "out", **TINY)
    assert error.value.errno == errno.ENOSPC
    assert not list((tmp_path / "out").rglob("*.tmp")) and not (tmp_path / "out" / "metadata.jsonl").exists()
    monkeypatch.undo()
    generate(prompts, model, tmp_path / "out", **TINY)
    generate(prompts, model, tmp_path / "fresh", **TINY)
    assert hashes(tmp_path / "out") == hashes(tmp_path / "fresh")


def test_too_little_space_is_said_before(model, prompts, tmp_path, monkeypatch):
    monkeypatch.setattr(folder.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(InputError, match=r"9 images of 16x16 need about 0\.04 MB, and .* has 0\.00 MB free"):
        generate(prompts, model, tmp_path / "out", **TINY)


@pytest.mark.parametrize("value", [float("nan"), -1.0])
def test_a_model_that_makes_only_black_images_stops(prompts, tmp_path, value):
    from diffusers import StableDiffusionPipeline

    broken = tiny_diffusion.save(tmp_path / "broken")
    pipe = StableDiffusionPipeline.from_pretrained(broken)
    pipe.vae.decoder.conv_out.weight.data.zero_()
    pipe.vae.decoder.conv_out.bias.data.fill_(value)
    pipe.save_pretrained(broken)
    with pytest.raises(InputError, match="first batch of 4 is all black or not finite"):
        generate(prompts, broken, tmp_path / "out", **TINY)
    assert not hashes(tmp_path / "out")


def test_a_black_image_is_marked(model, prompts, tmp_path, monkeypatch):
    from aa_utils.generate import pipeline

    real = pipeline.sample

    def one_black(*arguments):
        images, good = real(*arguments)
        images[0], good[0] = 0, False
        return images, good

    monkeypatch.setattr(pipeline, "sample", one_black)
    assert generate(prompts, model, tmp_path / "out", **TINY)["black"] == 3
    rows = files.read_jsonl(tmp_path / "out" / "metadata.jsonl")
    assert sum(row["black"] for row in rows) == 3
    (tmp_path / "out" / "metadata.jsonl").unlink()  # rows read back from the files say the same
    generate(prompts, model, tmp_path / "out", **TINY)
    assert files.read_jsonl(tmp_path / "out" / "metadata.jsonl") == rows


def test_long_prompts_are_counted(model, tmp_path):
    rows = [{"id": f"p{n}", "label": 0, "class_name": "one", "text": "one " * n} for n in (2, 40)]
    files.write_jsonl(tmp_path / "prompts.jsonl", rows)
    assert generate(tmp_path, model, tmp_path / "out", **TINY)["truncated"] == 1


GOOD = {"id": "p0", "label": 0, "class_name": "mug", "text": "a mug"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "holds no prompts"),
        ([GOOD, "{nonsense"], "line 2 .* is not JSON"),
        ([GOOD, [1]], "line 2 .* is not a JSON object"),
        ([{**GOOD, "label": "0"}], "line 1 .* has label='0', no int"),
        ([{**GOOD, "label": -1}], "has the label -1; labels count the classes from 0"),
        ([{**GOOD, "label": 10**9}], "has the label 1000000000; .*fewer than 1,000,000"),
        ([{**GOOD, "label": 10**400}], "has the label 10000000000000000000; "),
        ([{**GOOD, "text": "mug " * 10_000}], "has a 'text' of 40,000 characters, .* 20,000 are the most"),
        ([{**GOOD, "text": "a \ud800 mug"}], "has a 'text' with NUL or half a character"),
        ([{**GOOD, "class_name": "mug\0"}], "has a 'class_name' with NUL or half a character"),
        ([{"id": "p"}], "line 1 .* has no 'label'"),
        ([{**GOOD, "text": "  "}], "has an empty 'text'"),
        ([{**GOOD, "text": "\u200b\u00a0\u3000"}], "has an empty 'text'"),
        ([{**GOOD, "id": "../x"}], "an id becomes a file name"),
        ([GOOD, GOOD], "line 2 .* has the id 'p0' of an earlier line"),
        ([GOOD, {**GOOD, "id": "p1", "class_name": "cup"}], "gives label 0 the class_name 'cup'; before it was 'mug'"),
        ([GOOD, {**GOOD, "id": "p1", "label": 1}], "one class_name to two labels"),
    ],
)
def test_malformed_prompts_are_named_by_line(model, tmp_path, lines, message):
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    (tmp_path / "prompts.jsonl").write_text(text)
    with pytest.raises(InputError, match=message):
        generate(tmp_path, model, tmp_path / "out")


def test_class_names_become_safe_and_different_folders():
    rows = [{**GOOD, "id": f"p{n}", "label": n, "class_name": name} for n, name in enumerate(["C", "c#", "../etc", "猫", "???", "x" * 300])]
    folders = [job.file_name.partition("/")[0] for job in jobs.plan(rows, 1, 0)]
    assert folders == ["c--0", "c--1", "etc", "猫", "class--4", "x" * 60]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"batch_size": 2.0}, "batch_size is 2.0"),
        ({"guidance": "7"}, "guidance is '7'"),
        ({"guidance": float("nan")}, "guidance is nan"),
        ({"images_per_prompt": 0}, "images_per_prompt is 0"),
        ({"images_per_prompt": 10**12}, "images_per_prompt is 1000000000000; it must be at least 1 and at most 1e"),
        ({"batch_size": 10**12}, "batch_size is 1000000000000; it must be"),
        ({"guidance": 10**400}, "guidance is a number of 1329 bits"),
        ({"steps": 10**9}, "steps is 1000000000; it must be"),
        ({"seed": True}, "seed is True; it is a whole number"),
        ({"width": 10**6, "height": 10**6}, "width is 1000000; it must be"),
        ({"shard": 2, "num_shards": 2}, "shard lies below num_shards=2"),
        ({"width": 64}, "width and height are 64 and 0"),
        ({"width": 60, "height": 60}, "multiples of 8"),
        ({"dtype": "int8"}, "no dtype 'int8'; there are: float32"),
        ({"scheduler": "MagicScheduler"}, "scheduler 'MagicScheduler' does not fit .*DDIMScheduler"),
        ({"scheduler": "StableDiffusionPipeline"}, "does not fit"),
        ({"device": "cuda:99"}, "no device 'cuda:99' here"),
        ({"device": "toaster"}, "device is 'toaster'"),
        ({"revision": "fp16"}, "is for models of the hub"),
    ],
)
def test_wrong_calls(model, prompts, tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        generate(prompts, model, tmp_path / "out", **{**TINY, **change})
    assert not hashes(tmp_path / "out")


def test_wrong_places(model, prompts, tmp_path):
    with pytest.raises(InputError, match="no prompts at"):
        generate(tmp_path / "nowhere", model, tmp_path / "out")
    for nowhere in ("models/no-such-model", "", str(tmp_path / "nowhere"), "one-word"):
        with pytest.raises(InputError, match="no model folder at"):
            generate(prompts, nowhere, tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write to"):
        generate(prompts, model, tmp_path / "file" / "out")
    assert model_files.find("organisation/name") is None


def test_an_incomplete_model_is_named(tmp_path):
    def broken(change):
        copy = tiny_diffusion.save(tmp_path / change.__name__)
        change(copy)
        with pytest.raises(InputError) as error:
            model_files.find(copy)
        return str(error.value)

    def no_index(copy):
        (copy / "model_index.json").unlink()

    def no_part(copy):
        (copy / "vae").rename(copy / "elsewhere")

    def no_weights(copy):
        (copy / "unet" / "diffusion_pytorch_model.safetensors").unlink()

    def cut_off(copy):
        weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100])

    def pointer(copy):
        (copy / "unet" / "diffusion_pytorch_model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")

    def garbled(copy):
        (copy / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"<html>not found</html>" * 9)

    assert "no 'model_index.json'" in broken(no_index)
    assert "no folder 'vae' (AutoencoderKL)" in broken(no_part)
    assert "'unet' has a config.json and no weights" in broken(no_weights)
    assert "is cut off" in broken(cut_off)
    assert "git lfs pull" in broken(pointer)
    assert "is not a safetensors file" in broken(garbled)


def test_an_image_that_cannot_be_read_is_named(model, prompts, tmp_path):
    out = tmp_path / "out"
    generate(prompts, model, out, **TINY)
    (out / "metadata.jsonl").unlink()
    sorted(out.rglob("*.png"))[0].write_bytes(b"not a picture")
    with pytest.raises(InputError, match=r"1 of the 9 images .* cannot be kept: digit-.*not a picture.*; delete them, and"):
        generate(prompts, model, out, **TINY)


def test_one_shard_from_the_command_line(model, prompts, tmp_path, capsys):
    from aa_utils.generate.__main__ import main

    values = ["scheduler=", "steps=2", "batch_size=4", f"model={model}", f"prompts={prompts}", f"out={tmp_path / 'out'}"]
    for shard, said in ((0, "shard 0 of 2: 5 images made, 0 stood already"), (1, "4 images made, 0 stood already; all shards are through")):
        assert main(["--shard", str(shard), "--num-shards", "2", "--set", *values]) == 0
        assert said in capsys.readouterr().out
    assert main(["--shard", "0", "--num-shards", "2", "--set", *values, "step=3"]) == 2
    assert "did you mean 'steps'?" in capsys.readouterr().err
