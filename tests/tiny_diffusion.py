"""Pipelines of many kinds with random weights, small enough for tests: 16 px images from 8x8x4 latents (Sana: 32 px), and a CLIP."""

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
    """Save a random-weight pipeline to `folder`; `kind` is "sd", "turbo", "sdxl", "lcm", "sd3", "pixart" or "sana"."""
    if kind in ("sd3", "pixart", "sana"):
        return save_transformer(folder, seed, kind)
    import torch
    from diffusers import (
        AutoencoderKL,
        DDIMScheduler,
        EulerAncestralDiscreteScheduler,
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
    if kind == "turbo":  # as stabilityai/sd-turbo has it
        scheduler = EulerAncestralDiscreteScheduler.from_config(scheduler.config, timestep_spacing="trailing")
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


def save_transformer(folder: Path, seed: int, kind: str) -> Path:
    """Diffusion transformers: Stable Diffusion 3 without its T5, PixArt-Sigma with a T5, Sana with a Gemma 2 and its own autoencoder."""
    import diffusers
    import torch
    import transformers

    torch.manual_seed(seed)
    vae = diffusers.AutoencoderKL(
        block_out_channels=(16, 16), latent_channels=4, norm_num_groups=8, layers_per_block=1, sample_size=16, shift_factor=0.06,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip
    flow = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    if kind == "sd3":
        words = tokenizer()
        text = transformers.CLIPTextConfig(
            vocab_size=len(words), hidden_size=32, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4, projection_dim=32,
            max_position_embeddings=16, bos_token_id=words.bos_token_id, eos_token_id=words.eos_token_id, pad_token_id=words.eos_token_id,
        )  # fmt: skip
        network = diffusers.SD3Transformer2DModel(
            sample_size=8, patch_size=1, in_channels=4, num_layers=1, attention_head_dim=8, num_attention_heads=4,
            caption_projection_dim=32, joint_attention_dim=64, pooled_projection_dim=64, out_channels=4,
        )  # fmt: skip
        one, two = (transformers.CLIPTextModelWithProjection(text) for _ in range(2))
        pipe = diffusers.StableDiffusion3Pipeline(
            transformer=network, scheduler=flow, vae=vae, text_encoder=one, tokenizer=words, text_encoder_2=two, tokenizer_2=tokenizer(),
            text_encoder_3=None, tokenizer_3=None,
        )  # fmt: skip
    elif kind == "pixart":
        words = whole_words()
        text = transformers.T5Config(vocab_size=len(words), d_model=32, d_ff=37, d_kv=8, num_layers=1, num_heads=4)
        network = diffusers.PixArtTransformer2DModel(
            sample_size=8, num_layers=1, patch_size=2, attention_head_dim=8, num_attention_heads=3, caption_channels=32, in_channels=4,
            cross_attention_dim=24, out_channels=8,
        )  # fmt: skip
        pipe = diffusers.PixArtSigmaPipeline(
            transformer=network, scheduler=diffusers.DPMSolverMultistepScheduler(), vae=vae, tokenizer=words,
            text_encoder=transformers.T5EncoderModel(text),
        )  # fmt: skip
    else:
        words = whole_words()
        text = transformers.Gemma2Config(
            vocab_size=len(words), hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2,
            head_dim=4, attn_implementation="eager",
        )  # fmt: skip
        network = diffusers.SanaTransformer2DModel(
            patch_size=1, in_channels=4, out_channels=4, num_layers=1, num_attention_heads=2, attention_head_dim=4,
            num_cross_attention_heads=2, cross_attention_head_dim=4, cross_attention_dim=8, caption_channels=8, sample_size=16,
        )  # fmt: skip
        blocks, layers, scales = ("ResBlock", "EfficientViTBlock"), (1, 1), ((), (5,))
        vae = diffusers.AutoencoderDC(
            in_channels=3, latent_channels=4, attention_head_dim=2, encoder_block_types=blocks, decoder_block_types=blocks,
            encoder_block_out_channels=(8, 8), decoder_block_out_channels=(8, 8), encoder_qkv_multiscales=scales,
            decoder_qkv_multiscales=scales, encoder_layers_per_block=layers, decoder_layers_per_block=layers,
            downsample_block_type="conv", upsample_block_type="interpolate", decoder_norm_types="rms_norm", decoder_act_fns="silu",
        )  # fmt: skip
        pipe = diffusers.SanaPipeline(
            transformer=network, scheduler=flow, vae=vae, tokenizer=words, text_encoder=transformers.Gemma2Model(text)
        )
    pipe.save_pretrained(folder)
    return folder


def whole_words():
    """A tokenizer of whole words: what the long instruction before Sana's prompts needs to stay short."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(("<pad>", "<unk>", "<bos>", *WORDS))}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", unk_token="<unk>", bos_token="<bos>", model_max_length=512)


def save_clip(folder: Path, seed: int = 0) -> Path:
    """Save a random-weight CLIP with tokenizer and image processor to `folder`."""
    import torch
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    torch.manual_seed(seed)
    words = tokenizer()
    tower = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "projection_dim": 8}
    ends = {"bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id, "pad_token_id": words.eos_token_id}
    text = tower | ends | {"vocab_size": len(words), "max_position_embeddings": 16}
    vision = tower | {"image_size": 16, "patch_size": 8}
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)).save_pretrained(folder)
    words.save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}).save_pretrained(folder)
    return folder
