"""What to adapt to: unlabelled target images, and apart from them the labels that score.

One module is one benchmark, found by its name: `load(domain, size) -> Target`. A benchmark of several domains is asked for as
`<module>:<domain>`, for example `office31:amazon`; `domain` is empty for one that has a single domain.
"""

from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules

from torch import Tensor

from aa_utils.errors import InputError
from aa_utils.images import ImageSet


@dataclass(frozen=True)
class Target:
    """One target domain. Training code is given `images` (whose `labels` is None); only scoring reads `labels` int64 (N,)."""

    name: str
    images: ImageSet
    labels: Tensor

    @property
    def class_names(self) -> list[str]:
        """The K category names, in the order of the labels."""
        return self.images.class_names

    @property
    def ids(self) -> list[str]:
        """A name for each of the N images, stable over runs and sizes."""
        return self.images.names


def names() -> list[str]:
    """The benchmarks at hand, sorted."""
    return sorted(module.name for module in iter_modules(__path__))


def load(name: str, size: int = 32) -> Target:
    """The target domain `name` with images of `size` x `size` pixels. Errors: InputError for an unknown benchmark or domain."""
    module, _, domain = name.partition(":")
    if module not in names():
        raise InputError(f"no benchmark '{module}'; there are: {', '.join(names())}")
    return import_module(f"{__name__}.{module}").load(domain, size)
