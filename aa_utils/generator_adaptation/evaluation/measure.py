"""All measures of one generator, as one row of numbers; what is measured stays, so a killed evaluation goes on."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from aa_utils import files
from aa_utils.errors import InputError
from aa_utils.generator_adaptation import clip_direction, perceptual
from aa_utils.generator_adaptation.evaluation import factors, features, paired, quality
from aa_utils.generator_adaptation.evaluation.diversity import diversity
from aa_utils.generator_adaptation.evaluation.frechet_distance import frechet_distance
from aa_utils.generator_adaptation.evaluation.kernel_distance import kernel_distance
from aa_utils.generator_adaptation.evaluation.precision_recall import precision_recall
from aa_utils.generator_adaptation.generators import latents
from aa_utils.generator_adaptation.recipe import recipe
from aa_utils.generator_adaptation.wording import in_classes
from aa_utils.pocket import reader
from aa_utils.runner import code_closure
from aa_utils.runner.identity import digest
from aa_utils.seeds import stable_hash, torch_generator

# In the order of tables. `direction` exists where the words of the source are given, the last ones where the target domain can be rendered.
METRICS = ("clip_score", "direction", "style", "ink", "paper", "quality", "frechet", "kernel", "precision", "recall", "diversity", "read",
           "kept", "paired", "paired_same", "paired_other")  # fmt: skip
AT_ONCE = 64


@dataclass(frozen=True)
class Pocket:
    """What is known of a target domain of the pocket world: its factors, twins of its renders, a reader and a judge of renders."""

    domain: dict[str, str]
    twins: paired.Twins
    reader: nn.Sequential
    judge: nn.Sequential


@dataclass(frozen=True)
class Yardstick:
    """What generators are measured by for one prompt. `truth`: images of the target domain (n, 3, H, W) uint8; `texts` (classes or 1, d):
    for each class the mean over the prompt's wordings of their unit embeddings by `tower`. `directions` (classes or 1, d): the unit vectors
    from the words of the source to those of the prompt."""

    space: features.Space
    truth: Tensor
    tower: clip_direction.Tower
    texts: Tensor
    distance: perceptual.Distance
    pocket: Pocket | None = None
    directions: Tensor | None = None
    k: int = 3  # of precision and recall
    pairs: int = 2000  # of images whose distance is their diversity
    device: str = "cpu"

    @cached_property
    def truth_features(self) -> np.ndarray:
        """The features of the truth."""
        return self.space(self.truth)

    @cached_property
    def identity(self) -> str:
        """What decides its numbers, as text."""
        code = code_closure.fingerprint(__name__)
        known = ""
        if self.pocket:
            weights = [*self.pocket.reader.state_dict().values(), *self.pocket.judge.state_dict().values()]
            known = f"{sorted(self.pocket.domain.items())} {digest(weights)}"
        known += "" if self.directions is None else f" {digest([self.directions])}"
        return f"{code} {self.space.name} {digest([self.truth, self.texts])} {self.distance.name} {known} {self.k} {self.pairs}"


def texts(tower: clip_direction.Tower, wordings: list[str], class_names: tuple[str, ...]) -> Tensor:
    """`Yardstick.texts` of a prompt's wordings; a {} in one stands for the name of the class."""
    found = [tower.texts(in_classes(wording, class_names)) for wording in wordings]
    return torch.stack([t.expand(max(map(len, found)), -1) for t in found]).mean(0)


def directions(tower: clip_direction.Tower, source: str, prompt: str, templates: Sequence[str], class_names: tuple[str, ...]) -> Tensor:
    """`Yardstick.directions` from the words `source` to the words `prompt`, both put in `templates`."""
    asked = clip_direction.objective([tower], source, prompt, recipe("nada", {"steps": 1}), templates, class_names)
    return asked.directions[0]


@torch.inference_mode()
def draw(net: nn.Module, n: int, seed: int, psi: float = 1.0, noise: str = "fixed") -> tuple[Tensor, Tensor | None]:
    """(images (n, 3, R, R) uint8, classes (n,) or None): the latents of `seed`, the same for every generator; each class in turn.

    Noise maps are fixed by default: else two images of one latent would differ, and noise would pass for diversity.
    """
    device, rng = next(net.parameters()).device, torch_generator("evaluate", seed)
    parts, classes = [], latents.in_turn(net, n)
    for start in range(0, n, AT_ONCE):
        count = min(AT_ONCE, n - start)
        z = torch.randn(count, net.z_dim, generator=rng).to(device)
        chosen = None if classes is None else classes[start : start + count]
        labels = latents.labels(net, count, rng, device, chosen=chosen)
        parts.append(quality.to_uint8(latents.render(net, net.mapping(z, labels, psi=psi), noise, labels)).cpu())
    return torch.cat(parts), classes


