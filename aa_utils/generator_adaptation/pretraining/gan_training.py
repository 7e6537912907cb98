"""Training a StyleGAN2 against its discriminator, as in arXiv 1912.04958 (section 3.2 and appendix B) and arXiv 2006.06676.

    L_D = softplus(D(G(z))) + softplus(-D(x))              non-saturating logistic loss (Goodfellow et al. 2014)
        + γ/2 E|∇_x D(x)|²                                 R1 (Mescheder et al. 2018, arXiv 1801.04406), every `r1_every` steps
    L_G = softplus(-D(G(z)))
        + λ E(|J_w^T y| - a)²                              path length (section 3.2), every `path_every` steps; a is its running mean
        + what a 3-D one has beside                        `camera_training`

A regulariser applied every k steps is weighted by k and is a step of its own; Adam's settings then are those of k/(k+1) (appendix B).
Two players with an optimizer each, regularisers that are steps of their own, and a state of both: not a case of
`aa_utils.training.loop`, with which it shares averages and history.
Everything random in step k is seeded by (name, seed, k), so an interrupted run goes on as if nothing had happened.
"""

import csv
import time
from dataclasses import asdict, dataclass
from math import cos, pi, sqrt
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aa_utils import devices
from aa_utils.data import tensor_files
from aa_utils.errors import InputError, check_number
from aa_utils.files import atomic
from aa_utils.generator_adaptation.generators.discriminator import GROUP, Discriminator
from aa_utils.generator_adaptation.pretraining import camera_training
from aa_utils.generator_adaptation.pretraining.camera_training import Views
from aa_utils.generator_adaptation.pretraining.gan_batches import batch, drawn, styles
from aa_utils.progress import progress
from aa_utils.runner import identity
from aa_utils.seeds import torch_generator
from aa_utils.training import history, optimization


@dataclass(frozen=True)
class Recipe:
    """How long and how to train. The defaults are those of arXiv 2006.06676 where they do not depend on the resolution."""

    steps: int
    batch: int = 32
    lr: float = 0.0025
    horizon: int = 0  # steps over which the learning rate falls to 2 %, as half a cosine; 0: it stays, as in the paper
    beta2: float = 0.99  # of Adam; beta1 is 0
    r1: float = 10.0  # γ; 10 in arXiv 1801.04406; the release's rule for photographs is 0.0002 · resolution² / batch
    r1_every: int = 16
    path: float = 0.0  # λ; 2 in the release. 0: none, half the training time saved where smooth latents are not needed
    path_every: int = 4
    mixing: float = 0.9  # probability of style mixing
    half_life: float = 10_000  # images after which half of the averaged weights is new
    rampup: float = 0.05  # that half-life is at most this share of the images seen so far
    every: int = 250  # steps between checkpoints and lines of the history
    bf16: bool = False  # bfloat16 autocast: faster on recent CPUs and GPUs, slower on CPUs without it

    def __post_init__(self) -> None:
        if self.batch < GROUP or self.batch % GROUP:
            raise InputError(f"batch is {self.batch}; the discriminator compares images in groups of {GROUP}, so take a multiple of it")
        if self.steps < 1 or not self.lr > 0 or self.r1 < 0 or self.path < 0 or min(self.r1_every, self.path_every, self.every) < 1:
            raise InputError(f"steps, lr and the intervals must be positive, r1 and path not negative: {self}")
        for name in ("lr", "half_life"):
            check_number(name, getattr(self, name), above=0)
        for name in ("horizon", "r1", "path", "rampup"):
            check_number(name, getattr(self, name), at_least=0)
        check_number("beta2", self.beta2, at_least=0, below=1)
        check_number("mixing", self.mixing, at_least=0, at_most=1)


