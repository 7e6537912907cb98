"""What marks change of a run: how many images teach single classes, and nothing else."""

import inspect

import made_datasets
import torch
from made_report import pictures

from aa_utils import files
from aa_utils.photos import existing_images, intake, stages


def test_more_of_the_images_that_exist_already(tmp_path, monkeypatch):
    monkeypatch.setenv("AA_DATA", str(tmp_path))
    for label, name in enumerate(["pen", "lamp"]):
        (tmp_path / "flux" / name).mkdir(parents=True)
        for number in range(10):
            made_datasets.picture(label, "flux", number, (24, 24)).save(tmp_path / f"flux/{name}/{number}.jpg")
    plan = stages.plan(["pen", "lamp"], [0], 16, "", "pocket_resnet", False, False, "cpu", **{key: {} for key in stages.STAGES})

    def source(more, out):
        drawn, held_out = existing_images.source(plan, "flux", {}, 3, 2, tmp_path / out, more)
        names = [
            {row["source_file"] for row in files.read_jsonl(tmp_path / out / f"{kind}/metadata.jsonl")} for kind in ("images", "held_out")
        ]
        assert not names[0] & names[1]
        assert held_out.labels.bincount().tolist() == [2, 2]
        return drawn.labels.bincount().tolist(), names[0]

    counts, before = source({}, "a")
    assert counts == [3, 3]
    counts, after = source({"lamp": 3}, "a")
    assert counts == [3, 6] and before < after
    assert source({"pen": 30, "lamp": 1}, "b")[0] == [8, 4], "as many as there are beside those held out"


def test_more_images_of_a_generator_leave_those_that_stand(tmp_path, tiny_diffusion):
    told = {"writer": {"bank": "photo"}, "generator": {"steps": 1, "batch_size": 4}, "inter_domain": {}, "intra_domain": {}}
    plan = stages.plan(["mug", "plate", "bowl"], [0], 32, str(tiny_diffusion), "pocket_resnet", False, False, "cpu", **told)
    first, _ = existing_images.source(plan, "", {}, 2, 1, tmp_path)
    standing = {path: path.stat().st_mtime_ns for path in (tmp_path / "images").rglob("*.png")}
    second, held_out = existing_images.source(plan, "", {}, 2, 1, tmp_path, {"plate": 3, "bowl": 1})
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "images").rglob("*.png")} == standing
    assert second.labels.bincount().tolist() == [2, 5, 3]
    assert torch.equal(second.pixels[: len(first)], first.pixels)
    assert len({tuple(image.flatten().tolist()) for image in torch.cat([second.pixels, held_out.pixels])}) == 13, "no image twice"
    rows = [row for path in (tmp_path / "more").rglob("metadata.jsonl") for row in files.read_jsonl(path)]
    assert sorted(row["class_name"] for row in rows) == ["bowl", "plate", "plate", "plate"]
    again, _ = existing_images.source(plan, "", {}, 2, 1, tmp_path, {"plate": 3, "bowl": 1})
    assert torch.equal(again.pixels, second.pixels)
    assert existing_images.source(plan, "", {}, 2, 1, tmp_path, {"plate": 4})[0].labels.bincount().tolist() == [2, 6, 2]


def test_no_stage_takes_a_mark(tmp_path):
    """Photos have no labels, marked or not, and of the marks nothing but numbers of images goes to the stages."""
    files.write_json(tmp_path / "out/marks.json", {"adapt_anything_marks": 1})
    photos = intake.take_in(pictures(tmp_path / "in", 8), 16, ["mug", "plate", "bowl"], tmp_path / "out/photos")
    assert photos.images.labels is None
    for stage in (stages.transfer, stages.refine, stages.synthesise, stages.synthesise_more, existing_images.source):
        assert set(inspect.signature(stage).parameters) <= {
            "made", "plan", "source", "target", "folder", "rename", "per_class", "held_out_per_class", "more", "out",
        }  # fmt: skip
