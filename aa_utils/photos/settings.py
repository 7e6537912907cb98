"""Default settings of the four stages on your own photos.

Each stage has its own choices here. The options of prompt writers come from their `Config`, those of images from `generate.settings` and
`openai_images.Service`, those of training from `Recipe`. What notebook 90 sets for all stages, or makes itself, is left out (SHARED).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from aa_utils import plugins, prompts
from aa_utils.generate.openai_images import Service
from aa_utils.generate.settings import Settings
from aa_utils.runner import parameters
from aa_utils.runner.parameters import Parameter
from aa_utils.training.loop import Recipe

STAGES = ("writer", "generator", "inter_domain", "intra_domain")
SHARED = {"class_names", "per_class", "prompts", "model", "source", "target", "test", "initial", "image_size", "backbone", "pretrained"}
SHARED |= {"bottleneck", "flip", "seeds", "device", "out", "images_per_prompt"}
# What else a stage does not have here: scores by CLIP; linear probes, which are no start for stage 4.
ABSENT = {"generator": {"clip", "template"}, "intra_domain": {"freeze_backbone", "feature_views"}}


@dataclass(frozen=True)
class Writer:
    """Stage 1: which writer; its own options are those of its `Config`."""

    writer: str = "offline"
    seed: int = 0


@dataclass(frozen=True)
class InterDomain:
    """Stage 3: which method, and the views of drawn images and photos that it sees."""

    method: str = "dann"
    method_config: dict = field(default_factory=dict)
    augment: list[str] = field(default_factory=lambda: ["affine", "affine"])


@dataclass(frozen=True)
class IntraDomain:
    """Stage 4: which method, which photos are confident (`intra_domain.split`), and the weights it starts from (`intra_domain.refine`)."""

    method: str = "fixmatch"
    method_config: dict = field(default_factory=dict)
    score: str = "entropy"
    fraction: float = 0.5
    threshold: float = 0.0
    start: str = "head"


# For pocket_resnet, from scratch. With pretrained weights a tenth of these rates is usual.
INTER_DOMAIN = Recipe(steps=1000, batch_size=16, lr=0.05, weight_decay=5e-3, schedule="cosine", clip=1.0)
INTRA_DOMAIN = Recipe(steps=500, batch_size=16, lr=0.03, weight_decay=5e-4, schedule="fixmatch", clip=1.0)  # FixMatch, section 4.1


def defaults(stage: str) -> list[Parameter]:
    """All settings of one of STAGES, each with its default."""
    left_out = SHARED | ABSENT.get(stage, set())
    return [parameter for parameter in parameters.of_settings(*_settings(stage)) if parameter.name not in left_out]


def _settings(stage: str) -> Iterator[object]:
    if stage == "writer":
        yield Writer()
        yield from (plugins.load("prompts", name).Config() for name in prompts.writers())
    elif stage == "generator":
        yield from (Settings(), Service())
    elif stage == "inter_domain":
        yield from (InterDomain(), INTER_DOMAIN)
    else:
        yield from (IntraDomain(), INTRA_DOMAIN)
