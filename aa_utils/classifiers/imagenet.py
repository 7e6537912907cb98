"""The ImageNet head of a pretrained backbone, read by class names: what the backbone says of an image without having seen one of it.

A class name stands for one class of ImageNet-1k or several, S_k: those that have it among their words in timm's list (WordNet's synonyms),
or those of the table `imagenet_names.yaml`, or what the caller says. With q the softmax over all 1,000 classes,

p_k(x) = sum_{j in S_k} q_j(x) / sum_l sum_{j in S_l} q_j(x)

which is the probability of k, given that the image shows one of the classes that are asked for.
"""

import copy
import difflib
from functools import cache
from pathlib import Path

import torch
import yaml
from timm.data import ImageNetInfo
from torch import Tensor, nn

from aa_utils.classifiers import inference, networks, weights
from aa_utils.classifiers.backbones import Classifier, Heads
from aa_utils.errors import InputError

CLASSES = 1000


class ByName(nn.Module):
    """log p (N, K) from features: the head's log-probabilities, added up over each name's classes (softmax makes them p_k)."""

    def __init__(self, head: nn.Module, classes: list[list[int]]):
        super().__init__()
        self.head, self.classes = head, classes

    def forward(self, f: Tensor) -> Tensor:
        """(N, K)."""
        log_q = self.head(f).float().log_softmax(1)
        return torch.stack([log_q[:, mine].logsumexp(1) for mine in self.classes], 1)


def predict(
    classifier: Classifier, pixels: Tensor, class_names: list[str], own: dict[str, list[str | int]] | None = None, device: str = "cpu"
) -> tuple[Tensor, Tensor]:
    """(p (N, K), f (N, D)) of uint8 `pixels` (N, 3, S, S), on the CPU, by the head of the classifier's pretrained weights.

    `own`: class name -> words or numbers of ImageNet's classes, which go before the table. Errors: as `classes_of` and `head_of`.
    """
    reader = copy.deepcopy(classifier).freeze()  # its features are kept, and serve a linear probe too
    reader.bottleneck = nn.Identity()
    reader.head = ByName(head_of(classifier, pixels.shape[-1]), list(classes_of(class_names, own or {}).values()))
    return inference.predict(reader, pixels, device=device)


def classes_of(class_names: list[str], own: dict[str, list[str | int]]) -> dict[str, list[int]]:
    """class name -> its classes of ImageNet-1k, no class under two names.

    Errors: InputError for a name that stands for none, with the nearest words, and for two names with a class in common.
    """
    found = {name: _classes(name, own) for name in class_names}
    owner: dict[int, str] = {}
    for name, classes in found.items():
        for k in classes:
            if owner.setdefault(k, name) != name:
                raise InputError(f"'{owner[k]}' and '{name}' are both ImageNet's '{_words()[k][0]}'; say which is which: {_way_out(name)}")
    return found


def head_of(classifier: Classifier, image_size: int) -> nn.Module:
    """The head, features (N, D) -> logits (N, 1000), that the classifier's pretrained weights were published with; on the CPU.

    Errors: InputError where the classifier has no such weights, they have no head or one of other classes, or one that is not a function of
    the features alone.
    """
    config = classifier.config
    name, about = config["backbone"], config.get("weights")
    if not about:
        raise InputError(f"'{name}' is not pretrained, so it has no ImageNet head: set pretrained=true, or where its weights are")
    taught = weights.fetch(name, config["kwargs"], about["pretrained"])
    net = networks.create(name, CLASSES, **config["kwargs"]).eval()
    own, there = net.state_dict(), classifier.backbone.state_dict()
    misfit = [key for key in own if key not in there and (key not in taught.tensors or taught.tensors[key].shape != own[key].shape)]
    if misfit:
        raise InputError(
            f"the weights '{about['source']}' have no head of ImageNet's {CLASSES} classes ('{misfit[0]}' is missing or other)"
        )
    net.load_state_dict(own | {key: value for key, value in taught.tensors.items() if key in own})
    head, images = net.get_classifier(), torch.rand(2, 3, image_size, image_size, generator=torch.Generator().manual_seed(0))
    head = Heads(head) if isinstance(head, tuple) else head  # a distilled DeiT or LeViT has two, and takes their mean
    with torch.no_grad():
        f = copy.deepcopy(classifier.backbone).cpu().eval()(images)
        try:
            same = torch.allclose(head(f), net(images), atol=1e-3)
        except (RuntimeError, NotImplementedError, TypeError):  # of maps, or of several kinds of features
            same = False
    if not same:
        raise InputError(f"the ImageNet head of '{name}' is not a function of its features alone; choose another backbone")
    return head.requires_grad_(False)


def _classes(name: str, own: dict[str, list[str | int]]) -> list[int]:
    if name in own:
        return sorted({k for word in own[name] for k in _with_word(word, name)})
    plain = _plain(name)
    row = _table().get(plain)
    if row and "same as" in row:
        return _classes(row["same as"], {})
    if row:
        ranges = [k for first, last in row.get("ranges", ()) for k in range(first, last + 1)]
        return sorted({*ranges, *(_first(word) for word in row.get("words", ()))})
    return _with_word(name, name)


def _with_word(word: str | int, name: str) -> list[int]:
    if str(word).isdigit() and int(word) < CLASSES:
        return [int(word)]
    plain = _plain(str(word))
    found = [k for k, words in enumerate(_words()) if plain in map(_plain, words)]
    if len(found) > 1:
        meant = " and ".join(f"{k} ({', '.join(_words()[k])})" for k in found)
        raise InputError(f"'{word}' is more than one class of ImageNet-1k: {meant}. {_way_out(name)}; numbers will do")
    if not found:
        known = {_plain(word): word for words in _words() for word in words} | {key: key for key in _table()}
        near = [known[close] for close in difflib.get_close_matches(plain, known, n=5, cutoff=0.5)]
        hint = f"; near it: {', '.join(near)}" if near else ""
        raise InputError(f"no class of ImageNet-1k is called '{word}'{hint}. {_way_out(name)}, or leave the class out")
    return found


def _way_out(name: str) -> str:
    return f"Set method_config={{'names': {{'{name}': ['a word of ImageNet', …]}}}}"


def _first(word: str) -> int:
    return next(k for k, words in enumerate(_words()) if words[0] == word)


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").replace("-", " ").lower().split())


@cache
def _words() -> list[list[str]]:
    """The words of each of the 1,000 classes: WordNet's synonyms, in timm's order."""
    info = ImageNetInfo("imagenet-1k")
    return [info.index_to_description(k).split(", ") for k in range(CLASSES)]


@cache
def _table() -> dict[str, dict]:
    return yaml.safe_load(Path(__file__).with_name("imagenet_names.yaml").read_text(encoding="utf-8"))
