"""A short adaptation of the pocket generator, for notebooks 72 and 74 where they are opened without a run of 71_adapt_generator."""

from collections.abc import Sequence
from pathlib import Path

from aa_utils.generator_adaptation import runs
from aa_utils.generator_adaptation.adapt import Watch, adapt
from aa_utils.generator_adaptation.generators import checkpoints
from aa_utils.paths import resolve
from aa_utils.pocket.world import DIGIT_NAMES

GENERATOR, GUIDE = "models/pocket-stylegan2", "models/pocket-diffusion"
PROMPTS = {"night": ["a handwritten digit {} in white ink on black paper, with a pen, sharp"]}
# The recipe of experiments/adapt_generator/pocket.yaml, shorter: only the finest layers train.
RECIPE: dict[str, object] = {
    "steps": 60,
    "batch_size": 8,
    "lr": 0.006,
    "guidance": 20.0,
    "t_min": 10,
    "t_max": 500,
    "clamp": 0.0,
    "quantile": 0.0,
}
RECIPE |= {"schedule": "cosine", "layers": r"synthesis\.b32\.|torgb"}
VARIANTS = {"sds": {}, "reconstruction": {"reconstruction": 0.3}}


def adapted(out: str | Path, variants: Sequence[str] = tuple(VARIANTS)) -> str:
    """`out`, with pocket-stylegan2 moved to white ink on black paper in it, as 71_adapt_generator leaves it: `night/<variant>/seed0`.

    Ten seconds a variant on one core; one that is done is read.
    """
    planned = runs.plan("sound", RECIPE, {name: VARIANTS[name] for name in variants}, dict(PROMPTS), [0])
    objectives = runs.objectives(planned, PROMPTS, GUIDE, [], "", [], "", list(DIGIT_NAMES))
    net = checkpoints.load(GENERATOR)
    for run in planned:
        about = {"generator": GENERATOR, "guide": GUIDE, "prompt": PROMPTS[run.prompt], "variant": run.variant}
        adapt(net, objectives[run.prompt, run.variant], run.seed, run.folder(out), Watch(samples=10), about)
    return str(resolve(out))
