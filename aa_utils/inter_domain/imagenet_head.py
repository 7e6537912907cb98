"""ImageNet's head: the pretrained backbone names the target's images by itself. No image of a generator, no training.

What the backbone's own head says over ImageNet's 1,000 classes is added up over those that a class name stands for, S_k, and divided by the
sum over all names: with q the softmax over the 1,000,

p_k(x) = sum_{j in S_k} q_j(x) / sum_l sum_{j in S_l} q_j(x)        no training, so no loss: L = 0

Which classes a name stands for is WordNet's matter (Fellbaum 1998): `aa_utils/classifiers/imagenet_names.yaml` says it, with the relation.
A row for photos of things that ImageNet has; what it gives came from ImageNet's labels in the backbone, which every other row with the
same backbone holds too. Are synthetic images needed at all, where the classes are ImageNet's? Stage 4 refines from its predictions.
"""

from dataclasses import dataclass, field

from torch import Tensor

from aa_utils.classifiers import imagenet
from aa_utils.classifiers.backbones import Classifier

training_free = True
uses_source = uses_target = False


@dataclass(frozen=True)
class Config:
    """Options of reading the ImageNet head."""

    names: dict[str, list[str | int]] = field(default_factory=dict)  # class name -> ImageNet's words or numbers, before the table


def predict(classifier: Classifier, pixels: Tensor, class_names: list[str], config: Config, device: str) -> tuple[Tensor, Tensor]:
    """(p (N, K), f (N, D)): probabilities by ImageNet's head, and the backbone's features, of uint8 `pixels` (N, 3, S, S)."""
    return imagenet.predict(classifier, pixels, class_names, config.names, device)
