"""Numbers and lists that no run can mean are refused at once, by the check that the runner and every notebook's first cell make."""

import re
import time

import pytest

from aa_utils import paths
from aa_utils.errors import InputError
from aa_utils.photos import settings
from aa_utils.runner import parameters
from aa_utils.runner.parameter_types import CommandLine


def merged(notebook: str, **wanted) -> dict:
    name = f"{notebook}.ipynb"
    return parameters.merged(parameters.of_notebook(parameters.cells_of(parameters.ROOT / "notebooks" / name), name), wanted, name)


ABSURD = {
    "30_inter_domain": {
        "steps": (-1, 10**12, 2**63),
        "batch_size": (-4, 10**9),
        "bottleneck": (-5, 10**9),
        "image_size": (0, -32, 1, 10**5, 10**6),
        "feature_views": (-1, 10**9),
        "limit_per_class": (10**18,),
    },
    "20_generate": {"steps": (10**12,), "width": (-8, 10**6), "height": (10**6,), "images_per_prompt": (10**15,), "batch_size": (10**9,)},
    "10_prompts": {"per_class": (10**12,), "calls_at_once": (10**6, -1), "prompts_per_call": (10**12,)},
    "70_pretrain_gan": {"workers": (10**9,), "horizon": (10**15,), "z_dim": (10**12,), "batch": (10**7,)},
    "90_adapt_your_images": {"per_class": (10**12,), "image_size": (0, 10**6)},
}


@pytest.mark.parametrize(
    ("notebook", "name", "value"), [(book, name, value) for book, names in ABSURD.items() for name, some in names.items() for value in some]
)
def test_a_number_without_sense_is_said_at_once(notebook, name, value):
    started = time.process_time()
    with pytest.raises(InputError, match=f"^{name} is {value}; it must be at least ") as said:
        merged(notebook, **{name: value})
    assert time.process_time() - started < 1
    assert "\n" not in str(said.value)


@pytest.mark.parametrize(("stage", "name", "value"), [("inter_domain", "steps", 10**12), ("intra_domain", "batch_size", -1)])
def test_settings_of_a_stage_are_checked_as_parameters_are(stage, name, value):
    with pytest.raises(InputError, match=f"^{name} is {value}; it must be"):
        parameters.merged(settings.defaults(stage), {name: value}, "this stage")


def test_the_largest_that_are_in_use_are_taken():
    merged("30_inter_domain", steps=1_000_000, batch_size=4096, image_size=1024, bottleneck=2048, seeds=[2**63])
    merged("10_prompts", token_cap=10**12, per_class=100_000, seed=-1)


FRACTIONS = (1e300, -1e300, 1e20, 1e-300, -5e-324)


@pytest.mark.parametrize("value", FRACTIONS)
@pytest.mark.parametrize(
    ("notebook", "name"), [("30_inter_domain", "lr"), ("40_intra_domain", "weight_decay"), ("10_prompts", "temperature")]
)
def test_a_fraction_that_overflows_is_said_at_once(notebook, name, value):
    with pytest.raises(
        InputError, match=re.escape(f"{name} is {value:g}; without its sign it must be 0, or at least 1e-20 and at most 1e+09")
    ):
        merged(notebook, **{name: value})


@pytest.mark.parametrize("value", [*FRACTIONS, 10**300, 10**400, -(10**30)])
@pytest.mark.parametrize("within", [lambda v: {"weight": v}, lambda v: {"a": {"weight": v}}, lambda v: {"a": [{"weight": [v]}]}])
@pytest.mark.parametrize(("notebook", "name"), [("30_inter_domain", "method_config"), ("90_adapt_your_images", "inter_domain")])
def test_so_is_one_within_a_mapping(notebook, name, within, value):
    with pytest.raises(InputError, match=r"^weight is .*; .*it must be") as said:
        merged(notebook, **{name: within(value)})
    assert len(str(said.value)) < 200


def test_fractions_in_use_are_taken_and_what_another_program_reads_is_its_own():
    merged("30_inter_domain", lr=1e-6, weight_decay=0, clip=0.0, method_config={"weight": 250, "gamma": 1e-3, "together": True})
    merged("20_generate", request_fields={"id": 10**30, "x": 1e300}, price=0.04)
    merged("10_prompts", timeout=86_400.0, money_cap=1e6)


