"""Your own photos: what a folder may hold, what the stages are told, what is said without labels, and whether the result can be used."""

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from aa_utils import run
from aa_utils.classifiers import backbones, inference
from aa_utils.data import images, picture
from aa_utils.errors import InputError
from aa_utils.evaluation import without_labels
from aa_utils.paths import ROOT
from aa_utils.photos import audit, export, findings, groups, intake, judge, marks, report, stages
from aa_utils.runner import parameters

NAMES = ["digit zero", "digit one"]
NOTEBOOK = "notebooks/90_adapt_your_images.ipynb"


def noise(seed, size=(16, 16), channels=3):
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)


def album(folder: Path, number=4) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(number):
        Image.fromarray(noise(i)).save(folder / f"photo-{i}.png")
    return folder


def taken(folder, tmp_path, **options):
    return intake.take_in(folder, 16, NAMES, tmp_path / "out/photos", **options)


# What a folder may hold


def test_pixels_arrive_as_they_are_and_are_decoded_once(tmp_path):
    found = taken(album(tmp_path / "in"), tmp_path)
    assert found.images.labels is None
    assert found.images.class_names == NAMES
    assert found.names == [f"photo-{i}.png" for i in range(4)]
    assert torch.equal(found.images.pixels[2].permute(1, 2, 0), torch.from_numpy(noise(2)))
    copies = {p: p.stat().st_mtime_ns for p in (tmp_path / "out/photos/16").iterdir()}
    again = taken(tmp_path / "in", tmp_path)
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out/photos/16").iterdir()} == copies
    assert again.rows == found.rows
    Image.fromarray(noise(9)).save(tmp_path / "in/photo-2.png")
    changed = taken(tmp_path / "in", tmp_path)
    assert torch.equal(changed.images.pixels[2].permute(1, 2, 0), torch.from_numpy(noise(9)))
    assert changed.images.names[2] != found.images.names[2]


def test_sub_folders_equal_names_and_other_alphabets(tmp_path):
    names = ["a/same.png", "a/same.jpg", "b/same.png", "фото/お皿 ß.png", "with\nnewline.png"]
    for i, name in enumerate(names):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(i)).save(tmp_path / "in" / name)
    (tmp_path / "in/.hidden.png").write_bytes(b"x")
    (tmp_path / "in/__MACOSX").mkdir()
    (tmp_path / "in/__MACOSX/._same.png").write_bytes(b"x")
    (tmp_path / "in/notes.txt").write_text("x")
    found = taken(tmp_path / "in", tmp_path)
    assert sorted(found.names) == sorted(names)
    assert len(set(found.images.names)) == len(names)
    assert found.left_out == ["notes.txt"]
    judge.write_csv(tmp_path / "names.csv", pd.DataFrame({"file": found.names}))
    assert pd.read_csv(tmp_path / "names.csv")["file"].tolist() == found.names


def test_a_name_that_is_not_utf8(tmp_path):
    folder = album(tmp_path / "in")
    try:
        (folder / "photo-0.png").rename(os.fsdecode(os.fsencode(folder) + b"/\xff.png"))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert "\\xff.png" in taken(folder, tmp_path).names


