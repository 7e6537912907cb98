import pytest
import torch

from aa_utils import benchmarks
from aa_utils.errors import InputError


def test_uci_digits_counts():
    target = benchmarks.load("uci_digits", 32)
    assert target.images.pixels.shape == (1797, 3, 32, 32)
    assert target.images.pixels.dtype == torch.uint8
    assert torch.bincount(target.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert target.class_names[3] == "digit three"
    assert len(set(target.ids)) == 1797
    assert target.images.labels is None, "labels stay apart from what training is given"


def test_uci_digits_are_white_on_black():
    pixels = benchmarks.load("uci_digits", 16).images.pixels
    assert pixels.shape[-1] == 16
    assert pixels[..., 0].float().mean() < 20 < 60 < pixels.float().mean()
    assert pixels.max() == 255


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match=r"no benchmark 'mnist1'; there are: .*uci_digits"):
        benchmarks.load("mnist1")
    with pytest.raises(InputError, match="single domain"):
        benchmarks.load("uci_digits:pens")
