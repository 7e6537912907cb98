"""Text of people and of other tools: every reader takes the same encodings, ends lines at line feeds alone, and says a key twice."""

import json

import pytest

from aa_utils import files
from aa_utils.benchmarks import image_folder
from aa_utils.benchmarks._lists import entries
from aa_utils.errors import InputError
from aa_utils.experiment.__main__ import main as check_experiment
from aa_utils.files import text
from aa_utils.generate import jobs
from aa_utils.prompts import offline
from aa_utils.runner import parameters

PROMPTS = [{"id": f"p{n}", "label": n, "class_name": name, "text": f"a {name}"} for n, name in enumerate(["Käse", "mug\u2028cup"])]
BANK = "templates:\n  a: a photo of {category}, {light}\nattributes:\n  light: [Käse, dark]\n"


def prompts(path):
    return [(row["class_name"], row["label"]) for row in jobs.read_prompts(path)]


def rows(path):
    return [(row["class_name"], row["label"]) for row in files.read_jsonl(path)]


def classes(path):
    return [name for _, name in image_folder._class_folders(path.parent)]


def listed(path):
    return list(entries(path, 3, []))


READERS = {  # name of the file, its text, what reads it, what it gives
    "prompts": ("prompts.jsonl", "".join(text.to_json(row) + "\n" for row in PROMPTS), prompts, [("Käse", 0), ("mug\u2028cup", 1)]),
    "rows": (
        "metadata.jsonl",
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in PROMPTS),
        rows,
        [("Käse", 0), ("mug\u2028cup", 1)],
    ),
    "parameters": (
        "a.yaml",
        "# Käse\nlr: 1e-4\nname: Käse\n",
        lambda path: parameters.overrides([], str(path)),
        {"lr": 1e-4, "name": "Käse"},
    ),
    "bank": ("bank.yaml", BANK, lambda path: offline.load(str(path))["attributes"], {"light": ["Käse", "dark"]}),
    "classes": (
        "classes.txt",
        "kaese: Käse\nmug\u2028cup\n",
        classes,
        ["Käse", "mug cup"],
    ),  # one line, whose separator a name takes as a space
    "list": (
        "list.txt",
        "Käse/1.jpg 0\nmug/a\x85b.jpg 1\n",
        listed,
        [("list.txt:1", "Käse/1.jpg", 0), ("list.txt:2", "mug/a\x85b.jpg", 1)],
    ),
}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("reader", READERS)
def test_encodings_that_name_themselves_are_read(tmp_path, reader, encoding, newline):
    name, content, read, wanted = READERS[reader]
    (tmp_path / name).write_bytes(content.replace("\n", newline).encode(encoding))
    assert read(tmp_path / name) == wanted


@pytest.mark.parametrize(
    ("encoding", "message"), [("latin-1", r"is not UTF-8 text: byte 0xe4 in line \d, after"), ("utf-16-le", "NUL bytes")]
)
@pytest.mark.parametrize("reader", READERS)
def test_other_encodings_are_one_sentence(tmp_path, reader, encoding, message):
    name, content, read, _ = READERS[reader]
    (tmp_path / name).write_bytes(content.replace("\u2028", "").encode(encoding))
    with pytest.raises(InputError, match=message) as said:
        read(tmp_path / name)
    assert "save it as UTF-8" in str(said.value)
    assert "\n" not in str(said.value)


def test_a_text_that_is_cut_within_a_character(tmp_path):
    (tmp_path / "a.yaml").write_bytes("a: ä".encode("utf-16")[:-1])
    with pytest.raises(InputError, match="begins as UTF-16 text and is none, or is cut off"):
        parameters.overrides([], str(tmp_path / "a.yaml"))


@pytest.mark.parametrize(
    "content", ["a: 1\nb: 2\na: 3\n", "{a: 1, a: 1}", "x:\n  a: 1\n  a: 2\n", "1: x\na: y\n0x1: z\n", "a: {'b': 1, b: 2}"]
)
def test_a_key_twice_in_yaml_is_said(tmp_path, content):
    (tmp_path / "a.yaml").write_text(content)
    with pytest.raises(InputError, match=r"line \d is not YAML: '\w' is there twice \(first in line \d\)"):
        parameters.overrides([], str(tmp_path / "a.yaml"))
    with pytest.raises(InputError, match="is there twice"):
        parameters.read_yaml(content, "the value")
    (tmp_path / "bank.yaml").write_text(BANK + "templates: {}\n")
    with pytest.raises(InputError, match="'templates' is there twice"):
        offline.load(str(tmp_path / "bank.yaml"))


def test_merged_keys_are_not_there_twice():
    assert parameters.read_yaml("a: &a {x: 1, y: 1}\nb:\n  <<: *a\n  x: 2\n", "it")["b"] == {"x": 2, "y": 1}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "p", "id": "q"}', "line 2 of .* has the key 'id' twice"),
        ('{"a": {"b": 1, "b": 1}}', "line 2 of .* has the key 'b' twice"),
        ('{"id": "p"', "line 2 of .* is not JSON"),
        ('{"id": ' + "9" * 5000 + "}", "line 2 of .* is not JSON"),
        ("[" * 100_000, "line 2 of .* nested too deeply"),
        ('"text"', "line 2 of .* is not a JSON object"),
        ('{"id": "p"} {"id": "q"}', "line 2 of .* is not JSON"),
    ],
)
@pytest.mark.parametrize("read", [files.read_jsonl, jobs.read_prompts])
def test_wrong_lines_are_named(tmp_path, read, line, message):
    (tmp_path / "prompts.jsonl").write_text(f"{text.to_json(PROMPTS[0])}\n{line}\n")
    with pytest.raises(InputError, match=message):
        read(tmp_path / "prompts.jsonl")


def test_yaml_nested_too_deeply_is_one_sentence(tmp_path, capsys):
    (tmp_path / "a.yaml").write_text("a: " + "[" * 3000)
    with pytest.raises(InputError, match="nested too deeply"):
        parameters.overrides([], str(tmp_path / "a.yaml"))
    (tmp_path / "a.yaml").write_bytes("tasks: Käse".encode("latin-1"))
    assert check_experiment([str(tmp_path / "a.yaml")]) == 2
    assert "is not UTF-8 text" in capsys.readouterr().err


ODD = ["caf\udce9.png", "a\u2028b", "c\u2029d\x85e", "f\x0bg\x0c\x1ch\x1e", "ü😀", "tab\tline\n"]


@pytest.mark.parametrize("name", ODD)
def test_every_text_comes_back_from_json_on_one_line(tmp_path, name):
    files.write_jsonl(tmp_path / "a.jsonl", [{"file": name}, {name: [name]}])
    files.write_json(tmp_path / "a.json", {"file": name})
    assert files.read_jsonl(tmp_path / "a.jsonl") == [{"file": name}, {name: [name]}]
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"file": name}
    assert len((tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()) == 2, "other readers may end a line at any of these"
    assert ("ü" in name) == ("ü" in (tmp_path / "a.json").read_text(encoding="utf-8")), "what can be read stays readable"
