"""Prompts: every class named and balanced, never twice, banks covered evenly, and a sentence for every wrong call."""

from collections import Counter
from itertools import combinations

import pytest

from aa_utils import prompts
from aa_utils.errors import InputError
from aa_utils.prompts import diversity, offline
from aa_utils.prompts._article import with_article
from aa_utils.prompts.offline import Config

DIGITS = [f"digit {name}" for name in ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")]
OBJECTS = ["back_pack", "alarm clock", "scissors", "umbrella", "TV"]


def texts(rows, label):
    return [row["text"] for row in rows if row["label"] == label]


@pytest.mark.parametrize(("bank", "names"), [("photo", OBJECTS), ("handwriting", DIGITS)])
def test_offline_is_balanced_unique_and_names_its_category(bank, names):
    rows = prompts.write(names, "offline", 60, 3, bank=bank, domain="low-resolution scan")
    assert Counter(row["label"] for row in rows) == dict.fromkeys(range(len(names)), 60)
    assert len({row["id"] for row in rows}) == len(rows) == len({row["text"] for row in rows})
    for row in rows:
        assert set(row) == {"id", "label", "class_name", "text", "writer"}
        assert row["class_name"] == names[row["label"]]
        assert row["class_name"].replace("_", " ") in row["text"]
        assert "low-resolution scan" in row["text"]
        assert not any(flaw in row["text"] for flaw in ("{", "}", "  ", ", ,", " ,", "a a ", "a orange")), row["text"]
        assert not row["text"].endswith(",")


def test_offline_depends_on_the_seed_and_nothing_else():
    assert prompts.write(DIGITS, "offline", 20, 1) == prompts.write(DIGITS, "offline", 20, 1)
    assert prompts.write(DIGITS, "offline", 20, 1) != prompts.write(DIGITS, "offline", 20, 2)


def test_more_prompts_and_more_classes_keep_the_first_ones():
    few = prompts.write(DIGITS[:3], "offline", 10, 0, bank="handwriting")
    many = prompts.write(DIGITS, "offline", 50, 0, bank="handwriting")
    assert all(row in many for row in few)


def test_attributes_are_covered_evenly():
    bank = offline.load("handwriting")
    stream = offline._combinations(bank, "pen", (0, "digit three"))
    drawn = [next(stream) for _ in range(330)]
    for attribute, values in bank["attributes"].items():
        if attribute in drawn[0]:
            counts = Counter(row[attribute] for row in drawn)
            assert len(counts) == len(values)
            assert max(counts.values()) - min(counts.values()) <= 0.1 * 330 / len(values) + 3, (attribute, counts)


def test_templates_take_turns():
    templates = offline.load("photo")["templates"]
    rows = prompts.write(["bear"], "offline", 3 * len(templates), 0)
    assert len({row["text"] for row in rows[: len(templates)]}) == len(templates)


def test_every_combination_comes_once_until_they_run_out(tmp_path):
    bank = tmp_path / "bank.yaml"
    bank.write_text(
        "templates: {one: '{a} {name} {b} {c} {d}'}\nattributes: {a: [p, q, r, s], b: [t, u, v, w], c: [x, y], d: [k, l, m, n, o, z]}\n"
    )
    for seed in range(3):
        rows = prompts.write(["mug"], "offline", 192, seed, bank=str(bank))
        assert len({row["text"] for row in rows}) == 192
    with pytest.raises(InputError, match=r"192 different prompts for 'mug', not 193; set per_class=192"):
        prompts.write(["mug"], "offline", 193, 0, bank=str(bank))


def test_an_exhausted_template_leaves_the_rest_to_the_others(tmp_path):
    bank = tmp_path / "bank.yaml"
    bank.write_text("templates: {short: '{category}', long: '{category}, {a}'}\nattributes: {a: ['', p, q, r]}\n")
    assert sorted(texts(prompts.write(["mug"], "offline", 4, 0, bank=str(bank)), 0)) == ["a mug", "a mug, p", "a mug, q", "a mug, r"]


def test_pins_hold_attributes_and_templates():
    pin = {"template": ["pen"], "ink": ["black ink on white paper"], "quality": ["low resolution", "blurred"], "tool": [""]}
    for row in prompts.write(DIGITS, "offline", 18, 0, bank="handwriting", pin=pin):
        assert row["text"].startswith(f"a handwritten {row['class_name']} in black ink on white paper, ")
        assert row["text"].endswith(("low resolution", "blurred")) and "with a" not in row["text"]


def test_the_domain_follows_the_category():
    rows = prompts.write(["mug"], "offline", 8, 0, domain="  grainy   scan ", pin={"template": ["full"]})
    assert all(row["text"].split(", ")[1] == "grainy scan" for row in rows)


def test_simple():
    rows = prompts.write(OBJECTS, "simple", 1, 0, bank="photo")  # another writer's option does not disturb
    assert [row["text"] for row in rows] == [
        f"a photo of {x}" for x in ("a back pack", "an alarm clock", "scissors", "an umbrella", "a TV")
    ]
    assert rows[1]["id"] == "simple-001-0000"
    assert prompts.write(["mug"], "simple", 1, 0, template="a sketch of {category}")[0]["text"] == "a sketch of a mug"


@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("mug", "a mug"), ("apple", "an apple"), ("hourglass", "an hourglass"), ("house", "a house"), ("unicorn", "a unicorn"),
        ("uninhabited island", "an uninhabited island"), ("umbrella", "an umbrella"), ("USB stick", "a USB stick"),
        ("MRI scan", "an MRI scan"),
        ("letter F", "a letter F"), ("F", "an F"), ("U", "a U"), ("eight", "an eight"), ("one-way sign", "a one-way sign"), ("TV", "a TV"),
        ("LCD", "an LCD"), ("glasses", "glasses"), ("bus", "a bus"), ("the moon", "the moon"), ("Éclair", "an Éclair"), ("猫", "a 猫"),
        ("ear", "an ear"), ("ewer", "a ewer"), ("utensil", "a utensil"), ("onion", "an onion"),
    ],
)  # fmt: skip
def test_articles(name, phrase):
    assert with_article(name) == phrase


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], "offline", 1, 0), "class_names is empty"),
        (("mug", "offline", 1, 0), "list of names"),
        ((["mug", "  "], "offline", 1, 0), r"class_names\[1\] is '  '"),
        ((["mug", 3], "offline", 1, 0), "list of names"),
        ((["alarm_clock", "Alarm  clock"], "offline", 1, 0), r"class_names\[0\] and class_names\[1\] are the same class"),
        ((["mug"], "offline", 0, 0), "per_class is 0"),
        ((["mug"], "offline", 2.5, 0), "per_class is 2.5"),
        ((["mug"], "poet", 1, 0), "no prompt writer 'poet'; there are: .*offline.*simple"),
        ((["mug"], "diversity", 1, 0), "no prompt writer 'diversity'"),
        ((["mug"], "simple", 5, 0), "set per_class=1 and images_per_prompt=5"),
    ],
)
def test_wrong_calls(arguments, message):
    with pytest.raises(InputError, match=message):
        prompts.write(*arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bank": "pottery"}, "no bank 'pottery'; there are: handwriting, photo"),
        ({"bank": ""}, "no bank ''"),
        ({"colour": "red"}, "no prompt writer has an option 'colour'; 'offline' has: bank, domain, pin"),
        ({"pin": {"hue": ["red"]}}, "no attribute 'hue'"),
        ({"pin": {"light": "daylight"}}, "light is 'daylight'; it is a list of some of"),
        ({"pin": {"light": ["moonlight"]}}, "moonlight"),
        ({"pin": {"light": []}}, "some of"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(InputError, match=message):
        prompts.write(["mug"], "offline", 1, 0, **options)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("just text", "has not the form"),
        ("templates: {a: '{category}'}", "has not the form"),
        ("templates: {a: 'a photo'}\nattributes: {b: [c]}", "names neither"),
        ("templates: {a: '{category} {light}'}\nattributes: {b: [c]}", "has no attribute for {light}"),
        ("templates: {a: '{category} {b}'}\nattributes: {b: []}", "b has no values"),
        ("templates: {a: '{category} {b}'}\nattributes: {b: [c, c]}", "b has a value twice"),
        ("templates: {a: 'a {category}, {b}'}\nattributes: {b: dim}", "b is 'dim'; it is a list of phrases"),
        ("templates: {a: 'a {category}, {b}'}\nattributes: {b: [on, off]}", "they stand in quotation marks"),
        ("templates: {a: 'a {category}, {b}'}\nattributes: {b: [dim, ]\n", "line 3 is not YAML"),
        ("templates: {a: 'a {category}, {b}'}\nattributes: {b: [dim, null]}", "it is a list of phrases"),
        ("templates: {a: 'a {category}, {b}'}\nattributes: {b: [{dim: 1}]}", "it is a list of phrases"),
    ],
)
def test_a_broken_bank_is_named(tmp_path, content, message):
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        prompts.write(["mug"], "offline", 1, 0, bank=str(path))


