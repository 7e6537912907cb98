"""The marks of a person: what a file of them may hold, what they say of another run's predictions, and which classes get more images."""

import json
import re

import pytest
from made_report import make

from aa_utils import files
from aa_utils.errors import InputError
from aa_utils.photos import audit, audit_findings, mark_file, marks
from aa_utils.photos.marks import Mark, Marks

NAMES = ["mug", "plate", "bowl"]
PHOTOS = [f"{i:016x}" for i in range(30)]
SAMPLE = audit.draw(PHOTOS, 10, 0)


def row(number: int, prediction: str = "mug", **says) -> dict:
    return {"id": SAMPLE.ids[number], "file": f"{number}.jpg", "prediction": prediction, **(says or {"is": prediction})}


def content(*rows: dict, **changes) -> dict:
    known = {"adapt_anything_marks": 1, "photos": SAMPLE.origin, "number_of_photos": 30, "seed": 0, "size": 10, "class_names": NAMES}
    return known | {"times": dict.fromkeys(NAMES, 1.0), "decided_by": [], "marks": list(rows)} | changes


def read(tmp_path, told: object, sample=SAMPLE, names=tuple(NAMES), path: str = "") -> Marks:
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "marks.json").write_text(told if isinstance(told, str) else json.dumps(told), encoding="utf-8")
    return mark_file.read(path, tmp_path, sample, list(names))


def test_without_a_file_nothing_is_measured(tmp_path):
    assert mark_file.read("", tmp_path, SAMPLE, NAMES) == Marks()
    measured = audit.measure(SAMPLE, Marks(), ["mug"] * 30)
    assert (measured.counted, measured.low, measured.high, measured.complete) == (0, 0, 1, False)
    assert audit.metrics(measured) == {} and audit.sentences(measured) == []
    assert marks.more_images(Marks(), NAMES, 100, 2.0) == {}


REFUSED = [
    ("", "is not JSON"),
    ('{"adapt_anything_marks": 1', "is not JSON"),
    ('{"adapt_anything_marks": 1, "seed": 0, "seed": 1}', "'seed' twice"),
    ("[]", "is no file of marks that this code reads"),
    ("[" * 100_000, "is not JSON"),
    ({"file": "x"}, "adapt_anything_marks is None, not 1"),
    (content(adapt_anything_marks=2), "adapt_anything_marks is 2, not 1"),
    (content(photos="0" * 16, number_of_photos=29), "marks of other photos (29 of them, and this run has 30)"),
    (content(size=20), "of a sample of 20 photos, and audit_size makes it 10 now"),
    (content(marks={}), "lacks 'marks'"),
    (content(class_names=None), "lacks 'marks', 'class_names'"),
    (content(decided_by=["x"]), "'decided_by'"),
    (content(times={"mug": 0}), "times of 'mug'"),
    (content(times={"mug": 9.5}), "times of 'mug'"),
    (content(times={"mug": "2"}), "times of 'mug'"),
    (content("mug"), "mark 1 of"),
    (content(row(0) | {"id": 7}), "is no row with an id"),
    (content(row(0) | {"id": "f" * 16}), "is of a photo that was not drawn"),
    (content(row(0) | {"id": next(one for one in PHOTOS if one not in SAMPLE.ids)}), "is of a photo that was not drawn"),
    (content(row(0), row(1), row(0)), "mark 3 of"),
    (content(row(0, **{"is": "cup"})), "names the class 'cup', which is none of mug, plate, bowl"),
    (content(row(0, **{"is": ["mug"]})), "names the class"),
    (content(row(0, none=False)), "has none=False; it is true, or not there"),
    (content(row(0, unsure="yes")), "has unsure='yes'"),
    (content(row(0, **{"is": "mug", "none": True})), "says is and none of its photo"),
    (content({"id": SAMPLE.ids[0], "prediction": "mug"}), "says nothing of its photo"),
    (content(row(0, prediction="cup", unsure=True)), "has the prediction 'cup'"),
]


