"""Rows of an image folder: those of other tools are read or refused by row and column; a file that was cut or changed is found."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aa_utils import benchmarks, files
from aa_utils.data import filtering, images, rows
from aa_utils.errors import InputError
from aa_utils.paths import ROOT

NAMES = ["digit zero", "digit one"]


@pytest.fixture
def folder(tmp_path):
    """Four pictures, without rows."""
    for k in range(4):
        Image.fromarray(np.full((8, 8, 3), 40 * k + 40, np.uint8)).save(tmp_path / f"{k}.png")
    return tmp_path


def write(folder, *made, name="metadata.jsonl"):
    (folder / name).write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in made))
    return folder


def four(row):
    """Four rows by `row(k, class name, label)`."""
    return [{"file_name": f"{k}.png", **row(NAMES[k % 2], k % 2)} for k in range(4)]


READ = {
    "ours": four(lambda name, k: {"label": k, "class_name": name}),
    "the name as label": four(lambda name, k: {"label": name}),
    "the name alone": four(lambda name, k: {"class_name": name}),
    "a code beside the name": four(lambda name, k: {"label": f"n0{k}", "class_name": name}),
    "numbers as text": four(lambda name, k: {"label": str(k), "class_name": name}),
    "numbers as floats": four(lambda name, k: {"label": float(k), "class_name": name}),
    "more columns": four(lambda name, k: {"label": k, "class_name": name, "text": "x", "bbox": [1, 2], "label_2": None}),
    "other spellings of the path": [row | {"file_name": f"./{row['file_name']}"} for row in four(lambda name, k: {"label": name})],
}


@pytest.mark.parametrize("kind", READ)
def test_rows_of_other_tools_are_read(folder, kind):
    write(folder, *READ[kind])
    found = images.load(folder, 8, NAMES)
    assert found.labels.tolist() == [0, 1, 0, 1]
    assert found.names == ["0", "1", "2", "3"]
    assert found.pixels[:, 0, 0, 0].tolist() == [40, 80, 120, 160]
    own = images.load(folder, 8)
    assert [own.class_names[k] for k in own.labels.tolist()] == NAMES * 2


@pytest.mark.parametrize("text", ["file_name,label\n{}", "label,file_name\r\n{}", '\ufefffile_name,"label"\n{}\n\n'])
def test_a_table_is_read(folder, text):
    order = ("file", "name") if text.startswith(("file", "\ufeff")) else ("name", "file")
    lines = "".join(
        f"{ {'file': f'{k}.png', 'name': NAMES[k % 2]}[order[0]] },{ {'file': f'{k}.png', 'name': NAMES[k % 2]}[order[1]] }\n"
        for k in range(4)
    )
    (folder / "metadata.csv").write_text(text.format(lines), encoding="utf-8")
    assert images.load(folder, 8, NAMES).labels.tolist() == [0, 1, 0, 1]


def test_captions_alone_are_no_labels(folder):
    write(folder, *four(lambda name, k: {"text": f"a picture of {name}"}))
    found = images.load(folder, 8)
    assert found.labels is None
    with pytest.raises(InputError, match=r"has no labels, and a source needs them.*21_real_source.ipynb.*benchmark='image_folder:"):
        filtering.keep(found, folder)


GOOD = {"file_name": "0.png", "label": 0, "class_name": "mug"}
REFUSED = {
    "another column": ([GOOD, {"image": "1.png", "label": 0}], r"row 2 of .* has no column 'file_name' \(its columns: image, label\)"),
    "no name": ([GOOD | {"file_name": ""}], "row 1 of .* has file_name=''"),
    "a number for a name": ([GOOD | {"file_name": 7}], "row 1 of .* has file_name=7"),
    "a list for a name": ([GOOD | {"file_name": ["0.png"]}], "row 1 of .* has file_name="),
    "out by ..": ([GOOD, GOOD | {"file_name": "../0.png"}], "row 2 of .*file_name='../0.png', which leads out"),
    "out by a/../..": ([GOOD | {"file_name": "a/../../0.png"}], "which leads out"),
    "out by /": ([GOOD | {"file_name": "/etc/passwd"}], "row 1 of .*'/etc/passwd', which leads out"),
    "a NUL": ([GOOD | {"file_name": "0\0.png"}], "which leads out"),
    "the folder": ([GOOD | {"file_name": "."}], "which leads out"),
    "twice": ([GOOD, GOOD | {"file_name": "1.png"}, GOOD], r"row 3 of .* names the file '0.png' a second time, after row 1"),
    "twice, spelled otherwise": ([GOOD, GOOD | {"file_name": ".//0.png"}], "a second time"),
    "a number without a name": ([{"file_name": "0.png", "label": 0}], "row 1 of .* has label=0 and no class_name"),
    "a number as text": ([{"file_name": "0.png", "label": "7"}], "row 1 of .* has label=7 and no class_name"),
    "a huge label": ([GOOD, GOOD | {"file_name": "1.png", "label": 10**9}], "row 2 of .* has label=1000000000; labels count the classes"),
    "a label of many digits": ([GOOD | {"label": "9" * 4000}], "row 1 of .* has label=1000000;"),
    "below zero": ([GOOD | {"label": -1}], "row 1 of .* has label=-1"),
    "a fraction": ([GOOD | {"label": 0.5}], "row 1 of .* has label=0.5"),
    "a truth value": ([GOOD | {"label": True}], "row 1 of .* has label=True"),
    "a list": ([GOOD | {"label": [0]}], r"row 1 of .* has label=\[0\]"),
    "no text": ([GOOD | {"class_name": 5}], "row 1 of .* has class_name=5, no text"),
    "some without": ([GOOD, {"file_name": "1.png"}], "has a class for 1 of 2 rows; row 2 has none"),
    "some without a number": ([GOOD, {"file_name": "1.png", "class_name": "cup"}], "has a label for 1 of 2 rows"),
    "two names": ([GOOD, GOOD | {"file_name": "1.png", "class_name": "cup"}], "label 0 of .* has two names: 'mug' and 'cup'"),
    "two labels": ([GOOD, GOOD | {"file_name": "1.png", "label": 1}], "two labels for one class: 0 mug, 1 mug"),
    "a gap": (
        [GOOD, GOOD | {"file_name": "1.png", "label": 999_999, "class_name": "cup"}],
        "no image of label 1, but some of label 999999",
    ),
    "half a line": ([GOOD, '{"file_name": "1.png",'], "line 2 of .* is not JSON"),
    "a key twice": (['{"file_name": "0.png", "label": 0, "label": 1}'], "line 1 of .* has the key 'label' twice"),
    "a list of rows": (["[]"], "line 1 of .* is not a JSON object"),
    "nothing": ([], "has no rows: it was cut, or never written"),
    "blank lines": (["", "  "], "has no rows"),
    "a file that is missing": ([GOOD | {"file_name": "9.png"}], r"9.png \(missing\)"),
    "another digest": ([GOOD | {"sha256": "0" * 64}], r"0.png \(not the picture that was written: its SHA-256"),
    "a digest that is none": ([GOOD | {"sha256": 5}], "0.png .*not the picture that was written"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_rows_that_do_not_fit_are_named(folder, kind):
    made, message = REFUSED[kind]
    write(folder, *made)
    with pytest.raises(InputError, match=message) as said:
        images.load(folder, 8)
    assert "\n" not in str(said.value)
    assert len(str(said.value)) < 1000


TABLES = {
    "another separator": ("file_name;label\n0.png;mug\n", r"has no column 'file_name' \(its columns: file_name;label\)"),
    "a cell too many": ("file_name,label\n0.png,mug\n1.png,cup,x\n", "row 2 of .* has 3 cells and the header 2"),
    "a cell too few": ("file_name,label\n0.png\n", "row 1 of .* has 1 cells"),
    "a column twice": ("file_name,label,label\n0.png,mug,mug\n", "two columns of one name"),
    "a quote without end": ('file_name,label\n"0.png,mug\n', "is not CSV"),
    "a header alone": ("file_name,label\n", "has no rows"),
    "nothing": ("", "has no rows"),
    "some without": ("file_name,label\n0.png,mug\n1.png,\n", "has a class for 1 of 2 rows; row 2 has none"),
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables_that_do_not_fit_are_named(folder, kind):
    text, message = TABLES[kind]
    (folder / "metadata.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        images.load(folder, 8)


def test_two_files_of_rows_are_one_too_many(folder):
    write(folder, GOOD)
    (folder / "metadata.csv").write_text("file_name,label\n0.png,mug\n")
    with pytest.raises(InputError, match=r"has both metadata.jsonl and metadata.csv"):
        images.load(folder, 8)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process alone, not of its parent, is Linux's to tell")
def test_a_huge_label_costs_no_memory(folder):
    write(folder, GOOD, GOOD | {"file_name": "1.png", "label": 10**9, "class_name": "cup"})
    code = f"from aa_utils.data import images\ntry: images.load({str(folder)!r}, 8)\nexcept ValueError as error: print(error)\n"
    code += "status = open('/proc/self/status').read(); print(status.partition('VmHWM:')[2].split()[0])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120, check=True)
    assert "has label=1000000000" in done.stdout
    assert int(done.stdout.split()[-1]) < 2_000_000, "kilobytes; most of it is torch"


# Sealed rows


@pytest.fixture
def sealed(folder):
    made = four(lambda name, k: {"label": k, "class_name": name})
    rows.write(folder, [row | {"sha256": files.sha256(folder / row["file_name"])} for row in made])
    return folder


def lines(folder):
    return (folder / "metadata.jsonl").read_text().splitlines(keepends=True)


CHANGES = {
    "cut at a line end": lambda at: at[:-1],
    "cut to one row": lambda at: at[:1],
    "another row in the place of one": lambda at: [*at[:-1], at[-1].replace("3.png", "4.png")],
    "another label": lambda at: [at[0].replace('"label": 0', '"label": 1'), *at[1:]],
    "another class": lambda at: [at[0].replace("digit zero", "digit one"), *at[1:]],
    "another digest": lambda at: [at[0].replace('"sha256": "', '"sha256": "0')[:-1] + "\n", *at[1:]],
}


@pytest.mark.parametrize("change", CHANGES)
def test_rows_that_were_changed_are_found(sealed, change):
    assert len(images.load(sealed, 8)) == 4
    (sealed / "metadata.jsonl").write_text("".join(CHANGES[change](lines(sealed))))
    with pytest.raises(InputError, match=r"rows, and 4 others were written.*20_generate.ipynb writes it anew.*delete '.*\.metadata\.json'"):
        images.load(sealed, 8)


def test_a_row_twice_is_found(sealed):
    (sealed / "metadata.jsonl").write_text("".join([*lines(sealed), lines(sealed)[1]]))
    with pytest.raises(InputError, match="has 5 rows, and 4 others were written"):
        images.load(sealed, 8)


def test_new_columns_and_another_order_are_no_change(sealed):
    before = images.load(sealed, 8)
    files.write_jsonl(sealed / "metadata.jsonl", [row | {"score": 1.0} for row in files.read_jsonl(sealed / "metadata.jsonl")][::-1])
    assert images.load(sealed, 8).names == before.names[::-1]
    assert rows.read(sealed)[0]["score"] == 1.0


def test_another_picture_in_the_place_of_one_is_found(sealed):
    (sealed / "2.png").write_bytes((sealed / "1.png").read_bytes())
    with pytest.raises(
        InputError, match=r"1 of 4 images .*: 2.png \(not the picture that was written: its SHA-256 begins [0-9a-f]{8}, and"
    ):
        images.load(sealed, 8)


@pytest.mark.parametrize("seal", ["", "{", '{"rows": 3}', "[]"])
def test_a_seal_that_is_broken_counts_as_absent(sealed, seal):
    (sealed / ".metadata.json").write_text(seal)
    assert len(images.load(sealed, 8)) == 4


@pytest.mark.parametrize("written", [0, 1])
def test_a_kill_between_rows_and_seal_leaves_a_folder_that_is_read(sealed, monkeypatch, written):
    more = [*rows.read(sealed), {"file_name": "4.png", "label": 0, "class_name": NAMES[0], "sha256": files.sha256(sealed / "1.png")}]
    (sealed / "4.png").write_bytes((sealed / "1.png").read_bytes())
    real = files.write_text

    def killed(path, content, *rest):
        if path.name != "metadata.jsonl" or written:
            real(path, content, *rest)
        if path.name == "metadata.jsonl":
            raise KeyboardInterrupt

    monkeypatch.setattr(files, "write_text", killed)
    with pytest.raises(KeyboardInterrupt):
        rows.write(sealed, more)
    monkeypatch.undo()
    assert len(images.load(sealed, 8)) == 4 + written


def test_a_real_source_is_sealed_and_checked(sealed, tmp_path):
    for k, name in enumerate(("mug", "bike")):
        (tmp_path / "things" / name).mkdir(parents=True)
        Image.fromarray(np.full((8, 8, 3), 99 * k, np.uint8)).save(tmp_path / "things" / name / "1.png")
    benchmarks.write_source(f"image_folder:{tmp_path / 'things'}", 8, tmp_path / "out")
    assert len(images.load(tmp_path / "out", 8)) == 2
    (tmp_path / "out/metadata.jsonl").write_text(lines(tmp_path / "out")[0])
    with pytest.raises(InputError, match="has 1 rows, and 2 others were written"):
        images.load(tmp_path / "out", 8)


ALIKE = {
    "two spaces": ("alarm  clock", "alarm clock"),
    "a tab": ("alarm\tclock", "alarm clock"),
    "a line end": ("alarm\nclock", "alarm clock"),
    "a space that does not break": ("alarm\u00a0clock", "alarm clock"),
    "an accent apart": ("cafe\u0301", "caf\u00e9"),
    "a space of no width": ("mug\u200b", "mug"),
    "a byte order mark": ("\ufeffmug", "mug"),
    "a soft hyphen": ("mu\u00adg", "mug"),
}


@pytest.mark.parametrize("column", ["class_name", "label"])
@pytest.mark.parametrize("kind", ALIKE)
def test_class_names_that_look_alike_are_one_class(tmp_path, kind, column):
    lines = [{"file_name": f"{k}.png", column: name} for k, name in enumerate((*ALIKE[kind], "pen"))]
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert [(row["class_name"], row["label"]) for row in rows.read(tmp_path)] == [(ALIKE[kind][1], 0)] * 2 + [("pen", 1)]


@pytest.mark.parametrize("name", ["mug\0", "mug\x07", "mug\ud800", "\x1b[31mmug"])
def test_a_class_name_that_no_screen_shows_is_refused(tmp_path, name):
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": "a.png", "class_name": name}) + "\n")
    with pytest.raises(InputError, match=r"row 1 .* control characters or half a character"):
        rows.read(tmp_path)
