"""CLIP scores: the numbers of transformers, written whole or not at all, never made twice; and what a training keeps by them."""

import json
import shutil

import numpy as np
import pytest
import tiny_diffusion
import torch
from PIL import Image

from aa_utils import files
from aa_utils.data import filtering, images
from aa_utils.errors import InputError
from aa_utils.generate import clip_score

CLASSES = ("digit zero", "digit one")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return tiny_diffusion.save_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def folder(tmp_path):
    return write_images(tmp_path / "images", 5)


def write_images(root, per_class, start=0):
    draw = np.random.default_rng(0)
    rows = []
    for n in range(start, start + per_class):
        for label, name in enumerate(CLASSES):
            path = root / name.replace(" ", "-") / f"p{label}-{n}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draw.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(path)
            prompt = f"a {name} in {('red', 'blue')[n % 2]} ink"
            rows.append({"file_name": path.relative_to(root).as_posix(), "label": label, "class_name": name, "prompt": prompt})
            rows[-1]["sha256"] = files.sha256(path)
    files.write_jsonl(root / "metadata.jsonl", rows)
    return root


def test_scores_are_those_of_transformers(folder, clip):
    from transformers import AutoTokenizer, CLIPImageProcessor, CLIPModel

    before = files.read_jsonl(folder / "metadata.jsonl")
    done = clip_score.score(folder, str(clip), batch_size=4)
    assert done["images"] == done["scored"] == 10
    rows = files.read_jsonl(folder / "metadata.jsonl")
    assert [{name: row[name] for name in old} for row, old in zip(rows, before, strict=True)] == before
    assert all(row["clip_model"] == str(clip) and row["clip_revision"] == done["clip_revision"] for row in rows)
    model, tokenizer = CLIPModel.from_pretrained(clip).eval(), AutoTokenizer.from_pretrained(clip)
    processor = CLIPImageProcessor.from_pretrained(clip)
    pixels = processor(images=[Image.open(folder / row["file_name"]) for row in rows], return_tensors="pt").pixel_values
    for row, picture in zip(rows, pixels, strict=True):
        texts = [row["prompt"], *(f"a photo of a {name}" for name in sorted(CLASSES))]
        tokens = tokenizer(texts, padding=True, return_tensors="pt")
        with torch.no_grad():
            found = model(**tokens, pixel_values=picture[None])
        cosine = (found.image_embeds @ found.text_embeds.T)[0]
        assert row["clip_score"] == pytest.approx(float(cosine[0]), abs=2e-5)
        p = found.logits_per_image[0, 1:].softmax(0)
        assert row["clip_confidence"] == pytest.approx(float(p[sorted(CLASSES).index(row["class_name"])]), abs=2e-5)
        assert row["clip_class"] == sorted(CLASSES)[int(p.argmax())]


def test_a_killed_call_goes_on_and_nothing_is_made_twice(folder, clip, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path / "whole")
    clip_score.score(tmp_path / "whole", str(clip), batch_size=4)
    before = (folder / "metadata.jsonl").read_bytes()
    real = clip_score.json.dumps

    def dies(value, **options):
        if "clip_score" in value and value["text"] == "a digit one in red ink" and (folder / "second").exists():
            raise KeyboardInterrupt
        if "clip_score" in value:
            (folder / "second").touch()
        return real(value, **options)

    monkeypatch.setattr(clip_score.json, "dumps", dies)
    with pytest.raises(KeyboardInterrupt):
        clip_score.score(folder, str(clip), batch_size=1)
    monkeypatch.undo()
    (folder / "second").unlink()
    assert (folder / "metadata.jsonl").read_bytes() == before
    store = next(folder.glob(".clip_score.*.jsonl"))
    store.write_text(store.read_text() + '{"sha256": "cut o')
    assert 0 < clip_score.score(folder, str(clip), batch_size=4)["scored"] < 10
    ours, theirs = (files.read_jsonl(root / "metadata.jsonl") for root in (folder, tmp_path / "whole"))
    for row, other in zip(ours, theirs, strict=True):
        assert row["clip_score"] == pytest.approx(other["clip_score"], abs=2e-6) and row["clip_class"] == other["clip_class"]
    written = (folder / "metadata.jsonl").stat().st_mtime_ns
    monkeypatch.setattr(clip_score, "_measure", lambda *_: pytest.fail("the model was loaded"))
    assert clip_score.score(folder, str(clip))["scored"] == 0
    assert (folder / "metadata.jsonl").stat().st_mtime_ns == written


def test_new_images_cost_no_more_than_themselves(folder, clip):
    clip_score.score(folder, str(clip))
    write_images(folder, 7)  # as 20_generate does for more copies: the rows are new ones, five of each class are known
    assert clip_score.score(folder, str(clip))["scored"] < 14
    assert all("clip_score" in row for row in files.read_jsonl(folder / "metadata.jsonl"))


