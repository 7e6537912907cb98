"""The report in a real browser: a person marks the sample by keys, sees the interval, reloads, saves; the next run reads what was saved.

Takes the extra `browser` (pip install -e '.[browser]') and Chromium or Chrome on the PATH (apt-get install chromium).
"""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from made_report import make

from aa_utils.photos import audit, mark_file
from aa_utils.photos.marks import Mark

sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install -e '.[browser]'")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PROGRAM = next(filter(None, map(shutil.which, BROWSERS)), None)
pytestmark = pytest.mark.skipif(PROGRAM is None, reason=f"no browser on the PATH: none of {', '.join(BROWSERS)}")
WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
MUGS = ["mug", "plate", "a bowl"]
MANY = [f"class {i}" for i in range(8)] + ["Mobile Phone", "mouse", "<b>ß</b> & 'x'", "ÉTUI"]


@dataclass
class Reader:
    """A page, and what went wrong or went out in it."""

    page: object
    wrong: list = field(default_factory=list)
    asked: list = field(default_factory=list)

    def press(self, keys: str) -> None:
        for key in keys.split():
            self.page.keyboard.press(key)

    def text(self, name: str) -> str:
        return self.page.locator(f"#a-{name}").inner_text()

    def named(self) -> str:
        return self.text("name")

    def save(self, folder: Path) -> Path:
        with self.page.expect_download() as waiting:
            self.page.keyboard.press("s")
        assert waiting.value.suggested_filename == mark_file.NAME
        waiting.value.save_as(folder / mark_file.NAME)
        return folder / mark_file.NAME


@pytest.fixture(scope="module")
def chromium():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium):
    """open_page(path, viewport, before="") -> Reader, at the section that measures; `before` is a script that runs first."""
    contexts, readers = [], []

    def opened(path: Path, viewport=WIDE, before: str = "", context=None) -> Reader:
        if context is None:
            contexts.append(chromium.new_context(viewport=viewport, accept_downloads=True))
            context = contexts[-1]
        if before:
            context.add_init_script(before)
        reader = Reader(context.new_page())
        reader.page.set_default_timeout(60_000)
        reader.page.on("console", lambda message: reader.wrong.append(message.text))
        reader.page.on("pageerror", lambda error: reader.wrong.append(str(error)))
        reader.page.on("request", lambda request: reader.asked.append(request.url))
        reader.page.goto(path.as_uri())
        reader.page.evaluate("document.getElementById('measure').scrollIntoView()")
        readers.append(reader)
        return reader

    yield opened
    for reader in readers:
        assert reader.wrong == []
        assert all(url.startswith(("data:", "blob:", "file:")) for url in reader.asked)
        assert sum(url.startswith("file:") for url in reader.asked) <= 3, "one file, and its reloads"
    for context in contexts:
        context.close()


def shown_range(measured: audit.Measured) -> str:
    low, high = f"{100 * measured.low:.0f}", f"{100 * measured.high:.0f}"
    return f"{low} to {high}" if low != high else low


