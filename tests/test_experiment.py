"""Experiment files are checked before anything runs, and jobs depend on exactly the code they use."""

import copy
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from aa_utils import experiment
from aa_utils.errors import InputError
from aa_utils.experiment import keys
from aa_utils.experiment.__main__ import main
from aa_utils.experiment.scale import scaled
from aa_utils.paths import ROOT, resolve
from aa_utils.runner import code_closure, parameters

# pocket_world.yaml is a parameter file of one notebook.
HARD = {"writer": "offline", "method": "source_only", "methods": ["dann"], "target": "corrupted_digits", "domains": ["noise-1"]}
FILES = [path for path in sorted((ROOT / "experiments").glob("*.yaml")) if "inter_domain" in path.read_text(encoding="utf-8")]


@pytest.fixture
def smoke():
    return parameters.read_yaml((ROOT / "experiments/smoke.yaml").read_text(encoding="utf-8"), "smoke")


@pytest.fixture
def digits():
    """Tasks from real sources, and one from a writer's images with refinement."""
    config = parameters.read_yaml((ROOT / "experiments/digits.yaml").read_text(encoding="utf-8"), "digits")
    config |= {"writers": {"offline": {"per_class": 2}}, "intra_domain": {"methods": ["fixmatch"], "steps": 2000}}
    config["tasks"]["synthetic_uci"] = {"sources": ["offline"], "target": "uci_digits"}
    return config


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_committed_experiments_are_right(path):
    config = yaml.safe_load(path.read_text(encoding="utf-8"))  # as Snakemake reads it
    assert experiment.check(scaled(config, ""), path.name)["name"] == path.stem
    for scale in config.get("scales", {}):
        checked = experiment.check(scaled(config, scale), path.name)
        assert checked["name"] == f"{path.stem}_{scale}"
        assert checked["results"].startswith("artifacts/"), "what a rehearsal gives is not committed"


@pytest.mark.parametrize("path", [path for path in FILES if path.stem != "smoke"], ids=lambda path: path.stem)
def test_committed_experiments_name_their_precision(path):
    """What a published number was computed in is no matter of a default, and never of the machine at hand (auto)."""
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    for task in (config, *(config.get("tasks") or {}).values()):
        for section in ("inter_domain", "intra_domain"):
            stage = (config.get(section) or {}) | (task.get(section) or {})
            methods = stage.get("methods") or {}
            settings = [stage | (methods[name] or {} if isinstance(methods, dict) else {}) for name in methods]
            assert {settings_of.get("amp", "not said") for settings_of in settings} <= {"off", "bf16", "fp16"}