def test_another_model_or_template_scores_anew(folder, clip, tmp_path):
    clip_score.score(folder, str(clip))
    first = files.read_jsonl(folder / "metadata.jsonl")
    assert clip_score.score(folder, str(tiny_diffusion.save_clip(tmp_path / "other", seed=1)))["scored"] == 10
    second = files.read_jsonl(folder / "metadata.jsonl")
    assert first[0]["clip_revision"] != second[0]["clip_revision"] and first[0]["clip_score"] != second[0]["clip_score"]
    clip_score.score(folder, str(clip), template="a {} on paper")
    assert files.read_jsonl(folder / "metadata.jsonl")[0]["clip_template"] == "a {} on paper"
    assert clip_score.score(folder, str(clip))["scored"] == 0
    assert files.read_jsonl(folder / "metadata.jsonl") == first


def test_classes_and_extremes(folder, clip):
    with pytest.raises(InputError, match="have no CLIP scores; run: python -m"):
        clip_score.by_class(folder)
    clip_score.score(folder, str(clip))
    rows = files.read_jsonl(folder / "metadata.jsonl")
    table = clip_score.by_class(folder)
    assert [row["class_name"] for row in table] == list(CLASSES) and [row["images"] for row in table] == [5, 5]
    assert table[0]["clip_score"] == pytest.approx(np.mean([row["clip_score"] for row in rows if row["label"] == 0]))
    ends = clip_score.extremes(folder, 2, "clip_score")
    assert [row["clip_score"] for row in ends] == sorted([row["clip_score"] for row in ends], reverse=True)
    assert ends[0]["clip_score"] == max(row["clip_score"] for row in rows) and ends[0]["path"].is_file()


def test_wrong_calls_are_sentences(folder, clip, tmp_path):
    for wrong, said in (
        ({"model": "models/none"}, "no CLIP model at 'models/none'"),
        ({"template": "a photo"}, "it has one {} for the class name"),
        ({"batch_size": 0}, "batch_size is 0"),
    ):
        with pytest.raises(InputError, match=said):
            clip_score.score(folder, **{"model": str(clip), **wrong})
    next(folder.rglob("p0-3.png")).write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"p0-3\.png' cannot be read as an image"):
        clip_score.score(folder, str(clip))
    with pytest.raises(InputError, match="no image folder at"):
        clip_score.score(tmp_path / "nowhere", str(clip))


def test_from_the_command_line(folder, clip, capsys):
    assert clip_score.main([str(folder), "--model", str(clip)]) == 0
    assert "10 of 10 images scored now" in capsys.readouterr().out
    assert clip_score.main([str(folder), "--model", "nothing"]) == 2
    assert "no CLIP model at 'nothing'" in capsys.readouterr().err


def scored(folder, values):
    rows = files.read_jsonl(folder / "metadata.jsonl")
    files.write_jsonl(folder / "metadata.jsonl", [row | {"clip_score": value} for row, value in zip(rows, values, strict=True)])
    return images.load(folder, 16)


def test_the_best_share_of_each_class_is_kept(folder):
    source = scored(folder, [0.1, 0.9, 0.2, 0.8, 0.3, 0.7, 0.3, 0.6, 0.5, 0.5])  # classes take turns
    kept = filtering.keep(source, folder, column="clip_score", share=0.5)
    assert sorted(kept.names) == ["p0-2", "p0-3", "p0-4", "p1-0", "p1-1", "p1-2"]
    assert [source.names.index(name) for name in kept.names] == sorted(source.names.index(name) for name in kept.names)
    assert torch.equal(kept.pixels[0], source.pixels[source.names.index(kept.names[0])])
    assert kept.labels.bincount().tolist() == [3, 3] and kept.class_names == source.class_names
    assert filtering.keep(source, folder) is source
    tied = filtering.keep(source, folder, column="clip_score", share=0.4)  # two of five; 0.3 twice, the first name wins
    assert "p0-2" in tied.names and "p0-3" not in tied.names
    assert len(list(folder.rglob("*.png"))) == 10


def test_a_threshold_keeps_what_reaches_it(folder):
    source = scored(folder, [0.1, 0.9, 0.2, 0.8, 0.3, 0.7, 0.3, 0.6, 0.5, 0.5])
    assert filtering.keep(source, folder, column="clip_score", at_least=0.3).labels.bincount().tolist() == [3, 5]
    part = images.limit(source, 2)
    assert set(filtering.keep(part, folder, column="clip_score", at_least=0.1).names) == set(part.names)
    with pytest.raises(InputError, match=r"no image of class 'digit zero' has a clip_score of 0.6 or more; its highest is 0.5"):
        filtering.keep(source, folder, column="clip_score", at_least=0.6)


def test_selections_that_make_no_sense(folder):
    source = images.load(folder, 16)
    with pytest.raises(
        InputError, match=r"has clip_confidence=None, no number; columns of numbers: label; python -m aa_utils.generate.clip_score"
    ):
        filtering.keep(source, folder, share=0.5)
    for wrong in (0, 1.5, "half"):
        with pytest.raises(InputError, match="above 0 and at most 1"):
            filtering.keep(source, folder, share=wrong)
    (folder / "metadata.jsonl").write_text(
        "".join(json.dumps({"file_name": f"{n}/same.png", "label": 0, "class_name": "a", "x": 1}) + "\n" for n in (1, 2))
    )
    with pytest.raises(InputError, match="two images called 'same'"):
        filtering.keep(source, folder, column="x", share=0.5)
