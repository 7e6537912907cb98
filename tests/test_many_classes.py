"""A task of hundreds of classes: pages, tables and figures stay of a size that a person can open, and say which part they show."""

import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from made_report import judgement, make
from PIL import Image

from aa_utils import inter_domain
from aa_utils.benchmarks import Target
from aa_utils.classifiers import inference
from aa_utils.data.images import ImageSet
from aa_utils.photos import findings, groups, marks, report
from aa_utils.reporting import confusion_figure, diversity_tables, figure_data, figures, tables


def target_of(labels: torch.Tensor, names: list[str]) -> Target:
    """A target of as many images as labels, all black."""
    pixels = torch.zeros(1, dtype=torch.uint8).expand(len(labels), 3, 8, 8)
    return Target("made", ImageSet(pixels, None, [f"i{i}" for i in range(len(labels))], names), labels)


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    """The report of more classes than have pictures; the last 30 classes have fewer photos than the others."""
    names = [f"class {k}" for k in range(report.IN_PICTURES + 30)]
    made = make(tmp_path_factory.mktemp("report"), names, number=3 * len(names) - 30, size=4)
    return made.path.read_text()


def test_a_report_shows_no_more_pictures_than_a_page_can_hold_and_says_so(page):
    assert page.count("<img ") <= report.PICTURES + report.LEAST_SURE + 30
    assert f"Of {report.IN_PICTURES + 30} classes the {report.IN_PICTURES} with the most photos are shown" in page


def test_its_table_has_all_classes_and_leads_to_those_that_are_shown(page):
    linked, shown = (set(re.findall(pattern, page)) for pattern in (r'href="#(class-\d+)"', r'id="(class-\d+)"'))
    assert linked == shown == {f"class-{k + 1}" for k in range(report.IN_PICTURES)}
    assert all(f"<td>class {k}</td>" in page for k in range(report.IN_PICTURES, report.IN_PICTURES + 30))


def test_a_report_of_few_classes_shows_them_all(tmp_path):
    made = make(tmp_path, ["mug", "plate", "fork"], number=12, size=4)
    text = made.path.read_text()
    assert "with the most photos are shown" not in text
    assert len(re.findall(r'id="class-\d+"', text)) == 3


def test_photos_of_a_class_are_in_the_order_of_surety():
    g = torch.Generator().manual_seed(0)
    p = torch.rand(50, 4, generator=g).softmax(1)
    votes, reliable = torch.randint(0, 3, (50,), generator=g) / 2, torch.randint(0, 2, (50,), generator=g).bool()
    found = judgement(p, votes=votes, reliable=reliable)
    order = sorted(range(50), key=lambda i: (-int(reliable[i]), -float(votes[i]), -float(p[i].max())))
    assert report._surest_first(found).tolist() == order


def test_classes_taken_for_one_another_are_those_of_the_counts():
    counts = torch.eye(6, dtype=torch.int64) * 16
    counts[1, 4], counts[3, 0], counts[5, 2] = 6, 4, 1
    (found,) = (
        one
        for one in findings._synthetic(
            judgement(torch.eye(6), held_out=counts), SimpleNamespace(images=SimpleNamespace(class_names=list("abcdef")))
        )
        if one.title == "Classes that are hard to tell apart"
    )
    assert "'b' is taken for 'e'" in found.observation and "'f'" not in found.observation


def test_marks_are_counted_by_class():
    of = {"1": marks.Mark("is", "a"), "2": marks.Mark("is", "b"), "3": marks.Mark("is_not", "a"), "4": marks.Mark("is", "a")}
    a, b, c = marks.by_class(["a", "b", "c"], of, {"1": "b", "2": "b", "3": "a", "4": "a"})
    assert (a.marked, a.missed, a.taken_for) == (2, 1, [("b", 1)])
    assert (b.marked, b.missed) == (1, 0) and (c.marked, c.missed) == (0, 0)


@pytest.mark.parametrize("many", [10, 100])
def test_groups_are_found_however_many_there_are(monkeypatch, many):
    monkeypatch.setattr(groups, "MANY", many)
    g = torch.Generator().manual_seed(0)
    centres, of = torch.randn(20, 16, generator=g) * 4, torch.arange(400) % 20
    member = groups._members(torch.nn.functional.normalize((centres[of] + torch.randn(400, 16, generator=g)).double()), 20)
    together = torch.zeros(20, 20).index_put_((member, of), torch.tensor(1.0), accumulate=True)
    assert together.amax(1).sum() > 360 and (together.sum(1) > 0).sum() > 16