def test_a_scale_is_laid_over_the_rest():
    config = {"name": "a", "seeds": [0, 1], "tasks": {"x": {"target": "t"}, "y": {"target": "u"}}}
    config["scales"] = {"smoke": {"seeds": [0], "tasks": {"x": None, "y": {"sources": ["s"]}}, "new": {"k": None}}}
    before = copy.deepcopy(config)
    assert scaled(config, "smoke") == {"name": "a_smoke", "seeds": [0], "tasks": {"y": {"target": "u", "sources": ["s"]}}, "new": {}}
    assert scaled(config, "") == {key: config[key] for key in ("name", "seeds", "tasks")}
    assert config == before
    with pytest.raises(InputError, match="no scale 'smok'; there are: smoke"):
        scaled(config, "smok", "x.yaml")
    with pytest.raises(InputError, match=r"x\.yaml: scales is \['smoke'\]; it takes names"):
        scaled(config | {"scales": ["smoke"]}, "", "x.yaml")


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
            lambda x: x.update(target="zebra"),
            "target: nothing called 'zebra' in aa_utils/benchmarks; there are: .*uci_digits",
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
        (lambda x: x["ablations"]["number_of_images"].update(methods=["dann"]), "has both method and methods"),
        (lambda x: x["ablations"].update(number_of_images={"writer": "offline", "limit_per_class": [3]}), "method is None; it is one of"),
        (
            lambda x: x["ablations"].update(number_of_images={"writer": "offline", "methods": ["dann/mixmatch"], "limit_per_class": [3]}),
            "number_of_images.methods: the grid has no 'dann/mixmatch' from 'offline'; it has source_only, dann, source_only/fixmatch",
        ),
        (lambda x: x["ablations"].update(sampling={"methods": ["dann"]}), "ablations.sampling.sources is None; it is a list of names"),
        (
            lambda x: x["ablations"].update(sampling={"sources": ["ofline"], "methods": ["dann"]}),
            "sampling.sources is 'ofline'; it is one of",
        ),
        (lambda x: x["ablations"].update(sampling={"sources": ["offline"], "methods": []}), "sampling.methods is \\[\\]; it is a list"),
        (lambda x: x["ablations"].update(hard_shift=HARD | {"target": "corupted_digits"}), "did you mean 'corrupted_digits'"),
        (lambda x: x["ablations"].update(hard_shift=HARD | {"domains": "noise-1"}), "hard_shift.domains is 'noise-1'; it is a list"),
        (lambda x: x["ablations"].update(hard_shift=HARD | {"methods": ["dann/fixmatch"]}), "'dann/fixmatch' without 'dann'"),
        (lambda x: x["ablations"].update(hard_shift=HARD | {"method": "mcd"}), "hard_shift.method is 'mcd'; it is one of source_only"),
        (lambda x: x.update(benchmark=False, ablations={}), "benchmark is false, and there are no ablations"),
        (lambda x: x.update(benchmark=None), "benchmark.baseline is None"),
        (lambda x: x["writers"].update({"a/b": {"writer": "simple"}}), "'a/b' names a folder"),
        (lambda x: x["inter_domain"].pop("methods"), "no 'inter_domain.methods'"),
        (lambda x: x["inter_domain"]["methods"].append("dan"), "inter_domain.methods: nothing called 'dan' .* did you mean 'dann'"),
        (lambda x: x["inter_domain"].update(api_key="x"), "looks like a secret"),
        (lambda x: x["intra_domain"].update(methods={"fixmatch": {"zebra": 1}}), "intra_domain.methods.fixmatch: .* no parameter 'zebra'"),
        (
            lambda x: x["inter_domain"].update(methods={"mcd": {"method_config": {"wait": 0.5}}}),
            "inter_domain.methods.mcd.method_config: option 'wait' is one of dann, not of 'mcd'; 'mcd' has: weight",
        ),
        (
            lambda x: x["inter_domain"].update(method_config={"wait": 0.5}),
            "methods.source_only.method_config: option 'wait' is one of dann",
        ),
        (lambda x: x["inter_domain"].update(methods={"a": {"method": "adabn", "method_config": {"x": 1}}}), "'adabn' has: label_smoothing"),
        (lambda x: x["inter_domain"].update(methods={"dann": {"sources": ["gpt"]}}), "methods.dann.sources is 'gpt'; it is one of simple"),
        (lambda x: x["inter_domain"].update(methods={"dann": {"sources": "offline"}}), "dann.sources is 'offline'; it is a list of names"),
        (lambda x: x["intra_domain"].update(methods={"fixmatch": {"after": ["mcd"]}}), "fixmatch.after is 'mcd'; it is one of source_only"),
        (lambda x: x.update(ablations={"nothing": {}}), "no ablation 'nothing'; there are"),
        (lambda x: x.update(writers={}), "without 'tasks' the sources are the writers; list at least one"),
        (lambda x: x.update(sources={"usps": {"benchmark": "usps:train"}}), "without 'tasks' .* none under 'sources'"),
        (lambda x: x.update(adapted={"offline": {}}), "'offline' is an adapted generator and a writer or source"),
        (lambda x: x.update(adapted={"moved": {"prompts": {}}}), "adapted.moved has prompts; its keys are adapt and draw"),
        (
            lambda x: x.update(adapted={"moved": {"adapt": {"step": 1}}}),
            "adapted.moved.adapt: .* no parameter 'step'; did you mean 'steps'",
        ),
        (lambda x: x.update(adapted={"moved": {"draw": {"zebra": 1}}}), "adapted.moved.draw: .* no parameter 'zebra'"),
        (lambda x: x["benchmark"].update(notebook="53_benchmark_no"), "benchmark.notebook is '53_benchmark_no'; it is one of 51_"),
        (
            lambda x: x["ablations"]["without_labels"].update(chosen="offline/mcd"),
            "chosen is 'offline/mcd'; it is one of simple/source_only",
        ),
        (lambda x: x["ablations"]["without_labels"]["held_out"].pop("seed"), "held_out.seed is None; it takes another one than 'offline'"),
        (lambda x: x["ablations"]["without_labels"]["held_out"].update(seed=0), "held_out.seed is 0; it takes another one"),
        (lambda x: x["ablations"]["without_labels"]["held_out"].update(zebra=1), "held_out: .* no parameter 'zebra'"),
        (lambda x: x["generator"].update(seed=1000), "held_out.seed is 1000; it takes another one"),
        (lambda x: x["writers"].update(held_out={"writer": "offline"}), "writers.held_out has the name of the held-out images"),
    ],
)
def test_mistakes_are_one_sentence(smoke, change, message):
    change(smoke)
    is_one_sentence(smoke, message)


