"""The pocket models load and work through the public libraries' plainest calls, without a dtype or any other word."""

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

from aa_utils.paths import ROOT
from aa_utils.pocket import autoencoder, clip, diffusion, reader

DIFFUSION = ("pocket-diffusion", "pocket-diffusion-early", "pocket-diffusion-lcm")


def drawn(pipe, prompts):
    generators = [torch.Generator().manual_seed(seed) for seed in range(len(prompts))]
    return pipe(prompts, generator=generators, num_inference_steps=20, guidance_scale=3.0, output_type="np").images


@pytest.mark.parametrize("name", DIFFUSION)
def test_a_pocket_pipeline_draws_without_a_dtype(name):
    pipe = StableDiffusionPipeline.from_pretrained(ROOT / "models" / name)
    assert {part.dtype for part in (pipe.unet, pipe.vae, pipe.text_encoder)} == {torch.float32}
    prompts = [f"a printed digit {word} in black ink on white paper" for word in ("one", "three", "seven")]
    images = drawn(pipe, prompts)
    assert images.shape == (3, 32, 32, 3) and np.isfinite(images).all()
    explicit = drawn(StableDiffusionPipeline.from_pretrained(ROOT / "models" / name, dtype=torch.float32), prompts)
    assert np.array_equal(images, explicit)
    if name == "pocket-diffusion":
        net = reader.load(ROOT / "models/pocket-reader/reader.safetensors")
        assert reader.read(net, (images * 255).round().astype(np.uint8)).tolist() == [1, 3, 7]


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_the_distilled_generator_draws_what_is_asked_in_few_steps(steps):
    pipe = StableDiffusionPipeline.from_pretrained(ROOT / "models/pocket-diffusion-lcm")
    words = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    generators = [torch.Generator().manual_seed(seed) for seed in range(10)]
    prompts = [f"a handwritten digit {word}, pen, scan" for word in words]
    images = pipe(prompts, generator=generators, num_inference_steps=steps, guidance_scale=1.0, output_type="np").images
    net = reader.load(ROOT / "models/pocket-reader/reader.safetensors")
    right = reader.read(net, (images * 255).round().astype(np.uint8)) == np.arange(10)
    assert right.sum() >= 8, "it was measured to be read in 92 to 95 per cent"


def test_pocket_clip_compares_picture_and_text_without_a_dtype():
    folder = ROOT / "models/pocket-clip"
    net, words, processor = (kind.from_pretrained(folder) for kind in (CLIPModel, CLIPTokenizer, CLIPImageProcessor))
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    inputs = processor(images=[picture], return_tensors="pt") | words(["a digit one", "a digit two"], padding=True, return_tensors="pt")
    explicit = CLIPModel.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        logits = net(**inputs).logits_per_image
        assert logits.dtype == torch.float32 and logits.shape == (1, 2) and logits.isfinite().all()
        assert torch.equal(logits, explicit(**inputs).logits_per_image)


def test_what_the_pocket_notebook_saves_loads_so_too(tmp_path):
    vocabulary = clip.tokenizer(["a digit one", "a digit two"])
    torch.manual_seed(0)
    net = clip.model(vocabulary)
    clip.save(net, vocabulary, tmp_path / "clip")
    assert CLIPModel.from_pretrained(tmp_path / "clip").dtype == torch.float32
    unet, text = diffusion.model(net.config.text_config.hidden_size), diffusion.text_encoder(net)
    diffusion.save(unet, autoencoder.model(), text, vocabulary, tmp_path / "pipe")
    pipe = StableDiffusionPipeline.from_pretrained(tmp_path / "pipe")
    images = pipe(["a digit one"], num_inference_steps=1, output_type="np").images
    assert images.shape == (1, 32, 32, 3) and np.isfinite(images).all()
