"""Shared by the tests: notebooks made on the spot, and a random-weight Stable Diffusion folder that stands in for a generator."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# One thread a process, whatever started the tests: numbers are the same on every machine, and parallel workers do not fight.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# `make unit` shares files out among processes: those that take longest come first, for at the end all others would wait for them.
LONGEST = ["test_smoke_pipeline.py", "test_paper_experiments.py", "test_photo_experiments.py", "test_wheel.py", "test_experiment.py"]


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


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
    """A StableDiffusionPipeline folder with random weights: it loads and runs in a moment, and its images mean nothing."""
    import tiny_diffusion

    return tiny_diffusion.save(tmp_path_factory.mktemp("models") / "tiny-diffusion")


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory) -> Path:
    """A CLIPModel folder with random weights, a word tokenizer and an image processor."""
    import tiny_diffusion
    import torch
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    folder = tmp_path_factory.mktemp("models") / "tiny-clip"
    words = tiny_diffusion.tokenizer()
    shape = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    ids = {"eos_token_id": words.eos_token_id, "bos_token_id": words.bos_token_id, "pad_token_id": words.eos_token_id}
    text = shape | ids | {"vocab_size": len(words), "max_position_embeddings": 16}
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=shape | {"image_size": 32, "patch_size": 16}, projection_dim=8))
    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    for part in (model, words, processor):
        part.save_pretrained(folder)
    return folder
