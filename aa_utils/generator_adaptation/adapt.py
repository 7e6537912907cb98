"""The loop that adapts a generator: a frozen copy and a trainable one see the same latents, and an objective says how the images of the
trainable one should change.

A generator has `z_dim`, `classes`, `mapping(z, labels=None, psi=1.0)` -> w (n, num_ws, w_dim) and `synthesis(w, noise="fixed")` -> images
(n, 3, S, S), about in [-1, 1] (`stylegan2.Generator`). A 3-D one also has `sample_cameras(n, rng, orbit)` -> (n, 25) and
`labels(cameras, classes=None)`, and its synthesis takes those labels, `synthesis(w, labels, noise="fixed")`.

A loop of its own: gradients are those of images, not of losses, and each step chooses the layers that train. What it shares with
`training.loop` it takes from there: checkpoints, history, schedules, averages.
All randomness of step k is seeded by (seed, k) and drawn on the CPU: a run that was killed goes on to the same weights bit for bit.
"""

import copy
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from aa_utils import files
from aa_utils.data import tensor_files
from aa_utils.errors import InputError, check_number
from aa_utils.generator_adaptation import identity, layers, samples
from aa_utils.generator_adaptation.generators import checkpoints, latents
from aa_utils.generator_adaptation.generators.latents import render
from aa_utils.generator_adaptation.recipe import Recipe
from aa_utils.progress import progress, warn
from aa_utils.runner.identity import same
from aa_utils.seeds import stable_hash, torch_generator
from aa_utils.training import checkpoint, history, kernels, loop, optimization

HISTORY_DIGEST = "history_sha256"
LONGEST = 100_000_000  # steps
BAD_GRADIENT = "; use dtype=bfloat16 or float32 for the guide, or a lower lr"


class Objective(Protocol):
    """What the loop asks; `fusion.Fusion` and `clip_direction.ClipDirection` are the two there are."""

    recipe: Recipe
    identity: str
    needs_original: bool
    classes: int  # whose prompts differ; 1 where all images have the same

    def view(self, images: Tensor) -> Tensor: ...
    def draw(self, n: int, rng: torch.Generator, classes: Tensor | None) -> dict[str, Tensor]: ...
    def gradient(self, x: Tensor, x_org: Tensor | None, drawn: dict, rng: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]: ...
    def pull(self, x: Tensor, drawn: dict, rng: torch.Generator) -> Tensor: ...


@dataclass(frozen=True)
class Watch:
    """How a run is watched; nothing of it changes the result."""

    log_every: int = 20  # steps a row of history.csv averages over
    samples_every: int = 100  # steps between sample grids
    checkpoint_every: int = 100  # steps between checkpoints, at least: they are written with a row of the history
    samples: int = 16  # images in a grid, from the same latents in every run
    psi: float = 1.0  # their truncation; the official code shows 0.7

    def __post_init__(self) -> None:
        for name, most in (("log_every", LONGEST), ("samples_every", LONGEST), ("checkpoint_every", LONGEST), ("samples", 10_000)):
            check_number(name, getattr(self, name), at_least=1, at_most=most, whole=True)
        check_number("psi", self.psi, at_least=-10, at_most=10)


def adapt(
    generator: nn.Module, objective: Objective, seed: int, folder: Path, watch: Watch = Watch(), about: dict | None = None
) -> nn.Module:
    """The generator adapted by `objective` and its recipe, in eval mode; `generator` itself is left as it is, on its device.

    `folder` receives the generator (`checkpoints.save`) with `about` in its config, history.csv, and samples/step<k>.png: unadapted images
    above, adapted ones of the same latents below. A finished run is read, not repeated; a checkpoint of the same run is continued.
    Errors: InputError if a gradient is not finite (which step, which term), or the prompts are of classes that the generator does not have.
    """
    if objective.classes > 1 and objective.classes != generator.classes:
        raise InputError(f"the prompts name {objective.classes} classes, and this generator draws {generator.classes or 'none'}")
    known = identity.of(generator, objective, seed)
    device = next(generator.parameters()).device
    if _is_whole(folder) and same(checkpoints.about(folder).get("identity"), known, f"the adaptation of '{folder}'"):
        return checkpoints.load(folder).to(device).eval()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), kernels.deterministic(device):
        net, rows, seconds = _adapt(generator, objective, seed, folder, watch, known, device)
    checkpoint.write_history(folder, rows)
    trained = layers.named(net, objective.recipe)
    settings = {"recipe": asdict(objective.recipe), "seed": seed, "trained": trained, "seconds_train": round(seconds, 3)}
    settings |= {HISTORY_DIGEST: files.sha256(folder / "history.csv")}
    checkpoints.save(net, folder, **(about or {}), **settings, identity=known)
    (folder / "checkpoint.pt").unlink(missing_ok=True)
    return net


def _is_whole(folder: Path) -> bool:
    """Whether a finished adaptation stands in `folder` as it was written; one that is damaged is said, and counts as absent."""
    if not (folder / "config.json").is_file():
        return False
    way_out = "it counts as absent, and the adaptation runs again"
    problem = tensor_files.damage(folder, way_out)
    if not problem:
        history, digest = folder / "history.csv", checkpoints.about(folder).get(HISTORY_DIGEST)
        there = history.is_file() and history.stat().st_size
        if not there or (digest is not None and files.sha256(history) != digest):
            problem = f"'{history}' is {'not as it was written' if there else 'missing or empty'}; {way_out}"
    if problem:
        warn(problem)
    return not problem


