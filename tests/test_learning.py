"""Does it learn? The toy of DANN's paper: two moons, the target's turned by 35 degrees, through the kit's own entry point.

Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 17 (2016), arXiv 1505.07818, section 5.1.1.
"""

import math
from functools import cache

import pytest
import torch
from sklearn.datasets import make_moons
from timm.models import register_model
from torch import nn

from aa_utils import inter_domain
from aa_utils.classifiers import inference
from aa_utils.data.images import ImageSet
from aa_utils.training import loop

RECIPE = loop.Recipe(
    steps=1500, batch_size=64, optimizer="adam", lr=0.003, weight_decay=0.0, schedule="constant", flip=False, device="cpu", log_every=500
)
DANN = {"hidden": 32, "discriminator_lr": 1.0}


@register_model
def two_hidden_layers(pretrained: bool = False, **kwargs) -> nn.Module:
    """A network for images of one colour; without BatchNorm, so that nothing but the method adapts."""
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
    net.num_features, net.pretrained_cfg = 32, {"mean": (0.5,) * 3, "std": (0.25,) * 3}
    return net


def moons(degrees: float, seed: int) -> ImageSet:
    """300 points about the middle of the two moons, turned by `degrees`: images of one colour, whose red and green are the coordinates."""
    points, labels = make_moons(300, noise=0.05, random_state=seed)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turned = (points - [0.5, 0.25]) @ [[cos, sin], [-sin, cos]]
    pixels = torch.full((300, 3, 4, 4), 128, dtype=torch.uint8)
    pixels[:, :2] = torch.tensor(127.5 + 60 * turned).round().clamp(0, 255).byte()[:, :, None, None]
    return ImageSet(pixels, torch.tensor(labels), [f"point {i}" for i in range(300)], ["upper", "lower"])


@pytest.fixture(scope="module")
def accuracy(tmp_path_factory):
    """accuracy(method, **options): on the turned moons, whose labels score and nothing else."""

    @cache
    def measured(method: str, seed: int = 1, **options) -> float:
        source, target = moons(0, seed), moons(35, 100 + seed)
        folder, network = tmp_path_factory.mktemp(method), {"backbone": "two_hidden_layers"}
        net = inter_domain.adapt(source, target, method, options, network, RECIPE, seed, folder, ("none", "none"))
        assert float((inference.predict(net, source.pixels)[0].argmax(1) == source.labels).float().mean()) > 0.95, "it knows the source"
        return float((inference.predict(net, target.pixels)[0].argmax(1) == target.labels).float().mean())

    return measured


def test_dann_beats_source_only_by_a_margin(accuracy):
    assert accuracy("dann", **DANN) > accuracy("source_only") + 0.15  # seeds 0 to 5: 0.19 to 0.25


def test_it_is_the_reversed_gradient_that_gains(accuracy):
    """With lambda 0 the discriminator learns as ever, and the features learn nothing from it."""
    without = accuracy("dann", **DANN, lambda_max=0.0)
    assert without == pytest.approx(accuracy("source_only"), abs=0.02)