@pytest.mark.parametrize("seeds", [[0, 0], [1, 2, 1]])
def test_a_seed_twice_would_count_twice(seeds):
    with pytest.raises(InputError, match=r"'seeds' holds \d twice; each of them is one run"):
        parameters.check("30_inter_domain", {"seeds": seeds})


@pytest.mark.parametrize("text", ["010", "0100", "12:30", "1:00", "1,000", "1e3", "1.0", "0o17", "５", "five", "'5'", "5k", "true"])
def test_what_is_no_plain_whole_number_is_none(text):
    with pytest.raises(InputError, match=r"'steps' takes a whole number, such as \d+; got"):
        merged("30_inter_domain", steps=CommandLine(text))
    with pytest.raises(InputError, match=r"'seeds(\[\d\])?' takes"):
        merged("30_inter_domain", seeds=CommandLine(f"[{text}]"))


@pytest.mark.parametrize(("text", "value"), [("5", 5), ("+5", 5), ("1_000", 1000), ("0x10", 16), ("0", 0), ("5 # five", 5)])
def test_whole_numbers_in_the_forms_of_yaml(text, value):
    assert merged("30_inter_domain", steps=CommandLine(text))["steps"] == value


def test_names_that_look_like_times_and_numbers_stay_names():
    assert merged("10_prompts", class_names=CommandLine("[12:30, 010, 2024-01-01]"))["class_names"] == ["12:30", "010", "2024-01-01"]


@pytest.mark.parametrize(
    "text", ["@home", "50 % off", "% off", "`code`", "a: b: c", "[x", "'x", "*star", "&and", "!not", "yes", "5", "null"]
)
def test_text_is_text_whatever_yaml_makes_of_it(text):
    assert merged("10_prompts", domain=CommandLine(text))["domain"] == text


NOT_PLAIN = {
    "a set": ({"wait": {"x"}}, r"'method_config' holds \"\{'x'\}\" \(set\); it takes texts, numbers, lists and mappings"),
    "bytes": ({"wait": b"x"}, r"'method_config' holds .* \(bytes\)"),
    "deeper": ({"a": [{"b": (1, b"x")}]}, r"'method_config' holds .* \(bytes\)"),
    "a key": ({b"wait": 1}, r"'method_config' holds .* \(bytes\)"),
    "half a character": ({"wait": "\ud800"}, "'method_config' holds half a character"),
}


@pytest.mark.parametrize("kind", NOT_PLAIN)
def test_what_a_record_cannot_hold_is_refused(kind):
    value, message = NOT_PLAIN[kind]
    with pytest.raises(InputError, match=message):
        merged("30_inter_domain", method_config=value)


@pytest.mark.parametrize("name", ["out", "method", "target"])
def test_half_a_character_in_a_text_is_refused(name):
    with pytest.raises(InputError, match=f"'{name}' holds half a character"):
        merged("30_inter_domain", **{name: "artifacts/\ud800"})
    assert merged("30_inter_domain", **{name: "artifacts/\udce9"})[name] == "artifacts/\udce9", "a byte of a name that is not UTF-8"


@pytest.mark.parametrize("value", [{"seeds": [0, 10**400]}, {"steps": 10**400}, {"lr": 10**400}, {"seeds": [-(2**70)]}])
def test_numbers_without_end_are_refused_within_a_list_too(value):
    with pytest.raises(InputError, match=r"(seeds|steps|'lr') is "):
        merged("30_inter_domain", **value)


def test_the_home_of_nobody_is_one_sentence():
    with pytest.raises(InputError, match="home folder of a user that this machine does not know"):
        paths.resolve("~no-such-user-at-all/x")


@pytest.mark.parametrize(("name", "call"), [("AA_ARTIFACTS", lambda: paths.resolve("artifacts/x")), ("AA_DATA", paths.data_root)])
def test_so_is_one_in_the_environment(monkeypatch, name, call):
    monkeypatch.setenv(name, "~no-such-user-at-all/x")
    with pytest.raises(InputError, match=f"^{name}='~no-such-user-at-all/x' begins with the home folder of a user"):
        call()
