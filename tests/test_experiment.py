"""Experiment files are checked before anything runs, and jobs depend on exactly the code they use."""

import copy

import pytest
import yaml

from aa_utils import experiment, parameters
from aa_utils.errors import InputError
from aa_utils.paths import ROOT, resolve

# pocket_world.yaml is a parameter file of one notebook.
FILES = [path for path in sorted((ROOT / "experiments").glob("*.yaml")) if "inter_domain" in path.read_text(encoding="utf-8")]


@pytest.fixture
def smoke():
    return parameters.read_yaml((ROOT / "experiments/smoke.yaml").read_text(encoding="utf-8"), "smoke")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_committed_experiments_are_right(path):
    config = yaml.safe_load(path.read_text(encoding="utf-8"))  # as Snakemake reads it
    assert experiment.check(config, path.name)["name"] == path.stem


def test_checking_changes_nothing_that_was_given(smoke):
    before = copy.deepcopy(smoke)
    experiment.check(smoke)
    assert smoke == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x.pop("target"), "no 'target'"),
        (lambda x: x.update(writrs={}), "unknown key 'writrs'; did you mean 'writers'"),
        (lambda x: x.update(name="A b"), "name is 'A b'"),
        (
            lambda x: x.update(target="office"),
            "target: nothing called 'office' in aa_utils/benchmarks; there are: .*uci_digits",
        ),
        (lambda x: x.update(seeds=[]), "seeds is \\[\\]; it is a list of whole numbers"),
        (lambda x: x.update(seeds=[0, 0]), "none of them twice"),
        (lambda x: x.update(seeds=["a"]), "whole numbers"),
        (lambda x: x.update(class_names="mug"), "class_names is 'mug'; it is a list of names"),
        (lambda x: x.update(writers=[]), "writers is \\[\\]; it takes 'name: value' lines"),
        (lambda x: x["writers"].update(gpt={}), "writers.gpt: nothing called 'gpt' in aa_utils/prompts"),
        (lambda x: x["writers"]["offline"].update(per_clas=1), "writers.offline: .* no parameter 'per_clas'; did you mean 'per_class'"),
        (lambda x: x["generator"].update(steps="two"), "generator: 'steps' takes a whole number"),
        (lambda x: x.update(target="uci_digits2"), "did you mean 'uci_digits'"),
        (lambda x: x["intra_domain"]["methods"].append("split"), "nothing called 'split'"),
        (
            lambda x: x["benchmark"].update(full="offline/dann"),
            "benchmark.full is 'offline/dann'; it is one of simple/source_only/fixmatch",
        ),
        (lambda x: x["benchmark"].pop("baseline"), "benchmark.baseline is None; it is one of simple/source_only"),
        (
            lambda x: x["ablations"]["number_of_images"].update(writer="gpt"),
            "number_of_images.writer is 'gpt'; it is one of simple, offline",
        ),
        (lambda x: x["ablations"]["number_of_images"].update(limit_per_class=3), "limit_per_class is 3; it is a list of whole numbers"),
        (lambda x: x["ablations"]["number_of_images"].update(steps=3), "unknown key 'steps'"),
        (lambda x: x["writers"].update({"a/b": {"writer": "simple"}}), "'a/b' names a folder"),
        (lambda x: x["inter_domain"].pop("methods"), "no 'inter_domain.methods'"),
        (lambda x: x["inter_domain"]["methods"].append("dan"), "inter_domain.methods: nothing called 'dan' .* did you mean 'dann'"),
        (lambda x: x["inter_domain"].update(api_key="x"), "looks like a secret"),
        (lambda x: x["intra_domain"].update(methods={"fixmatch": {"zebra": 1}}), "intra_domain.methods.fixmatch: .* no parameter 'zebra'"),
        (lambda x: x.update(ablations={"nothing": {}}), "no ablation 'nothing'; there are"),
    ],
)
def test_mistakes_are_one_sentence(smoke, change, message):
    change(smoke)
    with pytest.raises(InputError, match=message) as caught:
        experiment.check(smoke, "my.yaml")
    assert str(caught.value).startswith("my.yaml: ")
    assert "\n" not in str(caught.value)


def test_settings_go_to_the_notebooks_that_have_them():
    texts = experiment.settings("20_generate", {"steps": 2, "per_class": 9, "zebra": 1}, out="artifacts/x")
    assert texts == ["out=artifacts/x", "steps=2"]


def test_a_job_depends_on_the_code_it_uses():
    files = experiment.code_files("30_inter_domain", "inter_domain/dann", "benchmarks/uci_digits")
    assert {"notebooks/30_inter_domain.ipynb", "aa_utils/inter_domain/dann.py", "aa_utils/train.py", "aa_utils/backbones.py"} <= set(files)
    assert not {"aa_utils/record.py", "aa_utils/progress.py", "aa_utils/run.py", "aa_utils/inter_domain/mcd.py"} & set(files)
    assert not any("/pocket/" in file or "/generate" in file for file in files)
    assert all((ROOT / file).is_file() for file in files)


def test_banks_count_as_code():
    assert "aa_utils/prompts/banks/handwriting.yaml" in experiment.code_files("10_prompts", "prompts/offline")


def test_place_is_short_where_it_can_be(monkeypatch, tmp_path):
    monkeypatch.delenv("AA_ARTIFACTS", raising=False)
    monkeypatch.chdir(ROOT)
    assert experiment.place("artifacts/x") == "artifacts/x"
    monkeypatch.setenv("AA_ARTIFACTS", str(tmp_path))
    assert experiment.place("artifacts/x") == str(resolve("artifacts/x")) == f"{tmp_path}/x"


def test_command_prints_where_the_results_go(capsys, tmp_path):
    assert experiment.main([str(ROOT / "experiments/pocket.yaml")]) == 0
    assert capsys.readouterr().out.endswith("results/pocket\n")
    assert experiment.main([str(tmp_path / "none.yaml")]) == 2
    assert "no experiment at" in capsys.readouterr().err