def exotic(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Files of every kind that shows one grey or red; name -> the colour that must arrive."""
    folder.mkdir()
    red, grey = (200, 30, 30), (128, 128, 128)
    flat = np.full((20, 30, 3), red, np.uint8)
    Image.fromarray(flat).convert("CMYK").save(folder / "cmyk.tif")
    Image.fromarray(np.full((20, 30), 128 * 257, np.uint16)).save(folder / "16bit.png")
    Image.fromarray(np.full((20, 30), 128, np.uint8)).save(folder / "grey.png")
    Image.fromarray(np.dstack([flat, np.zeros((20, 30), np.uint8)])).save(folder / "transparent.png")
    Image.fromarray(flat).convert("P").save(folder / "palette.png")
    frames = [Image.new("RGB", (30, 20), colour) for colour in (red, (0, 0, 255))]
    frames[0].save(folder / "animated.gif", save_all=True, append_images=frames[1:])
    Image.fromarray(flat).save(folder / "webp.webp", lossless=True)
    Image.fromarray(np.full((2, 2000), 128, np.uint8).repeat(3, 0)).save(folder / "panorama.png")
    Image.new("1", (30, 20), 1).save(folder / "bits.png")
    return {
        "cmyk.tif": red, "16bit.png": grey, "grey.png": grey, "transparent.png": (255, 255, 255), "palette.png": red, "animated.gif": red,
        "webp.webp": red, "panorama.png": grey, "bits.png": (255, 255, 255),
    }  # fmt: skip


def test_every_kind_of_picture_becomes_8_bit_rgb(tmp_path):
    wanted = exotic(tmp_path / "in")
    found = taken(tmp_path / "in", tmp_path)
    got = {name: found.images.pixels[i, :, 8, 8].tolist() for i, name in enumerate(found.names)}
    assert got.keys() == wanted.keys()
    for name, colour in wanted.items():
        assert got[name] == pytest.approx(colour, abs=12), name  # palettes round
    assert {row["file"]: row["frames"] for row in found.rows}["animated.gif"] == 2


def test_exif_turns_the_picture_upright(tmp_path):
    halves = np.zeros((16, 48, 3), np.uint8)
    halves[:, 24:] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: what is right in the file belongs below
    (tmp_path / "in").mkdir()
    for i in range(4):
        Image.fromarray(halves).save(tmp_path / f"in/{i}.jpg", exif=exif)
    found = taken(tmp_path / "in", tmp_path)
    assert found.images.pixels[0, 0, 2].float().mean() < 50
    assert found.images.pixels[0, 0, 13].float().mean() > 200
    assert (found.rows[0]["width"], found.rows[0]["height"]) == (16, 48)


def test_all_broken_pictures_are_named_at_once(tmp_path, monkeypatch):
    folder = album(tmp_path / "in", 6)
    whole = (folder / "photo-0.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("no picture")
    (folder / "phone.HEIC").write_bytes(b"ftypheic")
    Image.new("RGB", (1, 1)).save(folder / "spacer.gif")
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    monkeypatch.setattr(picture, "LARGEST", 50_000)
    Image.new("1", (400, 300)).save(folder / "bomb.png")
    with pytest.raises(InputError) as said:
        taken(folder, tmp_path)
    for name in ("cut.png", "empty.jpg", "text.jpg", "phone.HEIC", "spacer.gif", "gone.png", "bomb.png"):
        assert f"{name}: " in str(said.value)
    assert "7 of 13 pictures" in str(said.value)
    assert "convert it to JPEG" in str(said.value)
    assert "\n" not in str(said.value)
    assert len(pd.read_csv(tmp_path / "out/photos/unreadable.csv")) == 7
    left = taken(folder, tmp_path, skip_unreadable=True)
    assert len(left.rows) == 6
    assert len(left.unreadable) == 7


def test_pillows_own_limit_against_decompression_bombs_is_a_sentence(tmp_path, monkeypatch):
    folder = album(tmp_path / "in")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(InputError, match="too many to decode safely"):
        taken(folder, tmp_path)


def test_folders_that_cannot_be_used(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/a.txt").write_text("x")
    cases = {
        tmp_path / "empty": "it is empty",
        tmp_path / "texts": "it holds 1 other files, such as 'a.txt'",
        tmp_path / "nowhere": "no folder of photos at",
        album(tmp_path / "one", 1): "holds 1 usable picture for 2 classes",
        tmp_path / "one/photo-0.png": "is a file",
    }
    for folder, message in cases.items():
        with pytest.raises(InputError, match=re.escape(message)):
            taken(folder, tmp_path)
    with pytest.raises(InputError, match="lies within"):
        intake.take_in(album(tmp_path / "in"), 16, NAMES, tmp_path / "in/out")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot write"):
        intake.take_in(tmp_path / "in", 16, NAMES, tmp_path / "file/out")


# What the stages are told


def planned(class_names=NAMES, seeds=(0, 1), image_size=32, model="models/pocket-diffusion", backbone="pocket_resnet", **given):
    told = {stage: {} for stage in stages.STAGES} | {"writer": {"bank": "handwriting"}} | given
    return stages.plan(intake.class_names_of(class_names), list(seeds), image_size, model, backbone, False, False, "cpu", **told)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_names": []}, "no class is named"),
        ({"class_names": ["mug"]}, r"only \['mug'\] is named"),
        ({"class_names": ["mug", " "]}, "needs a name"),
        ({"class_names": ["a mug", "A  mug"]}, "are the same class"),
        ({"seeds": []}, "seeds is"),
        ({"seeds": [1, 1]}, "different whole numbers"),
        ({"backbone": "resnet5O"}, "timm has no model"),
        ({"backbone": "lenet_usps"}, "head of several layers"),
        ({"backbone": "pocket_vit", "image_size": 40}, "does not take images of 40 pixels"),
        ({"inter_domain": {"method": "dan"}}, "no inter-domain method 'dan'"),
        ({"inter_domain": {"stpes": 3}}, "inter_domain: this stage has no parameter 'stpes'; did you mean 'steps'"),
        ({"intra_domain": {"steps": "many"}}, "intra_domain: 'steps' takes a whole number"),
        ({"intra_domain": {"steps": 0}}, "steps is 0"),
        ({"generator": {"model": "x"}}, "generator: 'model' does not belong here"),
        ({"generator": {"preset": "sd16"}}, "no preset 'sd16'"),
        ({"inter_domain": {"method": "adabn", "method_config": {}, "batchnorm": "frozen"}}, "part of it is batchnorm=target"),
        ({"intra_domain": {"batchnorm": "target"}}, "stage 4 sees no other images than the target's"),
        ({"inter_domain": {"batchnorm": "fozen"}}, "batchnorm is 'fozen'; there are: train, frozen, target"),
        ({"inter_domain": {"method_config": {"wiat": 1}}}, "option 'wiat' is unknown; 'dann' has: "),
    ],
)
def test_a_wrong_setting_is_said_before_a_photo_is_read(options, message):
    with pytest.raises(InputError, match=message):
        planned(**options)


def test_defaults_are_those_of_the_package():
    made = planned(inter_domain={"steps": 7})
    assert made.inter_domain["method"] == "dann"
    assert made.inter_domain["steps"] == 7
    assert made.inter_domain["lr"] == 0.05
    assert made.recipe("intra_domain").schedule == "fixmatch"
    assert made.recipe("inter_domain").steps == 7
    assert made.recipe("inter_domain").clip == made.recipe("intra_domain").clip == 1.0
    assert made.generator["steps"] == 12
    assert planned(model="", generator={"preset": "sd15"}).generator["model"].endswith("stable-diffusion-v1-5")


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_example_parameter_files_fit(example):
    wanted = parameters.overrides([], str(example))
    if not str(wanted.get("photos", "examples/")).startswith("examples/"):  # not shipped: any photos do
        wanted |= {"photos": "examples/scans", "source": ""}
    _, _, values = run.check(NOTEBOOK, wanted)
    for stage in stages.STAGES:
        stages.settings(stage, values[stage])


# What is said without labels


def judgement(p, votes=None, reliable=None, f=None, nearness=None, low=0.8, high=0.9, held_out=None):
    n, k = p.shape
    table = [
        {"stage": stage, "seed": 0, **dict.fromkeys(without_labels.ACCURACIES, 0.8), "low": low, "high": high} for stage in judge.STAGES
    ]
    return judge.Judgement(
        p, torch.ones(n) if votes is None else votes, torch.ones(n, dtype=torch.bool) if reliable is None else reliable,
        torch.randn(n, 8) if f is None else f, torch.ones(n) if nearness is None else nearness, pd.DataFrame(table), low, high,
        torch.eye(k, dtype=torch.int64) * 5 if held_out is None else held_out,
    )  # fmt: skip


def test_photos_counted_right_are_the_share_that_atc_says():
    torch.manual_seed(0)
    p, p_s, y_s = torch.randn(50, 3).mul(2).softmax(1), torch.randn(40, 3).mul(2).softmax(1), torch.randint(3, (40,))
    y_s[:25] = p_s[:25].argmax(1)
    counted = judge.counted_right(p, p_s, y_s)
    assert float(counted.double().mean()) == without_labels.accuracies(p, p_s, y_s)["atc"]


def test_predictions_hold_the_three_likeliest_classes(tmp_path):
    p = torch.tensor([[0.6, 0.3, 0.08, 0.02], [0.1, 0.2, 0.3, 0.4]])
    found = judgement(p, votes=torch.tensor([1.0, 0.5]), reliable=torch.tensor([True, False]))
    table = judge.table_of(found, ["=evil().png", "b.png"], list("abcd"))
    judge.write_csv(tmp_path / "predictions.csv", table)
    read = pd.read_csv(tmp_path / "predictions.csv")
    assert read.columns.tolist() == judge.COLUMNS
    assert read.iloc[0].tolist() == ["'=evil().png", "a", 0.6, "b", 0.3, "c", 0.08, 1.0, "yes"]
    assert read.iloc[1][["prediction", "third", "votes", "reliable"]].tolist() == ["d", "b", 0.5, "no"]
    two = judge.table_of(judgement(p[:, :2]), ["a", "b"], ["x", "y"])
    assert two["third"].tolist() == ["", ""]


def test_a_group_of_strangers_is_found():
    torch.manual_seed(0)
    centres = torch.nn.functional.normalize(torch.randn(3, 8)) * 5
    which = torch.arange(90) % 3
    f = centres[which] + 0.3 * torch.randn(90, 8)
    f[:12] = -centres.sum(0) + 0.3 * torch.randn(12, 8)  # they lie away from all classes
    p = torch.full((90, 3), 0.05).scatter_(1, which[:, None], 0.9)
    votes, nearness = torch.ones(90), 0.95 + 0.01 * torch.randn(90)
    votes[:12], nearness[:12] = 0.5, 0.3
    found, looked_at = groups.suspicious(judgement(p, votes=votes, f=f, nearness=nearness))
    assert looked_at == 9
    assert set().union(*(group.rows for group in found)) == set(range(12))
    assert found[0].far
    assert any("disagree" in reason for reason in found[0].reasons)
    assert any("several classes" in reason for reason in found[0].reasons)


def test_near_duplicates_and_flat_photos():
    pixels = torch.randint(0, 200, (6, 3, 32, 32), dtype=torch.uint8)
    pixels[4] = (pixels[1].float() * 0.8 + 30).round().byte()  # another exposure
    pixels[2] = pixels[3] = 128
    alike, flat = groups.same(pixels, rows=4)
    assert [one.rows for one in alike] == [[1, 4]]
    assert flat == [2, 3]


def unmarked(photos):
    return audit.measure(audit.draw(photos.images.names, 100, 0), marks.Marks(), [])


def test_findings_say_what_is_wrong(tmp_path):
    folder = album(tmp_path / "in", 6)
    (folder / "copy.png").write_bytes((folder / "photo-1.png").read_bytes())
    photos, taught = taken(folder, tmp_path), marks.Taught(dict.fromkeys(NAMES, 4), 4)
    p = torch.tensor([[0.9, 0.1]]).expand(7, -1)
    held_out = torch.tensor([[3, 2], [3, 2]])
    found = judgement(p, low=0.2, high=0.5, held_out=held_out, votes=torch.full((7,), 0.5))
    alike, flat = groups.same(photos.images.pixels)
    made = findings.findings(photos, found, [], alike, flat, ["digit one"], 1, unmarked(photos), taught)
    titles = [one.title for one in made]
    for title in (
        "The estimate is low", "The synthetic images do not tell the classes apart", "1 of 2 classes never predicted",
        "Near-duplicates", "Few photos", "One classifier only", "The classifiers disagree",
    ):  # fmt: skip
        assert title in titles
    assert [one.weight for one in made] == sorted((one.weight for one in made), key=["act", "look", "know"].index)
    assert "Classes without one photo to learn from" not in titles  # it is said once


def test_a_refinement_after_which_the_seeds_agree_less_is_not_delivered_and_the_report_says_why(tmp_path):
    photos, taught = taken(album(tmp_path / "in", 6), tmp_path), marks.Taught(dict.fromkeys(NAMES, 4), 4)
    kept = judgement(torch.tensor([[0.9, 0.1]]).expand(6, -1))
    kept = replace(kept, estimates=kept.estimates.assign(agreement=[0.9, 0.6]))
    said = {}
    for found in (kept, replace(kept, delivered="inter_domain")):
        made = findings.findings(photos, found, [], [], [], [], 2, unmarked(photos), taught)
        said[found.delivered] = [one.observation for one in made if one.title == "Refinement did not help"]
    assert said["intra_domain"] == []
    assert len(said["inter_domain"]) == 1
    assert "90\u00a0% of the photos before" in said["inter_domain"][0]
    assert "60\u00a0% after" in said["inter_domain"][0]


# Whether the result can be used


@pytest.mark.parametrize("backbone", ["pocket_resnet", "test_resnet", "test_vit", "deit_tiny_distilled_patch16_224"])
def test_as_timm_is_the_same_function(backbone):
    torch.manual_seed(0)
    kwargs = {"img_size": 32} if "vit" in backbone or "deit" in backbone else {}
    classifier = backbones.build(backbone, 3, **kwargs)
    torch.nn.init.normal_(classifier.head.weight)
    export.check(classifier, 32)


def test_a_network_that_cannot_be_written_as_onnx_is_refused_before_a_photo_is_read():
    with pytest.raises(InputError, match=r"'test_maxvit' cannot be written as ONNX at 160 pixels \(.*\); choose another backbone") as said:
        planned(backbone="test_maxvit", image_size=160)
    assert "\n" not in str(said.value)


def test_joined_heads_become_one():
    torch.manual_seed(0)
    classifier = backbones.build("pocket_resnet", 3)
    export.check(backbones.joined(classifier, torch.nn.Linear(128, 3)), 32)
    with pytest.raises(InputError, match="bottleneck"):
        export.check(backbones.build("pocket_resnet", 3, bottleneck=8), 32)


def in_a_fresh_process(code: str, folder: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_loading_lines_of_the_readme_work_in_a_fresh_process(tmp_path):
    """Those of a network of timm, then those of one of this package: the first may not need the import of the second."""
    pixels = torch.from_numpy(np.stack([noise(i, (32, 32)) for i in range(5)])).permute(0, 3, 1, 2).contiguous()
    names, wanted = ["mug", "plate", "<b>ß</b>"], []
    code = "from PIL import Image\nimport os, sys\nphoto = Image.open('photo.png').convert('RGB')\n"
    Image.fromarray(noise(3, (32, 32))).save(tmp_path / "photo.png")
    for backbone in ("test_resnet", "pocket_resnet"):
        torch.manual_seed(0)
        classifier = backbones.build(backbone, 3).eval()
        torch.nn.init.normal_(classifier.head.weight)
        wanted.append(inference.predict(classifier, pixels)[0][3].tolist())
        assert export.write(classifier, names, pixels, tmp_path / backbone / "classifier") <= export.TOLERANCE
        assert (tmp_path / backbone / "classifier/labels.txt").read_text().splitlines() == names
        loading = re.findall(r"```python\n(.*?)```", (tmp_path / backbone / "classifier/README.md").read_text(), re.DOTALL)
        assert [len(lines.splitlines()) for lines in loading] == [3, 3]
        code += f"os.chdir({str(tmp_path / backbone)!r})\n{loading[0]}{loading[1]}"
        code += "p = model(transform(photo)[None]).softmax(1)[0].tolist()\n"
        if backbone == "test_resnet":  # a backbone of timm needs no more than the folder
            code += "model = timm.create_model('local-dir:classifier', pretrained=True).eval()\n"
            code += "assert model(transform(photo)[None]).softmax(1)[0].tolist() == p\n"
        code += "print(json.dumps([p, predict(photo).tolist(), 'aa_utils' in sys.modules]))\n"
    said = [json.loads(line) for line in in_a_fresh_process(code, tmp_path).splitlines()]
    for (by_timm, by_onnx, needs_this_package), p, own in zip(said, wanted, (False, True), strict=True):
        assert by_timm == pytest.approx(p, abs=1e-5)
        assert by_onnx == pytest.approx(p, abs=1e-4)
        assert needs_this_package == own
    import onnx

    meta = {prop.key: prop.value for prop in onnx.load(tmp_path / "pocket_resnet/classifier/model.onnx").metadata_props}
    assert json.loads(meta["class_names"]) == names


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.text, self.data = [], [], "", None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href", "srcset", "action", "data", "poster")]
        self.links += [name for name, _ in attributes if name.startswith("on")]

    def handle_data(self, data):
        if self.tags[-1:] == ["script"]:
            self.data = self.data or json.loads(data)
        else:
            self.text += data


def test_the_report_is_one_file_and_names_are_text(tmp_path):
    evil = '<script>alert("1")</script>'
    folder = album(tmp_path / "in", 8)
    (folder / "photo-0.png").rename(folder / "a' onerror=x <script>1<⁄script>.png")
    names = [evil, "b & <em>c</em>"]
    photos, taught = intake.take_in(folder, 16, names, tmp_path / "out/photos"), marks.Taught(dict.fromkeys(names, 4), 4)
    p = torch.full((8, 2), 0.3)
    p[:, 0] = 0.7
    found = judgement(p, reliable=torch.zeros(8, dtype=torch.bool), nearness=torch.linspace(0, 1, 8))
    source = images.ImageSet(photos.images.pixels, torch.arange(8) % 2, photos.images.names, names)
    near, measured = [groups.Alike([0, 1], 0.999)], unmarked(photos)
    made = findings.findings(photos, found, [groups.Group([0, 1], [(0, 1.0)], ["a < b"], True)], near, [2], [], 2, measured, taught)
    doubtful = ([groups.Group([0, 1], [(0, 1.0)], ["a < b"], True)], 3)
    plan, alike = planned(names), [groups.Alike([0, 1], 0.999)]
    path = report.write(
        tmp_path / "out/report.html", photos, source, found, doubtful, alike, made, plan, measured, taught, {"photos": evil}
    )
    text = path.read_text(encoding="utf-8")
    page = Tags(text)
    assert not {"link", "iframe", "object", "em", "form"} & set(page.tags)
    assert page.tags.count("script") == 2, "the data and the one program"
    program = re.search(r"<script>(.*?)</script>", text, re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(program.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'\"" in text, "no other program may run"
    assert [row["prediction"] for row in page.data["photos"]] == [evil] * 8
    assert all(link.startswith(("data:image/", "#")) for link in page.links), page.links
    assert "url(" not in text
    assert "@import" not in text
    assert evil in page.text
    assert "1 of 2 classes never predicted" in page.text
    assert "default-src 'none'" in text


# The stages


def test_what_a_kill_left_out_is_made_by_the_next_call_and_nothing_else(tmp_path, tiny_diffusion):
    folder, out = album(tmp_path / "in", 12), tmp_path / "out"
    small = {"steps": 2, "batch_size": 4}
    told = {"writer": {"bank": "photo"}, "generator": {"steps": 1, "batch_size": 4}, "inter_domain": small, "intra_domain": small}
    plan = planned(["mug", "plate"], model=str(tiny_diffusion), **told)

    def call():
        photos = intake.take_in(folder, 32, ["mug", "plate"], out / "photos")
        source, held_out = stages.synthesise(plan, 2, 2, out)
        stages.transfer(plan, source, photos.images, out)
        stages.refine(plan, photos.images, out)
        return photos, source, held_out

    def made():
        return {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in out.rglob("*") if p.suffix in (".png", ".safetensors")}

    photos, source, held_out = call()
    before = made()
    assert len(before) == 12 + 4 + 4 + 2 + 2
    lost = [next((out / "photos/32").iterdir()), next((out / "images").rglob("*.png")), out / "intra_domain/seed1/model.safetensors"]
    for path in lost:
        path.unlink()
    call()
    after = made()
    assert {path for path in before if before[path][0] != after[path][0]} == set(lost)
    assert {path: data for path, (_, data) in before.items()} == {path: data for path, (_, data) in after.items()}
    assert not any(torch.equal(a, b) for a in source.pixels for b in held_out.pixels)

    found = judge.judge(out, plan.seeds, photos.images, source, held_out)
    assert found.held_out.sum() == 4
    assert 0 <= found.low <= found.high <= 1
    assert (found.low, found.high) == (found.estimates["low"][[0, 2]].min(), found.estimates["high"][[0, 2]].max())
    assert len(judge.table_of(found, photos.names, ["mug", "plate"])) == 12


def test_images_that_exist_already_take_the_place_of_a_generator(tmp_path, monkeypatch):
    """Taught by some of them, calibrated by others; no prompt is written and no model is loaded."""
    import made_datasets

    from aa_utils import files
    from aa_utils.photos import existing_images

    monkeypatch.setenv("AA_DATA", str(tmp_path))
    for label, name in enumerate(["mouse", "Pen", "lamp"]):
        (tmp_path / "flux" / name).mkdir(parents=True)
        for number in range(5):
            made_datasets.picture(label, "flux", number, (24, 24)).save(tmp_path / f"flux/{name}/{number}.jpg")
    plan = stages.plan(["pen", "computer mouse"], [0], 16, "", "pocket_resnet", False, False, "cpu", **{key: {} for key in stages.STAGES})
    drawn, held_out = existing_images.source(plan, "flux", {}, 3, 2, tmp_path / "out")
    assert drawn.class_names == held_out.class_names == ["pen", "computer mouse"]
    assert (drawn.labels.bincount().tolist(), held_out.labels.bincount().tolist()) == ([3, 3], [2, 2])
    taught, others = (
        {row["sha256"] for row in files.read_jsonl(tmp_path / f"out/{name}/metadata.jsonl")} for name in ("images", "held_out")
    )
    assert not taught & others
    assert not (tmp_path / "out/prompts").exists()
    for changed, message in [
        ({"per_class": 4}, "'flux' has 5 images of 'pen', fewer than per_class=4 and held_out_per_class=2 take together"),
        ({"per_class": 0}, "both take at least one image"),
        ({"folder": "gan"}, "no folder 'gan'"),
        ({"folder": "", "rename": {"a": "b"}}, "there is no source whose classes it could name"),
    ]:
        given = {"folder": "flux", "rename": {}, "per_class": 3, "held_out_per_class": 2} | changed
        with pytest.raises(InputError, match=message):
            existing_images.source(plan, **given, out=tmp_path / "other")
