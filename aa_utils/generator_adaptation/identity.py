"""What decides the result of an adaptation: where all of it is the same, a run is read or continued instead of repeated."""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from aa_utils import files
from aa_utils.seeds import stable_hash

# Modules whose code decides a result.
CODE = (
    "adapt",
    "clip_direction",
    "directional",
    "fusion",
    "guide",
    "layers",
    "perceptual",
    "reconstruction",
    "score_distillation",
    "wording",
    "generators/latents",
    "generators/modulated_conv",
    "generators/stylegan2",
    "generators/upfirdn2d",
)
CODE_3D = (  # of a generator with cameras, too
    "generators/cameras",
    "generators/eg3d",
    "generators/superresolution",
    "generators/triplane",
    "generators/volume_rendering",
)


def of(generator: nn.Module, objective, seed: int) -> str:
    """16 hex digits of code, recipe, objective, first weights and seed. How often to log or save does not count."""
    parts = [files.sha256(Path(__file__).parent / f"{name}.py") for name in CODE + CODE_3D * hasattr(generator, "sample_cameras")]
    parts += [type(generator).__qualname__, digest(generator.state_dict().values()), str(sorted(asdict(objective.recipe).items()))]
    return f"{stable_hash(*parts, objective.identity, seed, torch.__version__):016x}"


def digest(tensors: Iterable[Tensor]) -> str:
    """The SHA-256 of the bytes of `tensors`, in their order."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return found.hexdigest()