def test_times_and_numbers_in_a_bank_are_the_words_that_stand_there(tmp_path):
    (tmp_path / "bank.yaml").write_text("templates: {a: 'a {category}, {b}'}\nattributes: {b: [12:30, 010, 5]}\n")
    assert offline.load(str(tmp_path / "bank.yaml"))["attributes"] == {"b": ["12:30", "010", "5"]}


@pytest.mark.parametrize("bank", ["photo", "handwriting"])
def test_shipped_banks_use_every_attribute(bank):
    content = offline.load(bank)
    used = {slot for sentence in content["templates"].values() for slot in offline._slots(sentence)}
    assert used == set(content["attributes"])
    assert offline.pinned(content, Config().pin) == content


def test_handwriting_uses_only_words_the_pocket_models_learned():
    world = pytest.importorskip("aa_utils.pocket.world")
    import numpy as np

    rng = np.random.default_rng(0)
    learned = {word.strip(",") for caption in world.captions(world.sample(4000, rng), rng) for word in caption.split()}
    written = {word.strip(",") for row in prompts.write(DIGITS, "offline", 400, 0, bank="handwriting") for word in row["text"].split()}
    assert written <= learned, written - learned


def test_diversity_by_hand():
    found = diversity.diversity(["a red mug", "A red cup.", "a red mug"])
    # words: a red mug | a red cup | a red mug; pairs: 1 - 2/4, 0, 1 - 2/4
    assert found == pytest.approx({"prompts": 3, "unique": 2 / 3, "distinct_1": 4 / 9, "distinct_2": 3 / 6, "jaccard_distance": 1 / 3})


def test_diversity_equals_explicit_loops():
    rows = prompts.write(["mug"], "offline", 40, 0)
    sets = [set(row["text"].replace(",", "").lower().split()) for row in rows]
    pairs = [1 - len(a & b) / len(a | b) for a, b in combinations(sets, 2)]
    assert diversity.diversity([row["text"] for row in rows])["jaccard_distance"] == pytest.approx(sum(pairs) / len(pairs), abs=1e-6)


def test_diversity_of_nothing_and_of_one():
    for few in ([], ["mug"], ["", ""]):
        assert all(0 <= value <= 2 for value in diversity.diversity(few).values())


def test_offline_is_more_diverse_than_simple():
    simple = diversity.by_class(prompts.write(DIGITS, "simple", 1, 0))[-1]
    diverse = diversity.by_class(prompts.write(DIGITS, "offline", 1, 0, bank="handwriting"))[-1]
    assert diverse["distinct_1"] > simple["distinct_1"] and diverse["jaccard_distance"] > simple["jaccard_distance"]
