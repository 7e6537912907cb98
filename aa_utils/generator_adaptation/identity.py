"""What decides the result of an adaptation: where all of it is the same, a run is read or continued instead of repeated."""

from dataclasses import asdict

from torch import nn

from aa_utils.runner import identity

LOOP = "aa_utils.generator_adaptation.adapt"


def of(generator: nn.Module, objective, seed: int) -> dict[str, str]:
    """`identity.of` the recipe, the objective, the first weights and the seed. How often to log or save does not count."""
    settings = [asdict(objective.recipe), objective.identity, type(generator).__qualname__, seed]
    return identity.of(settings, generator.state_dict().values(), type(generator).__module__, type(objective).__module__, LOOP)
