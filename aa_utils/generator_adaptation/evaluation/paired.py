"""The paired oracle: the picture that a latent should have become.

The pocket world can draw the same glyph twice: once plain, once in the target domain, stroke for stroke (chalk and handwriting share
pen and hand; a printed or displayed character shares place, size and slant). So for each latent the plain twin nearest to its unadapted
image is looked up, of the class it was asked for, and the other twin is the oracle. Two things make it readable:

- the look-up is not exact, so even a perfect adaptation is not at 0: independent renders and their true twins, measured the same way, say
  where it would be (the row "renders" of a table);
- beside the distance to the own oracle stand those to the oracles of other latents, of the same class and of others. Where the own one is
  not the nearest, the adaptation did not keep what the latent showed, however good its images look.

A domain with `form: solid` is that of solid bodies (`aa_utils.pocket.solids`): twins are one body in two looks, seen by the same camera. A
3-D generator draws no classes: its twins are looked up among all digits and cameras.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from aa_utils.errors import InputError
from aa_utils.files import atomic
from aa_utils.generator_adaptation.pretraining import pocket_eg3d
from aa_utils.generator_adaptation.pretraining.pocket_gan import CLASSES, PLAIN
from aa_utils.pocket.new_style import draw, sample
from aa_utils.pocket.render import CHUNK
from aa_utils.progress import progress
from aa_utils.runner import code_closure
from aa_utils.seeds import stable_hash

FORMS = ("flat", "solid")
SHAPE = ("character", "tool", "slant", "size", "proportion", "weight")  # factors that twins share, where the domain does not fix them


@dataclass(frozen=True)
class Twins:
    """The same glyphs, `plain` and in the `target` domain, (n, 3, 32, 32) uint8, with their `labels` (n,)."""

    plain: Tensor
    target: Tensor
    labels: Tensor


def twins(folder: Path, domain: dict[str, str], per_digit: int, seed: int) -> Twins:
    """`per_digit` pairs of each digit, kept in `folder`; factors that `domain` leaves open, and which are not SHAPE, vary as in the world.

    Errors: InputError for a factor or value that the pocket world does not have.
    """
    name = f"{stable_hash('twins', code_closure.fingerprint(__name__), per_digit, seed, *sorted(domain.items())):x}"
    file = folder / f"twins-{name}.npz"
    labels = torch.arange(CLASSES).repeat_interleave(per_digit)
    if not file.is_file():
        parts = [(digit, start) for digit in range(CLASSES) for start in range(0, per_digit, CHUNK)]
        drawn = [_pair(domain, d, min(CHUNK, per_digit - s), seed, s) for d, s in progress(parts, "render twins", unit="part")]
        with atomic(file) as temporary, temporary.open("wb") as stream:
            np.savez(stream, plain=np.concatenate([p for p, _ in drawn]), target=np.concatenate([t for _, t in drawn]))
    with np.load(file) as found:
        plain, target = (torch.from_numpy(found[key]).permute(0, 3, 1, 2).contiguous() for key in ("plain", "target"))
    return Twins(plain, target, labels)


def nearest(bank: Twins, pixels: Tensor, labels: Tensor | None) -> Tensor:
    """For each unadapted image (n, 3, 32, 32) uint8 the index (n,) of its twin: of its class (of any, without `labels`), nearest to it when
    both are blurred."""
    if labels is None:
        return torch.cat([torch.cdist(_blurred(part), _blurred(bank.plain)).argmin(1) for part in pixels.split(CHUNK)])
    found = torch.empty(len(pixels), dtype=torch.int64)
    for label in labels.unique():
        of_bank, of_pixels = (bank.labels == label).nonzero()[:, 0], (labels == label).nonzero()[:, 0]
        found[of_pixels] = of_bank[torch.cdist(_blurred(pixels[of_pixels]), _blurred(bank.plain[of_bank])).argmin(1)]
    return found


def distances(features: np.ndarray, oracles: np.ndarray, labels: Tensor | None) -> dict[str, float]:
    """How far images are from their oracles: root mean square difference of features (n, d), in their units.

    paired: to the own oracle; paired_same: to that of another latent of the same class; paired_other: of another class (without `labels`:
    of any other latent). Errors: InputError for fewer than two classes, or images of a class.
    """
    if labels is None:
        mine = np.arange(len(features))
        return {name: _apart(features, oracles[chosen]) for name, chosen in (("paired", mine), ("paired_other", np.roll(mine, 1)))}
    order = torch.argsort(labels, stable=True)
    counts = torch.bincount(labels)
    counts = counts[counts > 0]
    if len(counts) < 2 or counts.min() < 2 or counts.max() * 2 > len(labels):
        raise InputError(f"{counts.tolist()} images of the classes; the paired oracle needs two of each, and no class with more than half")
    same, other = torch.empty_like(order), torch.empty_like(order)
    for part in order.split(counts.tolist()):
        same[part] = part.roll(1)
    other[order] = order.roll(int(counts.max()))
    rows = {"paired": torch.arange(len(labels)), "paired_same": same, "paired_other": other}
    return {name: _apart(features, oracles[chosen.numpy()]) for name, chosen in rows.items()}


def _pair(domain: dict[str, str], digit: int, n: int, seed: int, start: int) -> tuple[np.ndarray, np.ndarray]:
    rng, form = np.random.default_rng(stable_hash("twins", seed, digit, start)), domain.get("form", "flat")
    if form not in FORMS:
        raise InputError(f"form is {form!r}; there are: {', '.join(FORMS)}")
    domain = {factor: value for factor, value in domain.items() if factor != "form"}
    try:
        plain, target = sample(n, rng, **PLAIN | {"character": str(digit)}), sample(n, rng, **domain | {"character": str(digit)})
    except ValueError as error:
        raise InputError(f"domain is {domain}: {error}") from error
    target |= {factor: plain[factor] for factor in SHAPE if factor not in domain}
    hand = stable_hash("hand", seed, digit, start)  # both are drawn by the same hand
    if form == "solid":
        pocket_eg3d.check(domain)
        return tuple(pocket_eg3d.render(factors, hand).pixels.permute(0, 2, 3, 1).numpy() for factors in (plain, target))  # type: ignore[return-value]
    return draw(plain, np.random.default_rng(hand)), draw(target, np.random.default_rng(hand))


def _apart(features: np.ndarray, oracles: np.ndarray) -> float:
    return float(np.sqrt(np.square(features - oracles).mean(1)).mean())


def _blurred(pixels: Tensor) -> Tensor:
    """Images as rows, averaged over 4 pixels: strokes a pixel apart are near each other."""
    return F.avg_pool2d(pixels.float() / 255, 4, 2).flatten(1)
