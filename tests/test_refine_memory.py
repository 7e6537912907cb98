"""Stage 4 draws from the target where it lies: no copy of the confident half, and the same batches as from one."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from aa_utils import intra_domain
from aa_utils.classifiers import backbones
from aa_utils.data.images import ImageSet
from aa_utils.intra_domain.split import split
from aa_utils.training import loop

NAMES = ["a", "b", "c"]
METHODS = ["fixmatch", "mixmatch"]
RECIPE = loop.Recipe(steps=3, batch_size=4)


@pytest.fixture(scope="module")
def initial(tmp_path_factory):
    """The folder of a classifier that nobody trained."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("initial")
    backbones.save(backbones.build("pocket_resnet", 3), folder, NAMES)
    return folder


@pytest.fixture
def target(tmp_path):
    """A memory-mapped target of 40 images."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 3, 32, 32), dtype=np.uint8)
    np.save(tmp_path / "pixels.npy", pixels)
    mapped = torch.from_numpy(np.load(tmp_path / "pixels.npy", mmap_mode="c"))
    return ImageSet(mapped, None, [f"{i}" for i in range(40)], NAMES)


@pytest.mark.parametrize("method", METHODS)
def test_streams_hold_the_target_itself_and_draw_as_from_a_copy(target, initial, tmp_path, monkeypatch, method):
    p = torch.softmax(torch.randn(40, 3, generator=torch.Generator().manual_seed(0)), 1)
    parts, seen = split(p, NAMES), []
    real = loop.fit

    def watched(module, config, classifier, streams, *rest):
        seen.extend(streams)
        return real(module, config, classifier, streams, *rest)

    monkeypatch.setattr(loop, "fit", watched)
    intra_domain.refine(initial, target, parts, method, {}, RECIPE, 0, tmp_path / "out")
    assert all(stream.pixels.data_ptr() == target.pixels.data_ptr() for stream in seen)
    assert not any(torch.equal(stream.pixels[:1], target.pixels[:1]) and len(stream.pixels) < 40 for stream in seen)
    (labelled,) = (stream for stream in seen if stream.labels is not None)
    copy = replace(labelled, pixels=target.pixels[parts.labelled], labels=parts.pseudo, rows=None)
    others = [stream for stream in seen if stream.labels is None]
    for step in range(20):
        torch.manual_seed(step)
        here = loop._batch([labelled, *others], 0, step, True)
        torch.manual_seed(step)
        there = loop._batch([copy, *others], 0, step, True)
        assert here.keys() == there.keys()
        assert all(torch.equal(here[name], there[name]) for name in here)
        assert int(here["y_l"].min()) >= 0, "an image without a pseudo-label teaches nothing"


def test_streams_that_share_their_pixels_share_them_on_the_device(target):
    streams = [loop.Stream(name, target.pixels, None, 4, {f"x_{name}": "weak"}) for name in "ab"]
    placed: dict = {}
    first, second = (loop._placed(stream, torch.device("meta"), placed) for stream in streams)
    assert first.pixels is second.pixels
    assert first.pixels.device.type == "meta"