@pytest.mark.parametrize(("told", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_is_no_file_of_marks_for_these_photos_is_one_sentence(tmp_path, told, message):
    with pytest.raises(InputError, match=re.escape(message)) as said:
        read(tmp_path, told)
    assert str(tmp_path / "marks.json") in str(said.value)
    assert "\n" not in str(said.value)


def test_a_file_that_was_named_must_be_there(tmp_path):
    for path in (tmp_path / "gone.json", tmp_path):
        with pytest.raises(InputError, match=re.escape(f"marks='{path}' is no file")):
            mark_file.read(str(path), tmp_path / "out", SAMPLE, NAMES)
    read(tmp_path / "beside", content(row(0)))
    named = mark_file.read(str(tmp_path / "beside/marks.json"), tmp_path / "out", SAMPLE, NAMES)
    assert named.of == {SAMPLE.ids[0]: Mark("is", "mug")}
    assert named.sha256 == files.sha256(tmp_path / "beside/marks.json")
    (tmp_path / "beside/marks.json").write_bytes(b" " * (mark_file.LARGEST + 1))
    with pytest.raises(InputError, match="is no file of marks: it has"):
        mark_file.read("", tmp_path / "beside", SAMPLE, NAMES)


def test_marks_say_what_photos_show_so_they_measure_another_run_too(tmp_path):
    told = content(
        row(0), row(1, is_not="mug"), row(2, **{"is": "plate"}), row(3, none=True), row(4, unsure=True), row(5, is_not="mug"), row(7)
    )  # fmt: skip
    given = read(tmp_path, told)
    then, now = ["mug"] * 30, ["mug"] * 30
    first = audit.measure(SAMPLE, given, then)
    assert (first.counted, first.right, first.wrong, first.unsure, first.open, first.lost, first.gained) == (6, 1, 4, 1, 0, 0, 0)
    now[SAMPLE.rows[2]] = now[SAMPLE.rows[5]] = "plate"
    second = audit.measure(SAMPLE, given, now)
    assert (second.counted, second.right, second.wrong, second.unsure, second.open) == (6, 2, 2, 1, 1)
    assert (second.lost, second.gained) == (0, 1)
    now[SAMPLE.rows[0]] = "bowl"
    assert audit.measure(SAMPLE, given, now).lost == 1
    now[SAMPLE.rows[0]] = "mug"
    assert second.high > first.high and second.low > first.low
    assert audit.metrics(second) | {"measured_low": 0, "measured_high": 0, "marks": ""} == {
        "measured_low": 0, "measured_high": 0, "marked": 6, "marked_right": 2, "marked_wrong": 2, "marked_unsure": 1, "marked_open": 1,
        "marks": "",
    }  # fmt: skip
    assert audit.sentences(second)[0].startswith("Measured on 6 of the 10 photos drawn from 30: 2 right, 2 wrong, 2 unclear. ")


def test_marks_count_in_the_order_of_the_draw(tmp_path):
    """Whoever picks photos to mark does not draw at random: what comes after a gap waits until it is filled."""
    late = audit.measure(SAMPLE, read(tmp_path, content(*(row(i) for i in range(1, 10)))), ["mug"] * 30)
    assert (late.counted, late.low, late.high) == (0, 0, 1)
    whole = audit.measure(SAMPLE, read(tmp_path, content(*(row(i) for i in range(10)))), ["mug"] * 30)
    assert (whole.counted, whole.complete) == (10, True)


def test_other_class_names_leave_the_marks_what_they_are(tmp_path):
    told = content(row(0), row(1, **{"is": "bowl"}), row(2, none=True), row(3, prediction="bowl"))
    without = read(tmp_path, told, names=["mug", "plate"])
    assert [without.of[SAMPLE.ids[i]] for i in range(4)] == [Mark("is", "mug"), Mark("none"), Mark("none"), Mark("none")]
    more = read(tmp_path, told, names=[*NAMES, "jug"])
    assert more.of[SAMPLE.ids[2]] == Mark("is_not", "mug"), "it may be a jug: look again"
    renamed = read(tmp_path, told, names=["mug", "plate", "soup bowl"])
    predictions = ["soup bowl"] * 30
    assert renamed.of[SAMPLE.ids[3]].verdict("soup bowl") == "open"
    assert audit.measure(SAMPLE, renamed, predictions).open == 3
    assert more.right == without.right == {SAMPLE.ids[0], SAMPLE.ids[3]}


def test_marks_of_another_draw_measure_nothing_but_still_say_which_classes_fail(tmp_path):
    told = content(*(row(i, prediction="plate", **{"is": "mug"}) for i in range(10)))
    fresh = audit.draw(PHOTOS, 12, 1)
    given = read(tmp_path, told, sample=fresh)
    assert not given.measures and audit.measure(fresh, given, ["mug"] * 30).counted == 0
    assert marks.more_images(given, NAMES, 50, 2.0) == {"mug": 50}


def test_classes_that_fail_get_more_images_by_rules_fixed_beforehand(tmp_path):
    def more(*rows, factor=2.0, times=None, per_class=100):
        return marks.more_images(read(tmp_path, content(*rows, times=dict.fromkeys(NAMES, 1.0) | (times or {}))), NAMES, per_class, factor)

    missed = [row(i, prediction="plate", **{"is": "mug"}) for i in range(2)]
    assert more(*missed) == {"mug": 100}
    assert more(missed[0]) == {}, "one is chance"
    assert more(*missed, *(row(i) for i in range(2, 10))) == {"mug": 100}, "2 of 10"
    assert more(*missed, *(row(i, prediction="bowl", is_not="bowl") for i in range(2, 10))) == {"mug": 100}, "of no known class"
    assert more(*missed, factor=1.5, per_class=6) == {"mug": 3}
    assert more(*missed, factor=1.0) == {}
    assert more(*missed, times={"mug": 2.0}) == {"mug": 300}, "it failed with twice as many"
    assert more(*missed, times={"mug": 6.0}) == {"mug": 700}, "eight times at most"
    assert more(times={"mug": 2.0}) == {"mug": 100}, "what helped stays"
    for factor in (0.5, 9, float("nan"), "2", True):
        with pytest.raises(InputError, match="more_where_wrong is"):
            more(*missed, factor=factor)


def test_seldom_missed_is_not_failing():
    of_class = marks.by_class(["a", "b"], {str(i): Mark("is", "a") for i in range(11)}, {str(i): "b" if i < 2 else "a" for i in range(11)})
    assert (of_class[0].marked, of_class[0].missed, of_class[0].taken_for, of_class[0].fails) == (11, 2, [("b", 2)], False)
    assert (of_class[1].marked, of_class[1].fails) == (0, False)


def test_findings_say_what_was_measured_what_fails_and_what_was_done(tmp_path):
    first = make(tmp_path, ["mug", "plate"])
    assert [one.title for one in first.said if "easure" in one.title] == ["Measure it: mark 20 photos"]
    wrong = {first.sample.ids[i]: "plate" for i, k in enumerate(first.sample.rows) if first.predictions[k] == "mug"}
    rows = []
    for one, k in zip(first.sample.ids, first.sample.rows, strict=True):
        rows.append({"id": one, "file": "x", "prediction": first.predictions[k], "is": wrong.get(one, first.predictions[k])})
    told = content(*rows, photos=first.sample.origin, size=20, class_names=first.names, times={"mug": 1.0, "plate": 1.0})
    files.write_json(first.out / "marks.json", told)
    second = make(tmp_path, ["mug", "plate"])
    titles = {one.title: one for one in second.said}
    assert {"Too few are right", "1 class fails", "Measured twice with one sample"} <= set(titles)
    assert second.measured.complete and second.measured.right == 20 - len(wrong)
    fails = titles["1 class fails"]
    assert f"plate: {len(wrong)} of 20 missed ({len(wrong)} named mug), 8 images taught it" in fails.observation
    text = second.path.read_text(encoding="utf-8")
    assert "are right: measured" in text and "a person has said what they show" in text
    fresh = make(tmp_path, ["mug", "plate"], seed=1)
    assert "Measured twice with one sample" not in {one.title for one in fresh.said}
    assert "1 class fails" in {one.title for one in fresh.said}


@pytest.mark.parametrize(
    ("lost", "gained", "warned"), [(1, 0, False), (4, 0, False), (5, 0, True), (12, 4, False), (13, 4, True), (0, 9, False)]
)
def test_a_classifier_that_lost_more_than_chance_takes_is_said_to_be_worse(lost, gained, warned):
    photos = [f"{i:016x}" for i in range(40)]
    sample = audit.draw(photos, 40, 0)
    then = {one: "plate" if i < gained else "mug" for i, one in enumerate(sample.ids)}
    given = Marks(dict.fromkeys(sample.ids, Mark("is", "mug")), then, frozenset(sample.ids[gained:]), measures=True)
    now = {one: "mug" if i < 40 - lost else "plate" for i, one in enumerate(sample.ids)}
    titles = [one.title for one in audit_findings.accuracy(audit.measure(sample, given, [now[one] for one in photos]))]
    assert ("It was better before" in titles) == warned
