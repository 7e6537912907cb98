"""pocket_vit: the image tower of pocket-clip as a timm network. With its weights: the pretrained DeiT of the pocket world.

Those weights come from captioned renders (notebook 01): no generated image and no target image is in them.
"""

from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file
from timm.models import register_model
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from aa_utils.errors import InputError
from aa_utils.paths import ROOT
from aa_utils.pretrained import weight_files

WEIGHTS = ROOT / "models" / "pocket-clip" / "model.safetensors"
HALF = (0.5, 0.5, 0.5)


@register_model
def pocket_vit(pretrained: bool = False, **kwargs) -> VisionTransformer:
    """A ViT for 32 px: 16 patches of 8 px, a class token, 4 blocks of width 192; 1.8 M weights, 31 M multiply-adds an image.

    `pretrained`: with pocket-clip's weights, if no `kwargs` change its shape.
    """
    for key in ("pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"):
        kwargs.pop(key, None)
    changed = ", ".join(sorted(set(kwargs) - {"num_classes"}))
    if pretrained and changed:
        raise InputError(f"pocket_vit has pretrained weights for its own shape; leave out {changed}")
    shape = {"img_size": 32, "patch_size": 8, "embed_dim": 192, "depth": 4, "num_heads": 6}
    as_clip = {"pre_norm": True, "norm_layer": partial(nn.LayerNorm, eps=1e-5)}
    net = VisionTransformer(**(shape | as_clip | kwargs))
    if pretrained:
        if not WEIGHTS.is_file():
            raise InputError(f"no pocket-clip at '{WEIGHTS}', whose image tower this is; notebooks/01_pocket_world.ipynb makes it")
        weight_files.check(WEIGHTS)
        try:
            net.load_state_dict(_tower(WEIGHTS))
        except (KeyError, RuntimeError, ValueError) as error:
            raise InputError(
                f"'{WEIGHTS}' does not hold the whole image tower of pocket-clip ({error}); git checkout models brings it back"
            ) from error
    net.pretrained_cfg = {"mean": HALF, "std": HALF}
    return net


def _tower(file: Path) -> dict[str, Tensor]:
    """timm's names for the weights of a transformers CLIP's image tower, float32."""
    clip = {name.removeprefix("vision_model."): value.float() for name, value in load_file(file).items()}
    weights = {
        "cls_token": clip["embeddings.class_embedding"][None, None],
        "pos_embed": clip["embeddings.position_embedding.weight"][None],
        "patch_embed.proj.weight": clip["embeddings.patch_embedding.weight"],
    }
    layers = {"norm_pre": "pre_layrnorm", "norm": "post_layernorm"}
    for k in range(1 + max(int(name.split(".")[2]) for name in clip if name.startswith("encoder.layers."))):
        ours, its = f"blocks.{k}", f"encoder.layers.{k}"
        names = {
            "norm1": "layer_norm1",
            "norm2": "layer_norm2",
            "mlp.fc1": "mlp.fc1",
            "mlp.fc2": "mlp.fc2",
            "attn.proj": "self_attn.out_proj",
        }
        layers |= {f"{ours}.{name}": f"{its}.{other}" for name, other in names.items()}
        for part in ("weight", "bias"):
            weights[f"{ours}.attn.qkv.{part}"] = torch.cat([clip[f"{its}.self_attn.{x}_proj.{part}"] for x in "qkv"])
    return weights | {f"{ours}.{part}": clip[f"{its}.{part}"] for ours, its in layers.items() for part in ("weight", "bias")}
