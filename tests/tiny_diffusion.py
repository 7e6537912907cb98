"""Stable Diffusion pipelines with random weights, small enough for tests: 16 px images from 8x8x4 latents."""

from pathlib import Path

WORDS = ("a", "photo", "of", "digit", "zero", "one", "two", "three", "black", "white", "red", "blue", "ink", "on", "paper")


def tokenizer():
    from transformers import CLIPTokenizer

    letters = [chr(c) for c in range(33, 127)]
    merges, tokens = [], []
    for word in WORDS:  # "z e", "ze r", "zer o</w>": each word ends as one token
        parts = [*word[:-1], word[-1] + "</w>"]
        while len(parts) > 1:
            if (parts[0], parts[1]) not in merges:
                merges.append((parts[0], parts[1]))
                tokens.append(parts[0] + parts[1])
            parts = [parts[0] + parts[1], *parts[2:]]
    vocabulary = dict.fromkeys([*letters, *(c + "</w>" for c in letters), *tokens, "<|startoftext|>", "<|endoftext|>"])
    return CLIPTokenizer(vocab={token: i for i, token in enumerate(vocabulary)}, merges=merges, model_max_length=16)


def save(folder: Path, seed: int = 0, kind: str = "sd") -> Path:
    """Save a random-weight pipeline to `folder`; `kind` is "sd", "sdxl" or "lcm"."""
    import torch
    from diffusers import (
        AutoencoderKL,
        DDIMScheduler,
        LCMScheduler,
        StableDiffusionPipeline,
        StableDiffusionXLPipeline,
        UNet2DConditionModel,
    )
    from diffusers import LatentConsistencyModelPipeline as LCMPipeline
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    torch.manual_seed(seed)
    words = tokenizer()
    text = CLIPTextConfig(
        vocab_size=len(words), hidden_size=32, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4, projection_dim=32,
        max_position_embeddings=16, bos_token_id=words.bos_token_id, eos_token_id=words.eos_token_id, pad_token_id=words.eos_token_id,
    )  # fmt: skip
    shape = {"sample_size": 8, "in_channels": 4, "out_channels": 4, "layers_per_block": 1, "block_out_channels": (16, 32)}
    blocks = {"down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D")}
    added = {"cross_attention_dim": 64 if kind == "sdxl" else 32}
    if kind == "sdxl":
        added |= {"addition_embed_type": "text_time", "addition_time_embed_dim": 8, "projection_class_embeddings_input_dim": 32 + 6 * 8}
    if kind == "lcm":
        added |= {"time_cond_proj_dim": 32}
    unet = UNet2DConditionModel(**shape, **blocks, **added, norm_num_groups=8, attention_head_dim=2)
    vae = AutoencoderKL(
        block_out_channels=(16, 16), latent_channels=4, norm_num_groups=8, layers_per_block=1, sample_size=16,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip
    scheduler = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1)
    if kind == "sdxl":
        pipe = StableDiffusionXLPipeline(
            vae=vae, text_encoder=CLIPTextModel(text), text_encoder_2=CLIPTextModelWithProjection(text), tokenizer=words,
            tokenizer_2=tokenizer(), unet=unet, scheduler=scheduler, add_watermarker=False,
        )  # fmt: skip
    else:
        made = LCMPipeline if kind == "lcm" else StableDiffusionPipeline
        pipe = made(
            vae=vae, text_encoder=CLIPTextModel(text), tokenizer=words, unet=unet, safety_checker=None, feature_extractor=None,
            scheduler=LCMScheduler.from_config(scheduler.config) if kind == "lcm" else scheduler, requires_safety_checker=False,
        )  # fmt: skip
    pipe.save_pretrained(folder)
    return folder
