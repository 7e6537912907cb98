"""Zero-shot: a CLIP names the target's images by their class names. No synthetic image, no training.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021, arXiv 2103.00020, section 3.1.2. With the
image tower V, the text tower T and the learned scale s of a CLIP, for class names c_k in a template,

p_k(x) = softmax_k( s cos(V(x), T(template(c_k))) )        no training, so no loss: L = 0

The predictions are the pseudo-labels from which stage 4 refines. The network that it refines is the one which the run names (`backbone`,
`pretrained`), as it is before any training: a small network learns what a large CLIP says. Is an image of a generator needed at all? This
row and its refinements answer that. Which words and images the CLIP was trained on is part of the answer.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from aa_utils.classifiers import zero_shot
from aa_utils.errors import InputError

training_free = True
uses_source = uses_target = False


@dataclass(frozen=True)
class Config:
    """Options of zero-shot classification."""

    clip: str = "models/pocket-clip"  # a transformers CLIPModel with tokenizer and image processor: a folder or a hub id
    template: str = "a photo of a {}"  # {} is the class name; the plain one of section 3.1.4

    def __post_init__(self) -> None:
        if "{}" not in self.template:
            raise InputError(f"template is {self.template!r}; it needs a {{}} where the class name goes")


def predict(classifier: nn.Module, pixels: Tensor, class_names: list[str], config: Config, device: str) -> tuple[Tensor, Tensor]:
    """(p (N, K), f (N, D)): probabilities, and the normalised image features, of uint8 `pixels` (N, 3, S, S). The CLIP says all."""
    return zero_shot.predict_with_features(config.clip, class_names, pixels, config.template, device=device)
