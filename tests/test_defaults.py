"""The package's defaults are in its dataclasses. Notebooks hold literals of their own, for papermill replaces nothing else: here the two
are held against each other, and every difference has its reason."""

import dataclasses
import inspect

import pytest

from aa_utils import generate, intra_domain, plugins, prompts
from aa_utils.experiment import keys
from aa_utils.generate.openai_images import Service
from aa_utils.generate.settings import Settings
from aa_utils.intra_domain import split
from aa_utils.photos import settings
from aa_utils.runner import code_closure, parameters
from aa_utils.training.loop import Recipe

SMOKE = "a notebook that is opened and run shows something within a minute"
DIGITS = "the notebook writes prompts for handwritten digits"
RUN = "what a run reads and writes; the package has no default for it"
# Notebook -> parameter -> why its literal is not the package's default, or why the package has none.
DIFFERENT = {
    "10_prompts": {"class_names": RUN, "per_class": SMOKE, "out": RUN, "bank": DIGITS},
    "20_generate": {"prompts": RUN, "out": RUN},
    "30_inter_domain": {"source": RUN, "target": RUN, "test": RUN, "initial": RUN, "seeds": RUN, "out": RUN, "steps": SMOKE}
    | dict.fromkeys(("backbone", "pretrained", "bottleneck", "image_size"), "what network is trained: `backbones.build` is told it")
    | {"device": "Recipe says cpu: a result does not depend on what else is in the machine"}
    | {"flip": "Recipe is for photos, the notebook shows digits"}
    | dict.fromkeys(
        ("keep", "limit_per_class", "label_noise"), "which images are the source, with which labels: `aa_utils.data` is told it"
    ),
    "40_intra_domain": {"initial": RUN, "target": RUN, "test": RUN, "seeds": RUN, "out": RUN, "image_size": RUN, "steps": SMOKE}
    | {"keep_source": "`intra_domain.refine` is given the images, or none"}
    | {"device": "as in 30_inter_domain", "flip": "as in 30_inter_domain"},
}
STAGES = dict(zip(DIFFERENT, settings.STAGES, strict=True))


def package_defaults(notebook: str) -> dict[str, object]:
    """What the package says where nothing is said, SHARED parameters included."""
    return {parameter.name: parameter.default for parameter in parameters.of_settings(*settings._settings(STAGES[notebook]))}


@pytest.mark.parametrize("notebook", DIFFERENT)
def test_literals_of_a_notebook_are_the_package_s_defaults(notebook):
    literals = {parameter.name: parameter.default for parameter in keys.of_notebook(notebook)}
    there = package_defaults(notebook)
    different = {name for name, literal in literals.items() if name not in there or there[name] != literal}
    assert different == set(DIFFERENT[notebook]), "mend the notebook or the dataclass, or give the reason in DIFFERENT"


@pytest.mark.parametrize("notebook", ["41_oracle"])
def test_the_oracle_is_trained_like_source_only(notebook):
    """Its training options have the literals of notebook 30, or the comparison means nothing."""
    here = {parameter.name: parameter.default for parameter in keys.of_notebook(notebook)}
    there = {parameter.name: parameter.default for parameter in keys.of_notebook("30_inter_domain")}
    trained = {field.name for field in dataclasses.fields(Recipe)} & here.keys()
    assert trained >= {"steps", "lr", "batch_size", "schedule", "weight_decay", "flip"}
    assert {name: here[name] for name in trained} == {name: there[name] for name in trained}


def test_options_that_writers_share_have_one_default():
    """Or which of them counted would hang on the alphabet."""
    seen: dict[str, object] = {}
    for writer in prompts.writers():
        for field in dataclasses.fields(config := plugins.load("prompts", writer).Config()):
            assert seen.setdefault(field.name, getattr(config, field.name)) == getattr(config, field.name), (writer, field.name)


@pytest.mark.parametrize(
    ("function", "stage"),
    [(split.split, "intra_domain"), (intra_domain.refine, "intra_domain")],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_function_s_own_defaults_are_those_of_its_stage(function, stage):
    there = {parameter.name: parameter.default for parameter in settings.defaults(stage)}
    own = {
        name: p.default for name, p in inspect.signature(function).parameters.items() if p.default not in (p.empty, None)
    }  # None: nothing is given
    assert own and own == {name: there[name] for name in own}


def test_what_generation_takes_can_be_set():
    takes = inspect.signature(generate.generate).parameters.keys() - {"shard", "num_shards"}
    assert takes <= {field.name for field in dataclasses.fields(Settings)}
    assert not {field.name for field in dataclasses.fields(Settings)} & {field.name for field in dataclasses.fields(Service)}


def test_every_option_of_training_reaches_photos():
    """Those that are not there by intent are named; one that is lost on the way would train by another recipe than the notebooks."""
    training = {field.name for field in dataclasses.fields(Recipe)}
    for stage in ("inter_domain", "intra_domain"):
        there = {parameter.name for parameter in settings.defaults(stage)}
        assert training - there == {"device", "flip"} | settings.ABSENT.get(stage, set())


def test_dataclasses_that_hold_defaults_are_frozen():
    for stage in settings.STAGES:
        for one in settings._settings(stage):
            assert one.__dataclass_params__.frozen, type(one)


def test_photos_need_no_notebook():
    """Outside a checkout there are none: what they can be told follows from the package alone."""
    code = code_closure.of_modules("aa_utils.photos.stages")
    assert "aa_utils/photos/settings.py" in code
    assert [name for name in code if name.startswith("notebooks/") or name == "aa_utils/experiment/keys.py"] == []
