"""What a method file may define: one contract for both stages. What a file leaves out is as it stands here."""

from collections.abc import Callable, Mapping
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from torch import Tensor, nn

from aa_utils.errors import InputError

if TYPE_CHECKING:
    from aa_utils.classifiers.backbones import Classifier
    from aa_utils.data.images import ImageSet
    from aa_utils.training.loop import Stream

NOTHING: Mapping[str, Any] = MappingProxyType({})


class Terms(NamedTuple):
    """What one step gives, by name, each a tensor without dimensions: weighted `losses`, whose sum trains, and `metrics` to watch."""

    losses: Mapping[str, Tensor]
    metrics: Mapping[str, Tensor] = NOTHING


class Method(Protocol):
    """A method: a module of `inter_domain/` (stage 3) or `intra_domain/` (stage 4). It defines `Config`, and `losses`, `step` or
    `predict`.

    Everywhere `nets` is an `nn.ModuleDict` that holds the `classifier` and what `networks` gave; `batch` holds float images (B, 3, S, S) in
    [0, 1] by the names of their views, and int64 labels: `x_s`, `y_s`, `x_t` in stage 3; `progress` is the share of the steps done, p in
    [0, 1).
    """

    Config: ClassVar[type]
    """A frozen dataclass of options, each default with where it comes from. The loop reads three of them where they are there: `lr_factors`
    (network name -> learning rate in multiples of the backbone's), `ema` (decay of averaged weights; 0 = none) and, in stage 3, `mu`
    (target images for each source image; else 1)."""

    training_free: ClassVar[bool] = False
    """Stage 3. True: there is no training. The file defines `predict`, and neither `losses` nor `step`."""

    uses_source: ClassVar[bool] = True
    """Stage 3. False: no image of the source plays a part; it only says which classes there are."""

    uses_target: ClassVar[bool] = True
    """Stage 3. False: no batch holds images of the target."""

    batchnorm: ClassVar[str] = ""
    """Stage 3. The method's own choice among `batchnorm.CHOICES`, where it is part of the method."""

    needs_images: ClassVar[bool] = False
    """True: the method changes images, or looks into the backbone, so that a frozen backbone's features (B, D) cannot stand for images
    (B, 3, S, S) in a batch (`training.feature_streams`)."""

    target_views: ClassVar[Mapping[str, str]] = NOTHING
    """Stage 3. Views of the target other than one `x_t`: name in the batch -> view (`augment.VIEWS`), all of the same images. They take the
    place of the view that the caller names."""

    def streams(self, labelled: "ImageSet", unlabelled: "ImageSet", config: Any, batch_size: int) -> "list[Stream]":
        """Stage 4, which asks for it: what a batch draws, and its views.

        Both sets are the whole target; in `labelled` images without a pseudo-label have the label -1. Streams with labels draw from the
        others alone: the caller sets their `rows`.
        """
        raise _lacking(self, "streams")

    def networks(self, classifier: "Classifier", config: Any) -> dict[str, nn.Module]:
        """The networks that are trained besides the classifier: none."""
        return {}

    def losses(self, nets: nn.ModuleDict, batch: dict[str, Tensor], progress: float, config: Any) -> Terms:
        """The losses of one batch, and metrics."""
        raise _lacking(self, "losses")

    def step(self, nets: nn.ModuleDict, batch: dict[str, Tensor], progress: float, config: Any, update: Callable[..., None]) -> Terms:
        """One step: the sum of `losses` trains all weights, in one update.

        A method for which this is not enough calls `update((loss, weights), ...)` itself, once or several times a batch; each loss trains
        its weights and no others.
        """
        terms = self.losses(nets, batch, progress, config)
        update((sum(terms.losses.values()), nets.parameters()))
        return terms

    def refresh(self, nets: nn.ModuleDict, streams: "list[Stream]", step: int, steps: int, config: Any) -> "list[Stream]":
        """Called before every batch: the streams, changed where what is drawn changes on the way (pairs, pseudo-labels).

        What a method must remember lies in buffers or the extra state of its `networks`, so that a checkpoint holds it.
        """
        return streams

    def predict(self, classifier: "Classifier", pixels: Tensor, class_names: list[str], config: Any, device: str) -> tuple[Tensor, Tensor]:
        """Training-free methods: (p (N, K) probabilities, f (N, D) features) of uint8 images (N, 3, S, S), on the CPU.

        `classifier` is as it was built: its backbone may be pretrained, its head is drawn at random.
        """
        raise _lacking(self, "predict")

    def result(self, nets: nn.ModuleDict, config: Any) -> "Classifier":
        """The classifier to keep: its averaged weights if there are any, else itself."""
        return nets["average"].module if "average" in nets else nets["classifier"]  # type: ignore[return-value]


class FromModule(Method):
    """The method that `module` defines. Its name, docstring and file are the module's.

    Errors: InputError for a module without what is called at every step, or, of a training-free method, instead of training.
    """

    def __init__(self, module: ModuleType):
        names = [name for name in vars(Method) if not name.startswith("_") and hasattr(module, name)]
        vars(self).update({name: getattr(module, name) for name in (*names, "Config", "__name__", "__doc__", "__file__")})
        needed = ("predict",) if self.training_free else ("losses", "step")
        if not any(name in names for name in needed):
            raise _lacking(self, needed[0])


def _lacking(method: Method, function: str) -> InputError:
    name, file = (getattr(method, attribute, "?") for attribute in ("__name__", "__file__"))
    return InputError(f"method '{name.rpartition('.')[2]}' ({file}) defines no `{function}`; aa_utils/training/method.py says what it does")
