"""Shared by the tests: notebooks made on the spot, and a random-weight Stable Diffusion folder that stands in for a generator."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# One thread a process, whatever started the tests: numbers are the same on every machine, and parallel workers do not fight.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture
def make_notebook(tmp_path):
    """make_notebook(parameters_source, *code, name="made.ipynb", tagged=1) -> path of a notebook in `tmp_path`."""

    def make(parameters_source: str, *code: str, name: str = "made.ipynb", tagged: int = 1) -> Path:
        from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, writes

        cells = [new_markdown_cell("# Made by a test"), new_code_cell(parameters_source), *(new_code_cell(source) for source in code)]
        for cell in cells[1 : 1 + tagged]:
            cell.metadata["tags"] = ["parameters"]
        for number, cell in enumerate(cells):
            cell["id"] = f"c{number:02d}"
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        path = tmp_path / name
        path.write_text(writes(new_notebook(cells=cells, metadata={"kernelspec": kernel})), encoding="utf-8")
        return path

    return make


@pytest.fixture
def runner(tmp_path):
    """runner(*arguments, **environment) -> the finished process of `python -m aa_utils.run`, called as a person would."""

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "aa_utils.run", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=os.environ | environment, timeout=120)

    return run


@pytest.fixture(scope="session")
def tiny_diffusion(tmp_path_factory) -> Path:
    """A StableDiffusionPipeline folder of the pocket shape (32 px, 8x8x4 latents) with random weights: small enough to run in a moment."""
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    folder = tmp_path_factory.mktemp("models") / "tiny-diffusion"
    words = tmp_path_factory.mktemp("tokenizer")
    letters = list("abcdefghijklmnopqrstuvwxyz0123456789,.'-")
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(letter + "</w>" for letter in letters)]
    (words / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    (words / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(words / "vocab.json"), str(words / "merges.txt"), model_max_length=64, pad_token="<|endoftext|>")
    torch.manual_seed(0)
    text = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "projection_dim": 32}
    ids = {"vocab_size": len(tokens), "max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    coder = {"down_block_types": ("DownEncoderBlock2D",) * 3, "up_block_types": ("UpDecoderBlock2D",) * 3}
    blocks = {"down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D")}
    unet = {"block_out_channels": (16, 32), "layers_per_block": 1, "attention_head_dim": 4, "cross_attention_dim": 32}
    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL(block_out_channels=(8, 16, 16), norm_num_groups=8, latent_channels=4, sample_size=32, **coder),
        text_encoder=CLIPTextModel(CLIPTextConfig(**text, **ids)),
        tokenizer=tokenizer,
        unet=UNet2DConditionModel(sample_size=8, in_channels=4, out_channels=4, norm_num_groups=8, **blocks, **unet),
        scheduler=DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    return folder
