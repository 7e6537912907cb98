"""StyleGAN-NADA's objective (Gal et al. 2021, arXiv 2108.00946): images move in CLIP space in the direction that the words move.

L = Σ_towers (1 - cos(ΔI, ΔT)) (section 4.1), ΔI = E_I(G_train(w)) - E_I(G_frozen(w)), ΔT = E_T(target) - E_T(source): unit
embeddings, those of texts averaged over templates. Any transformers `CLIPModel` can be a tower; the paper takes ViT-B/32 and ViT-B/16.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
import yaml
from torch import Tensor, nn

from aa_utils.errors import InputError
from aa_utils.generator_adaptation.recipe import Recipe
from aa_utils.generator_adaptation.wording import in_classes
from aa_utils.pretrained import whole_folders
from aa_utils.runner.identity import digest


@dataclass(frozen=True)
class Tower:
    """A frozen CLIP and how it wants its pixels: `size` a side, normalised by `mean` and `std` (1, 3, 1, 1)."""

    model: nn.Module
    tokenizer: object
    size: int
    mean: Tensor
    std: Tensor

    def images(self, images: Tensor) -> Tensor:
        """Unit embeddings (n, d) of images (n, 3, H, W) in [-1, 1]; gradients flow."""
        if images.shape[-1] != self.size:
            images = F.interpolate(images, (self.size, self.size), mode="bicubic", align_corners=False, antialias=True)
        pixels = ((images + 1) / 2 - self.mean) / self.std
        return F.normalize(_tensor(self.model.get_image_features(pixel_values=pixels)).float(), dim=-1)

    @torch.no_grad()
    def texts(self, texts: list[str]) -> Tensor:
        """Unit embeddings (n, d) of `texts`."""
        limit = self.tokenizer.model_max_length  # type: ignore[attr-defined]
        tokens = self.tokenizer(texts, padding="max_length", max_length=limit, truncation=True, return_tensors="pt").to(self.mean.device)  # type: ignore[operator]
        return F.normalize(_tensor(self.model.get_text_features(input_ids=tokens.input_ids)).float(), dim=-1)


@dataclass(frozen=True)
class ClipDirection:
    """CLIP towers; for each the directions of the texts and the bare target texts, (classes or 1, d); the recipe."""

    towers: tuple[Tower, ...]
    directions: tuple[Tensor, ...]
    targets: tuple[Tensor, ...]
    recipe: Recipe
    needs_original: bool = True

    @property
    def identity(self) -> str:
        """What decides its gradients besides the recipe and the code, as text."""
        weights = digest(weight for tower in self.towers for weight in tower.model.state_dict().values())
        return f"{weights} {digest([*self.directions, *self.targets])}"

    @property
    def classes(self) -> int:
        """How many classes the texts tell apart; 1 where all images have the same."""
        return max(map(len, self.directions))

    def view(self, images: Tensor) -> Tensor:
        """What CLIP sees of `images`: all of it; each tower resizes for itself."""
        return images

    def draw(self, n: int, rng: torch.Generator, classes: Tensor | None = None) -> dict[str, Tensor]:
        """Which texts are those of n images with `classes` (n,); nothing is random here."""
        return {"rows": classes if self.classes > 1 else torch.zeros(n, dtype=torch.int64)}

    def gradient(self, x: Tensor, x_org: Tensor, drawn: dict[str, Tensor], rng: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """(gradient of the sum over images of the loss for `x`, quantities to watch); `x_org`: the unadapted images."""
        x = x.detach().requires_grad_()
        losses = torch.zeros(len(x), device=x.device)
        for tower, direction in zip(self.towers, self.directions, strict=True):
            with torch.no_grad():
                before = tower.images(x_org)
            losses = losses + directional_loss(tower.images(x) - before, direction[drawn["rows"]], self.recipe.direction_floor)
        return torch.autograd.grad(losses.sum(), x)[0], {"clip_direction": losses.detach().mean()}

    def pull(self, x: Tensor, drawn: dict[str, Tensor], rng: torch.Generator) -> Tensor:
        """The gradient of 1 - cos(image, target's bare text): what layers are selected by (section 4.2, the "global" CLIP loss)."""
        x = x.detach().requires_grad_()
        losses = torch.zeros(len(x), device=x.device)
        for tower, target in zip(self.towers, self.targets, strict=True):
            losses = losses + (1 - (tower.images(x) * target[drawn["rows"]]).sum(-1))
        return torch.autograd.grad(losses.sum(), x)[0]


def directional_loss(moved: Tensor, direction: Tensor, floor: float) -> Tensor:
    """1 - cos (n,) between what each image `moved` (n, d) and the unit `direction` (n or 1, d).

    An image that moved less than `floor` is divided by `floor` instead of its length: at the first step nothing has moved, and the gradient
    of the cosine would be unbounded (the published code adds 1e-6 to the pixels there). Elsewhere it is the cosine.
    """
    return 1 - (moved * direction).sum(-1) / moved.norm(dim=-1).clamp_min(floor)


def text_direction(source: Tensor, target: Tensor) -> Tensor:
    """The unit vector (d,) along the mean over templates of target - source, both unit embeddings (templates, d)."""
    return F.normalize((target - source).mean(0), dim=-1)


def objective(
    towers: list[Tower],
    source: str,
    target: str,
    recipe: Recipe,
    templates: Sequence[str] = ("imagenet",),
    class_names: tuple[str, ...] = (),
) -> ClipDirection:
    """The objective with CLIP `towers` of the same say, from the words `source` to the words `target`.

    A {} in both stands for the name of the class of each image, among `class_names` in the order of a conditional generator's classes.
    `templates`: texts with one {} each, where the words are put; "imagenet" stands for the 79 of the published code.
    Errors: InputError for a regulariser that this objective does not have, or a template without {}.
    """
    extra = [name for name in ("directional", "reconstruction", "perceptual", "delta_denoising") if getattr(recipe, name)]
    if extra:
        raise InputError(f"{extra[0]} is {getattr(recipe, extra[0])}, and clip_direction has no such term; leave it out")
    if not towers:
        raise InputError("no CLIP model gives the direction; name at least one, such as models/pocket-clip")
    filled = [t for given in templates for t in (imagenet_templates() if given == "imagenet" else [given])]
    if not filled or any(t.count("{}") != 1 for t in filled):
        raise InputError(f"templates are {templates!r}; give texts with one {{}} each, or ['imagenet']")
    before, after = in_classes(source, class_names), in_classes(target, class_names)
    before, after = (texts * max(len(before), len(after)) if len(texts) == 1 else texts for texts in (before, after))
    directions, bare = [], []
    for tower in towers:
        pairs = [[tower.texts([t.replace("{}", words) for t in filled]) for words in pair] for pair in zip(before, after, strict=True)]
        directions.append(torch.stack([text_direction(*pair) for pair in pairs]))
        bare.append(tower.texts(after))
    return ClipDirection(tuple(towers), tuple(directions), tuple(bare), recipe)


def load(model: str | Path, device: str = "cpu") -> Tower:
    """The CLIP of a transformers folder or hub id, frozen, in float32. Errors: InputError if it cannot be had or is not whole."""
    net, tokenizer, processor = whole_folders.load_clip(model, device)
    net.requires_grad_(False)
    mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (processor.image_mean, processor.image_std))
    return Tower(net, tokenizer, net.config.vision_config.image_size, mean, std)


@cache
def imagenet_templates() -> list[str]:
    """The 79 templates of the published code, a list of CLIP's authors."""
    return yaml.safe_load(Path(__file__).with_name("imagenet_templates.yaml").read_text(encoding="utf-8"))


def _tensor(found: object) -> Tensor:
    return getattr(found, "pooler_output", found)  # type: ignore[arg-type]  # transformers 5 returns an object