def _adapt(generator, objective, seed, folder, watch, identity, device):
    recipe = objective.recipe
    frozen = copy.deepcopy(generator).eval().requires_grad_(False)
    nets = nn.ModuleDict({"net": copy.deepcopy(frozen)})
    net = nets["net"]
    names = layers.named(net, recipe)
    layers.freeze(net, set(names))
    weights = dict(net.named_parameters())
    groups = layers.groups(net, recipe.select_offset) if recipe.select else []
    if recipe.average:
        nets["average"] = optimization.moving_average(net)
    optimizer = torch.optim.Adam([weights[n] for n in names], lr=recipe.lr, betas=(recipe.beta1, recipe.beta2), fused=True)
    scaler = torch.amp.GradScaler(device.type, enabled=False)
    first, rows, seconds = checkpoint.resume(folder, identity, nets, optimizer, scaler)
    sheet = samples.Sheet(frozen, watch.samples, watch.psi, folder / "samples")
    saved, pending, started = first, [], time.perf_counter()
    steps = progress(range(first, recipe.steps), what=f"{recipe.objective} seed {seed}", unit="step")
    for step in steps:
        if step == 0:
            sheet.write(frozen, 0)
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr * loop.SCHEDULES[recipe.schedule](step / recipe.steps)
        torch.manual_seed(stable_hash("adapt", seed, step))  # for random noise maps
        rng = torch_generator("adapt", seed, step)
        labels = latents.labels(net, recipe.batch_size, rng, device, recipe.orbit)
        drawn, watched = objective.draw(recipe.batch_size, rng, latents.classes(net, labels)), {}
        if recipe.select:
            picked = _select(frozen, net, objective, drawn, rng, device)
            watched = {f"selected_w{i}": torch.tensor(float(i in picked), device=device) for i in range(len(groups))}
            layers.freeze(net, {name for i in picked for name in groups[i]} & set(names))
        watched |= _step(frozen, net, objective, labels, drawn, rng, device)
        if recipe.select and recipe.decay_unselected:
            _zero_where_none(weights[n] for n in names)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if recipe.average:
            optimization.update_average(nets["average"], net, optimization.warm_up(recipe.average, step))
        pending.append(watched)
        done = step + 1
        ends = done == recipe.steps
        if done % watch.log_every == 0 or ends:
            rows.append({"step": done, "lr": optimizer.param_groups[0]["lr"], **history.means(pending, done, "gradient", BAD_GRADIENT)})
            pending = []
            if done - saved >= watch.checkpoint_every and not ends:
                checkpoint.save(folder, identity, nets, optimizer, scaler, done, rows, seconds + time.perf_counter() - started)
                saved = done
        if done % watch.samples_every == 0 or ends:
            sheet.write(nets["average"].module if recipe.average else net, done)
    result = nets["average"].module if recipe.average else net
    return result.eval().requires_grad_(False), rows, seconds + time.perf_counter() - started


def _step(frozen, net, objective, labels, drawn, rng, device) -> dict[str, Tensor]:
    """Give the trainable weights their gradient; returns what is watched."""
    recipe = objective.recipe
    z, crossing = latents.draw(net.z_dim, recipe.batch_size, recipe.mixing, rng, device)
    step_seed = torch.initial_seed()
    with torch.no_grad():
        w_org = w = latents.mapped(frozen, z, crossing, labels, recipe.psi)
    if any(weight.requires_grad for weight in net.mapping.parameters()):
        w = latents.mapped(net, z, crossing, labels, recipe.psi)
    torch.manual_seed(step_seed)
    x = objective.view(render(net, w, recipe.noise, labels))
    x_org = None
    if objective.needs_original:
        if not recipe.own_noise:
            torch.manual_seed(step_seed)  # random noise maps are the same for both
        with torch.no_grad():
            x_org = objective.view(render(frozen, w_org, recipe.noise, labels))
    gradient, watched = objective.gradient(x, x_org, drawn, rng)
    if x.requires_grad:  # not where all selected layers are among those that never train
        x.backward(gradient / recipe.batch_size)
    return watched


def _select(frozen, net, objective, drawn, rng, device) -> list[int]:
    """Indices of the w whose layers this step trains: those that the objective would move most (`layers.moved`)."""
    recipe = objective.recipe
    m = recipe.select_batch
    z, labels = torch.randn(m, net.z_dim, generator=rng).to(device), latents.labels(net, m, rng, device, recipe.orbit)
    asked = objective.draw(m, rng, latents.classes(net, labels))
    if recipe.one_time and "t" in drawn:
        asked["t"] = drawn["t"][:1].expand(m)

    def gradient(w: Tensor) -> Tensor:
        x = objective.view(render(net, w, "random", labels))
        return torch.autograd.grad(x, w, objective.pull(x, asked, rng))[0]

    with torch.no_grad():
        w = frozen.mapping(z, labels, psi=recipe.psi)
    return layers.chosen(layers.moved(w, gradient, recipe.select_iters), recipe.select)


def _zero_where_none(weights: Iterable[nn.Parameter]) -> None:
    for weight in weights:
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)
