"""The oracle: what the target's own labels teach, scored on images that it has not seen; its place in experiments and tables."""

import copy
from dataclasses import replace

import pytest
import torch
import yaml
from test_experiment import planned
from test_train import RECIPE

from aa_utils import benchmarks, experiment
from aa_utils.benchmarks import Target
from aa_utils.classifiers import inference
from aa_utils.errors import InputError
from aa_utils.evaluation import oracle, scoring
from aa_utils.paths import ROOT

NETWORK = {"backbone": "pocket_resnet", "pretrained": False, "bottleneck": 0}


@pytest.fixture(scope="module")
def digits():
    """200 scans to teach and 100 others to score on, as two benchmarks."""
    whole = benchmarks.load("uci_digits", 16)

    def part(name, rows):
        images = replace(whole.images, pixels=whole.images.pixels[rows], names=[whole.ids[i] for i in rows.tolist()])
        return Target(name, images, whole.labels[rows])

    return part("digits:train", torch.arange(200)), part("digits:test", torch.arange(200, 300))


def test_inductive_is_taught_by_labels_and_scored_on_others(digits, tmp_path):
    train, test = digits
    recipe = replace(RECIPE, steps=60, batch_size=32, lr=0.05)
    path = oracle.predictions(train, test, NETWORK, recipe, 0, tmp_path / "a", view="none")
    assert path == tmp_path / "a/test.parquet"
    assert scoring.score(path, test)["accuracy"] > 0.5, "chance is 0.1"
    wrong = replace(train, labels=(train.labels + 1) % 10)
    other = oracle.predictions(wrong, test, NETWORK, recipe, 0, tmp_path / "b", view="none")
    assert scoring.score(other, test)["accuracy"] < 0.2, "it says what it was taught"
    assert not torch.equal(*(inference.read_predictions(file, test.ids) for file in (path, other)))


def test_without_test_images_it_is_cross_validated(digits, tmp_path):
    _, test = digits
    path = oracle.predictions(test, None, NETWORK, replace(RECIPE, steps=2), 0, tmp_path, folds=2)
    assert path == tmp_path / "predictions.parquet"
    assert inference.read_predictions(path, test.ids).shape == (100, 10)
    assert sorted(file.name for file in tmp_path.glob("fold*")) == ["fold0", "fold1"]


def test_what_cannot_be_an_oracle(digits, tmp_path):
    train, test = digits
    for target, scored, message in [
        (replace(train, labels=None), test, "has no labels to teach an oracle with"),
        (train, train, "is what the oracle is taught with"),
        (train, replace(test, images=replace(test.images, class_names=["a"] * 10)), "have other classes"),
    ]:
        with pytest.raises(InputError, match=message):
            oracle.inductive(target, scored, NETWORK, RECIPE, 0, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def config():
    found = yaml.safe_load((ROOT / "experiments/digits.yaml").read_text(encoding="utf-8"))
    return found | {"oracle": {"steps": 700}}


def test_an_experiment_has_one_for_each_task(config):
    before = copy.deepcopy(config)
    config["tasks"]["usps_mnist"]["oracle"] = {"steps": 900, "folds": 3}
    checked = experiment.check(config)
    assert experiment.runs(checked["tasks"])["oracle"] == ["mnist_usps", "usps_mnist"]
    assert [task["oracle"] for task in checked["tasks"].values()] == [{"steps": 700}, {"steps": 900, "folds": 3}]
    config["tasks"]["usps_mnist"]["oracle"] = None
    assert experiment.runs(experiment.check(config)["tasks"])["oracle"] == ["mnist_usps"]
    assert "oracle" not in experiment.runs(experiment.check(before | {"oracle": None})["tasks"])
    config["oracle"] = {"step": 3}
    with pytest.raises(InputError, match=r"tasks.mnist_usps.oracle: 41_oracle.ipynb has no parameter 'step'; did you mean 'steps'"):
        experiment.check(config)


def test_the_graph_has_its_runs(config, tmp_path):
    (tmp_path / "digits.yaml").write_text(yaml.safe_dump(config))
    commands = planned(tmp_path / "digits.yaml", tmp_path)
    made = [command for command in commands if command.startswith("41_oracle")]
    assert len(made) == 2
    first = next(command for command in made if "out=artifacts/digits/oracle/mnist_usps" in command)
    for value in ("backbone=lenet_usps", "steps=700", "target=usps_cogan:train-1800", "test=usps_cogan:test", "lr=0.0002"):
        assert f" {value} " in f"{first} "
    table = next(command for command in commands if command.startswith("52_"))
    assert '"artifacts/digits/oracle/mnist_usps"' in table