def is_one_sentence(config, message):
    with pytest.raises(InputError, match=message) as caught:
        experiment.check(config, "my.yaml")
    assert str(caught.value).startswith("my.yaml: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x.update(tasks={}), "tasks is empty"),
        (lambda x: x.update(tasks=["mnist_usps"]), "tasks is \\['mnist_usps'\\]; it takes 'name: value' lines"),
        (lambda x: x["tasks"]["mnist_usps"].pop("target"), "no 'tasks.mnist_usps.target'; a task has sources, target"),
        (
            lambda x: x["tasks"]["mnist_usps"].update(target="usp:test"),
            "tasks.mnist_usps.target: nothing called 'usp' .* did you mean 'usps'",
        ),
        (lambda x: x["tasks"]["mnist_usps"].update(test="office"), "tasks.mnist_usps.test: nothing called 'office'"),
        (lambda x: x["tasks"]["mnist_usps"].update(sources=["mnist"]), "mnist_usps.sources: no 'mnist'; there are: mnist_2000, .*offline"),
        (lambda x: x["tasks"]["mnist_usps"].pop("sources"), "tasks.mnist_usps.sources is None; it is a list of names"),
        (lambda x: x["tasks"]["mnist_usps"].update(sources=["usps_1800"]), "'usps_1800' is what it adapts to .* must not train"),
        (lambda x: x["tasks"]["mnist_usps"].update(seeds=3), "tasks.mnist_usps.seeds is 3; it is a list of whole numbers"),
        (lambda x: x["tasks"]["mnist_usps"].update(steps=3), "tasks.mnist_usps.steps is not known; a task has sources"),
        (lambda x: x["tasks"]["mnist_usps"].update(inter_domain={"step": 3}), "tasks.mnist_usps.inter_domain: .* did you mean 'steps'"),
        (
            lambda x: x["tasks"]["mnist_usps"].update(intra_domain={"methods": ["fixmach"]}),
            "intra_domain.methods: .* did you mean 'fixmatch'",
        ),
        (lambda x: x["tasks"].update({"a/b": {}}), "tasks: 'a/b' names a folder"),
        (lambda x: x["sources"]["usps_1800"].update(benchmark="uspss"), "sources.usps_1800.benchmark: .* did you mean 'usps'"),
        (lambda x: x["sources"].update(none={}), "sources.none has neither benchmark nor folder"),
        (lambda x: x["sources"]["usps_1800"].update(size=28), "sources.usps_1800: .* no parameter 'size'"),
        (lambda x: x["sources"].update(offline={"benchmark": "usps"}), "'offline' is a writer and a source"),
        (lambda x: x.update(benchmark={}), "benchmark.notebook is None; it is one of 51_.*, 52_benchmark_digits"),
        (lambda x: x.update(benchmark={"notebook": "51_benchmark_uci_digits"}), "51_benchmark_uci_digits makes the tables of one target"),
        (lambda x: x["benchmark"].update(baseline="offline/dann"), "benchmark: .* no parameter 'baseline'"),
        (lambda x: x.update(ablations={"number_of_images": {}}), "ablations.number_of_images is of one target; .* without 'tasks'"),
    ],
)
def test_mistakes_of_tasks_are_one_sentence(digits, change, message):
    change(digits)
    is_one_sentence(digits, message)


