"""Presets fill in what is left open, given values win; every kind of pipeline they name keeps the promise of the stage, at tiny scale."""

import importlib.util
import multiprocessing
import runpy
import shutil
import sys
from pathlib import Path

import diffusers
import numpy as np
import pandas as pd
import pytest
import tiny_diffusion
from PIL import Image

from aa_utils import files
from aa_utils.errors import InputError
from aa_utils.generate import generate, jobs, model_files, pipeline, presets, switches
from aa_utils.paths import ROOT

TINY = {"steps": 2, "guidance": 2.0, "batch_size": 4}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_diffusion.save(tmp_path_factory.mktemp("model"))


@pytest.fixture
def prompts(tmp_path):
    inks = ("red", "blue")
    rows = [
        {"id": f"t-{label}-{n}", "label": label, "class_name": name, "text": f"a {name} in {ink} ink"}
        for label, name in enumerate(("digit zero", "digit one", "digit two"))
        for n, ink in enumerate(inks)
    ]
    files.write_jsonl(tmp_path / "prompts" / "prompts.jsonl", rows)
    return tmp_path / "prompts"


def contents(out: Path) -> dict[str, bytes]:
    """All that the folder holds, but which shard wrote what."""
    found = (path for path in sorted(out.rglob("*")) if path.is_file() and ".shards" not in path.parts)
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in found}


def test_the_table_is_whole():
    assert len(presets.PRESETS) >= 11
    for row in presets.table():
        assert row["source"] and row["licence"] and row["steps"] >= 1 and row["guidance"] >= 0
        assert row["dtype"] in ("float32", "float16", "bfloat16")
        assert model_files.HUB_ID.fullmatch(row["model"])
        assert not row["scheduler"] or hasattr(diffusers, row["scheduler"])
        assert (row["width"] == 0) == (row["height"] == 0) and row["width"] % 32 == 0


def test_a_preset_fills_in_and_given_values_win():
    left_open = {"preset": "sd15", **presets.OPEN, "batch_size": 4}
    found = presets.expand(left_open)
    assert found["model"] == "stable-diffusion-v1-5/stable-diffusion-v1-5"
    assert (found["steps"], found["guidance"], found["width"], found["dtype"]) == (25, 7.5, 512, "float16")
    assert found["batch_size"] == 4
    mine = presets.expand(left_open | {"steps": 50, "guidance": 0.0, "model": "somewhere/else", "dtype": "bfloat16"})
    assert (mine["steps"], mine["guidance"], mine["model"], mine["dtype"]) == (50, 0.0, "somewhere/else", "bfloat16")
    assert mine["width"] == 512 and presets.expand(mine) == mine


def test_without_a_preset_the_model_decides():
    assert presets.expand({})["preset"] == "pocket" and presets.expand({})["model"] == "models/pocket-diffusion"
    assert presets.expand({"model": "stabilityai/sd-turbo"})["steps"] == 1
    unknown = presets.expand({"model": "my/own", "steps": 7})
    assert (unknown["preset"], unknown["steps"], unknown["guidance"], unknown["dtype"]) == ("", 7, 7.5, "float32")
    with pytest.raises(InputError, match=r"no preset 'sd16'; there are: pocket, .*sd15"):
        presets.expand({"preset": "sd16"})


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("turbo", {"steps": 1, "guidance": 0.0}),
        ("lcm", {"steps": 2, "guidance": 8.0}),
        ("sd3", {}),
        ("pixart", {}),
        ("sana", {}),
    ],
)
def test_every_kind_of_pipeline_keeps_the_promise(prompts, tmp_path, kind, settings):
    other = tiny_diffusion.save(tmp_path / kind, kind=kind)
    settings = {**TINY, **settings}
    done = generate(prompts, other, tmp_path / "one", **settings)
    for shard in (1, 0):
        generate(prompts, other, tmp_path / "two", shard=shard, num_shards=2, **settings)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    rows = files.read_jsonl(tmp_path / "one" / "metadata.jsonl")
    assert done["truncated"] == 0 and len({row["sha256"] for row in rows}) == 6
    assert (rows[0]["width"], rows[0]["height"]) == model_files.image_size(other, 0, 0)


