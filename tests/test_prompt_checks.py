"""Does a text name its category, and no other? Is it a prompt at all? Do the options fit? Every rule of writer llm by example."""

import pytest

from aa_utils import prompts
from aa_utils.errors import InputError
from aa_utils.prompts._llm_checks import Checker, tokens
from aa_utils.prompts._naming import names


@pytest.mark.parametrize(
    ("text", "shown", "there"),
    [
        ("a red mug", {"mug"}, {"mug"}), ("Mugs, on a wall", {"mug"}, {"mug"}), ("my mug's handle", {"mug"}, {"mug"}),
        ("a smug cat", set(), set()), ("a coffee cup", {"mug"}, {"mug"}), ("a cup", set(), set()),
        ("an alarm clock", {"alarm clock"}, {"alarm clock"}), ("Alarm-clocks", {"alarm clock"}, {"alarm clock"}),
        ("the clock beside an alarm clock", {"clock", "alarm clock"}, {"clock", "alarm clock"}), ("an alarm, clock", {"clock"}, {"clock"}),
        ("a backpack", {"back_pack"}, {"back_pack"}), ("two back-packs", {"back_pack"}, {"back_pack"}),
        ("BACK PACK", {"back_pack"}, {"back_pack"}),
        ("a glass of milk", set(), set()), ("her glasses", {"glasses"}, {"glasses"}), ("a knife", {"knives"}, {"knives"}),
        ("an eclair", {"Éclair"}, {"Éclair"}), ("a tooth brush", {"ToothBrush"}, {"ToothBrush"}),
        ("toothbrushes", {"ToothBrush"}, {"ToothBrush"}),
        ("a desk without any red mug", set(), {"mug"}), ("no people, a mug", {"mug"}, {"mug"}), ("a mug-shaped vase", set(), {"mug"}),
        ("a vase, not a mug, but a mug indeed", {"mug"}, {"mug"}), ("it looks like a mug", set(), {"mug"}), ("a mug rack", set(), {"mug"}),
    ],
)  # fmt: skip
def test_naming(text, shown, there):
    classes = ["mug", "alarm clock", "clock", "back_pack", "glasses", "knives", "Éclair", "ToothBrush"]
    found = names(classes, {"mug": ["coffee cup"]}).named(text)
    assert [{classes[label] for label in labels} for labels in found] == [shown, there]


def test_names_that_no_sentence_tells_apart():
    with pytest.raises(InputError, match="names class 'mugs' and class 'mug'"):
        names(["mug", "mugs"], {})
    with pytest.raises(InputError, match="no letters"):
        names(["mug", "☃"], {})


def test_the_token_estimate_is_rather_too_high():
    assert tokens("a photo of a mug") == 5 + 2  # common words are one token each, start and end are two
    assert tokens("counterclockwise, 35 mm") == 3 + 1 + 2 + 1 + 2
    assert tokens("猫") == 3 + 2  # bytes


def test_honest_prompts_pass():
    """What a good model writes must not be lost to a rule against bad ones."""
    checker = Checker(0, names(["bottle", "alarm clock"], {}))
    for text in (
        "A product photo of a green glass bottle on a white background, soft studio light",
        "Close-up of an old wine bottle with a torn label, its cork half pulled out",
        "Three plastic bottles floating in a murky river, seen from above",
        "A pencil sketch of a milk bottle beside a loaf of bread (unfinished)",
        "A baby's bottle lying on its side on a blue-and-white towel, 35 mm film, f/2.8",
        "Sunlight at a 45° angle through an empty café bottle; long shadows",
        "A van delivers crates of bottles at dawn under heavy rain",
        "The user's hand reaches for a water bottle on a cluttered desk at night",
    ):
        assert checker.judge(text) == "", text
    assert len(checker.accepted) == 8


def test_letters_of_the_class_names_are_no_other_language():
    assert Checker(0, names(["猫"], {}), frozenset("猫")).judge("a 猫 on a roof") == ""
    assert Checker(0, names(["猫"], {}), frozenset("猫")).judge("a 猫 on a 屋") == "other language"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base_url": "localhost:8000"}, "base_url is 'localhost:8000'; it is an address such as"),
        ({"base_url": "https://me:hunter22@example.com/v1"}, "base_url holds a password"),
        ({"llm_model": ""}, "needs llm_model"),
        ({"key_variable": "sk-abcdefgh"}, "NAME of an environment variable"),
        ({"key_variable": "PATH"}, "NAME of an environment variable"),
        ({"key_variable": "NOT_SET_API_KEY"}, "no key in the environment variable 'NOT_SET_API_KEY'"),
        ({"prompts_per_call": 0}, "prompts_per_call is 0; it lies between 1 and 200"),
        ({"prices": [1.0]}, "prices is"),
        ({"money_cap": 1.0}, "without prices"),
        ({"answer_format": "xml"}, "answer_format is 'xml'"),
        ({"fill": "simple"}, "fill is 'simple'"),
        ({"synonyms": {"cup": ["mug"]}}, "synonyms has 'cup', which is no class"),
        ({"synonyms": {"mug": "cup"}}, "they are a list of words"),
        ({"synonyms": {"mug": ["TV"]}}, "'TV' names class 'TV' and class 'mug'"),
        ({"pin": {"template": ["full"]}}, "writer 'llm' has none of"),
        ({"bank": "pottery"}, "no bank 'pottery'"),
    ],
)
def test_wrong_options_of_writer_llm_stop_before_a_call(options, message, tmp_path):
    nobody = {"base_url": "http://127.0.0.1:9/v1", "llm_model": "scripted", "cache": str(tmp_path)}
    with pytest.raises(InputError, match=message) as caught:
        prompts.write(["mug", "TV"], "llm", 4, 0, **(nobody | options))
    assert "hunter22" not in str(caught.value) and "sk-abc" not in str(caught.value)
