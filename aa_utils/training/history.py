"""What a training run records of its steps: means over the last steps. It stops at a value that is not finite."""

import torch
from torch import Tensor

from aa_utils.errors import InputError
from aa_utils.training.method import Terms

ADVICE = "a lower lr or clip=1 usually helps"


def means(pending: list[dict[str, Tensor]], done: int, what: str = "loss", ending: str = ": {values}; " + ADVICE) -> dict[str, float]:
    """The mean of each value over the last steps, of which `done` was the last; a value that some steps lack, over those that have it.

    The tensors lie on one device and are copied to the CPU at once. Errors: InputError at the first that is not finite: its name, the step
    and `ending`, in which "{values}" stands for all values of that step.
    """
    places = [(k, name) for k, row in enumerate(pending) for name in row]
    values = torch.stack([pending[k][name].detach().float() for k, name in places]).cpu().double()
    bad = (~values.isfinite()).nonzero()
    if len(bad):
        k, first = places[int(bad[0, 0])]
        step = ", ".join(f"{name} {float(value):g}" for (j, name), value in zip(places, values, strict=True) if j == k)
        raise InputError(f"the {first} {what} is not finite at step {done - len(pending) + k + 1}{ending.format(values=step)}")
    rows: dict[str, list[int]] = {}
    for i, (_, name) in enumerate(places):
        rows.setdefault(name, []).append(i)
    return {name: float(values[indices].mean()) for name, indices in rows.items()}


def columns(terms: Terms) -> dict[str, Tensor]:
    """The values of one step as history.csv names them: a loss by its name, a metric as `metric_<name>`.

    Errors: InputError if two have one name.
    """
    watched = {f"metric_{name}": value.detach() for name, value in terms.metrics.items()}
    twice = set(terms.losses) & {*watched, "step", "lr", "images_per_second"}
    if twice:
        raise InputError(f"a loss is called '{twice.pop()}', as another column of history.csv; give it another name")
    return {name: value.detach() for name, value in terms.losses.items()} | watched