@pytest.mark.parametrize("kind", ["lcm", "pixart", "sana"])
def test_texts_encoded_apart_give_the_stock_call(prompts, tmp_path, kind):
    """The stock call encodes its own texts; ours come from fixed batches of 32, with the same instruction before them."""
    import torch

    folder = tiny_diffusion.save(tmp_path / kind, kind=kind)
    generate(prompts, folder, tmp_path / "out", **{**TINY, "batch_size": 6})
    rows = files.read_jsonl(tmp_path / "out" / "metadata.jsonl")
    pipe = getattr(diffusers, model_files.pipeline_class(folder)).from_pretrained(folder)
    generators = [torch.Generator().manual_seed(row["seed"]) for row in rows]
    own = {} if kind == "lcm" else {"use_resolution_binning": False, "width": rows[0]["width"], "height": rows[0]["height"]}
    stock = pipe(
        [row["prompt"] for row in rows], generator=generators, num_inference_steps=2, guidance_scale=2.0, output_type="np", **own
    ).images
    ours = np.stack([np.asarray(Image.open(tmp_path / "out" / row["file_name"])) for row in rows])
    assert np.abs(ours - stock * 255).max() <= 1.0


def test_what_makes_no_images_from_text_is_said(tmp_path, prompts):
    folder = tiny_diffusion.save(tmp_path / "model")
    index = (folder / "model_index.json").read_text()
    for name, said in (("DDIMPipeline", "takes no prompt"), ("QwenImagePipeline", "true_cfg_scale"), ("LTXPipeline", "makes videos")):
        (folder / "model_index.json").write_text(index.replace("StableDiffusionPipeline", name))
        with pytest.raises(InputError, match=said):
            generate(prompts, folder, tmp_path / "out", **TINY)
        shutil.rmtree(tmp_path / "out")


def test_switches_change_no_seed(model, prompts, tmp_path):
    generate(prompts, model, tmp_path / "plain", **TINY)
    names = ["channels_last", "attention_slicing", "vae_tiling", "vae_slicing"]
    generate(prompts, model, tmp_path / "switched", switches=names, **TINY)
    for path in sorted((tmp_path / "plain").rglob("*.png")):
        other = tmp_path / "switched" / path.relative_to(tmp_path / "plain")
        assert np.abs(np.asarray(Image.open(path)).astype(int) - np.asarray(Image.open(other))).max() <= 2
    with pytest.raises(InputError, match=r"switches \['attention_slicing', 'vae_slicing', .*this call has \[\]"):
        generate(prompts, model, tmp_path / "switched", **TINY)


def test_folders_from_before_there_were_switches_go_on(model, prompts, tmp_path):
    import json

    generate(prompts, model, tmp_path / "out", **TINY)
    settings = json.loads((tmp_path / "out" / ".settings.json").read_text())
    assert settings.pop("switches") == []
    (tmp_path / "out" / ".settings.json").write_text(json.dumps(settings))
    assert generate(prompts, model, tmp_path / "out", **TINY)["kept"] == 6


def test_switches_that_mean_nothing_are_said(model, prompts, tmp_path):
    for wrong, said in (
        (["faster"], "no switch 'faster'; there are: attention_slicing"),
        ("compile", r"it is a list, such as \['compile'\]"),
    ):
        with pytest.raises(InputError, match=said):
            generate(prompts, model, tmp_path / "out", switches=wrong, **TINY)
    with pytest.raises(InputError, match="there is no GPU here"):
        switches.check(["cpu_offload"], "cpu")
    pipe = pipeline.load(tiny_diffusion.save(tmp_path / "pixart", kind="pixart"), "", "float32", "cpu")
    with pytest.raises(InputError, match="'attention_slicing' does nothing on a PixArtTransformer2DModel"):
        switches.place(pipe, ["attention_slicing"], "cpu")


@pytest.mark.parametrize("num_shards", [2, 5])
def test_shards_started_at_once_give_the_bytes_of_one(model, prompts, tmp_path, num_shards):
    generate(prompts, model, tmp_path / "one", images_per_prompt=3, **TINY)
    many = multiprocessing.get_context("fork")  # as processes with torch loaded already
    start = many.Barrier(num_shards)

    def shard(number: int) -> None:
        start.wait(60)
        generate(prompts, model, tmp_path / "many", images_per_prompt=3, shard=number, num_shards=num_shards, **TINY)

    running = [many.Process(target=shard, args=(number,)) for number in range(num_shards)]
    for process in running:
        process.start()
    for process in running:
        process.join(240)
    assert [process.exitcode for process in running] == [0] * num_shards
    assert contents(tmp_path / "one") == contents(tmp_path / "many")
    assert len(contents(tmp_path / "many")) == 18 + 3  # images, metadata.jsonl, its seal and the settings: nothing is left over


def test_glide_says_what_it_needs(prompts, tmp_path):
    with pytest.raises(InputError, match=r"no folder 'artifacts/glide'; make it and fetch https://.*base\.pt and https://.*upsample\.pt"):
        model_files.find("artifacts/glide")
    (tmp_path / "glide").mkdir()
    (tmp_path / "glide" / "base.pt").write_bytes(b"x")
    with pytest.raises(InputError, match=r"no 'upsample\.pt'; fetch https://"):
        generate(prompts, tmp_path / "glide", tmp_path / "out", **TINY)
    (tmp_path / "glide" / "upsample.pt").write_bytes(b"x")
    assert model_files.image_size(tmp_path / "glide", 0, 0) == (256, 256)
    with pytest.raises(InputError, match="GLIDE has its own sampler"):
        generate(prompts, tmp_path / "glide", tmp_path / "out", scheduler="DDIMScheduler", **TINY)