def test_by_keys_alone_from_the_first_photo_to_the_next_run(tmp_path, open_page):
    made = make(tmp_path, MUGS)
    reader = open_page(made.path)
    assert reader.text("place") == "Photo 1 of 20" and "Not measured yet" in reader.text("share")
    shown = []
    for i in range(20):
        assert reader.text("place") == f"Photo {i + 1} of 20"
        assert reader.text("file") == made.photos.names[made.sample.rows[i]]
        assert reader.named() == made.predictions[made.sample.rows[i]]
        other = next(k for k, name in enumerate(MUGS, start=1) if name != reader.named())
        reader.press({0: "n Enter", 1: f"n {other}", 2: "n 0", 3: "u", 4: str(other), 5: "n Escape y"}.get(i, "y"))
        shown.append(reader.text("share"))
    given = mark_file.read(str(reader.save(tmp_path)), made.out, made.sample, MUGS)
    measured = audit.measure(made.sample, given, made.predictions)
    assert (measured.counted, measured.right, measured.wrong, measured.unsure) == (20, 15, 4, 1)
    kinds = [given.of[one].kind for one in made.sample.ids]
    assert kinds == ["is_not", "is", "none", "unsure", *["is"] * 16]
    for i in range(20):  # what the page showed after each photo is what the package says of the marks so far
        first = {one: given.of[one] for one in made.sample.ids[: i + 1]}
        so_far = audit.measure(made.sample, type(given)(first, given.predictions, measures=True), made.predictions)
        assert shown[i].startswith(shown_range(so_far)), (i, shown[i])
    assert "20 of 20 marked: 15 right, 4 wrong, 1 unclear." in reader.text("counts")
    assert "20 marks are saved" in reader.text("saved")
    assert "1 of the marked photos show none of the classes" in reader.text("misses")
    shutil.copy(tmp_path / mark_file.NAME, made.out / mark_file.NAME)
    second = make(tmp_path, MUGS)
    assert (second.measured.right, second.measured.complete) == (15, True)
    text = second.path.read_text(encoding="utf-8")
    assert "are right: measured" in text and "15 right, 4 wrong, 1 unclear of 20 marked" in text
    elsewhere = open_page(second.path)  # another browser, which remembers nothing: the marks are in the report
    assert elsewhere.text("share").startswith(shown_range(measured))
    assert elsewhere.text("saved").startswith("This run has read these marks.")
    elsewhere.press("u")
    assert elsewhere.text("saved") == "Not saved to a file yet."


def test_marks_survive_a_reload_and_can_be_taken_back(tmp_path, open_page):
    made = make(tmp_path, MUGS)
    reader = open_page(made.path)
    reader.press("y y n 0 y")
    reader.page.reload()
    reader.page.evaluate("document.getElementById('measure').scrollIntoView()")
    assert reader.text("place") == "Photo 5 of 20" and "4 of 20 marked: 3 right, 1 wrong." in reader.text("counts")
    reader.press("ArrowLeft ArrowLeft")
    assert reader.text("answer") == "You said: none of the classes."
    reader.press("Backspace")
    assert "3 of 20 marked: 3 right, 0 wrong. Counted are the first 2: number 3 has no mark yet." in reader.text("counts")
    reader.page.reload()
    assert "3 of 20 marked" in reader.text("counts"), "what was taken back stays so"
    reader.page.evaluate("document.getElementById('measure').scrollIntoView()")
    assert reader.text("place") == "Photo 3 of 20"
    reader.press("y")
    assert reader.text("place") == "Photo 5 of 20" and "4 of 20 marked: 4 right" in reader.text("counts")
    rows = json.loads(reader.save(tmp_path).read_text())["marks"]
    assert [row["id"] for row in rows] == made.sample.ids[:4]


def test_many_classes_are_found_by_typing_and_names_are_text(tmp_path, open_page):
    made = make(tmp_path, MANY, number=24)
    reader = open_page(made.path)
    given = []
    for typed, meant in (("pho", "Mobile Phone"), ("étui", "ÉTUI"), ("<b>", "<b>ß</b> & 'x'"), ("s", None)):
        given.append(made.sample.ids[len(given)])
        if reader.named() == meant:
            reader.press("y")
            continue
        reader.press("n")
        reader.page.keyboard.type(typed)
        assert reader.text("place") == f"Photo {len(given)} of 20", "what is typed marks nothing"
        reader.press("Enter")
        reader.press("Enter")  # once too often
        assert reader.text("place") == f"Photo {len(given) + 1} of 20"
    marked = mark_file.read(str(reader.save(tmp_path)), made.out, made.sample, MANY)
    assert [marked.of[one] for one in given[:3]] == [Mark("is", "Mobile Phone"), Mark("is", "ÉTUI"), Mark("is", "<b>ß</b> & 'x'")]
    assert len(marked.of) == 4
    assert reader.page.locator("#measure b", has_text="ß").count() <= 1, "no name became an element"
    reader.press("5")
    assert reader.text("place") == "Photo 5 of 20", "digits name nothing where there are more classes than digits"


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_by_pointer_and_everything_is_in_reach(tmp_path, open_page, viewport):
    made = make(tmp_path, MUGS)
    reader = open_page(made.path, viewport)
    page = reader.page
    fits = "document.documentElement.scrollWidth <= innerWidth"
    assert page.evaluate(fits)
    box = page.locator("#a-unsure").bounding_box()
    assert box["y"] + box["height"] < viewport["height"], "photo and answers fit on one screen"
    assert min(page.locator(f"#a-{name}").bounding_box()["height"] for name in ("right", "wrong", "unsure")) >= 40
    page.locator("#a-right").click()
    page.locator("#a-wrong").click()
    assert page.evaluate(fits)
    page.locator("#a-list button").first.click()
    page.locator("#a-wrong").click()
    page.locator("#a-skip").click()
    page.locator("#a-unsure").click()
    assert "4 of 20 marked: 1 right, 2 wrong, 1 unclear." in reader.text("counts")
    page.locator("#a-strip button").nth(1).click()
    assert reader.text("place") == "Photo 2 of 20" and reader.text("answer").startswith("You said: ")
    with page.expect_download() as waiting:
        page.locator("#a-save").click()
    waiting.value.save_as(tmp_path / "by_pointer.json")
    assert len(mark_file.read(str(tmp_path / "by_pointer.json"), made.out, made.sample, MUGS).of) == 4


