"""A one-file checkpoint of Stable Diffusion becomes a folder with the very same weights, or one sentence says why not."""

import pickle
import re

import pytest
import tiny_diffusion
import torch
from safetensors.torch import save_file

from aa_utils.errors import InputError
from aa_utils.generate import model_files, pipeline
from aa_utils.pretrained import one_file

PARTS = ("unet", "vae", "text_encoder")
RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0", "conv2": "out_layers.3"}
RESNET |= {"time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection"}
WHOLE_UNET = {"conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2"}
WHOLE_UNET |= {"time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2"}
ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def unet_name(name: str) -> str:
    """The name that a tensor of a U-Net with one resnet a block has in CompVis' checkpoints."""
    for ours, theirs in WHOLE_UNET.items():
        if name.startswith(f"{ours}."):
            return name.replace(ours, theirs, 1)
    kind, block, part, number, rest = re.fullmatch(r"(down|mid|up)_blocks?\.?(\d*)\.?(\w+)\.(\d+)\.(.+)", name).groups()
    block, number = int(block or 0), int(number)
    if part == "resnets":
        head, _, tail = rest.partition(".")
        rest = f"{RESNET[head]}.{tail}"
    if kind == "mid":
        return f"middle_block.{2 * number if part == 'resnets' else 1}.{rest}"
    inner = {"resnets": "0", "attentions": "1"}.get(part)
    if kind == "down":
        return (
            f"input_blocks.{2 * block + 1}.{inner}.{rest}" if inner else f"input_blocks.{2 * block + 2}.0.op.{rest.removeprefix('conv.')}"
        )
    return f"output_blocks.{2 * block + number}.{inner}.{rest}" if inner else f"output_blocks.{2 * block + 1}.2.{rest}"


def vae_name(name: str) -> str:
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    name = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", name)
    name = re.sub(r"up_blocks\.(\d)\.resnets", lambda m: f"up.{1 - int(m[1])}.block", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{1 - int(m[1])}.upsample", name)
    for ours, theirs in ATTENTION.items():
        name = name.replace(f"mid_block.attentions.0.{ours}.", f"mid.attn_1.{theirs}.")
    return name


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_diffusion.save(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def checkpoint(model):
    """The tensors of `model` under the names of CompVis' checkpoints."""
    pipe = pipeline.load(model, "", "float32", "cpu")
    held = {f"model.diffusion_model.{unet_name(name)}": value for name, value in pipe.unet.state_dict().items()}
    for name, value in pipe.vae.state_dict().items():
        linear = "attentions" in name and value.ndim == 2
        held[f"first_stage_model.{vae_name(name)}"] = value[:, :, None, None] if linear else value
    start = "cond_stage_model.transformer.text_model"
    return held | {f"{start}.{name}": value for name, value in pipe.text_encoder.state_dict().items()}


def write(checkpoint, path):
    if path.suffix == ".safetensors":
        save_file({name: value.contiguous() for name, value in checkpoint.items()}, path)
    else:
        torch.save({"state_dict": checkpoint, "global_step": 7}, path)
    return path


@pytest.mark.parametrize("name", ["v1-5-pruned.safetensors", "sd-v1-4.ckpt"])
def test_a_checkpoint_becomes_a_folder_with_the_same_weights(model, checkpoint, tmp_path, capsys, name):
    file = write(checkpoint, tmp_path / name)
    with pytest.raises(InputError, match=r"python -m aa_utils\.pretrained\.one_file"):
        model_files.find(file)
    assert one_file.main([str(file), str(tmp_path / "made"), "--config", str(model)]) == 0
    assert "give it as model" in capsys.readouterr().out
    made, was = (pipeline.load(model_files.find(folder), "", "float32", "cpu") for folder in (tmp_path / "made", model))
    for part in PARTS:
        ours, theirs = (getattr(pipe, part).state_dict() for pipe in (made, was))
        assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


HOLES = ("model.diffusion_model.middle_block", "first_stage_model.decoder.mid", "cond_stage_model.transformer.text_model.encoder")


@pytest.mark.parametrize("part", HOLES)
def test_a_checkpoint_that_lacks_tensors_is_refused(model, checkpoint, tmp_path, part):
    some = {name: value for k, (name, value) in enumerate(checkpoint.items()) if not (name.startswith(part) and k % 2)}
    file = write(some, tmp_path / "x.safetensors")
    with pytest.raises(InputError, match=r"lacks \d+ tensors|cannot be converted"):
        one_file.convert(file, tmp_path / "made", model)
    assert not (tmp_path / "made").exists()


def test_what_cannot_be_converted_is_one_sentence(model, checkpoint, tmp_path, monkeypatch, capsys):
    file = write(checkpoint, tmp_path / "x.safetensors")
    (tmp_path / "page.ckpt").write_bytes(b"<html>")
    (tmp_path / "evil.ckpt").write_bytes(pickle.dumps({"state_dict": print}))
    write({"lora_unet_x.lora_down.weight": torch.zeros(2)}, tmp_path / "lora.safetensors")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for given, more, message in (
        (tmp_path / "none.safetensors", {}, "no file"),
        (tmp_path / "lora.safetensors", {}, "holds LoRA weights"),
        (tmp_path / "page.ckpt", {}, "web page"),
        (tmp_path / "evil.ckpt", {}, "nothing in it was run"),
        (file, {"config": tmp_path}, "no model folder at config"),
        (file, {"folder": tmp_path}, "is there already"),
    ):
        with pytest.raises(InputError, match=message):
            one_file.convert(given, **{"folder": tmp_path / "made", **more})
    assert one_file.main([str(tmp_path / "none.safetensors"), str(tmp_path / "made")]) == 2
    assert "no file" in capsys.readouterr().err and not (tmp_path / "made").exists()