@pytest.mark.skipif(importlib.util.find_spec("glide_text2im") is not None, reason="OpenAI's package is installed")
def test_glide_without_its_package(prompts, tmp_path):
    for name in model_files.GLIDE_FILES:
        files.write_bytes(tmp_path / "glide" / name, b"x")
    with pytest.raises(InputError, match=r"needs OpenAI's package .*pip install git\+https://github.com/openai/glide-text2im"):
        generate(prompts, tmp_path / "glide", tmp_path / "out", **TINY)


def test_glide_equals_its_own_sampler(prompts, tmp_path, monkeypatch):
    """With OpenAI's package itself, at random weights and reduced width and size."""
    package = pytest.importorskip("glide_text2im.model_creation")
    import torch

    from aa_utils.generate import glide

    small = {"num_channels": 32, "num_res_blocks": 1, "xf_width": 64, "xf_layers": 2, "xf_heads": 4, "num_head_channels": 16}
    usual = {name: getattr(package, name)() for name in ("model_and_diffusion_defaults", "model_and_diffusion_defaults_upsampler")}
    for name, options in usual.items():
        monkeypatch.setattr(package, name, lambda options=options: options | small | {"image_size": 64})
    torch.manual_seed(0)
    folder = tmp_path / "glide"
    folder.mkdir()
    for name, options in zip(model_files.GLIDE_FILES, usual, strict=True):
        network, _ = package.create_model_and_diffusion(**getattr(package, options)() | {"use_fp16": False})
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.05)
        torch.save(network.state_dict(), folder / name)
    pipe = glide.load(folder, "", "float32", "cpu")
    batch = [jobs.Job("a.png", 0, "cat", "p0", "a cat", 5), jobs.Job("b.png", 0, "cat", "p1", "an oil painting", 6)]
    encode = glide.text_encoder(pipe, [], 1.0)
    ours, _ = glide.sample(pipe, encode, batch, {"width": 0, "height": 0, "steps": 3, "guidance": 1.0})
    generators = [torch.Generator().manual_seed(job.seed) for job in batch]
    drawn = [torch.stack([torch.randn(3, 64, 64, generator=own) for own in generators]) for _ in range(4)]
    noise = iter([*drawn[1:3], torch.zeros(2, 3, 64, 64)])  # none is added at the last step
    monkeypatch.setattr(torch, "randn_like", lambda x: next(noise))
    said = encode([job.text for job in batch])
    process = package.create_gaussian_diffusion(1000, pipe.options["noise_schedule"], "3")
    low = process.p_sample_loop(pipe.base, (2, 3, 64, 64), noise=drawn[0], device="cpu", model_kwargs=said)
    process = package.create_gaussian_diffusion(1000, pipe.options_up["noise_schedule"], "fast27")
    said["low_res"] = ((low + 1) * 127.5).round() / 127.5 - 1
    monkeypatch.undo()
    high = process.ddim_sample_loop(pipe.upsampler, (2, 3, 64, 64), noise=drawn[3] * 0.997, device="cpu", model_kwargs=said)
    theirs = ((high + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    assert np.array_equal(ours, theirs)


def test_the_command_line_takes_presets(model, prompts, tmp_path, capsys):
    from aa_utils.generate.__main__ import main

    values = ["preset=pocket", f"model={model}", "steps=2", "scheduler=DDIMScheduler", f"prompts={prompts}", f"out={tmp_path / 'out'}"]
    assert main(["--shard", "0", "--num-shards", "1", "--set", *values]) == 0
    assert files.read_jsonl(tmp_path / "out" / "metadata.jsonl")[0]["guidance"] == 2.5  # the preset's
    assert main(["--shard", "0", "--num-shards", "1", "--set", *values, "switches=[warp]"]) == 2
    assert "no switch 'warp'" in capsys.readouterr().err


def test_the_gpu_benchmark_builds_its_pipeline(tmp_path, monkeypatch):
    """What it measures is built and run at tiny scale on any machine."""
    script = ROOT / "performance" / "generator_gpu.py"
    options = ["--tiny", "--batch-sizes", "2", "--steps", "2", "--batches", "1", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", [str(script), *options])
    runpy.run_path(str(script), run_name="__main__")
    rows = pd.read_csv(next(tmp_path.glob("generator-*.csv")))
    assert list(rows["call"]) == ["stock", "generate"] and (rows["images_per_second"] > 0).all()