def train(
    generator: nn.Module,
    discriminator: Discriminator,
    pixels: Tensor,
    labels: Tensor | None,
    recipe: Recipe,
    name: str,
    folder: Path,
    seed: int = 0,
    device: str = "cpu",
    views: Views | None = None,
) -> nn.Module:
    """Train both networks on `pixels` (n, C, R, R) uint8 and, for conditional ones, `labels`: classes (n,) int64, or the cameras (n, 25)
    of a 3-D generator, which `views` says more of. Returns the generator with the averaged weights, in evaluation mode, on `device`.

    `folder` receives `<name>.pt` (the state, to resume from) and `<name>.csv` (the history: losses, the share of real and generated images
    that the discriminator takes for real, penalties, seconds a step). A finished run is loaded, not repeated; one with more steps goes on.
    Errors: InputError for pixels or labels that do not fit the networks, or a state in `folder` that other settings, data or code left.
    """
    _check(generator, pixels, labels)
    device = devices.choose(device)
    state_file = folder / f"{name}.pt"
    for net in (generator, discriminator):
        net.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]  # up to a fifth faster on CPUs
    average = optimization.moving_average(generator)
    views, solid = views or Views(), hasattr(generator, "sample_cameras")
    every_g = recipe.path_every if recipe.path else views.density_every if solid and views.density else 0
    adam_g = _adam(generator, recipe, every_g)
    adam_d = _adam(discriminator, recipe, recipe.r1_every if recipe.r1 else 0)
    parts = {"generator": generator, "discriminator": discriminator, "average": average.module, "adam_g": adam_g, "adam_d": adam_d}
    start, rows, length = 0, [], torch.zeros((), device=device)
    settings = _settings(recipe, seed) | {"generator": str(generator.config)} | (asdict(views) if solid else {})
    known = identity.of(settings, [pixels, labels], __name__, type(generator).__module__)
    state = tensor_files.read_state(state_file, device)
    if state is not None:
        why = identity.differences(state.get("identity"), known)
        if why:
            raise InputError(f"'{state_file}' is of a training with other {why}; remove it, or take another folder")
        if state["step"] > recipe.steps:
            raise InputError(f"'{state_file}' has made {state['step']} steps, and {recipe.steps} are wanted; take another folder")
        for key, part in parts.items():
            part.load_state_dict(state[key])
        start, rows, length = state["step"], state["rows"], state["length"]
        _write_history(folder / f"{name}.csv", rows)  # which may be lost, or cut off
    since, pending = time.perf_counter(), []
    for step in progress(range(start, recipe.steps), what=f"train {name}", total=max(0, recipe.steps - start)):
        rng = torch_generator(name, seed, step)
        for adam in (adam_g, adam_d):
            for group in adam.param_groups:
                group["lr"] = adam.defaults["lr"] * learning_rate(step, recipe)
        chosen, real_labels, fake_labels = batch(labels, len(pixels), recipe.batch, rng, device)
        real = (pixels[chosen].to(device).float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        real = camera_training.real(real, generator) if solid else real
        terms = {}
        # One batch of generated images serves both players.
        discriminator.requires_grad_(True)
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=recipe.bf16):
            fake = drawn(generator, recipe.batch, fake_labels, recipe.mixing, rng, device, views)[0]
            on_fake, on_real = discriminator(fake.detach(), fake_labels), discriminator(real, real_labels)
        loss_d = F.softplus(on_fake).mean() + F.softplus(-on_real).mean()
        _update(adam_d, loss_d)
        terms |= {"loss_d": loss_d, "real_as_real": (on_real > 0).float().mean(), "fake_as_real": (on_fake > 0).float().mean()}
        if recipe.r1 and step % recipe.r1_every == 0:
            penalty = r1_penalty(discriminator, real, real_labels)
            _update(adam_d, 0.5 * recipe.r1 * recipe.r1_every * penalty)
            terms["r1_penalty"] = penalty
        discriminator.requires_grad_(False)
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=recipe.bf16):
            loss_g = F.softplus(-discriminator(fake, fake_labels)).mean()
        _update(adam_g, loss_g)
        terms["loss_g"] = loss_g
        if recipe.path and step % recipe.path_every == 0:
            half = slice(recipe.batch // 2)
            some = None if labels is None else fake_labels[half]
            images, ws = drawn(generator, recipe.batch // 2, some, recipe.mixing, rng, device, views)
            lengths = path_lengths(images, ws, rng)
            length = length.lerp(lengths.detach().mean(), 0.01)
            _update(adam_g, recipe.path * recipe.path_every * (lengths - length).square().mean())
            terms["path_length"] = lengths.mean()
        if solid and views.density and step % views.density_every == 0:
            ws = styles(generator, recipe.batch, fake_labels, recipe.mixing, rng, device, views)
            variation = camera_training.density_variation(generator, ws, rng)
            _update(adam_g, views.density * views.density_every * variation)
            terms["density_variation"] = variation
        optimization.update_average(average, generator, decay((step + 1) * recipe.batch, recipe))
        pending.append({key: value.detach() for key, value in terms.items()})
        done = step + 1
        if done % recipe.every == 0 or done == recipe.steps:
            means = dict(sorted(history.means(pending, done, f"loss of {name}").items()))
            rows.append({"step": done, **means, "seconds_per_step": (time.perf_counter() - since) / (done - start)})
            pending = []
            state = {key: part.state_dict() for key, part in parts.items()}
            state |= {"step": done, "rows": rows, "length": length, "identity": known}
            tensor_files.write_state(state_file, state)
            _write_history(folder / f"{name}.csv", rows)
    tensor_files.check_finite(average.module.state_dict(), f"the weights of {name} after the last of its {recipe.steps} steps")
    return average.module


def r1_penalty(discriminator: nn.Module, images: Tensor, labels: Tensor | None = None) -> Tensor:
    """E|∇_x D(x)|² (arXiv 1801.04406, equation 9), differentiable in the discriminator's weights; in float32."""
    images = images.detach().requires_grad_()
    gradient = torch.autograd.grad(discriminator(images, labels).sum(), images, create_graph=True)[0]
    return gradient.square().sum((1, 2, 3)).mean()


def path_lengths(images: Tensor, ws: Tensor, rng: torch.Generator) -> Tensor:
    """|J_w^T y| of each image for a random image y ~ N(0, I)/(pixels a side) (arXiv 1912.04958, section 3.2 and appendix B): (N,)."""
    y = torch.randn(images.shape, generator=rng).to(images) / sqrt(images[0, 0].numel())
    gradient = torch.autograd.grad((images * y).sum(), ws, create_graph=True)[0]
    return gradient.square().sum(2).mean(1).sqrt()


def learning_rate(step: int, recipe: Recipe) -> float:
    """The learning rate at a step, as a share of the one at the start."""
    return 0.02 + 0.49 * (1 + cos(pi * min(1.0, step / recipe.horizon))) if recipe.horizon else 1.0


def _adam(net: nn.Module, recipe: Recipe, every: int) -> torch.optim.Adam:
    share = every / (every + 1) if every else 1.0
    return torch.optim.Adam(net.parameters(), lr=recipe.lr * share, betas=(0.0, recipe.beta2**share), eps=1e-8, fused=True)


def _update(adam: torch.optim.Adam, loss: Tensor) -> None:
    adam.zero_grad()
    loss.backward()
    adam.step()


def decay(seen: int, recipe: Recipe) -> float:
    """That of the averaged weights after `seen` images: half of them is new after `half_life` images, or `rampup` times those seen."""
    return 0.5 ** (recipe.batch / min(recipe.half_life, max(1.0, recipe.rampup * seen)))


def _settings(recipe: Recipe, seed: int) -> dict:
    """What must be the same for a state to be continued; more steps, or other intervals of saving, change nothing of what was done."""
    return {key: value for key, value in asdict(recipe).items() if key not in ("steps", "every")} | {"seed": seed}


def _check(generator: nn.Module, pixels: Tensor, labels: Tensor | None) -> None:
    config, dim = generator.config, generator.label_dim
    wanted = (getattr(config, "image_channels", 3), config.resolution, config.resolution)
    if pixels.dtype != torch.uint8 or pixels.ndim != 4 or tuple(pixels.shape[1:]) != wanted or len(pixels) == 0:
        raise InputError(f"the images are {tuple(pixels.shape)} {pixels.dtype}; this generator learns from (n, *{wanted}) uint8")
    if (labels is None) == bool(dim):
        raise InputError(f"the generator has {dim} classes, and labels are {'missing' if labels is None else 'given'}")
    if hasattr(generator, "sample_cameras"):
        if labels.shape != (len(pixels), dim) or not labels.is_floating_point():
            raise InputError(f"{len(pixels)} images and cameras {tuple(labels.shape)} {labels.dtype}; give ({len(pixels)}, {dim}) numbers")
    elif labels is not None and (len(labels) != len(pixels) or labels.min() < 0 or labels.max() >= dim):
        raise InputError(f"{len(labels)} labels in {labels.min()} … {labels.max()} for {len(pixels)} images of {dim} classes")


def _write_history(file: Path, rows: list[dict]) -> None:
    with atomic(file) as temporary, temporary.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(dict.fromkeys(key for row in rows for key in row)))
        writer.writeheader()
        writer.writerows(rows)