def test_a_task_has_what_the_experiment_says_and_its_own_wins(digits):
    digits["target"] = "uci_digits"
    digits["inter_domain"]["methods"] = {"source_only": None, "mcd": {"method_config": {"num_k": 2}}}
    digits["tasks"]["synthetic_uci"] = {"sources": ["offline"], "inter_domain": {"steps": 7}, "intra_domain": {"methods": ["mixmatch"]}}
    task = experiment.check(digits)["tasks"]["synthetic_uci"]
    assert (task["target"], task["seeds"], "test" in task) == ("uci_digits", [0, 1, 2, 3, 4], False)
    assert (task["inter_domain"]["steps"], task["inter_domain"]["backbone"]) == (7, "lenet_usps")
    assert task["inter_domain"]["methods"] == {"source_only": {}, "mcd": {"method_config": {"num_k": 2}}}
    assert (task["intra_domain"]["methods"], task["intra_domain"]["steps"]) == ({"mixmatch": {}}, 2000)


def test_without_tasks_there_is_one_without_a_name(smoke):
    checked = experiment.check(smoke)
    assert {name: task["sources"] for name, task in checked["tasks"].items()} == {"": ["simple", "offline"]}
    assert experiment.runs(checked["tasks"])["intra_domain"][0] == "simple/source_only/fixmatch"


def test_runs_of_a_task_lie_below_its_name():
    task = {"sources": ["mnist"], "inter_domain": {"methods": {"dann": {}, "mcd": {}}}, "intra_domain": {"methods": {"fixmatch": {}}}}
    assert experiment.runs({"a": task}) == {
        "inter_domain": ["a/mnist/dann", "a/mnist/mcd"],
        "intra_domain": ["a/mnist/dann/fixmatch", "a/mnist/mcd/fixmatch"],
    }


def test_a_method_may_be_kept_to_a_part_of_the_grid(smoke):
    smoke["inter_domain"]["methods"] = {"source_only": {}, "mcd": {"sources": ["offline"]}}
    smoke["intra_domain"]["methods"] = {"fixmatch": {}, "mixmatch": {"sources": ["offline"], "after": ["source_only", "mcd"]}}
    smoke["benchmark"] |= {"baseline": "offline/source_only", "full": "offline/mcd/mixmatch"}
    smoke["ablations"] = {}
    made = experiment.runs(experiment.check(smoke)["tasks"])
    assert made["inter_domain"] == ["simple/source_only", "offline/source_only", "offline/mcd"]
    offline = [f"offline/{method}/{refinement}" for method in ("source_only", "mcd") for refinement in ("fixmatch", "mixmatch")]
    assert made["intra_domain"] == ["simple/source_only/fixmatch", *offline]


def test_one_module_may_stand_twice(smoke):
    smoke["inter_domain"]["methods"] = {"source_only": None, "source_only_vit": {"method": "source_only", "backbone": "pocket_vit"}}
    smoke["benchmark"]["full"] = "offline/source_only_vit/fixmatch"
    smoke["ablations"] = {}
    assert "offline/source_only_vit" in experiment.runs(experiment.check(smoke)["tasks"])["inter_domain"]
    smoke["inter_domain"]["methods"]["source_only_vit"]["method"] = "source"
    is_one_sentence(smoke, "inter_domain.methods: nothing called 'source' .* did you mean 'source_only'")


