"""The loop that trains a pocket model: AdamW, warm-up and cosine, an average of the weights, checkpoints, exact resume.

Not `aa_utils.training.loop`, which feeds classifiers from streams of labelled images: here a loss draws its own batch, of whatever kind
(captions, latents, noise levels), the schedule has a warm-up, and weights of given steps are kept. Averages and history are the same code.
Everything random in step k is seeded by (name, seed, k), so an interrupted run goes on as if nothing had happened.
"""

import csv
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from math import cos, pi
from pathlib import Path

import torch
from torch import Tensor, nn

from aa_utils import devices
from aa_utils.data import tensor_files
from aa_utils.errors import check_number
from aa_utils.files import atomic
from aa_utils.progress import progress, warn
from aa_utils.runner import identity
from aa_utils.seeds import torch_generator
from aa_utils.training import history, optimization

Loss = Callable[[torch.Generator], dict[str, Tensor]]


@dataclass(frozen=True)
class Fit:
    """How long and how fast to train. `keep_at`: steps after which the averaged weights are written aside (the early generator).

    `horizon`: the steps that the learning rate is laid out for, where more than `steps`; a run may end when it is good enough.
    """

    steps: int
    batch: int
    lr: float
    warmup: int = 200
    weight_decay: float = 0.01
    average: float = 0.999  # decay of the exponential moving average of the weights
    clip_norm: float = 1.0
    every: int = 250  # steps between checkpoints and lines of the history
    horizon: int = 0
    keep_at: tuple[int, ...] = ()
    bf16: bool = False  # bfloat16 autocast: about twice as fast on recent CPUs and GPUs, slower on CPUs without it


def learning_rate(step: int, fit: Fit) -> float:
    """Linear warm-up over `fit.warmup` steps, then a half cosine down to 2 % of `fit.lr` at the horizon."""
    if step < fit.warmup:
        return fit.lr * (step + 1) / fit.warmup
    p = (step - fit.warmup) / max(1, max(fit.steps, fit.horizon) - fit.warmup)
    return fit.lr * (0.02 + 0.98 * 0.5 * (1 + cos(pi * p)))


def train(
    net: nn.Module, loss: Loss, fit: Fit, name: str, folder: Path, seed: int = 0, device: str = "cpu", *, data: Iterable[object]
) -> nn.Module:
    """Train `net` and return it with the averaged weights, in evaluation mode.

    `loss(generator)` draws a batch with `generator` and returns its terms by name; their sum is minimised. `data` are the tensors and texts
    that it draws from. `folder` receives `<name>.pt` (the state, to resume from), `<name>-<step>.pt` for `fit.keep_at` and `<name>.csv`
    (the history). A finished run is loaded, not repeated; what other settings, data or code left starts anew, and a warning says so.
    Errors: InputError for numbers that cannot be, and for weights that are not finite at the end.
    """
    _check(fit)
    device = devices.choose(device)
    state_file, history_file = folder / f"{name}.pt", folder / f"{name}.csv"
    net.to(device).train()
    parameters = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=fit.lr, weight_decay=fit.weight_decay, betas=(0.9, 0.99), fused=True)
    average = optimization.moving_average(net, buffers=True)
    start, rows = 0, []
    known = _identity(net, loss, fit, name, seed, device, data)
    state = tensor_files.read_state(state_file, device)
    if state is not None and _continues(state, known, fit, name, folder):
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        average.module.load_state_dict(state["average"])
        start, rows = state["step"], state["rows"]
    since, pending = time.perf_counter(), []
    for step in progress(range(start, fit.steps), what=f"train {name}", total=fit.steps - start):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, fit)
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=fit.bf16):
            terms = loss(torch_generator(name, seed, step))
        total = sum(terms.values())
        optimizer.zero_grad()
        total.backward()  # type: ignore[union-attr]
        nn.utils.clip_grad_norm_(parameters, fit.clip_norm)
        optimizer.step()
        optimization.update_average(average, net, optimization.warm_up(fit.average, step))
        pending.append({key: value.detach() for key, value in terms.items()})
        done = step + 1
        if done % fit.every == 0 or done == fit.steps or done in fit.keep_at:
            seconds = (time.perf_counter() - since) / max(1, done - start)
            rows.append({"step": done, **history.means(pending, done, f"loss of {name}"), "seconds_per_step": seconds})
            pending = []
            state = {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "average": average.module.state_dict()}
            tensor_files.write_state(state_file, state | {"step": done, "rows": rows, "identity": known})
            with atomic(history_file) as temporary, temporary.open("w", newline="") as stream:
                writer = csv.DictWriter(stream, rows[0])
                writer.writeheader()
                writer.writerows(rows)
            if done in fit.keep_at:
                tensor_files.write_state(folder / f"{name}-{done}.pt", average.module.state_dict())
    tensor_files.check_finite(average.module.state_dict(), f"the weights of {name} after the last of its {fit.steps} steps")
    net.load_state_dict(average.module.state_dict())
    return net.eval()


def _identity(net: nn.Module, loss: Loss, fit: Fit, name: str, seed: int, device: str, data: Iterable[object]) -> dict[str, str]:
    """What decides the weights after a step: not how many steps there will be, as long as the learning rate is laid out for as many."""
    settings = {key: value for key, value in asdict(fit).items() if key not in ("steps", "every", "keep_at")}
    settings |= {"horizon": max(fit.steps, fit.horizon), "name": name, "seed": seed, "device": torch.device(device).type}
    return identity.of(settings, [*data, *net.state_dict().values()], __name__, loss.__module__)


def _continues(state: dict, known: dict[str, str], fit: Fit, name: str, folder: Path) -> bool:
    """True if the state is one that this very training passes through; else says why it starts anew."""
    what = f"the training of '{folder / name}'"
    lost = [step for step in fit.keep_at if step <= state["step"] and not (folder / f"{name}-{step}.pt").is_file()]
    if state["step"] > fit.steps or lost:
        why = f"the weights after step {lost[0]} are wanted, and not kept" if lost else f"{fit.steps} are wanted"
        warn(f"{what} starts anew: it has made {state['step']} steps, and {why}")
        return False
    return identity.same(state.get("identity"), known, what)


def _check(fit: Fit) -> None:
    for name in ("steps", "batch", "every"):
        check_number(name, getattr(fit, name), at_least=1, whole=True)
    for name in ("lr", "clip_norm"):
        check_number(name, getattr(fit, name), above=0)
    for name in ("warmup", "weight_decay", "horizon"):
        check_number(name, getattr(fit, name), at_least=0)
    check_number("average", fit.average, at_least=0, at_most=1)