@pytest.mark.parametrize("classes", [2, confusion_figure.LEGIBLE, confusion_figure.LEGIBLE + 1, 300])
def test_cells_of_the_confusion_grow_with_the_images(classes):
    labels = torch.arange(2 * classes) % classes
    counts = torch.zeros(classes, classes, dtype=torch.int64)
    counts.index_put_((labels, (labels + torch.arange(2 * classes) // classes) % classes), torch.tensor(1), accumulate=True)
    found = confusion_figure.cells(counts.numpy())
    assert len(found) == (classes**2 if classes <= confusion_figure.LEGIBLE else 2 * classes)
    again = np.zeros((classes, classes), dtype=int)
    for i, j, count in found:
        again[i, j] = count
    assert (again == counts.numpy()).all()


def test_the_confusion_of_many_classes_shows_those_that_are_confused_most(tmp_path):
    names = [f"$class_{k}$ of a rather long name that no axis has room for" for k in range(300)]
    labels = torch.arange(3000) % 300
    predicted = labels.clone()
    predicted[labels == 211] = 17  # all ten of them
    predicted[0] = 1
    run = tmp_path / "run" / "seed0"
    run.mkdir(parents=True)
    target = target_of(labels, names)
    inference.write_predictions(run / "predictions.parquet", target.ids, torch.nn.functional.one_hot(predicted, 300).float())
    points = figure_data.confusion(tmp_path / "run", 0, target, "made")
    assert len(points) == 302 and points["count"].sum() == 3000
    with Image.open(figures.draw("confusion", points, tmp_path)) as image:
        assert max(image.size) < 2000
    figure = figures.confusion(tables.read_csv(tmp_path / "confusion.csv"))
    shown = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert len(shown) == confusion_figure.PART
    places = [next(k for k, text in enumerate(shown) if f"class_{label}\\$" in text) for label in (211, 17, 0, 1)]
    assert figure.axes[0].images[0].get_array()[places[0], places[1]] == 1.0
    assert figure.axes[0].images[0].get_array()[places[2], places[3]] == 0.1
    said = " ".join(figure.get_supxlabel().split())
    assert "2,989 of 3,000 target images right" in said
    assert "Shown are 40 of 300 classes, those of the commonest mistakes: 11 of 11 mistakes." in said


@pytest.mark.parametrize("classes", [10, 35])
def test_features_in_the_plane_are_those_of_the_classes_that_have_a_colour(monkeypatch, classes):
    names = [f"class {k}" for k in range(classes)]
    labels = torch.arange(classes * 6) % classes
    target = target_of(labels, names)
    source = ImageSet(target.images.pixels, labels, target.ids, names)
    monkeypatch.setattr(inter_domain, "predict", lambda folder, pixels, *rest: (None, torch.randn(len(pixels), 5)))
    points = figure_data.embedding({"after": "run"}, 0, source, target, "made", per_domain=40)
    assert set(points["class_name"]) == set(names[:10])
    assert len(points) == 80
    assert ("of the first 10 of 35 classes" in points["caption"].iloc[0]) == (classes == 35)


@pytest.mark.parametrize("classes", [6, diversity_tables.NAMED, diversity_tables.NAMED + 1, 200])
def test_dots_of_many_classes_have_no_names(classes):
    about = ["made", "simple", "dann", "none", 100, "run", "id"]
    rows = [[*about, seed, f"class {k}", 10, 0.1, 3 + k / 100, 0.2, 5.0, k / classes] for k in range(classes) for seed in range(2)]
    figure = diversity_tables.figure(pd.DataFrame(rows, columns=diversity_tables.PER_CLASS))
    named = classes <= diversity_tables.NAMED
    assert len(figure.axes[1].texts) == (classes if named else 0)
    assert ("bars:" in figure.get_supxlabel()) == named
    assert (f"A dot is a class; {classes} classes, mean over" in figure.get_supxlabel()) == (not named)