def of_images(by: Yardstick, before: Tensor | None, after: Tensor, classes: Tensor | None) -> dict[str, float]:
    """One row of METRICS (those that exist): images (n, 3, H, W) uint8 of the same latents `before` and `after`, with their `classes` (n,).

    Without `before` there is nothing that could have been kept.
    Shares are in 0..1. `frechet`, `kernel` and `paired` are in the features of `by.space`. Images without classes have no `read`.
    """
    truth, drawn = by.truth_features, by.space(after)
    row = {"clip_score": clip_score(by, after, classes), "frechet": frechet_distance(truth, drawn)}
    row["kernel"] = kernel_distance(truth, drawn)
    if before is not None and by.directions is not None:
        row["direction"] = direction(by, before, after, classes)
    some = np.linspace(0, len(truth) - 1, min(len(truth), len(drawn))).round().astype(int)
    row["precision"], row["recall"] = precision_recall(truth[some], drawn, by.k)
    row["diversity"] = diversity(by.distance, after, classes, by.pairs, by.device)
    if by.pocket:
        said = reader.read(by.pocket.reader, after.permute(0, 2, 3, 1))
        row |= factors.shares(by.pocket.judge, after, by.pocket.domain)
        row |= {} if classes is None else {"read": float((said == classes.numpy()).mean())}
    if by.pocket and before is not None:
        row |= {"kept": float((said == reader.read(by.pocket.reader, before.permute(0, 2, 3, 1))).mean())}
        row |= paired.distances(drawn, truth[paired.nearest(by.pocket.twins, before, classes).numpy()], classes)
    return {name: row[name] for name in METRICS if name in row}


@torch.inference_mode()
def clip_score(by: Yardstick, pixels: Tensor, classes: Tensor | None) -> float:
    """The mean cosine between images and the prompt of their class (Hessel et al. 2021, arXiv 2104.08718, without its factor 2.5)."""
    rows = _rows(by.texts, pixels, classes)
    return (_embedded(by, pixels) * by.texts.cpu()[rows]).sum(1).double().mean().item()


@torch.inference_mode()
def direction(by: Yardstick, before: Tensor, after: Tensor, classes: Tensor | None) -> float:
    """The mean over images of StyleGAN-NADA's loss, 1 - cos between what an image moved and what the words moved (`clip_direction`); 1 for
    one that has not moved."""
    rows = _rows(by.directions, after, classes)
    moved = _embedded(by, after) - _embedded(by, before)
    return clip_direction.directional_loss(moved, by.directions.cpu()[rows], 1e-6).double().mean().item()


def _embedded(by: Yardstick, pixels: Tensor) -> Tensor:
    return torch.cat([by.tower.images(features.as_float(part.to(by.device))).cpu() for part in pixels.split(AT_ONCE)])


def _rows(texts: Tensor, pixels: Tensor, classes: Tensor | None) -> Tensor:
    """Which of the `texts` is that of each image."""
    return torch.zeros(len(pixels), dtype=torch.int64) if len(texts) == 1 else classes


def cached_row(folder: Path, by: Yardstick, before: Tensor | None, after: Tensor, classes: Tensor | None) -> dict[str, float]:
    """`of_images`, from `folder` if the same images were measured by the same yardstick before."""
    file = folder / f"{stable_hash(by.identity, digest([after] if before is None else [before, after])):016x}.json"
    if not isinstance(files.read_json_if_whole(file), dict):
        files.write_json(file, of_images(by, before, after, classes))
    return files.read_json(file, "remove it")  # type: ignore[return-value]


def check(by: Yardstick, classes: Tensor | None) -> None:
    """Errors: InputError if the prompt, or the pocket world but for its solid bodies, tells classes apart and the generator does not."""
    flat = by.pocket and by.pocket.domain.get("form") != "solid"
    named = max(len(by.texts), 1 if by.directions is None else len(by.directions))
    if classes is None and (flat or named > 1):
        why = "its domain is one of the pocket world, where digits are compared" if flat else "its prompt names the class of an image"
        raise InputError(f"this generator draws no classes, and {why}")
    if classes is not None and named > 1 and int(classes.max()) >= named:
        raise InputError(f"this generator draws {int(classes.max()) + 1} classes, and {named} names are given")
