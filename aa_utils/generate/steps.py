"""Can this scheduler make so many steps? Tried on a few numbers before a model is loaded: some fail at the last step only."""

from pathlib import Path

from aa_utils.errors import InputError
from aa_utils.generate import model_files

GLIDE_LEVELS = 1000
FEW = 4  # steps that every scheduler can make


def check(folder: Path, scheduler: str, steps: int) -> None:
    """InputError if `steps` are more than the noise levels of the model in `folder`, or than its scheduler (or the one named) can make.

    A scheduler that cannot be tried outside of its pipeline is not judged.
    """
    if model_files.is_glide(folder):
        name, levels, fails = "GLIDE", GLIDE_LEVELS, ""
    else:
        import diffusers

        from aa_utils.pretrained import whole

        own = getattr(diffusers, model_files.own_scheduler(folder), None)
        if own is None:
            return
        made = whole.loaded(own, folder / "scheduler")
        kind = getattr(diffusers, scheduler) if scheduler else own
        name, levels = kind.__name__, made.config.get("num_train_timesteps")  # type: ignore[attr-defined]
        fails = _fails(kind, made.config, steps)  # type: ignore[attr-defined]
        fails = fails if fails and not _fails(kind, made.config, min(FEW, steps)) else ""  # type: ignore[attr-defined]
    if isinstance(levels, int) and steps > levels:
        raise InputError(f"steps is {steps}, and the model has {levels} noise levels to step through; 20 to 50 steps are usual")
    if fails:
        raise InputError(f"steps is {steps}, more than {name} can make with this model ({fails}); 20 to 50 steps are usual")


def _fails(kind: type, config: dict, steps: int) -> str:
    """What goes wrong when a scheduler of this `kind` makes `steps` steps on four zeros; "" if nothing does."""
    from inspect import signature

    import torch

    from aa_utils.pretrained import whole

    scheduler, zeros = kind.from_config(config), torch.zeros(1, 4, 1, 1)  # type: ignore[attr-defined]
    shifted = {"mu": 1.0} if config.get("use_dynamic_shifting") else {}
    drawn = {"generator": torch.Generator()} if "generator" in signature(scheduler.step).parameters else {}
    try:
        scheduler.set_timesteps(steps, **shifted)
        for t in scheduler.timesteps:
            scaled = scheduler.scale_model_input(zeros, t) if hasattr(scheduler, "scale_model_input") else zeros
            scheduler.step(torch.zeros_like(scaled), t, zeros, **drawn)
    except Exception as error:  # each scheduler fails in its own way
        return whole.reason(error)
    return ""