def test_keys_mark_nothing_while_the_photo_is_off_the_screen(tmp_path, open_page):
    reader = open_page(make(tmp_path, MUGS).path)
    reader.page.evaluate("scrollTo(0, 0)")
    if reader.page.evaluate("document.querySelector('#measure .view').getBoundingClientRect().top > innerHeight - 100"):
        reader.press("y n 1 u")
    reader.page.evaluate("document.getElementById('use').scrollIntoView()")
    reader.press("y n 1 u Backspace")
    reader.page.keyboard.press("Control+y")
    reader.page.evaluate("document.getElementById('measure').scrollIntoView()")
    reader.page.keyboard.press("Control+u")
    assert "0 of 20 marked" in reader.text("counts")


def test_a_browser_that_remembers_nothing_says_so(tmp_path, open_page):
    blocked = "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError'); } });"
    reader = open_page(make(tmp_path, MUGS).path, before=blocked)
    assert "does not remember marks: save before you close the page" in reader.text("saved")
    reader.press("y y")
    assert "2 of 20 marked" in reader.text("counts")
    assert len(json.loads(reader.save(tmp_path).read_text())["marks"]) == 2


@pytest.mark.parametrize("kept", ["no JSON", "7", '{"marks": 3}', '{"marks": {"x": {"is": "mug"}}}', '{"marks": {"ID": {"is": "cup"}}}'])
def test_what_another_program_left_in_the_browser_is_no_mark(tmp_path, open_page, kept):
    made = make(tmp_path, MUGS)
    key = json.loads(made.path.read_text().split('id="audit-data">')[1].split("</script>")[0])["key"]
    text = kept.replace("ID", made.sample.ids[0])
    reader = open_page(made.path, before=f"localStorage.setItem({json.dumps(key)}, {json.dumps(text)});")
    assert "0 of 20 marked" in reader.text("counts")
    reader.press("y")
    assert "1 of 20 marked: 1 right" in reader.text("counts")


def test_photos_named_otherwise_now_are_looked_at_again(tmp_path, open_page):
    """Marked wrong without a class, and another class is named in the next run: the page begins there."""
    made = make(tmp_path, MUGS)
    reader = open_page(made.path)
    reader.press("y n Enter y")
    told = json.loads(reader.save(made.out).read_text())
    told["marks"][1] |= {"prediction": "mug", "is_not": next(name for name in MUGS if name != told["marks"][1]["prediction"])}
    (made.out / mark_file.NAME).write_text(json.dumps(told))
    second = make(tmp_path, MUGS)
    assert second.measured.open == 1
    again = open_page(second.path)
    assert again.text("place") == "Photo 2 of 20" and "Is that right?" in again.text("answer")
    assert "3 of 20 marked: 2 right, 0 wrong, 1 unclear." in again.text("counts")
    again.press("y")
    assert again.text("place") == "Photo 4 of 20" and "3 of 20 marked: 3 right" in again.text("counts")