def test_held_out_images_are_one_more_writers_that_no_task_uses(smoke):
    checked = experiment.check(smoke)
    assert checked["writers"]["held_out"] == checked["writers"]["offline"] | {"per_class": 2, "seed": 1000}
    assert "held_out" not in checked["tasks"][""]["sources"]


def planned(name, folder) -> list[str]:
    """The commands that Snakemake would run for an experiment, by name or path, of which nothing is made yet."""
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "-s",
        str(ROOT / "Snakefile"),
        "--directory",
        str(folder),
        "--dry-run",
        "--printshellcmds",
    ]
    command += ["--configfile", str(name if Path(name).is_file() else ROOT / f"experiments/{name}.yaml"), "--cores", "1"]
    environment = os.environ | {"AA_ARTIFACTS": str(folder / "artifacts")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return re.findall(r"notebooks/(\w+\.ipynb.*) > ", done.stdout + done.stderr)


def test_the_graph_of_several_tasks_from_real_sources(tmp_path):
    commands = planned("digits", tmp_path)
    stages = [command.partition("_")[0] for command in commands]
    assert {stage: stages.count(stage) for stage in stages} == {"21": 2, "30": 12, "52": 1}
    mcd = next(command for command in commands if "out=artifacts/digits/inter_domain/mnist_usps/mnist_2000/mcd" in command)
    domains = ("target=usps_cogan:train-1800", "test=usps_cogan:test")
    for value in ("source=artifacts/digits/images/mnist_2000", *domains, "'seeds=[0, 1, 2, 3, 4]'"):
        assert f" {value} " in f"{mcd} "


def test_the_graph_of_several_tasks_from_prompts(tmp_path):
    commands = planned("pocket_digits", tmp_path)
    stages = {command.partition("_")[0] for command in commands}
    assert stages == {"10", "20", "21", "30", "40", "52"}
    renders = next(command for command in commands if command.startswith("21_"))
    assert " benchmark=pocket_renders:handwritten-pen-scan " in renders and " per_class=200 " in f"{renders} "
    refined = next(command for command in commands if "out=artifacts/pocket_digits/intra_domain/usps/offline/dann/fixmatch" in command)
    assert " initial=artifacts/pocket_digits/inter_domain/usps/offline/dann " in refined
    assert "test=" not in refined
    table = next(command for command in commands if command.startswith("52_benchmark_digits"))
    assert "artifacts/pocket_digits/intra_domain/mnist/offline/dann/fixmatch" in table
    assert " target=" not in table


# Domains, pairs and methods of the literature: 6 x 9 runs from real and synthetic sources, the refinements after them.
PAPER = {
    "office31": {"10": 1, "20": 1, "21": 3, "30": 54, "40": 54, "53": 1},
    "office_home": {"10": 1, "20": 1, "21": 4, "30": 96, "40": 96, "54": 1},
    "imageclef_da": {"10": 1, "20": 1, "21": 3, "30": 54, "40": 54, "55": 1},
    "visda17": {"10": 1, "20": 1, "21": 1, "30": 12, "40": 12, "56": 1},
}


@pytest.mark.parametrize("name", PAPER)
def test_the_graph_at_paper_scale(name, tmp_path):
    commands = planned(name, tmp_path)
    stages = [command.partition("_")[0] for command in commands]
    assert {stage: stages.count(stage) for stage in sorted(set(stages))} == PAPER[name]
    deit = next(command for command in commands if f"out=artifacts/{name}/inter_domain/" in command and "/source_only_deit " in command)
    assert " method=source_only " in deit
    assert " backbone=deit_base_distilled_patch16_224.fb_in1k " in deit


@pytest.mark.parametrize("name", PAPER)
def test_class_names_and_pairs_are_the_benchmarks(name):
    from aa_utils import benchmarks

    checked = experiment.check(scaled(yaml.safe_load((ROOT / f"experiments/{name}.yaml").read_text(encoding="utf-8")), ""))
    photos = __import__(f"aa_utils.benchmarks.{name}", fromlist=["PHOTOS"]).PHOTOS
    assert checked["class_names"] == photos.class_names
    real = {about["benchmark"] for about in checked["sources"].values()}
    assert real <= {f"{name}:{domain}" for domain in benchmarks.domains(name)}
    for task in checked["tasks"].values():
        others = {checked["sources"][source]["benchmark"] for source in task["sources"] if source in checked["sources"]}
        assert others == real - {task["target"]}, "every pair of domains"
        assert set(task["sources"]) & set(checked["writers"]), "and synthetic images"


def test_the_graph_of_one_target(tmp_path):
    commands = planned("pocket_full", tmp_path)
    stages = [command.partition("_")[0] for command in commands]
    assert {stage: stages.count(stage) for stage in stages} == {"10": 3, "20": 3, "30": 22, "40": 32, "51": 1, "60": 1, "62": 1}
    held_out = next(command for command in commands if "out=artifacts/pocket_full/images/held_out" in command)
    assert " prompts=artifacts/pocket_full/prompts/held_out/prompts.jsonl " in held_out
    assert " seed=1000 " in held_out
    table = next(command for command in commands if command.startswith("51_"))
    assert 'images=["artifacts/pocket_full/images/simple", "artifacts/pocket_full/images/offline"]' in table
    assert " full=artifacts/pocket_full/intra_domain/offline/dann/fixmatch " in table
    estimates = next(command for command in commands if command.startswith("62_"))
    assert " chosen=artifacts/pocket_full/intra_domain/offline/dann/fixmatch " in estimates
    assert "few_images/inter_domain/offline/source_only/100" in estimates


def test_the_graph_of_ablations_without_a_table_of_the_grid(tmp_path):
    checked = experiment.check(scaled(yaml.safe_load((ROOT / "experiments/pocket_ablations.yaml").read_text(encoding="utf-8")), ""))
    commands = planned("pocket_ablations", tmp_path)
    assert not [command for command in commands if command.startswith("5")], "benchmark: false"
    limits, methods = (checked["ablations"]["number_of_images"][key] for key in ("limit_per_class", "methods"))
    few = [command for command in commands if "/few_images/" in command.partition(" out=")[2].partition(" ")[0]]
    assert len(few) == len(limits) * len(methods)
    start = "initial=artifacts/pocket_ablations/few_images/inter_domain/offline_200/dann/3 "
    assert [command.partition("_")[0] for command in commands if start in command] == ["40"]
    curve = next(command for command in commands if command.startswith("60_"))
    assert "artifacts/pocket_ablations/intra_domain/offline_200/dann/fixmatch" in curve, "all images are a point of it"
    euler = next(command for command in commands if command.startswith("20_") and "out=artifacts/pocket_ablations/images/euler " in command)
    assert " scheduler=EulerDiscreteScheduler " in euler and " steps=6 " in euler
    hard = [
        command for command in commands if f"target=corrupted_digits:{checked['ablations']['hard_shift']['domains'][0]} " in f"{command} "
    ]
    assert [command.partition("_")[0] for command in hard] == ["30", "40"], "source-only is scored on it, and not trained again"
    sampling = next(command for command in commands if command.startswith("67_"))
    for source in checked["ablations"]["sampling"]["sources"]:
        assert f"artifacts/pocket_ablations/inter_domain/{source}/dann" in sampling


@pytest.mark.parametrize(
    ("name", "said"),
    [("cifar10", '"CIFAR-10": "cifar10:nine-test"'), ("office31_flux", '"webcam": "artifacts/office31_flux/images/webcam"')],
)
def test_thumbnails_are_of_sources_and_of_what_is_scored(name, said, tmp_path):
    table = next(command for command in planned(name, tmp_path) if command.startswith("5"))
    assert said in table.partition("sheet=")[2]
    with pytest.raises(InputError, match=r"benchmark.sheet.FLUX is 'flux3'; it is one of .*flux2"):
        config = scaled(yaml.safe_load((ROOT / "experiments/office31_flux.yaml").read_text(encoding="utf-8")), "")
        config["benchmark"]["sheet"] = {"FLUX": "flux3"}
        experiment.check(config)


def test_the_graph_of_generators_draws_the_same_prompts_with_each(tmp_path):
    commands = planned("pocket_generators", tmp_path)
    steps = (250, 500, 1000, 2000, 4000, 6000, 8000)
    for step in steps:
        drawn = next(command for command in commands if f"out=artifacts/pocket_generators/images/step_{step} " in f"{command} ")
        assert f" model=artifacts/pocket_world/checkpoints/step_{step} " in f"{drawn} "
    table = next(command for command in commands if command.startswith("64_"))
    assert all(f"artifacts/pocket_generators/intra_domain/step_{step}/dann/fixmatch" in table for step in steps)
    assert "references={" in table and "handwritten" in table
    world = yaml.safe_load((ROOT / "experiments/pocket_world.yaml").read_text(encoding="utf-8"))
    assert tuple(world["kept_steps"]) == steps


def test_the_graph_of_few_steps_draws_with_both_generators(tmp_path):
    commands = planned("pocket_few_steps", tmp_path)
    drawn = {
        name: next(command for command in commands if f"out=artifacts/pocket_few_steps/images/{name} " in f"{command} ")
        for name in ("offline", "lcm_1", "lcm_2", "lcm_4")
    }
    assert " model=models/pocket-diffusion " in drawn["offline"] and " steps=6 " in drawn["offline"] and " guidance=5" in drawn["offline"]
    for steps in (1, 2, 4):
        said = f"{drawn[f'lcm_{steps}']} "
        assert " model=models/pocket-diffusion-lcm " in said and f" steps={steps} " in said and " guidance=1.0 " in said
    table = next(command for command in commands if command.startswith("67_"))
    assert all(f"artifacts/pocket_few_steps/intra_domain/{name}/dann/fixmatch" in table for name in drawn)


def test_jobs_that_run_the_same_code_have_one_digest():
    name = "30_inter_domain"
    dann, elsewhere, mcd = (
        experiment.code(name, [f"method={m}", f"out=artifacts/{out}"]) for m, out in (("dann", "a"), ("dann", "b"), ("mcd", "a"))
    )
    assert dann == elsewhere != mcd
    values = parameters.checked(keys.of_notebook(name), {"method": "dann", "out": "artifacts/a"}, name, paths=False)
    cells = code_closure.cells(ROOT / f"notebooks/{name}.ipynb")
    assert dann == code_closure.digest(code_closure.of_notebook(cells, name, values)), "that of the whole values"


def test_an_experiment_on_one_target_is_checked_without_torch():
    """Every call of Snakemake does so first."""
    path = str(ROOT / "experiments/smoke.yaml")
    code = f"import sys, yaml; from aa_utils import experiment; experiment.check(yaml.safe_load(open({path!r}))); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "aa_utils.experiment.sources" in done.stdout.split()
    assert "torch" not in done.stdout.split()


def test_settings_go_to_the_notebooks_that_have_them():
    texts = experiment.settings("20_generate", {"steps": 2, "per_class": 9, "zebra": 1}, out="artifacts/x")
    assert texts == ["out=artifacts/x", "steps=2"]


def test_place_is_short_where_it_can_be(monkeypatch, tmp_path):
    monkeypatch.delenv("AA_ARTIFACTS", raising=False)
    monkeypatch.chdir(ROOT)
    assert experiment.place("artifacts/x") == "artifacts/x"
    monkeypatch.setenv("AA_ARTIFACTS", str(tmp_path))
    assert experiment.place("artifacts/x") == str(resolve("artifacts/x")) == f"{tmp_path}/x"


def test_command_prints_where_the_results_go(capsys, tmp_path):
    assert main([str(ROOT / "experiments/pocket.yaml")]) == 0
    assert capsys.readouterr().out.endswith("results/pocket\n")
    assert main([str(tmp_path / "none.yaml")]) == 2
    assert "no experiment at" in capsys.readouterr().err
