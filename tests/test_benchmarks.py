import pytest
import torch

from aa_utils import benchmarks
from aa_utils.errors import InputError
from aa_utils.paths import ROOT
from aa_utils.pocket import reader


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


def test_pocket_renders_are_as_many_of_each_digit_in_one_look():
    target = benchmarks.load("pocket_renders:handwritten-pen-scan", 32)
    assert target.images.pixels.shape == (2000, 3, 32, 32) and target.labels.bincount().tolist() == [200] * 10
    assert target.class_names == benchmarks.load("uci_digits").class_names and len(set(target.ids)) == 2000
    again, other = (benchmarks.load(f"pocket_renders:{domain}", 32) for domain in ("handwritten-pen-scan", "chalk"))
    assert torch.equal(target.images.pixels, again.images.pixels) and not torch.equal(target.images.pixels, other.images.pixels)
    read = reader.read(reader.load(ROOT / "models/pocket-reader/reader.safetensors"), target.images.pixels.permute(0, 2, 3, 1))
    assert (read == target.labels.numpy()).mean() > 0.95
    assert benchmarks.load("pocket_renders:chalk", 16).images.pixels.shape == (2000, 3, 16, 16)


@pytest.mark.parametrize(("domain", "said"), [("pens", "'pens' is none of chalk"), ("pen-brush", "two values of one kind")])
def test_a_look_that_no_render_has_is_named(domain, said):
    with pytest.raises(InputError, match=f"no 'pocket_renders:{domain}': {said}"):
        benchmarks.load(f"pocket_renders:{domain}")
